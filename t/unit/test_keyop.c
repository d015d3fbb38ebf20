/* test_keyop.c: keys from PEM, found by SKI, and every scheme they sign with, verified anew. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/mkcert.h"
#include "keysvc/keyop.h"
#include "keysvc/pemkeys.h"

#include "base/poison.h"

static char why[512];

static int fd_of(const void *at, size_t len)
{
	int fd = memfd_create("key", MFD_CLOEXEC);

	assert_int_equal(write(fd, at, len), len);
	return fd; /* at its end: the reader begins at the file's beginning all the same */
}

static char *pem_of(EVP_PKEY *pkey, const EVP_CIPHER *cipher)
{
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char phrase[] = "secret";
	char *data, *pem;
	long len;

	assert_true(PEM_write_bio_PrivateKey(
	    bio, pkey, cipher, cipher ? phrase : NULL, cipher ? 6 : 0, NULL, NULL));
	len = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t)len);
	BIO_free(bio);
	return pem;
}

static struct key *key_of(EVP_PKEY *pkey)
{
	struct key *key = key_new(pkey, "test", why, sizeof(why));

	assert_non_null(key);
	return key;
}

static struct key *read_pem(const char *pem)
{
	int fd = fd_of(pem, strlen(pem));
	struct key *key = pemkeys_read(fd, "k.pem", why, sizeof(why));

	close(fd);
	return key;
}

static void refused(const char *pem, const char *part)
{
	why[0] = '\0';
	assert_null(read_pem(pem));
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", why, part);
}

/* Verifies by the one-call interface, with the parameters written out. */
static bool verifies(
    EVP_PKEY *pkey, const char *digest, int padding, int salt, struct bytes m, struct bytes sig)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool ok = EVP_DigestVerifyInit_ex(ctx, &pctx, digest, NULL, NULL, pkey, NULL) > 0;

	if (ok && padding != 0)
		ok = EVP_PKEY_CTX_set_rsa_padding(pctx, padding) > 0;
	if (ok && padding == RSA_PKCS1_PSS_PADDING)
		ok = EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) > 0;
	ok = ok && EVP_DigestVerify(ctx, sig.at, sig.len, m.at, m.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static void every_scheme_verifies(void **state)
{
	static const struct {
		int key;
		uint16_t scheme;
		const char *digest;
		int padding, salt;
	} cases[] = {
		{ 0, 0x0401, "SHA256", RSA_PKCS1_PADDING, 0 },
		{ 0, 0x0501, "SHA384", RSA_PKCS1_PADDING, 0 },
		{ 0, 0x0601, "SHA512", RSA_PKCS1_PADDING, 0 },
		{ 0, 0x0804, "SHA256", RSA_PKCS1_PSS_PADDING, 32 },
		{ 0, 0x0805, "SHA384", RSA_PKCS1_PSS_PADDING, 48 },
		{ 0, 0x0806, "SHA512", RSA_PKCS1_PSS_PADDING, 64 },
		{ 1, 0x0403, "SHA256", 0, 0 },
		{ 1, 0x0503, "SHA384", 0, 0 },
		{ 1, 0x0603, "SHA512", 0, 0 },
		{ 2, 0x0403, "SHA256", 0, 0 },
		{ 2, 0x0503, "SHA384", 0, 0 },
		{ 3, 0x0807, NULL, 0, 0 },
	};
	struct key *keys[] = { key_of(EVP_RSA_gen(2048)), key_of(EVP_EC_gen("P-256")),
		key_of(EVP_EC_gen("P-384")), key_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")) };
	struct keyop *op = keyop_new(*(unsigned *)*state);
	struct bytes message = bytes_str("a message"), other = bytes_str("b message");
	uint8_t out[KEYOP_SIGNATURE_MAX];
	size_t len;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct key *key = keys[cases[i].key];

		for (int again = 0; again < 2; again++) {
			assert_int_equal(
			    keyop_sign(op, key, cases[i].scheme, message, out, sizeof(out), &len),
			    0);
			assert_true(verifies(key->pkey, cases[i].digest, cases[i].padding,
			    cases[i].salt, message, bytes_of(out, len)));
		}
		assert_false(verifies(key->pkey, cases[i].digest, cases[i].padding, cases[i].salt,
		    other, bytes_of(out, len)));
		assert_true(key->type != KEY_RSA || len == 256);
		assert_true(key->type != KEY_ED25519 || len == 64);
	}
	/* Each key with each scheme of another kind. */
	for (size_t k = 0; k < 4; k++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			bool ec = k == 1 || k == 2,
			     case_ec = cases[i].key == 1 || cases[i].key == 2;

			if ((size_t)cases[i].key != k && !(ec && case_ec))
				assert_int_equal(keyop_sign(op, keys[k], cases[i].scheme, message,
						     out, sizeof(out), &len),
				    -1);
		}
		assert_int_equal(keyop_sign(op, keys[k], 0x0201, message, out, sizeof(out), &len),
		    -1); /* SHA-1 */
		assert_int_equal(keyop_sign(op, keys[k], 0, message, out, sizeof(out), &len), -1);
		assert_int_equal(
		    keyop_sign(op, keys[k], 0x0807, message, out, 10, &len), -1); /* no room */
		assert_int_equal(keyop_self_test(op, keys[k]), 0);
		key_unref(keys[k]);
	}
	keyop_free(op);
}

/* An RSA key with one of its parts changed, and without those whose names begin with left_out. */
static struct key *spoilt_rsa_key(const char *part, const char *const *left_out)
{
	EVP_PKEY *good = EVP_RSA_gen(2048), *bad = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL, *p;

	assert_true(EVP_PKEY_todata(good, EVP_PKEY_KEYPAIR, &params));
	p = OSSL_PARAM_locate(params, part);
	assert_non_null(p);
	((uint8_t *)p->data)[3] ^= 0x10;
	for (; *left_out != NULL; left_out++)
		for (p = params; p->key != NULL; p++)
			if (strncmp(p->key, *left_out, strlen(*left_out)) == 0)
				p->key = "unused";
	assert_true(EVP_PKEY_fromdata_init(ctx) > 0 &&
		    EVP_PKEY_fromdata(ctx, &bad, EVP_PKEY_KEYPAIR, params) > 0);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(good);
	return key_of(bad);
}

/* A wrong half of a CRT signature tells the factors of n: what leaves is right, or nothing does. */
static void a_fault_in_a_crt_part_never_shows(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const parts[] = { OSSL_PKEY_PARAM_RSA_EXPONENT1,
		OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1 };
	struct keyop *op = keyop_new(0);
	struct bytes message = bytes_str("x");
	uint8_t out[KEYOP_SIGNATURE_MAX];
	size_t len;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct key *key = spoilt_rsa_key(parts[i], none);

		for (int n = 0; n < 3; n++) {
			if (keyop_sign(op, key, 0x0401, message, out, sizeof(out), &len) == 0)
				assert_true(verifies(key->pkey, "SHA256", RSA_PKCS1_PADDING, 0,
				    message, bytes_of(out, len)));
			if (keyop_sign(op, key, 0x0804, message, out, sizeof(out), &len) == 0)
				assert_true(verifies(key->pkey, "SHA256", RSA_PKCS1_PSS_PADDING, 32,
				    message, bytes_of(out, len)));
		}
		key_unref(key);
	}
	keyop_free(op);
}

/* Without CRT parts libcrypto has nothing to check a result by; the test at load has. */
static void a_spoilt_rsa_key_is_not_taken(void **state)
{
	static const char *const crt[] = { "rsa-factor", "rsa-exponent", "rsa-coefficient", NULL };
	struct key *key = spoilt_rsa_key(OSSL_PKEY_PARAM_RSA_D, crt);
	struct keyop *op = keyop_new(0);

	(void)state;
	assert_int_equal(keyop_self_test(op, key), -1);
	key_unref(key);
	keyop_free(op);
}

static void pem_files_are_read(void **state)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(4096);
	char *pem = pem_of(pkey, NULL), *big = pem_of(rsa, NULL), *mixed, *chain;
	struct key *a, *b;
	EVP_PKEY *other;
	X509 *cert;

	(void)state;
	a = read_pem(pem);
	assert_non_null(a);
	assert_int_equal(a->type, KEY_P256);
	assert_string_equal(a->name, "k.pem");
	assert_false(a->slow);
	/* Whatever stands before it. */
	assert_true(asprintf(&mixed,
			"a comment\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
			"-----END EC PARAMETERS-----\n%s",
			pem) > 0);
	b = read_pem(mixed);
	assert_non_null(b);
	assert_memory_equal(a->ski, b->ski, sizeof(a->ski));
	assert_memory_equal(a->spki_sha256, b->spki_sha256, 32);
	key_unref(b);
	free(mixed);
	assert_int_equal(mkcert((const char *const[]){ "a.example" }, 1, 30, &other, &cert), 0);
	chain = mkcert_pem(cert);
	assert_true(asprintf(&mixed, "%s%s", chain, pem) > 0);
	b = read_pem(mixed);
	assert_non_null(b);
	assert_memory_equal(a->ski, b->ski, sizeof(a->ski));
	X509_free(cert), EVP_PKEY_free(other), free(chain);
	key_unref(a), key_unref(b);
	a = read_pem(big);
	assert_true(a->slow);
	key_unref(a);
	free(pem), free(big), free(mixed);
	EVP_PKEY_free(pkey), EVP_PKEY_free(rsa);
}

static void unusable_files_say_why(void **state)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256"), *small = EVP_RSA_gen(1024),
		 *p521 = EVP_EC_gen("P-521");
	char *pem = pem_of(pkey, NULL), *locked = pem_of(pkey, EVP_aes_256_cbc()),
	     *s = pem_of(small, NULL), *c = pem_of(p521, NULL), *big = malloc(PEMKEYS_FILE_MAX + 1);
	int fd;

	(void)state;
	refused("", "no private key");
	refused("hello\n", "no private key");
	refused(locked, "encrypted");
	refused(locked, "openssl pkey");
	refused(s, "2048");
	refused(c, "P-256 or P-384");
	pem[40] ^= 1;
	refused(pem, "damaged");
	memset(big, ' ', PEMKEYS_FILE_MAX);
	big[PEMKEYS_FILE_MAX] = '\0';
	refused(big, "256 KiB");
	fd = open("/", 0);
	assert_null(pemkeys_read(fd, "/", why, sizeof(why)));
	assert_non_null(strstr(why, "folder"));
	close(fd);
	free(pem), free(locked), free(s), free(c), free(big);
	EVP_PKEY_free(pkey), EVP_PKEY_free(small), EVP_PKEY_free(p521);
}

static void keys_are_found_by_ski(void **state)
{
	enum { N = 40 };
	struct keystore *store = keystore_new();
	struct key *keys[N], *held;
	uint8_t none[20] = { 0 }, last[20];

	(void)state;
	for (int i = 0; i < N; i++) {
		keys[i] = key_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
		assert_int_equal(keystore_add(store, keys[i]), 0);
	}
	assert_int_equal(keystore_add(store, key_ref(keys[7])), 1); /* there already; let go */
	assert_int_equal(keys[7]->refs, 1);
	keystore_seal(store);
	assert_int_equal(keystore_n(store), N);
	for (int i = 0; i < N; i++)
		assert_ptr_equal(keystore_find(store, keys[i]->ski), keys[i]);
	assert_null(keystore_find(store, none));
	memset(last, 0xff, sizeof(last));
	assert_null(keystore_find(store, last));
	held = key_ref(keys[3]); /* as a job does over a reload */
	keystore_free(store);
	assert_int_equal(held->type, KEY_ED25519);
	key_unref(held);
	store = keystore_new();
	keystore_seal(store);
	assert_null(keystore_find(store, none));
	keystore_free(store);
}

struct loading {
	unsigned loaded, failed;
	char why[512];
};

static void on_loaded(void *arg, struct key *key)
{
	struct loading *l = arg;

	(void)key;
	l->loaded++;
}

static void on_failed(void *arg, const char *file, const char *text)
{
	struct loading *l = arg;

	l->failed++;
	snprintf(l->why, sizeof(l->why), "%s: %s", file, text);
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_non_null(f = fopen(path, "w"));
	assert_true(text[0] == '\0' || fputs(text, f) >= 0);
	fclose(f);
}

static void folders_give_all_their_keys(void **state)
{
	char dir[] = "/tmp/sslgw-keys-XXXXXX", path[256];
	EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-384");
	char *pa = pem_of(a, NULL), *pb = pem_of(b, NULL);
	struct keystore *store = keystore_new();
	struct loading l = { 0 };
	static const char *const names[] = { "a.pem", "b.key", "same.key", "chain.pem", ".hidden" };

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(pemkeys_load(store, dir, on_loaded, on_failed, &l), 0);
	assert_int_equal(l.failed, 1); /* empty */
	put_file(dir, "a.pem", pa), put_file(dir, "b.key", pb), put_file(dir, "same.key", pa);
	put_file(dir, "chain.pem", "-----BEGIN CERTIFICATE-----\n"),
	    put_file(dir, ".hidden", "rubbish");
	l = (struct loading){ 0 };
	assert_int_equal(pemkeys_load(store, dir, on_loaded, on_failed, &l), 3);
	assert_int_equal(l.failed, 0);
	assert_int_equal(keystore_n(store), 2);
	put_file(dir, "b.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	assert_int_equal(pemkeys_load(store, dir, on_loaded, on_failed, &l), 2);
	assert_int_equal(l.failed, 1);
	assert_non_null(strstr(l.why, "/b.key: the private key is damaged"));
	snprintf(path, sizeof(path), "%s/chain.pem", dir); /* named by itself, it must hold a key */
	assert_int_equal(pemkeys_load(store, path, on_loaded, on_failed, &l), 0);
	assert_int_equal(l.failed, 2);
	assert_int_equal(pemkeys_load(store, "/nowhere", on_loaded, on_failed, &l), 0);
	assert_string_equal(l.why, "/nowhere: No such file or directory");
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
	keystore_free(store);
	free(pa), free(pb);
	EVP_PKEY_free(a), EVP_PKEY_free(b);
}

int main(void)
{
	unsigned slot = 5, none = KEYOP_NO_SLOT;
	const struct CMUnitTest tests[] = {
		{ "every_scheme_verifies", every_scheme_verifies, NULL, NULL, &none },
		{ "every_scheme_verifies_with_kept_contexts", every_scheme_verifies, NULL, NULL,
		    &slot },
		cmocka_unit_test(a_fault_in_a_crt_part_never_shows),
		cmocka_unit_test(a_spoilt_rsa_key_is_not_taken),
		cmocka_unit_test(pem_files_are_read),
		cmocka_unit_test(unusable_files_say_why),
		cmocka_unit_test(keys_are_found_by_ski),
		cmocka_unit_test(folders_give_all_their_keys),
	};

	umask(077);
	log_init("test_keyop");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
