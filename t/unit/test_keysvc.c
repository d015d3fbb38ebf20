/* test_keysvc.c: the key service over a Unix socket: who may ask, what is signed, what is refused. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/epoch.h"
#include "keysvc/keyop.h"
#include "keysvc/keysvc.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "wire/keyless.h"

#include "base/poison.h"

enum { DEADLINE_S = 30 };

struct fixture {
	char dir[64], path[96];
	struct loop *loop;
	struct policy policy;
	struct epochs *epochs;
	struct keysvc *svc;
	struct key *key; /* in the service's set; held */
	struct keyop *op;
	int fd;
	uint8_t in[2 * KEYLESS_MAX], out[1024];
	size_t in_n, last; /* last: bytes of the answer given out */
};

static struct keystore *key_set(struct key *key)
{
	struct keystore *set = keystore_new();

	assert_int_equal(keystore_add(set, key_ref(key)), 0);
	keystore_seal(set);
	return set;
}

static void join(struct fixture *f)
{
	struct endpoint at;

	if (f->fd != -1)
		close(f->fd);
	f->in_n = f->last = 0;
	assert_int_equal(endpoint_parse(&at, f->path), 0);
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->fd, (struct sockaddr *)&at.addr, at.len), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct epochs_params epochs = { .path = NULL, .period = 3600, .lifetime_s = 7 * 86400 };
	struct keysvc_params params = { .threads = 1,
		.slow_threads = 1,
		.queue_max = 8,
		.conns_max = 4,
		.deadline_ms = 20000 };
	struct endpoint at;
	char why[100];

	snprintf(f->dir, sizeof(f->dir), "/tmp/sslgw-keysvc-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->path, sizeof(f->path), "unix:%s/s", f->dir);
	f->fd = -1;
	f->loop = loop_new();
	f->policy.has_token = true;
	f->policy.grants = GRANT_TLS_SIGN | GRANT_EPOCH_KEYS | GRANT_KEYS;
	memset(f->policy.token, 0x77, sizeof(f->policy.token));
	f->op = keyop_new(KEYOP_NO_SLOT);
	params.policy = &f->policy;
	params.epochs = f->epochs = epochs_new(f->loop, &epochs);
	f->svc = keysvc_new(f->loop, &params);
	f->key = key_new(EVP_EC_gen("P-256"), "test", why, sizeof(why));
	keysvc_set_keys(f->svc, key_set(f->key));
	if (endpoint_parse(&at, f->path) == -1 ||
	    keysvc_listen(f->svc, listener_socket(&at, false), NULL) == -1)
		return -1;
	join(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	keysvc_free(f->svc);
	epochs_free(f->epochs);
	loop_free(f->loop);
	key_unref(f->key);
	keyop_free(f->op);
	unlink(f->path + strlen("unix:"));
	rmdir(f->dir);
	free(f);
	return 0;
}

static void send_all(struct fixture *f, const uint8_t *at, size_t len)
{
	assert_int_equal(send(f->fd, at, len, MSG_NOSIGNAL), len);
}

/* Turns the loop until a whole message is there, or the end (false). */
static bool receive(struct fixture *f, struct keyless *k)
{
	time_t begin = time(NULL);
	enum keyless_error error;
	size_t len;
	uint32_t id;

	memmove(f->in, f->in + f->last, f->in_n - f->last);
	f->in_n -= f->last;
	f->last = 0;
	while (keyless_next(bytes_of(f->in, f->in_n), &len, &id) == PARSE_MORE) {
		ssize_t n = recv(f->fd, f->in + f->in_n, sizeof(f->in) - f->in_n, MSG_DONTWAIT);

		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return false;
		if (n > 0) {
			f->in_n += (size_t)n;
			continue;
		}
		assert_true(time(NULL) - begin < DEADLINE_S);
		assert_int_equal(loop_turn(f->loop), 0);
	}
	assert_int_equal(keyless_parse(bytes_of(f->in, len), k, &error), PARSE_OK);
	f->last = len;
	return true;
}

static struct keyless ask(struct fixture *f, const struct keyless *request)
{
	size_t n = keyless_build(request, false, f->out, sizeof(f->out));
	struct keyless answer;

	assert_int_not_equal(n, 0);
	send_all(f, f->out, n);
	assert_true(receive(f, &answer));
	assert_int_equal(answer.id, request->id);
	return answer;
}

static struct keyless custom(
    struct fixture *f, const char *function, const uint8_t *ski, struct bytes payload)
{
	struct keyless k = { .id = 4711,
		.opcode = KEYLESS_CUSTOM,
		.function = bytes_str(function),
		.payload = payload };

	if (ski != NULL)
		k.ski = bytes_of(ski, 20);
	return ask(f, &k);
}

static void hello(struct fixture *f)
{
	assert_int_equal(custom(f, KEYLESS_FN_HELLO, NULL, bytes_of(f->policy.token, 32)).opcode,
	    KEYLESS_ANSWER);
}

static void refused(struct keyless k, enum keyless_error error)
{
	assert_int_equal(k.opcode, KEYLESS_ERROR);
	assert_int_equal(k.payload.len, 1);
	assert_int_equal(k.payload.at[0], error);
}

__attribute__((noinline)) static void refuses_custom(struct fixture *f, const char *function,
    const uint8_t *ski, struct bytes payload, enum keyless_error error)
{
	refused(custom(f, function, ski, payload), error);
}

static struct bytes sign_request(uint8_t *buf, uint16_t scheme)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";

	buf[0] = (uint8_t)(scheme >> 8);
	buf[1] = (uint8_t)scheme;
	memset(buf + 2, ' ', 64);
	memcpy(buf + 66, context, sizeof(context));
	memset(buf + 66 + sizeof(context), 0xab, 32);
	return bytes_of(buf, 2 + 130);
}

static void signs_what_a_tls_server_signs(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	struct bytes request = sign_request(buf, 0x0403);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct keyless answer;

	hello(f);
	answer = custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request);
	assert_int_equal(answer.opcode, KEYLESS_ANSWER);
	assert_true(
	    EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, f->key->pkey, NULL) > 0);
	assert_int_equal(EVP_DigestVerify(ctx, answer.payload.at, answer.payload.len,
			     request.at + 2, request.len - 2),
	    1);
	EVP_MD_CTX_free(ctx);
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_SIGNED], 1);
	assert_int_equal(f->key->refs, 2);
}

static void signs_nothing_else(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[400] = { 0 }, none[20] = { 0 };
	struct bytes request = sign_request(buf, 0x0403);
	uint64_t refusals = 0;

	hello(f);
	for (size_t i = 2; i < 100; i++, refusals++) {
		buf[i] ^= 1;
		refuses_custom(
		    f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_BAD_OPCODE);
		buf[i] ^= 1;
	}
	for (size_t n = 0; n < request.len; n++, refusals++)
		refuses_custom(
		    f, KEYLESS_FN_TLS_SIGN, f->key->ski, bytes_of(buf, n), KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(
	    f, KEYLESS_FN_TLS_SIGN, f->key->ski, bytes_of(buf, 400), KEYLESS_ERR_BAD_OPCODE);
	buf[1] = 0x01; /* 0401 with a P-256 key */
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_BAD_OPCODE);
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_REFUSED], refusals + 2);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, none, request, KEYLESS_ERR_INTERNAL);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, NULL, request, KEYLESS_ERR_INTERNAL);
	none[0] = 1;
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, none, request, KEYLESS_ERR_KEY_NOT_FOUND);
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_SIGNED], 0);
}

static void every_other_opcode_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[32] = { 0 };
	struct keyless k = {
		.id = 1, .ski = bytes_of(f->key->ski, 20), .payload = bytes_of(digest, 32)
	};

	hello(f);
	for (unsigned op = 0; op < 256; op++) {
		enum keyless_error error = KEYLESS_ERR_BAD_OPCODE;
		struct keyless answer;

		if (op == KEYLESS_ANSWER || op == KEYLESS_PONG || op == KEYLESS_ERROR)
			error = KEYLESS_ERR_UNEXPECTED_OPCODE;
		else if (op == KEYLESS_SEAL || op == KEYLESS_UNSEAL)
			error = KEYLESS_ERR_INTERNAL;
		k.id = op;
		k.opcode = (uint8_t)op;
		answer = ask(f, &k);
		if (op == KEYLESS_PING)
			assert_int_equal(answer.opcode, KEYLESS_PONG);
		else
			refused(answer, error);
	}
	refuses_custom(
	    f, "sslgw/tls-sigm", f->key->ski, bytes_of(digest, 32), KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(f, "", f->key->ski, bytes_of(digest, 32), KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(f, KEYLESS_FN_HELLO, NULL, bytes_of(f->policy.token, 32),
	    KEYLESS_ERR_BAD_OPCODE); /* once */
}

static struct keyless digest_op(
    struct fixture *f, const struct key *key, uint8_t opcode, struct bytes payload)
{
	struct keyless k = {
		.id = 77, .opcode = opcode, .ski = bytes_of(key->ski, 20), .payload = payload
	};

	return ask(f, &k);
}

/* By the one-shot interface; digest NULL: Ed25519's message. */
static bool verifies(const struct key *key, const char *digest, int padding, struct bytes tbs,
    struct bytes signature)
{
	EVP_MD *md = digest == NULL ? NULL : EVP_MD_fetch(NULL, digest, NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	EVP_MD_CTX *one = EVP_MD_CTX_new();
	bool ok;

	if (key->type == KEY_ED25519)
		ok = EVP_DigestVerifyInit_ex(one, NULL, NULL, NULL, NULL, key->pkey, NULL) > 0 &&
		     EVP_DigestVerify(one, signature.at, signature.len, tbs.at, tbs.len) == 1;
	else
		ok = EVP_PKEY_verify_init(ctx) > 0 &&
		     (padding == 0 || (EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0 &&
					  EVP_PKEY_CTX_set_signature_md(ctx, md) > 0)) &&
		     (padding != RSA_PKCS1_PSS_PADDING ||
			 EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0) &&
		     EVP_PKEY_verify(ctx, signature.at, signature.len, tbs.at, tbs.len) == 1;
	EVP_MD_CTX_free(one);
	EVP_PKEY_CTX_free(ctx);
	EVP_MD_free(md);
	return ok;
}

static struct key *keys_of_all_types(struct fixture *f, struct key *keys[static 3])
{
	struct keystore *set = keystore_new();
	char why[100];

	keys[0] = key_new(EVP_RSA_gen(2048), "rsa", why, sizeof(why));
	keys[1] = key_new(EVP_EC_gen("P-256"), "ec", why, sizeof(why));
	keys[2] = key_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed", why, sizeof(why));
	for (int i = 0; i < 3; i++)
		assert_int_equal(keystore_add(set, keys[i]), 0);
	keystore_seal(set);
	keysvc_set_keys(f->svc, set);
	return keys[0];
}

__attribute__((noinline)) static void refuses(struct fixture *f, const struct key *key,
    uint8_t opcode, struct bytes payload, enum keyless_error error)
{
	refused(digest_op(f, key, opcode, payload), error);
}

static void foreign_operations_sign_digests_where_granted(void **state)
{
	static const struct {
		uint8_t opcode;
		uint8_t key;
		const char *digest;
		uint8_t len;
		int padding;
	} cases[] = {
		{ 0x02, 0, "MD5-SHA1", 36, RSA_PKCS1_PADDING },
		{ 0x03, 0, "SHA1", 20, RSA_PKCS1_PADDING },
		{ 0x04, 0, "SHA2-224", 28, RSA_PKCS1_PADDING },
		{ 0x05, 0, "SHA2-256", 32, RSA_PKCS1_PADDING },
		{ 0x06, 0, "SHA2-384", 48, RSA_PKCS1_PADDING },
		{ 0x07, 0, "SHA2-512", 64, RSA_PKCS1_PADDING },
		{ 0x12, 1, NULL, 36, 0 },
		{ 0x13, 1, NULL, 20, 0 },
		{ 0x14, 1, NULL, 28, 0 },
		{ 0x15, 1, NULL, 32, 0 },
		{ 0x16, 1, NULL, 48, 0 },
		{ 0x17, 1, NULL, 64, 0 },
		{ 0x18, 2, NULL, 64, 0 },
		{ 0x35, 0, "SHA2-256", 32, RSA_PKCS1_PSS_PADDING },
		{ 0x36, 0, "SHA2-384", 48, RSA_PKCS1_PSS_PADDING },
		{ 0x37, 0, "SHA2-512", 64, RSA_PKCS1_PSS_PADDING },
	};
	struct fixture *f = *state;
	struct key *keys[3];
	uint8_t digest[65];
	struct keyless answer;

	hello(f);
	keys_of_all_types(f, keys);
	memset(digest, 0x5a, sizeof(digest));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes tbs = bytes_of(digest, cases[i].len);
		const struct key *key = keys[cases[i].key];

		f->policy.grants = GRANT_TLS_SIGN;
		refuses(f, key, cases[i].opcode, tbs, KEYLESS_ERR_BAD_OPCODE);
		f->policy.grants = GRANT_DIGEST_SIGN;
		answer = digest_op(f, key, cases[i].opcode, tbs);
		assert_int_equal(answer.opcode, KEYLESS_ANSWER);
		assert_true(verifies(key, cases[i].digest, cases[i].padding, tbs, answer.payload));
		for (int other = 0; other < 3; other++) {
			if (other != cases[i].key)
				refuses(f, keys[other], cases[i].opcode, tbs, KEYLESS_ERR_CRYPTO);
		}
		if (cases[i].key == 2)
			continue; /* signs a message of any length */
		refuses(f, key, cases[i].opcode, bytes_of(digest, tbs.len - 1), KEYLESS_ERR_CRYPTO);
		refuses(f, key, cases[i].opcode, bytes_of(digest, tbs.len + 1), KEYLESS_ERR_CRYPTO);
	}
	/* The one grant is not the other. */
	refuses_custom(
	    f, KEYLESS_FN_TLS_SIGN, keys[0]->ski, bytes_of(digest, 64), KEYLESS_ERR_BAD_OPCODE);
}

static void rsa_keys_are_found_by_their_modulus_too(void **state)
{
	struct fixture *f = *state;
	struct key *keys[3];
	uint8_t digest[33] = { 1 };
	struct keyless k = {
		.id = 9, .opcode = 0x05, .payload = bytes_of(digest, 32), .digest = { 0 }
	};

	hello(f);
	f->policy.grants = GRANT_DIGEST_SIGN;
	keys_of_all_types(f, keys);
	k.digest = bytes_of(keys[0]->modulus_sha256, 32);
	assert_int_equal(ask(f, &k).opcode, KEYLESS_ANSWER);
	k.digest = bytes_of(digest, 32);
	refused(ask(f, &k), KEYLESS_ERR_KEY_NOT_FOUND);
	k.digest = bytes_of(digest, 33);
	refused(ask(f, &k), KEYLESS_ERR_KEY_NOT_FOUND);
	k.digest = (struct bytes){ NULL, 0 };
	refused(ask(f, &k), KEYLESS_ERR_INTERNAL);
}

__attribute__((noinline)) static bool premaster(
    struct fixture *f, const struct key *key, const uint8_t *at, size_t len, uint8_t out[static 48])
{
	struct keyless answer = custom(f, KEYLESS_FN_TLS_RSA_KX, key->ski, bytes_of(at, len));

	if (answer.opcode != KEYLESS_ANSWER)
		return false;
	assert_int_equal(answer.payload.len, 48);
	memcpy(out, answer.payload.at, 48);
	return true;
}

static void premaster_secrets_come_and_bad_ones_are_random(void **state)
{
	struct fixture *f = *state;
	struct key *keys[3];
	uint8_t payload[4 + 256] = { 3, 3, 0, 0 }, secret[48] = { 3, 3, 7, 7, 7 }, got[48],
			    first[48];
	EVP_PKEY_CTX *ctx;
	size_t len = 256;

	hello(f);
	keys_of_all_types(f, keys);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, keys[0]->pkey, NULL);
	assert_true(EVP_PKEY_encrypt_init(ctx) > 0 &&
		    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
		    EVP_PKEY_encrypt(ctx, payload + 4, &len, secret, sizeof(secret)) > 0);
	EVP_PKEY_CTX_free(ctx);
	assert_false(premaster(f, keys[0], payload, 260, got)); /* not granted */
	f->policy.grants = GRANT_TLS_RSA_KX;
	assert_true(premaster(f, keys[0], payload, 260, got));
	assert_memory_equal(got, secret, 48);
	payload[1] = 2; /* another version than the secret's */
	assert_true(premaster(f, keys[0], payload, 260, got));
	assert_memory_not_equal(got, secret, 48);
	payload[1] = 3, payload[100] ^= 1; /* bad padding: no error tells */
	assert_true(premaster(f, keys[0], payload, 260, first));
	memset(payload + 4, 0xff, 256); /* not below the modulus */
	assert_true(premaster(f, keys[0], payload, 260, got));
	assert_memory_not_equal(got, first, 48);
	assert_true(premaster(f, keys[0], payload, 259, got));
	assert_false(premaster(f, keys[0], payload, 3, got));
	assert_false(premaster(f, keys[1], payload, 260, got)); /* not RSA */
}

static void padded_questions_get_padded_answers(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[KEYLESS_PADDED_LEN], request[200];
	struct keyless k = { .id = 3, .opcode = KEYLESS_PING, .payload = bytes_str("hi") }, answer;
	size_t n;

	hello(f);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			k.opcode = 0x05; /* refused */
		if (i == 2)
			k = (struct keyless){ .id = 4,
				.opcode = KEYLESS_CUSTOM,
				.function = bytes_str(KEYLESS_FN_TLS_SIGN),
				.ski = bytes_of(f->key->ski, 20),
				.payload = sign_request(request, 0x0403) };
		n = keyless_build(&k, true, buf, sizeof(buf));
		assert_int_equal(n, KEYLESS_PADDED_LEN);
		send_all(f, buf, n);
		assert_true(receive(f, &answer));
		assert_int_equal(f->last, KEYLESS_PADDED_LEN);
		assert_true(answer.padded);
		assert_int_equal(answer.opcode, i == 0   ? KEYLESS_PONG
						: i == 1 ? KEYLESS_ERROR
							 : KEYLESS_ANSWER);
		assert_false(ask(f, &k).padded);
		assert_true(f->last < 200);
	}
}

static void closed(struct fixture *f)
{
	struct keyless k;

	assert_false(receive(f, &k));
}

static void token_comes_first_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct keyless ping = { .id = 1, .opcode = KEYLESS_PING, .payload = bytes_str("x") };
	uint8_t buf[200], token[33];
	size_t n;

	send_all(f, buf, keyless_build(&ping, false, buf, sizeof(buf)));
	closed(f);
	for (size_t len = 0; len <= 33;
	     len++) { /* wrong lengths, and the right one with a wrong bit */
		memset(token, 0x77, sizeof(token));
		if (len == 32)
			token[31] ^= 1;
		join(f);
		n = keyless_build_custom(
		    1, KEYLESS_FN_HELLO, NULL, bytes_of(token, len), buf, sizeof(buf));
		send_all(f, buf, n);
		closed(f);
	}
	assert_int_equal(keysvc_audit(f->svc)->n[AUDIT_STRANGERS], 35);
	join(f);
	hello(f);
	assert_int_equal(ask(f, &ping).opcode, KEYLESS_PONG);
}

static void users_that_are_not_named_get_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	size_t n = keyless_build_custom(
	    1, KEYLESS_FN_HELLO, NULL, bytes_of(f->policy.token, 32), buf, sizeof(buf));

	f->policy.uids[0] = getuid() + 1;
	f->policy.uids_n = 1;
	send_all(f, buf, n);
	closed(f);
	f->policy.uids[1] = getuid();
	f->policy.uids_n = 2;
	join(f);
	hello(f);
}

static void grants_are_kept_apart(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	struct bytes request = sign_request(buf, 0x0403);

	hello(f);
	f->policy.grants = GRANT_KEYS;
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_BAD_OPCODE);
	refuses_custom(
	    f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_str("default"), KEYLESS_ERR_BAD_OPCODE);
	assert_int_equal(
	    custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0)).opcode, KEYLESS_ANSWER);
	f->policy.grants = GRANT_TLS_SIGN;
	refuses_custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0), KEYLESS_ERR_BAD_OPCODE);
	assert_int_equal(
	    custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request).opcode, KEYLESS_ANSWER);
}

static void keys_are_listed_page_by_page(void **state)
{
	struct fixture *f = *state;
	struct keystore *set = keystore_new();
	struct keyless answer;
	struct keyless_key record;
	struct cursor c;
	uint8_t from[4] = { 0, 0, 4, 0 }, seen[20] = { 0 };
	char why[100];

	for (int i = 0; i < KEYLESS_KEYS_MAX + 3; i++)
		assert_int_equal(keystore_add(set, key_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
						       "n", why, sizeof(why))),
		    0);
	keystore_seal(set);
	keysvc_set_keys(f->svc, set);
	hello(f);
	answer = custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(NULL, 0));
	c = cursor_of(answer.payload);
	assert_int_equal(cursor_u32(&c), KEYLESS_KEYS_MAX + 3);
	for (int i = 0; i < KEYLESS_KEYS_MAX; i++) {
		assert_true(keyless_key_take(&c, &record));
		assert_true(memcmp(seen, record.ski, 20) < 0); /* in order, none twice */
		memcpy(seen, record.ski, 20);
		assert_int_equal(record.type, KEY_ED25519);
		assert_memory_equal(record.spki_sha256,
		    keystore_find(keysvc_keys(f->svc), record.ski)->spki_sha256, 32);
	}
	assert_int_equal(cursor_left(&c), 0);
	answer = custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(from, 4));
	c = cursor_of(answer.payload);
	assert_int_equal(cursor_u32(&c), KEYLESS_KEYS_MAX + 3);
	assert_int_equal(cursor_left(&c), 3 * KEYLESS_KEY_LEN);
	assert_true(keyless_key_take(&c, &record) && memcmp(seen, record.ski, 20) < 0);
	memset(from, 0xff, 4);
	assert_int_equal(custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(from, 4)).payload.len, 4);
	refuses_custom(f, KEYLESS_FN_KEYS, NULL, bytes_of(from, 3), KEYLESS_ERR_FORMAT);
}

static void epoch_keys_come_by_group(void **state)
{
	struct fixture *f = *state;
	struct epoch_set *set = calloc(1, sizeof(*set));
	uint8_t key[32];
	uint64_t server;
	char long_name[EPOCH_GROUP_MAX + 1];
	struct keyless answer;

	hello(f);
	answer = custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_str("default"));
	assert_int_equal(epoch_answer_parse(answer.payload, 0, set, &server), PARSE_OK);
	assert_int_equal(epoch_set_current(set, 0)->kind, EPOCH_MADE);
	memcpy(key, epoch_set_current(set, 0)->group_key, 32);
	answer = custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_str("defaulu"));
	assert_int_equal(epoch_answer_parse(answer.payload, 0, set, &server), PARSE_OK);
	assert_memory_not_equal(key, epoch_set_current(set, 0)->group_key, 32);
	memset(long_name, 'x', sizeof(long_name));
	refuses_custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_of(long_name, sizeof(long_name)),
	    KEYLESS_ERR_FORMAT);
	refuses_custom(f, KEYLESS_FN_EPOCH_KEYS, NULL, bytes_of(NULL, 0), KEYLESS_ERR_FORMAT);
	free(set);
}

static void bad_bytes_are_answered_then_closed(void **state)
{
	static const uint8_t twice[] = { 1, 0, 0, 8, 0, 0, 0, 9, 0x11, 0, 1, 0xf1, 0x11, 0, 1,
		0xf1 };
	static const uint8_t version[] = { 2, 0, 0, 4, 0, 0, 0, 8, 0x11, 0, 1, 0xf1 };
	struct fixture *f = *state;
	struct keyless k;

	hello(f);
	send_all(f, twice, sizeof(twice));
	assert_true(receive(f, &k));
	assert_int_equal(k.id, 9);
	refused(k, KEYLESS_ERR_FORMAT);
	closed(f);
	join(f);
	hello(f);
	send_all(f, version, sizeof(version));
	assert_true(receive(f, &k));
	assert_int_equal(k.id, 8);
	refused(k, KEYLESS_ERR_VERSION);
	closed(f);
}

static void new_keys_replace_the_old(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200];
	struct bytes request = sign_request(buf, 0x0807);
	char why[100];
	struct key *other = key_new(
	    EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "n", why, sizeof(why));

	hello(f);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, other->ski, request, KEYLESS_ERR_KEY_NOT_FOUND);
	keysvc_set_keys(f->svc, key_set(other));
	assert_int_equal(
	    custom(f, KEYLESS_FN_TLS_SIGN, other->ski, request).opcode, KEYLESS_ANSWER);
	refuses_custom(f, KEYLESS_FN_TLS_SIGN, f->key->ski, request, KEYLESS_ERR_KEY_NOT_FOUND);
	assert_int_equal(f->key->refs, 1);
	key_unref(other);
}

static void many_at_once_are_all_answered(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;
	uint8_t buf[200], message[400];
	struct bytes request = sign_request(buf, 0x0403);
	bool seen[N] = { false };
	struct keyless k;

	hello(f);
	for (uint32_t i = 0; i < N; i++) {
		size_t n = keyless_build_custom(
		    i, KEYLESS_FN_TLS_SIGN, f->key->ski, request, message, sizeof(message));

		send_all(f, message, n);
	}
	for (int i = 0; i < N;
	     i++) { /* the queue holds 8: what is above is refused, but answered */
		assert_true(receive(f, &k));
		assert_true(k.id < N && !seen[k.id]);
		seen[k.id] = true;
		assert_true(k.opcode == KEYLESS_ANSWER || k.payload.at[0] == KEYLESS_ERR_INTERNAL);
	}
	assert_int_equal(
	    keysvc_audit(f->svc)->n[AUDIT_SIGNED] + keysvc_audit(f->svc)->n[AUDIT_FULL], N);
	assert_true(keysvc_audit(f->svc)->n[AUDIT_SIGNED] >= 8);
	assert_int_equal(f->key->refs, 2);
}

static void caller_that_leaves_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200], message[400];
	struct bytes request = sign_request(buf, 0x0403);
	struct keyless ping = { .id = 1, .opcode = KEYLESS_PING };

	hello(f);
	for (uint32_t i = 0; i < 8; i++)
		send_all(f, message,
		    keyless_build_custom(
			i, KEYLESS_FN_TLS_SIGN, f->key->ski, request, message, sizeof(message)));
	join(f);
	hello(f);
	while (f->key->refs > 2) /* jobs that still hold it */
		ask(f, &ping);
}

static void on_drained(void *arg)
{
	bool *drained = arg;

	*drained = true;
}

static void drain_ends(void **state)
{
	struct fixture *f = *state;
	bool drained = false;

	hello(f);
	keysvc_drain(f->svc, on_drained, &drained);
	while (!drained)
		assert_int_equal(loop_turn(f->loop), 0);
	closed(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(signs_what_a_tls_server_signs),
		T(signs_nothing_else),
		T(every_other_opcode_is_refused),
		T(foreign_operations_sign_digests_where_granted),
		T(rsa_keys_are_found_by_their_modulus_too),
		T(premaster_secrets_come_and_bad_ones_are_random),
		T(padded_questions_get_padded_answers),
		T(token_comes_first_or_nothing),
		T(users_that_are_not_named_get_nothing),
		T(grants_are_kept_apart),
		T(keys_are_listed_page_by_page),
		T(epoch_keys_come_by_group),
		T(bad_bytes_are_answered_then_closed),
		T(new_keys_replace_the_old),
		T(many_at_once_are_all_answered),
		T(caller_that_leaves_leaves_nothing),
		T(drain_ends),
	};

	log_init("test_keysvc");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
