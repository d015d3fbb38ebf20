/*
 * test_handshake.c: handshakes whose signatures come from elsewhere: every key and version, every
 * fault of the key service, and every moment at which a client may go.
 */
#include "config.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/tls/tls_private.h"
#include "t/sim/tls_bed.h"

#include "base/poison.h"

static void check_full(struct tls_bed *bed, int version, const char *sigalgs, uint16_t scheme)
{
	SSL_CTX *ctx = bed_client(bed, version);
	struct bed_conn *c;

	SSL_CTX_set1_sigalgs_list(ctx, sigalgs);
	c = bed_connect(bed, ctx, "a.test", NULL);
	assert_int_equal(c->facts.resumed, CLIENT_FULL);
	assert_int_equal(bed->keys.scheme, scheme);
	assert_string_equal(c->facts.version, version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
	assert_string_equal(c->facts.sni, "a.test");
	assert_int_equal(SSL_get_verify_result(c->client), X509_V_OK);
	bed_close(c);
	SSL_CTX_free(ctx);
}

static void test_each_scheme_signs(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	check_full(bed, TLS1_3_VERSION, "ECDSA+SHA256", 0x0403);
	check_full(bed, TLS1_3_VERSION, "RSA-PSS+SHA256", 0x0804);
	check_full(bed, TLS1_3_VERSION, "RSA-PSS+SHA384", 0x0805);
	check_full(bed, TLS1_3_VERSION, "RSA-PSS+SHA512", 0x0806);
	check_full(bed, TLS1_2_VERSION, "ECDSA+SHA256", 0x0403);
	check_full(bed, TLS1_2_VERSION, "ECDSA+SHA384:RSA+SHA1", 0x0503);
	check_full(bed, TLS1_2_VERSION, "RSA-PSS+SHA256", 0x0804);
	check_full(bed, TLS1_2_VERSION, "RSA+SHA256", 0x0401);
	check_full(bed, TLS1_2_VERSION, "RSA+SHA384", 0x0501);
	check_full(bed, TLS1_2_VERSION, "RSA+SHA512", 0x0601);
	assert_int_equal(bed->keys.signed_n, 10);
	assert_int_equal(bed_count(bed->worker.counters.signatures), 10);
	bed_stop(bed);
}

static void check_fails(
    struct tls_bed *bed, enum bed_mode mode, enum reason reason, const char *sigalgs)
{
	SSL_CTX *ctx = bed_client(bed, 0);
	struct bed_conn *c;

	SSL_CTX_set1_sigalgs_list(ctx, sigalgs);
	bed->keys.mode = mode;
	c = bed_open(bed, ctx, "a.test", NULL);
	bed_drive(c);
	assert_int_equal(c->step, STREAM_STEP_FAILED);
	assert_int_equal(c->reason, reason);
	assert_true(c->client_failed);
	assert_true(c->alert != -1); /* told, not left to wait */
	bed_close(c);
	bed->keys.mode = BED_GOOD;
	bed_close(bed_connect(bed, ctx, "a.test", NULL));
	SSL_CTX_free(ctx);
}

static void test_ed25519_beside_the_others(void **state)
{
	struct tls_bed *bed = bed_new();

	(void)state;
	bed->sites[0].certificates.n = 3;
	bed_start(bed);
	check_full(bed, TLS1_3_VERSION, "ed25519", 0x0807);
	check_full(bed, TLS1_2_VERSION, "ed25519:ECDSA+SHA1", 0x0807);
	check_full(bed, TLS1_3_VERSION, "RSA-PSS+SHA256", 0x0804);
	bed->keys.answers = 64;
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "ed25519");
	bed_stop(bed);
}

static void test_each_group_of_tls12_is_one_that_the_key_service_knows(void **state)
{
	static const char *const groups[] = { "X25519", "P-256", "P-384" };
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_2_VERSION);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		SSL_CTX_set1_groups_list(ctx, groups[i]);
		bed_close(bed_connect(bed, ctx, "a.test", NULL)); /* the fake checks the message */
	}
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_hello_retry_request(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);

	(void)state;
	SSL_CTX_set1_groups_list(ctx, "P-521:P-256");
	bed_close(bed_connect(bed, ctx, "stateful.test", NULL));
	assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_BY_CACHE);
	bed_close(bed_connect(bed, ctx, "b.test", NULL));
	assert_int_equal(bed_again(bed, ctx, "b.test"), CLIENT_BY_TICKET);
	assert_int_equal(bed->keys.signed_n, 2);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- the key service's faults */

static void test_faults_of_the_key_service_end_in_an_alert(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	check_fails(bed, BED_REFUSES, REASON_SERVICE_BREAKER, "ECDSA+SHA256");
	check_fails(bed, BED_FAILS, REASON_SERVICE_DEADLINE, "ECDSA+SHA256");
	check_fails(bed, BED_GARBAGE, REASON_SERVICE_PROTOCOL, "ECDSA+SHA256");
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "ECDSA+SHA256");
	check_fails(bed, BED_GARBAGE, REASON_SERVICE_PROTOCOL, "RSA-PSS+SHA256");
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "RSA-PSS+SHA256");
	assert_int_equal(bed->keys.rejected_n, 4);
	assert_int_equal(bed_count(bed->worker.counters.signatures_failed), 6);
	bed_stop(bed);
}

static void test_a_sample_is_verified_and_all_of_foreign_rsa(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	bed->keys.answers = 31; /* the last of the first ones */
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "RSA-PSS+SHA256");
	bed->keys.answers = 64;
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "ECDSA+SHA256");
	bed->keys.answers = 128;
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "RSA-PSS+SHA256");
	bed->conf.key_service.protocol = KEYS_KEYLESS;
	bed->keys.answers = 33;
	check_fails(bed, BED_WRONG, REASON_SERVICE_PROTOCOL, "RSA-PSS+SHA256");
	assert_int_equal(bed->keys.rejected_n, 4);
	bed_stop(bed);
}

static void test_waiting_handshakes_are_bounded_and_resumed_ones_go_on(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	struct bed_conn *held[4], *more;

	(void)state;
	bed_close(bed_connect(bed, ctx, "a.test", NULL));
	bed->keys.mode = BED_HOLD;
	for (size_t i = 0; i < 4; i++) {
		held[i] = bed_open(bed, ctx, "a.test", NULL);
		bed_drive(held[i]);
		assert_true(held[i]->paused);
		assert_string_equal(handshake_waits_for(held[i]->hs), "key");
	}
	more = bed_open(bed, ctx, "a.test", NULL);
	bed_drive(more);
	assert_int_equal(more->step, STREAM_STEP_FAILED);
	assert_int_equal(more->reason, REASON_KEY_SHED);
	bed_close(more);
	assert_int_equal(bed_count(bed->worker.counters.signatures_shed), 1);
	assert_int_equal(bed_count(bed->worker.counters.handshakes_paused), 4);
	assert_int_equal(bed_again(bed, ctx, "a.test"), CLIENT_BY_TICKET);
	bed_release(bed);
	for (size_t i = 0; i < 4; i++) {
		bed_drive(held[i]);
		assert_int_equal(held[i]->step, STREAM_STEP_DONE);
		bed_close(held[i]);
	}
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_past_the_bound_the_oldest_that_waits_is_told_and_the_newest_is_next(void **state)
{
	enum { ROOM = 2, HELD = SIGNQUEUE_ASKED_MAX + ROOM };
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	struct bed_conn *held[HELD], *newest;

	(void)state;
	bed->worker.tls->signers.bound = HELD;
	bed->keys.mode = BED_HOLD;
	for (size_t i = 0; i < HELD; i++) {
		held[i] = bed_open(bed, ctx, "a.test", NULL);
		bed_drive(held[i]);
		assert_true(held[i]->paused);
	}
	assert_int_equal(bed->keys.open, SIGNQUEUE_ASKED_MAX);
	newest = bed_open(bed, ctx, "a.test", NULL);
	bed_drive(newest);
	assert_true(newest->paused);
	bed_drive(held[SIGNQUEUE_ASKED_MAX]);
	assert_int_equal(held[SIGNQUEUE_ASKED_MAX]->step, STREAM_STEP_FAILED);
	assert_int_equal(held[SIGNQUEUE_ASKED_MAX]->reason, REASON_KEY_SHED);
	assert_true(held[SIGNQUEUE_ASKED_MAX]->alert != -1);
	assert_int_equal(bed_count(bed->worker.counters.signatures_shed), 1);
	/* One that has asked goes: the newest asks in its place, not the one that waited before it. */
	bed_close(held[0]);
	bed_turns(bed);
	bed_release(bed);
	bed_drive(newest);
	assert_int_equal(newest->step, STREAM_STEP_DONE);
	assert_true(held[HELD - 1]->paused);
	bed->keys.mode = BED_GOOD;
	for (size_t i = 1; i < HELD; i++) {
		bed_drive(held[i]);
		if (i != SIGNQUEUE_ASKED_MAX)
			assert_int_equal(held[i]->step, STREAM_STEP_DONE);
		bed_close(held[i]);
	}
	bed_close(held[0] = newest);
	assert_int_equal(bed->keys.open, 0);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_a_handshake_whose_time_is_over_tells_its_client(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	struct bed_conn *c = bed_open(bed, ctx, "a.test", NULL);

	(void)state;
	assert_false(handshake_expire(c->hs)); /* the client has said nothing yet */
	bed->keys.mode = BED_HOLD;
	bed_drive(c);
	assert_true(c->paused);
	assert_true(handshake_expire(c->hs));
	assert_int_equal(bed->keys.open, 0);
	bed_drive(c);
	assert_int_equal(c->step, STREAM_STEP_FAILED);
	assert_int_equal(c->reason, REASON_HANDSHAKE_TIMEOUT);
	assert_true(c->alert != -1);
	bed_close(c);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- clients that go */

static void go_away_while_signing(struct tls_bed *bed, int version, const char *host)
{
	SSL_CTX *ctx = bed_client(bed, version);
	struct bed_conn *c = bed_open(bed, ctx, host, NULL);

	bed->keys.mode = BED_HOLD;
	bed_drive(c);
	assert_true(c->paused);
	assert_int_equal(bed->keys.open, 1);
	bed_close(c);
	assert_int_equal(bed->keys.open, 0);
	/* And in the turn in which the answer comes. */
	c = bed_open(bed, ctx, host, NULL);
	bed_drive(c);
	bed_release(bed);
	bed_turns(bed);
	assert_true(c->woken);
	bed_close(c);
	SSL_CTX_free(ctx);
}

static void test_a_client_that_goes_while_a_signature_is_awaited_leaves_nothing(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	go_away_while_signing(bed, TLS1_3_VERSION, "a.test");
	go_away_while_signing(bed, TLS1_2_VERSION, "a.test");
	go_away_while_signing(bed, TLS1_3_VERSION, "stateful.test");
	go_away_while_signing(bed, TLS1_2_VERSION, "stateful.test");
	bed_stop(bed); /* asserts that no ask, pause or fibre is left */
}

static void go_away_while_storing(struct tls_bed *bed, int version)
{
	SSL_CTX *ctx = bed_client(bed, version);
	struct bed_conn *c = bed_open(bed, ctx, "stateful.test", NULL);

	bed->cache.mode = BED_HOLD;
	bed_drive(c);
	assert_true(c->paused);
	assert_int_equal(bed->cache.open, 1);
	bed_close(c);
	assert_int_equal(bed->cache.open, 0);
	bed->cache.mode = BED_GOOD;
	SSL_CTX_free(ctx);
}

static void go_away_while_fetching(struct tls_bed *bed, int version)
{
	SSL_CTX *ctx = bed_client(bed, version);
	struct bed_conn *c = bed_connect(bed, ctx, "stateful.test", NULL);

	bed_close(c);
	bed->cache.mode = BED_HOLD;
	c = bed_open(bed, ctx, "stateful.test", bed->got);
	bed_drive(c);
	assert_true(c->paused);
	assert_string_equal(handshake_waits_for(c->hs), "session");
	bed_close(c);
	assert_int_equal(bed->cache.open, 0);
	bed->cache.mode = BED_GOOD;
	SSL_CTX_free(ctx);
}

static void test_a_client_that_goes_while_a_session_is_awaited_leaves_nothing(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	go_away_while_storing(bed, TLS1_3_VERSION);
	go_away_while_storing(bed, TLS1_2_VERSION);
	go_away_while_fetching(bed, TLS1_3_VERSION);
	go_away_while_fetching(bed, TLS1_2_VERSION);
	bed_stop(bed);
}

static void test_many_wait_and_go_in_any_order(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	struct bed_conn *held[4];

	(void)state;
	for (unsigned order = 0; order < 16; order++) {
		bed->keys.mode = BED_HOLD;
		for (size_t i = 0; i < 4; i++) {
			held[i] = bed_open(bed, ctx, "a.test", NULL);
			bed_drive(held[i]);
		}
		for (size_t i = 0; i < 4; i++) {
			if (order & 1U << i) {
				bed_close(held[i]);
				held[i] = NULL;
			}
		}
		bed_release(bed);
		for (size_t i = 0; i < 4; i++) {
			if (held[i] == NULL)
				continue;
			bed_drive(held[i]);
			assert_int_equal(held[i]->step, STREAM_STEP_DONE);
			bed_close(held[i]);
		}
	}
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- what a rush took */

enum { RUSH = 24, FIBRE_BYTES = 32 * 1024 };

static void rush(struct tls_bed *bed, SSL_CTX *ctx)
{
	struct bed_conn *held[RUSH];

	bed->keys.mode = BED_HOLD;
	for (size_t i = 0; i < RUSH; i++) {
		held[i] = bed_open(bed, ctx, "a.test", NULL);
		bed_drive(held[i]);
		assert_true(held[i]->paused);
	}
	assert_false(sitectxs_give_back(bed->worker.tls));
	bed_release(bed);
	for (size_t i = 0; i < RUSH; i++) {
		bed_drive(held[i]);
		assert_int_equal(held[i]->step, STREAM_STEP_DONE);
		bed_close(held[i]);
	}
}

static void test_the_fibres_of_a_rush_are_given_back(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;
	size_t after[12];

	(void)state;
	bed->conf.limits.handshakes = RUSH;
	bed_start(bed);
	ctx = bed_client(bed, TLS1_3_VERSION);
	bed_close(bed_connect(bed, ctx, "a.test", NULL));
	assert_false(sitectxs_give_back(bed->worker.tls)); /* of one there is nothing to give */
	for (size_t i = 0; i < 12; i++) {
		size_t before;

		rush(bed, ctx);
		before = mallinfo2().uordblks; /* 0 where a sanitizer allocates */
		assert_true(sitectxs_give_back(bed->worker.tls));
		assert_false(sitectxs_give_back(bed->worker.tls));
		after[i] = mallinfo2().uordblks;
		assert_true(before == 0 || before - after[i] >= (size_t)(RUSH * FIBRE_BYTES));
	}
	/* Nor does it leave anything behind each time. */
	assert_true(after[11] <= after[5] + 256);
	bed_close(bed_connect(bed, ctx, "a.test", NULL));
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- what is no TLS, or not enough of it */

static void check_bytes(struct tls_bed *bed, const char *bytes, size_t len, enum reason reason)
{
	SSL_CTX *ctx = bed_client(bed, 0);
	struct bed_conn *c = bed_open(bed, ctx, "a.test", NULL);

	c->client_failed = true; /* it says nothing of its own */
	BIO_write(SSL_get_rbio(c->server), bytes, (int)len);
	bed_drive(c);
	assert_int_equal(c->step, STREAM_STEP_FAILED);
	assert_string_equal(reason_name(c->reason), reason_name(reason));
	bed_close(c);
	SSL_CTX_free(ctx);
}

static void test_plain_http_is_known_as_such(void **state)
{
	static const char *const methods[] = { "GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n",
		"DELETE / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PATCH / HTTP/1.1\r\n",
		"CONNECT a:1 HTTP/1.1\r\n" };
	struct tls_bed *bed = bed_started();

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		check_bytes(bed, methods[i], strlen(methods[i]), REASON_PLAIN_ON_TLS);
	check_bytes(bed, "SSH-2.0-OpenSSH\r\n", 17, REASON_TLS);
	bed_stop(bed);
}

/* A hello of so many bytes that is never completed, in records of 4 KiB. */
static void test_a_hello_above_16_kib_is_refused_before_it_is_whole(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, 0);
	struct bed_conn *c = bed_open(bed, ctx, "a.test", NULL);
	static char record[5 + 4096] = "\x16\x03\x01\x10";
	size_t sent = 0;

	(void)state;
	c->client_failed = true;
	memcpy(record + 5, "\x01\x01\x00\x00\x03\x03", 6); /* a hello of 64 KiB */
	while (c->step != STREAM_STEP_FAILED && sent < 65536) {
		BIO_write(SSL_get_rbio(c->server), record, sizeof(record));
		memset(record + 5, 0, 6);
		sent += 4096;
		bed_drive(c);
	}
	assert_int_equal(c->step, STREAM_STEP_FAILED);
	assert_int_equal(c->reason, REASON_TLS_HELLO_SIZE);
	assert_true(sent <= 40960);
	bed_close(c);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static int add_big(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
    size_t *len, X509 *x, size_t chain, int *alert, void *arg)
{
	static const unsigned char big[17000];

	(void)ssl, (void)type, (void)context, (void)x, (void)chain, (void)alert, (void)arg;
	*out = big;
	*len = sizeof(big);
	return 1;
}

static void test_a_whole_hello_above_16_kib_gets_an_alert(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, 0);
	struct bed_conn *c;

	(void)state;
	SSL_CTX_add_custom_ext(ctx, 0xfe00, SSL_EXT_CLIENT_HELLO, add_big, NULL, NULL, NULL, NULL);
	c = bed_open(bed, ctx, "a.test", NULL);
	bed_drive(c);
	assert_int_equal(c->reason, REASON_TLS_HELLO_SIZE);
	assert_int_equal(c->alert, SSL_AD_ILLEGAL_PARAMETER);
	bed_close(c);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_reasons_of_refusal(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_2_VERSION);
	struct bed_conn *c;

	(void)state;
	SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES128-SHA");
	c = bed_open(bed, ctx, "a.test", NULL);
	bed_drive(c);
	assert_int_equal(c->reason, REASON_TLS_CIPHER);
	bed_close(c);
	SSL_CTX_set_cipher_list(ctx, "DEFAULT");
	SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)"\x02h2", 3);
	c = bed_open(bed, ctx, "b.test", NULL);
	bed_drive(c);
	assert_int_equal(c->reason, REASON_TLS_ALPN);
	assert_int_equal(c->alert, SSL_AD_NO_APPLICATION_PROTOCOL);
	bed_close(c);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_scheme_signs),
		cmocka_unit_test(test_ed25519_beside_the_others),
		cmocka_unit_test(test_each_group_of_tls12_is_one_that_the_key_service_knows),
		cmocka_unit_test(test_hello_retry_request),
		cmocka_unit_test(test_faults_of_the_key_service_end_in_an_alert),
		cmocka_unit_test(test_a_sample_is_verified_and_all_of_foreign_rsa),
		cmocka_unit_test(test_waiting_handshakes_are_bounded_and_resumed_ones_go_on),
		cmocka_unit_test(
		    test_past_the_bound_the_oldest_that_waits_is_told_and_the_newest_is_next),
		cmocka_unit_test(test_a_handshake_whose_time_is_over_tells_its_client),
		cmocka_unit_test(
		    test_a_client_that_goes_while_a_signature_is_awaited_leaves_nothing),
		cmocka_unit_test(test_a_client_that_goes_while_a_session_is_awaited_leaves_nothing),
		cmocka_unit_test(test_many_wait_and_go_in_any_order),
		cmocka_unit_test(test_the_fibres_of_a_rush_are_given_back),
		cmocka_unit_test(test_plain_http_is_known_as_such),
		cmocka_unit_test(test_a_hello_above_16_kib_is_refused_before_it_is_whole),
		cmocka_unit_test(test_a_whole_hello_above_16_kib_gets_an_alert),
		cmocka_unit_test(test_reasons_of_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
