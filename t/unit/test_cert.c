/* test_cert.c: chains from PEM, keys that are refused, names; and mkcert, whose work they read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#include "crypto/cert.h"
#include "crypto/mkcert.h"

#include "base/poison.h"

static char why[512];

static struct cert_chain *parse(const char *pem)
{
	why[0] = '\0';
	return cert_chain_parse(bytes_str(pem), "chain.pem", why, sizeof(why));
}

static void refused(const char *pem, const char *part)
{
	assert_null(parse(pem));
	if (strstr(why, part) == NULL || strstr(why, "chain.pem: ") != why)
		fail_msg("\"%s\" lacks \"%s\"", why, part);
}

static char *make(const char *const *names, size_t n, EVP_PKEY **key)
{
	EVP_PKEY *k;
	X509 *cert;
	char *pem;

	assert_int_equal(mkcert(names, n, 30, &k, &cert), 0);
	pem = mkcert_pem(cert);
	assert_non_null(pem);
	X509_free(cert);
	if (key != NULL)
		*key = k;
	else
		EVP_PKEY_free(k);
	return pem;
}

/* A certificate of any key, signed by itself or by another. */
static char *certify(EVP_PKEY *key, const char *subject, const char *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	char *pem;

	X509_set_version(cert, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	    (const unsigned char *)subject, -1, -1, 0);
	X509_NAME_add_entry_by_txt(X509_get_issuer_name(cert), "CN", MBSTRING_ASC,
	    (const unsigned char *)issuer, -1, -1, 0);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, issuer_key,
			EVP_PKEY_is_a(issuer_key, "ED25519") || EVP_PKEY_is_a(issuer_key, "ED448")
			    ? NULL
			    : EVP_sha256()) > 0);
	pem = mkcert_pem(cert);
	X509_free(cert);
	return pem;
}

static char *join(const char *a, const char *b)
{
	char *s;

	assert_true(asprintf(&s, "%s%s", a, b) > 0);
	return s;
}

static void selfsigned_pair_is_whole(void **state)
{
	static const char *const names[] = { "localhost", "shop.example.com", "*.example.org",
		"127.0.0.1", "::1" };
	EVP_PKEY *key;
	char *pem = make(names, 5, &key);
	struct cert_chain *chain = parse(pem);
	uint8_t ski[20];

	(void)state;
	assert_non_null(chain);
	assert_int_equal(chain->type, KEY_P256);
	assert_int_equal(chain->bits, 256);
	assert_int_equal(sk_X509_num(chain->rest), 0);
	assert_int_equal(X509_verify(chain->leaf, key), 1);
	assert_int_equal(chain->names_n, 5);
	assert_string_equal(chain->names[1], "shop.example.com");
	assert_string_equal(chain->names[3], "127.0.0.1");
	assert_string_equal(chain->names[4], "::1");
	assert_int_equal(key_ski(key, ski), 0);
	assert_memory_equal(ski, chain->ski, 20);
	assert_true(X509_cmp_current_time(X509_get0_notBefore(chain->leaf)) < 0);
	assert_true(X509_cmp_current_time(X509_get0_notAfter(chain->leaf)) > 0);
	assert_true(X509_check_purpose(chain->leaf, X509_PURPOSE_SSL_SERVER, 0) == 1);
	cert_chain_free(chain);
	EVP_PKEY_free(key);
	free(pem);
}

static void ski_is_of_the_bit_string_only(void **state)
{
	/* mkcert writes the extension by OpenSSL's own method, which is the same hash. */
	static const char *const names[] = { "a.example" };
	char *pem = make(names, 1, NULL);
	struct cert_chain *chain = parse(pem);
	const ASN1_OCTET_STRING *ext = X509_get0_subject_key_id(chain->leaf);

	(void)state;
	assert_int_equal(ASN1_STRING_length(ext), 20);
	assert_memory_equal(ASN1_STRING_get0_data(ext), chain->ski, 20);
	cert_chain_free(chain);
	free(pem);
}

static void hosts_match_as_in_browsers(void **state)
{
	static const char *const names[] = { "shop.example.com", "*.example.org", "127.0.0.1" };
	char *pem = make(names, 3, NULL);
	struct cert_chain *chain = parse(pem);

	(void)state;
	assert_true(cert_matches_host(chain->leaf, "shop.example.com"));
	assert_true(cert_matches_host(chain->leaf, "SHOP.example.com"));
	assert_false(cert_matches_host(chain->leaf, "example.com"));
	assert_true(cert_matches_host(chain->leaf, "www.example.org"));
	assert_false(cert_matches_host(chain->leaf, "a.b.example.org"));
	assert_false(cert_matches_host(chain->leaf, "example.org"));
	assert_true(cert_matches_host(chain->leaf, "*.example.org"));
	assert_false(cert_matches_host(chain->leaf, "*.example.com"));
	assert_true(cert_matches_host(chain->leaf, "127.0.0.1"));
	assert_false(cert_matches_host(chain->leaf, "127.0.0.2"));
	cert_chain_free(chain);
	free(pem);
}

static void file_with_a_private_key_is_refused(void **state)
{
	static const char *const names[] = { "a.example" }, part[] = "holds a private key";
	static const char *const marks[] = { "-----BEGIN PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\n", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\n" };
	char *pem = make(names, 1, NULL), *both;
	int fd = memfd_create("pem", MFD_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		both = join(pem, marks[i]);
		refused(both, part);
		refused(both, "private_keys");
		free(both);
		both = join(marks[i], pem);
		refused(both, part);
		assert_int_equal(pwrite(fd, both, strlen(both), 0), strlen(both));
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_null(cert_chain_load_fd(fd, "x.pem", why, sizeof(why)));
		assert_non_null(strstr(why, part));
		free(both);
	}
	close(fd);
	free(pem);
}

static void order_and_damage_are_named(void **state)
{
	EVP_PKEY *root = EVP_EC_gen("P-256"), *mid = EVP_EC_gen("P-256"),
		 *leaf = EVP_EC_gen("P-256");
	char *r = certify(root, "root", "root", root), *m = certify(mid, "mid", "root", root),
	     *l = certify(leaf, "leaf", "mid", mid), *lm = join(l, m), *lmr = join(lm, r),
	     *lr = join(l, r), *ml = join(m, l), *broken = join(l, m), *x;
	struct cert_chain *chain = parse(lmr);

	(void)state;
	assert_non_null(chain);
	assert_int_equal(sk_X509_num(chain->rest), 2);
	assert_string_equal(chain->names[0], "leaf"); /* no SAN: the CN */
	cert_chain_free(chain);
	refused(lr, "certificate 2 did not issue certificate 1");
	refused(ml, "leaf first");
	refused("", "holds no certificate");
	refused("hello\n", "holds no certificate");
	broken[strlen(l) + 60] = '!';
	refused(broken, "certificate 2 is damaged");
	broken[strlen(l) + 60] = 'A'; /* another base64 letter: the DER is wrong */
	broken[strlen(l) - 40] = '\0';
	refused(broken, "certificate 1 is damaged");
	x = strdup("");
	for (int i = 0; i < 17; i++) {
		char *y = join(x, r);

		free(x);
		x = y;
	}
	refused(x, "more than 16");
	free(x);
	free(r), free(m), free(l), free(lm), free(lmr), free(lr), free(ml), free(broken);
	EVP_PKEY_free(root), EVP_PKEY_free(mid), EVP_PKEY_free(leaf);
}

static void only_known_key_types_pass(void **state)
{
	EVP_PKEY *keys[] = { EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_EC_gen("P-384"),
		EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_RSA_gen(1024), EVP_EC_gen("P-521"),
		EVP_EC_gen("secp256k1"), EVP_PKEY_Q_keygen(NULL, NULL, "ED448") };
	static const enum key_type types[] = { KEY_RSA, KEY_P256, KEY_P384, KEY_ED25519 };
	static const int bits[] = { 2048, 256, 384, 256 };
	static const char *const parts[] = { "shorter than 2048", "P-256 or P-384",
		"P-256 or P-384", "not RSA" };

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		char *pem = certify(keys[i], "a", "a", keys[i]);

		if (i < 4) {
			struct cert_chain *chain = parse(pem);

			assert_non_null(chain);
			assert_int_equal(chain->type, types[i]);
			assert_int_equal(chain->bits, bits[i]);
			cert_chain_free(chain);
		} else {
			refused(pem, parts[i - 4]);
		}
		free(pem);
		EVP_PKEY_free(keys[i]);
	}
}

static void pss_keys_are_refused(void **state)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *key = NULL;
	char *pem;

	(void)state;
	assert_true(EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_generate(ctx, &key) > 0);
	pem = certify(key, "a", "a", key);
	refused(pem, "RSASSA-PSS");
	free(pem);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
}

static void files_that_are_not_there_are_said(void **state)
{
	(void)state;
	assert_null(cert_chain_load("/nowhere/x.pem", why, sizeof(why)));
	assert_string_equal(why, "/nowhere/x.pem: No such file or directory");
	assert_null(cert_chain_load("/", why, sizeof(why)));
	assert_non_null(strstr(why, "is a folder"));
	assert_null(cert_stack_load("/dev/zero", why, sizeof(why)));
	assert_non_null(strstr(why, "1 MiB"));
}

static void mkcert_refuses_bad_names(void **state)
{
	const char *empty[] = { "a", "" };
	EVP_PKEY *key;
	X509 *cert;

	(void)state;
	assert_int_equal(mkcert(empty, 2, 30, &key, &cert), -1);
	assert_null(key);
	assert_null(cert);
	assert_int_equal(mkcert(empty, 0, 30, &key, &cert), -1);
	assert_int_equal(mkcert(empty, 1, 0, &key, &cert), -1);
	assert_int_equal(mkcert(empty, 1, 367, &key, &cert), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selfsigned_pair_is_whole),
		cmocka_unit_test(ski_is_of_the_bit_string_only),
		cmocka_unit_test(hosts_match_as_in_browsers),
		cmocka_unit_test(file_with_a_private_key_is_refused),
		cmocka_unit_test(order_and_damage_are_named),
		cmocka_unit_test(only_known_key_types_pass),
		cmocka_unit_test(pss_keys_are_refused),
		cmocka_unit_test(files_that_are_not_there_are_said),
		cmocka_unit_test(mkcert_refuses_bad_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
