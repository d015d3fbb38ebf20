/*
 * test_single_use.c: sessions of a site with resumption = stateful_once: each is resumed once, whatever
 * the cache does, and never without its claim.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "t/sim/tls_bed.h"

#include "base/poison.h"

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static struct tls_bed *bed_of_once(void)
{
	struct tls_bed *bed = bed_new();

	bed->sites[2].resumption = RESUME_STATEFUL_ONCE;
	bed_start(bed);
	return bed;
}

static SSL_SESSION *first(struct tls_bed *bed, SSL_CTX *ctx)
{
	struct bed_conn *c;

	SSL_SESSION_free(bed->got);
	bed->got = NULL;
	c = bed_connect(bed, ctx, "stateful.test", NULL);
	assert_int_equal(c->facts.resumed, CLIENT_FULL);
	bed_close(c);
	assert_non_null(bed->got);
	return SSL_SESSION_dup(bed->got);
}

/* Freed. */
static enum client_resumed come_back(struct tls_bed *bed, SSL_CTX *ctx, SSL_SESSION *session)
{
	struct bed_conn *c = bed_connect(bed, ctx, "stateful.test", session);
	enum client_resumed how = c->facts.resumed;

	bed_close(c);
	SSL_SESSION_free(session);
	return how;
}

static void test_a_session_is_resumed_once(void **state)
{
	struct tls_bed *bed = bed_of_once();
	struct worker_counters *n = &bed->worker.counters;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		SSL_SESSION *session = first(bed, ctx);

		bed_move_clock(600);
		assert_int_equal(come_back(bed, ctx, SSL_SESSION_dup(session)), CLIENT_BY_CACHE);
		/* The claim stays as long as the entry can, whichever clock is 600 s off. */
		assert_true(bed->cache.claim_ms >= bed->sites[2].session_lifetime);
		for (int i = 0; i < 3; i++)
			assert_int_equal(
			    come_back(bed, ctx, SSL_SESSION_dup(session)), CLIENT_FULL);
		SSL_SESSION_free(session);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed_count(n->claims), 2);
	assert_int_equal(bed_count(n->claims_refused), 6);
	assert_int_equal(bed_count(n->claims_failed), 0);
	assert_int_equal(bed_count(n->cache_hits), 2);
	assert_int_equal(bed_count(n->cache_misses), 6);
	assert_int_equal(bed->cache.repairs, 0); /* it is used up */
	bed_stop(bed);
}

/* TLS 1.3: each resumption brings the next session. */
static void test_a_chain_of_sessions_goes_on(void **state)
{
	struct tls_bed *bed = bed_of_once();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);

	(void)state;
	SSL_SESSION_free(first(bed, ctx));
	for (int i = 0; i < 10; i++)
		assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_BY_CACHE);
	assert_int_equal(bed_count(bed->worker.counters.claims), 10);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_other_sites_claim_nothing(void **state)
{
	struct tls_bed *bed = bed_of_once();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		struct bed_conn *c = bed_connect(bed, ctx, "both.test", NULL);

		bed_close(c);
		assert_int_equal(bed_again(bed, ctx, "both.test"), CLIENT_BY_CACHE);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed->cache.claims, 0);
	bed_stop(bed);
}

/* ---- what can be wrong with claims */

/* Nothing but a granted claim resumes; and then it is spent, or not asked for at all. */
static void check_failed_claim(enum bed_mode mode, bool asked)
{
	struct tls_bed *bed = bed_of_once();
	struct worker_counters *n = &bed->worker.counters;

	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		SSL_SESSION *session = first(bed, ctx);

		bed->cache.claim_mode = mode;
		assert_int_equal(come_back(bed, ctx, session), CLIENT_FULL);
		bed->cache.claim_mode = BED_GOOD;
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed_count(n->claims), 0);
	assert_int_equal(bed_count(n->claims_failed), 2);
	assert_int_equal(bed_count(n->cache_errors), asked ? 2 : 0);
	bed_stop(bed);
}

static void test_without_an_answer_the_handshake_is_full(void **state)
{
	(void)state;
	check_failed_claim(BED_FAILS, true);
	check_failed_claim(BED_REFUSES, false);
}

static void test_where_nobody_can_hold_a_claim_nothing_is_kept(void **state)
{
	struct tls_bed *bed = bed_of_once();

	(void)state;
	bed->cache.holder = 0;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		assert_int_equal(come_back(bed, ctx, first(bed, ctx)), CLIENT_FULL);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed->cache.puts + bed->cache.claims, 0);
	bed_stop(bed);
}

/* The server was started anew, or the set of servers is another one: claims may have been forgotten. */
static void test_another_holder_than_when_it_was_stored_is_not_asked(void **state)
{
	static const uint64_t holders[] = { 2, 0 };
	struct tls_bed *bed = bed_of_once();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		for (size_t i = 0; i < 2; i++) {
			SSL_SESSION *session = first(bed, ctx);

			bed->cache.holder = holders[i];
			assert_int_equal(
			    come_back(bed, ctx, SSL_SESSION_dup(session)), CLIENT_FULL);
			/* Counter-proof: it was that alone. */
			bed->cache.holder = 1;
			assert_int_equal(come_back(bed, ctx, session), CLIENT_BY_CACHE);
		}
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed->cache.claims, 4);
	assert_int_equal(bed_count(bed->worker.counters.claims_failed), 4);
	bed_stop(bed);
}

/* From before the site's sessions were to be used once. */
static void test_a_session_that_was_stored_without_a_holder_is_not_resumed(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_2_VERSION);
	SSL_SESSION *session;

	(void)state;
	session = first(bed, ctx);
	bed->sites[2].resumption = RESUME_STATEFUL_ONCE;
	bed_restart(bed);
	assert_int_equal(come_back(bed, ctx, session), CLIENT_FULL);
	assert_int_equal(bed->cache.claims, 0);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* Comes back, and its claim gets no answer yet. */
static struct bed_conn *waits_for_claim(struct tls_bed *bed, SSL_CTX *ctx, SSL_SESSION *session)
{
	struct bed_conn *c;

	bed->cache.claim_mode = BED_HOLD;
	c = bed_open(bed, ctx, "stateful.test", session);
	bed_drive(c);
	bed_turns(bed);
	bed_drive(c);
	assert_true(c->paused);
	return c;
}

static void test_a_slow_claim_only_delays(void **state)
{
	struct tls_bed *bed = bed_of_once();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		SSL_SESSION *session = first(bed, ctx);
		struct bed_conn *c;

		c = waits_for_claim(bed, ctx, session);
		assert_int_equal(bed->cache.open, 1);
		bed->cache.claim_mode = BED_GOOD;
		bed_release(bed);
		bed_drive(c);
		assert_int_equal(c->step, STREAM_STEP_DONE);
		assert_int_equal(c->facts.resumed, CLIENT_BY_CACHE);
		bed_close(c);
		SSL_SESSION_free(session);
		SSL_CTX_free(ctx);
	}
	bed_stop(bed);
}

/* A client that leaves while its claim is on the way: nothing is left behind (bed_stop sees to that). */
static void test_a_client_may_leave_while_its_claim_is_asked_for(void **state)
{
	struct tls_bed *bed = bed_of_once();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		SSL_SESSION *session = first(bed, ctx);
		struct bed_conn *c;

		c = waits_for_claim(bed, ctx, session);
		bed_close(c);
		bed->cache.claim_mode = BED_GOOD;
		SSL_SESSION_free(session);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed->cache.open, 0);
	bed_stop(bed);
}

/* A HelloRetryRequest lets libssl ask for the session twice; it is claimed once, and resumed. */
static void test_a_second_hello_claims_nothing_more(void **state)
{
	struct tls_bed *bed = bed_of_once();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	SSL_SESSION *session;

	(void)state;
	SSL_CTX_set1_groups_list(ctx, "P-521:P-256");
	session = first(bed, ctx);
	assert_int_equal(come_back(bed, ctx, session), CLIENT_BY_CACHE);
	assert_int_equal(bed->cache.claims, 1);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_session_is_resumed_once),
		cmocka_unit_test(test_a_chain_of_sessions_goes_on),
		cmocka_unit_test(test_other_sites_claim_nothing),
		cmocka_unit_test(test_without_an_answer_the_handshake_is_full),
		cmocka_unit_test(test_where_nobody_can_hold_a_claim_nothing_is_kept),
		cmocka_unit_test(test_another_holder_than_when_it_was_stored_is_not_asked),
		cmocka_unit_test(test_a_session_that_was_stored_without_a_holder_is_not_resumed),
		cmocka_unit_test(test_a_slow_claim_only_delays),
		cmocka_unit_test(test_a_client_may_leave_while_its_claim_is_asked_for),
		cmocka_unit_test(test_a_second_hello_claims_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
