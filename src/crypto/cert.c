/*
 * cert.c: PEM certificate files to chains. Called where a configuration is loaded, never in a
 * handshake. The one invariant: bytes of a private key that got here by mistake do not stay here.
 */
#include "config.h"

#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "crypto/cert.h"

#include "base/poison.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192 };

static void say(char *why, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void say(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (size > 0)
		vsnprintf(why, size, fmt, ap);
	va_end(ap);
}

/* ---- keys */

const char *key_type_name(enum key_type type)
{
	switch (type) {
	case KEY_RSA:
		return "RSA";
	case KEY_P256:
		return "P-256";
	case KEY_P384:
		return "P-384";
	case KEY_ED25519:
		return "Ed25519";
	case KEY_NONE:
		break;
	}
	return "none";
}

enum key_type key_type_of(const EVP_PKEY *key, int *bits)
{
	char group[32];
	size_t len;
	int n = EVP_PKEY_get_bits(key);

	if (bits != NULL)
		*bits = n;
	if (EVP_PKEY_is_a(key, "RSA"))
		return n >= RSA_BITS_MIN && n <= RSA_BITS_MAX ? KEY_RSA : KEY_NONE;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return KEY_ED25519;
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), &len)) {
		if (strcmp(group, SN_X9_62_prime256v1) == 0)
			return KEY_P256;
		if (strcmp(group, SN_secp384r1) == 0)
			return KEY_P384;
	}
	ERR_clear_error();
	return KEY_NONE;
}

const char *key_type_refusal(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) < RSA_BITS_MIN
			   ? "the RSA key is shorter than 2048 bits: make one of 2048 or more"
			   : "the RSA key is longer than 8192 bits: make one of 2048 to 4096";
	if (EVP_PKEY_is_a(key, "RSA-PSS"))
		return "the key is an RSASSA-PSS key: make a plain RSA key (rsaEncryption), which "
		       "signs with PSS too";
	if (EVP_PKEY_is_a(key, "EC"))
		return "the key's curve is not P-256 or P-384: make a key of one of these";
	return "the key is not RSA, P-256, P-384 or Ed25519: make a key of one of these types";
}

static int ski_of(const X509_PUBKEY *spki, uint8_t ski[static CERT_SKI_LEN])
{
	const unsigned char *bits;
	int len;

	if (!X509_PUBKEY_get0_param(NULL, &bits, &len, NULL, spki) || len <= 0)
		return -1;
	SHA1(bits, (size_t)len, ski);
	return 0;
}

int key_ski(const EVP_PKEY *key, uint8_t ski[static CERT_SKI_LEN])
{
	X509_PUBKEY *spki = NULL;
	int rc = -1;

	/* X509_PUBKEY_set takes no const key, but only reads it and holds a reference. */
	if (X509_PUBKEY_set(&spki, (EVP_PKEY *)key))
		rc = ski_of(spki, ski);
	X509_PUBKEY_free(spki);
	ERR_clear_error();
	return rc;
}

int key_spki_sha256(const EVP_PKEY *key, uint8_t digest[static 32])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);

	ERR_clear_error();
	if (len <= 0)
		return -1;
	SHA256(der, (size_t)len, digest);
	OPENSSL_free(der);
	return 0;
}

int key_modulus_sha256(const EVP_PKEY *pkey, uint8_t digest[static 32])
{
	BIGNUM *n = NULL;
	char *hex = NULL;
	size_t digest_len = 0;
	int ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
		 (hex = BN_bn2hex(n)) != NULL &&
		 EVP_Q_digest(NULL, "SHA2-256", NULL, hex, strlen(hex), digest, &digest_len) == 1;

	OPENSSL_free(hex);
	BN_free(n);
	return ok ? 0 : -1;
}

/* ---- files */

/* Reads all of fd, at most CERT_FILE_MAX bytes, into the heap. */
static int slurp(int fd, const char *name, uint8_t **buf, size_t *len, char *why, size_t size)
{
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		say(why, size, "%s: is a folder: name a file", name);
		return -1;
	}
	*len = 0;
	if ((*buf = malloc(CERT_FILE_MAX)) == NULL) {
		say(why, size, "%s: out of memory", name);
		return -1;
	}
	while (*len < CERT_FILE_MAX) {
		got = read(fd, *buf + *len, CERT_FILE_MAX - *len);
		if (got == 0)
			return 0;
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1) {
			say(why, size, "%s: %s", name, strerror(errno));
			break;
		}
		*len += (size_t)got;
	}
	if (*len == CERT_FILE_MAX)
		say(why, size, "%s: above 1 MiB: no certificate chain is that long", name);
	OPENSSL_cleanse(*buf, *len);
	free(*buf);
	*buf = NULL;
	return -1;
}

static bool holds_private_key(struct bytes pem)
{
	static const char mark[] = "PRIVATE KEY-----";

	return pem.len > 0 && memmem(pem.at, pem.len, mark, sizeof(mark) - 1) != NULL;
}

/* A passphrase is never wanted here: without a callback libcrypto would ask on the terminal. */
static int no_passphrase_cb(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

static STACK_OF(X509) *
    parse_certificates(struct bytes pem, const char *name, size_t max, char *why, size_t size)
{
	STACK_OF(X509) *stack = sk_X509_new_null();
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	X509 *cert = NULL;
	unsigned long err;

	if (stack == NULL || bio == NULL)
		goto memory;
	ERR_clear_error();
	while ((cert = PEM_read_bio_X509(bio, NULL, no_passphrase_cb, NULL)) != NULL) {
		if ((size_t)sk_X509_num(stack) == max) {
			X509_free(cert);
			say(why, size, "%s: more than %zu certificates", name, max);
			goto fail;
		}
		if (!sk_X509_push(stack, cert)) {
			X509_free(cert);
			goto memory;
		}
	}
	err = ERR_peek_last_error();
	if (ERR_GET_LIB(err) != ERR_LIB_PEM || ERR_GET_REASON(err) != PEM_R_NO_START_LINE) {
		say(why, size,
		    "%s: certificate %d is damaged (%s): write the file anew, PEM, leaf first",
		    name, sk_X509_num(stack) + 1, ERR_reason_error_string(err));
		goto fail;
	}
	if (sk_X509_num(stack) == 0) {
		say(why, size,
		    "%s: holds no certificate: it must be PEM (-----BEGIN CERTIFICATE-----)", name);
		goto fail;
	}
	ERR_clear_error();
	BIO_free(bio);
	return stack;
memory:
	say(why, size, "%s: out of memory", name);
fail:
	ERR_clear_error();
	BIO_free(bio);
	sk_X509_pop_free(stack, X509_free);
	return NULL;
}

STACK_OF(X509) * cert_stack_load(const char *path, char *why, size_t size)
{
	STACK_OF(X509) *stack = NULL;
	uint8_t *buf;
	size_t len;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1) {
		say(why, size, "%s: %s", path, strerror(errno));
		return NULL;
	}
	if (slurp(fd, path, &buf, &len, why, size) == 0) {
		if (holds_private_key(bytes_of(buf, len)))
			say(why, size,
			    "%s: holds a private key: leave only the CA's certificates here", path);
		else
			stack = parse_certificates(bytes_of(buf, len), path, 4096, why, size);
		OPENSSL_cleanse(buf, len);
		free(buf);
	}
	close(fd);
	return stack;
}

/* ---- chains */

static int add_name(struct cert_chain *chain, const char *text, size_t len)
{
	char *name;

	if (memchr(text, '\0', len) != NULL)
		return 0; /* for messages and look-ups only: cert_matches_host decides */
	if ((name = strndup(text, len)) == NULL)
		return -1;
	chain->names[chain->names_n++] = name;
	return 0;
}

static int add_general_name(struct cert_chain *chain, const GENERAL_NAME *name)
{
	const ASN1_STRING *s;
	char text[INET6_ADDRSTRLEN];
	int len;

	if (name->type != GEN_DNS && name->type != GEN_IPADD)
		return 0;
	s = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
	len = ASN1_STRING_length(s);
	if (name->type == GEN_DNS)
		return add_name(chain, (const char *)ASN1_STRING_get0_data(s), (size_t)len);
	if ((len != 4 && len != 16) || inet_ntop(len == 4 ? AF_INET : AF_INET6,
					   ASN1_STRING_get0_data(s), text, sizeof(text)) == NULL)
		return 0;
	return add_name(chain, text, strlen(text));
}

static int collect_names(struct cert_chain *chain)
{
	GENERAL_NAMES *alt = X509_get_ext_d2i(chain->leaf, NID_subject_alt_name, NULL, NULL);
	char cn[256];
	int rc = -1, len, n = alt == NULL ? 0 : sk_GENERAL_NAME_num(alt);

	if ((chain->names = calloc((size_t)n + 1, sizeof(*chain->names))) == NULL)
		goto out;
	for (int i = 0; i < n; i++) {
		if (add_general_name(chain, sk_GENERAL_NAME_value(alt, i)) == -1)
			goto out;
	}
	if (chain->names_n == 0) {
		len = X509_NAME_get_text_by_NID(
		    X509_get_subject_name(chain->leaf), NID_commonName, cn, sizeof(cn));
		if (len > 0 && add_name(chain, cn, strnlen(cn, sizeof(cn))) == -1)
			goto out;
	}
	rc = 0;
out:
	GENERAL_NAMES_free(alt);
	return rc;
}

/* The rest must lead away from the leaf: a chain in the wrong order fails in some clients only. */
static int check_order(const struct cert_chain *chain, const char *name, char *why, size_t size)
{
	X509 *below = chain->leaf;

	for (int i = 0; i < sk_X509_num(chain->rest); i++) {
		X509 *above = sk_X509_value(chain->rest, i);

		if (X509_NAME_cmp(X509_get_issuer_name(below), X509_get_subject_name(above)) != 0) {
			say(why, size,
			    "%s: certificate %d did not issue certificate %d: put the leaf first, "
			    "then "
			    "each one's issuer",
			    name, i + 2, i + 1);
			return -1;
		}
		below = above;
	}
	return 0;
}

struct cert_chain *cert_chain_parse(struct bytes pem, const char *name, char *why, size_t size)
{
	struct cert_chain *chain = calloc(1, sizeof(*chain));
	const EVP_PKEY *key;

	say(why, size, "%s: out of memory", name);
	if (chain == NULL)
		return NULL;
	if (pem.len > CERT_FILE_MAX) {
		say(why, size, "%s: above 1 MiB: no certificate chain is that long", name);
		goto fail;
	}
	if (holds_private_key(pem)) {
		say(why, size,
		    "%s: holds a private key, which must not be where certificates are read: move "
		    "it to a "
		    "file of its own, name that under private_keys, and leave only certificates "
		    "here",
		    name);
		goto fail;
	}
	if ((chain->rest = parse_certificates(pem, name, CERT_CHAIN_MAX, why, size)) == NULL)
		goto fail;
	chain->leaf = sk_X509_shift(chain->rest);
	if ((key = X509_get0_pubkey(chain->leaf)) == NULL) {
		say(why, size, "%s: the certificate's public key is of no type that is known here",
		    name);
		goto fail;
	}
	if ((chain->type = key_type_of(key, &chain->bits)) == KEY_NONE) {
		say(why, size, "%s: %s", name, key_type_refusal(key));
		goto fail;
	}
	if (check_order(chain, name, why, size) == -1)
		goto fail;
	/* From where it lies: to encode the key again would take longer than to read the file. */
	if (ski_of(X509_get_X509_PUBKEY(chain->leaf), chain->ski) == -1 ||
	    collect_names(chain) == -1)
		goto fail;
	ERR_clear_error();
	return chain;
fail:
	ERR_clear_error();
	cert_chain_free(chain);
	return NULL;
}

struct cert_chain *cert_chain_load_fd(int fd, const char *name, char *why, size_t size)
{
	struct cert_chain *chain;
	uint8_t *buf;
	size_t len;

	if (slurp(fd, name, &buf, &len, why, size) == -1)
		return NULL;
	chain = cert_chain_parse(bytes_of(buf, len), name, why, size);
	OPENSSL_cleanse(buf, len);
	free(buf);
	return chain;
}

struct cert_chain *cert_chain_load(const char *path, char *why, size_t size)
{
	struct cert_chain *chain;
	/* O_NONBLOCK: a FIFO named by mistake must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1) {
		say(why, size, "%s: %s", path, strerror(errno));
		return NULL;
	}
	chain = cert_chain_load_fd(fd, path, why, size);
	close(fd);
	return chain;
}

void cert_chain_free(struct cert_chain *chain)
{
	if (chain == NULL)
		return;
	X509_free(chain->leaf);
	sk_X509_pop_free(chain->rest, X509_free);
	for (size_t i = 0; i < chain->names_n; i++)
		free(chain->names[i]);
	free(chain->names);
	free(chain);
}

/* ---- names */

static bool holds_exactly(X509 *cert, const char *name)
{
	GENERAL_NAMES *alt = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(alt) && !found; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(alt, i);

		if (g->type == GEN_DNS)
			found = bytes_case_equal_str(bytes_of(ASN1_STRING_get0_data(g->d.dNSName),
							 (size_t)ASN1_STRING_length(g->d.dNSName)),
			    name);
	}
	GENERAL_NAMES_free(alt);
	return found;
}

bool cert_matches_host(X509 *cert, const char *host)
{
	bool ok;

	if (strncmp(host, "*.", 2) == 0)
		return holds_exactly(cert, host);
	ok = X509_check_host(cert, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1 ||
	     X509_check_ip_asc(cert, host, 0) == 1;
	ERR_clear_error();
	return ok;
}
