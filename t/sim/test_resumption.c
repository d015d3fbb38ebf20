/*
 * test_resumption.c: which sessions are resumed, where, how long and in spite of what; by ticket and
 * by id, in TLS 1.2 and 1.3.
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

/* A first connection, whose session is kept in bed->got. */
static void first(struct tls_bed *bed, SSL_CTX *ctx, const char *host)
{
	struct bed_conn *c;

	SSL_SESSION_free(bed->got);
	bed->got = NULL;
	c = bed_connect(bed, ctx, host, NULL);
	assert_int_equal(c->facts.resumed, CLIENT_FULL);
	bed_close(c);
}

static void test_four_kinds_are_resumed_and_counted(void **state)
{
	struct tls_bed *bed = bed_started();
	struct worker_counters *n = &bed->worker.counters;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		first(bed, ctx, "a.test");
		for (int i = 0; i < 5; i++)
			assert_int_equal(bed_again(bed, ctx, "a.test"), CLIENT_BY_TICKET);
		first(bed, ctx, "stateful.test");
		for (int i = 0; i < 5; i++)
			assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_BY_CACHE);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed_count(n->cache_hits), 10);
	assert_int_equal(bed_count(n->cache_misses), 0);
	assert_int_equal(bed_count(n->cache_errors), 0);
	assert_int_equal(bed->cache.lookups, 10);
	assert_int_equal(
	    bed->cache.repairs, 10); /* for the session cache to do, where one is due */
	/* TLS 1.2: one; TLS 1.3: two of the full handshake, one of each resumption. */
	assert_int_equal(bed_count(n->cache_stores), 1 + 2 + 5);
	assert_int_equal(bed->keys.signed_n, 4);
	bed_stop(bed);
}

static void test_a_tls12_client_without_tickets_gets_an_id_in_the_cache(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_2_VERSION);
	struct bed_conn *c;
	uint8_t id[32];

	(void)state;
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	c = bed_connect(bed, ctx, "a.test", NULL);
	assert_int_equal(c->facts.session_id_len, 32);
	memcpy(id, c->facts.session_id, 32);
	bed_close(c);
	c = bed_connect(bed, ctx, "a.test", bed->got);
	assert_int_equal(c->facts.resumed, CLIENT_BY_CACHE);
	assert_memory_equal(c->facts.session_id, id, 32);
	bed_close(c);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_off_is_off(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		first(bed, ctx, "off.test");
		if (bed->got != NULL) /* TLS 1.2: an id that nobody knows */
			assert_int_equal(bed_again(bed, ctx, "off.test"), CLIENT_FULL);
		else
			assert_int_equal(versions[v], TLS1_3_VERSION);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed->cache.puts + bed->cache.lookups, 0);
	bed_stop(bed);
}

/* ---- an end */

static void check_end(struct tls_bed *bed, int version, const char *host, enum client_resumed how)
{
	SSL_CTX *ctx = bed_client(bed, version);

	first(bed, ctx, host);
	bed_move_clock(1800);
	assert_int_equal(bed_again(bed, ctx, host), how);
	/* The real clock goes on, too: on a busy machine by a second or two. */
	bed_move_clock(1790);
	assert_int_equal(bed_again(bed, ctx, host), how);
	bed_move_clock(10);
	assert_int_equal(bed_again(bed, ctx, host), CLIENT_FULL);
	assert_int_equal(bed_again(bed, ctx, host), how);
	SSL_CTX_free(ctx);
}

static void test_resumptions_end_with_the_lifetime_of_the_first_session(void **state)
{
	struct tls_bed *bed = bed_new();

	(void)state;
	for (size_t i = 0; i < BED_SITES_MAX; i++)
		bed->sites[i].session_lifetime = 3600 * 1000;
	bed_start(bed);
	check_end(bed, TLS1_3_VERSION, "a.test", CLIENT_BY_TICKET);
	check_end(bed, TLS1_2_VERSION, "a.test", CLIENT_BY_TICKET);
	check_end(bed, TLS1_3_VERSION, "stateful.test", CLIENT_BY_CACHE);
	check_end(bed, TLS1_2_VERSION, "stateful.test", CLIENT_BY_CACHE);
	bed_stop(bed);
}

static void test_without_an_epoch_there_are_no_tickets_and_no_harm(void **state)
{
	struct tls_bed *bed = bed_new();

	(void)state;
	bed->no_epochs = true;
	bed_start(bed);
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		first(bed, ctx, "a.test");
		assert_true(bed->got == NULL || !SSL_SESSION_has_ticket(bed->got));
		first(bed, ctx, "stateful.test");
		if (bed->got != NULL)
			assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_FULL);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(bed->cache.puts + bed->cache.lookups, 0);
	bed_stop(bed);
}

/* ---- scope */

static void test_a_session_is_of_its_site_only(void **state)
{
	static const char *const tried[][2] = { { "a.test", "b.test" }, { "b.test", "a.test" },
		{ "stateful.test", "both.test" }, { "a.test", "stateful.test" },
		{ "stateful.test", "a.test" } };
	struct tls_bed *bed = bed_started();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);

		for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
			first(bed, ctx, tried[i][0]);
			assert_int_equal(bed_again(bed, ctx, tried[i][1]), CLIENT_FULL);
		}
		SSL_CTX_free(ctx);
	}
	bed_stop(bed);
}

static void test_a_session_of_an_open_site_opens_no_other(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		struct bed_conn *c;

		first(bed, ctx, "a.test");
		c = bed_open(bed, ctx, "client.test", bed->got);
		bed_drive(c);
		assert_int_equal(c->step, STREAM_STEP_FAILED);
		assert_int_equal(c->reason, REASON_TLS_NO_CLIENT_CERT);
		bed_close(c);
		SSL_CTX_free(ctx);
	}
	bed_stop(bed);
}

static void test_other_names_of_a_site_resume_in_tls13_only(void **state)
{
	static char *names[] = { (char *)(uintptr_t) "a.test", (char *)(uintptr_t) "www.a.test" };
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;

	(void)state;
	bed->sites[0].names.at = names;
	bed->sites[0].names.n = 2;
	bed_start(bed);
	ctx = bed_client(bed, TLS1_2_VERSION);
	first(bed, ctx, "a.test");
	assert_int_equal(bed_again(bed, ctx, "www.a.test"), CLIENT_FULL);
	SSL_CTX_free(ctx);
	ctx = bed_client(bed, TLS1_3_VERSION);
	first(bed, ctx, "a.test");
	assert_int_equal(bed_again(bed, ctx, "www.a.test"), CLIENT_BY_TICKET);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_a_cipher_that_was_switched_off_is_not_resumed(void **state)
{
	struct tls_bed *bed = bed_new();
	SSL_CTX *ctx;

	(void)state;
	bed_start(bed);
	ctx = bed_client(bed, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384");
	first(bed, ctx, "a.test");
	assert_int_equal(bed_again(bed, ctx, "a.test"), CLIENT_BY_TICKET);
	bed->sites[0].ciphers = (char *)(uintptr_t) "ECDHE-ECDSA-AES256-GCM-SHA384";
	bed_restart(bed);
	assert_int_equal(bed_again(bed, ctx, "a.test"), CLIENT_FULL);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- the cache's faults */

static void check_fetch_fault(struct tls_bed *bed, enum bed_mode mode, bool blamed)
{
	struct worker_counters *n = &bed->worker.counters;

	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		uint64_t errors = bed_count(n->cache_errors), hits = bed_count(n->cache_hits);
		unsigned was = bed->cache.blamed;

		first(bed, ctx, "stateful.test");
		bed->cache.mode = mode;
		assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_FULL);
		assert_int_equal(bed->cache.blamed - was, blamed ? 1 : 0);
		assert_true(bed_count(n->cache_errors) > errors);
		assert_int_equal(bed_count(n->cache_hits), hits);
		bed->cache.mode = BED_GOOD;
		SSL_CTX_free(ctx);
	}
}

static void test_faults_of_the_cache_cost_a_full_handshake(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	check_fetch_fault(bed, BED_REFUSES, false);
	check_fetch_fault(bed, BED_FAILS, false);
	check_fetch_fault(bed, BED_WRONG, true);
	check_fetch_fault(bed, BED_GARBAGE, true);
	assert_int_equal(bed->cache.repairs, 0); /* what does not open is not passed on */
	bed_stop(bed);
}

/* What one network has stored is bounded; its handshakes are not, nor what others store. */
static void test_one_network_stores_its_share_and_no_more(void **state)
{
	struct tls_bed *bed = bed_new();
	struct worker_counters *n = &bed->worker.counters;
	SSL_CTX *ctx;

	(void)state;
	bed->conf.session_cache.stores_per_client = 1;
	bed_start(bed);
	ctx = bed_client(bed, TLS1_2_VERSION);
	assert_null(endpoint_parse(&bed->peer, "192.0.2.1:1000"));
	for (int i = 0; i < 70; i++)
		first(bed, ctx, "stateful.test");
	/* A second or two may have passed meanwhile. */
	assert_in_range(bed_count(n->cache_stores), 60, 66);
	assert_int_equal(bed_count(n->cache_stores) + bed_count(n->cache_stores_limited), 70);
	assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_FULL);
	assert_null(endpoint_parse(&bed->peer, "198.51.100.1:1000"));
	first(bed, ctx, "stateful.test");
	assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_BY_CACHE);
	/* A balancer's address is that of all its clients. */
	assert_null(endpoint_parse(&bed->peer, "192.0.2.1:1000"));
	bed->trusted = true;
	first(bed, ctx, "stateful.test");
	assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_BY_CACHE);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

static void test_a_slow_cache_only_delays(void **state)
{
	struct tls_bed *bed = bed_started();

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		SSL_CTX *ctx = bed_client(bed, versions[v]);
		struct bed_conn *c;

		bed->cache.mode = BED_HOLD;
		c = bed_open(bed, ctx, "stateful.test", NULL);
		bed_drive(c);
		assert_true(c->paused); /* before the client could come back with it */
		bed_release(bed);
		bed_drive(c);
		assert_int_equal(c->step, STREAM_STEP_DONE);
		bed_close(c);
		bed->cache.mode = BED_HOLD;
		c = bed_open(bed, ctx, "stateful.test", bed->got);
		bed_drive(c);
		assert_true(c->paused);
		bed_release(bed);
		bed_drive(c);
		assert_int_equal(c->step, STREAM_STEP_DONE);
		assert_int_equal(c->facts.resumed, CLIENT_BY_CACHE);
		bed_close(c);
		SSL_CTX_free(ctx);
	}
	bed_stop(bed);
}

static void test_made_up_ids_are_not_looked_up(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_2_VERSION);
	SSL_SESSION *session;

	(void)state;
	first(bed, ctx, "stateful.test");
	session = SSL_SESSION_dup(bed->got);
	assert_int_equal(
	    SSL_SESSION_set1_id(session, (const uint8_t *)"0123456789abcdef0123456789abcdef", 32),
	    1);
	SSL_SESSION_free(bed->got);
	bed->got = session;
	assert_int_equal(bed_again(bed, ctx, "stateful.test"), CLIENT_FULL);
	assert_int_equal(bed->cache.lookups, 0);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

/* ---- second hellos */

static void check_second_hello(struct tls_bed *bed, const char *other, SSL_SESSION *swap, int alert)
{
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	struct bed_conn *c;

	SSL_CTX_set1_groups_list(ctx, "P-521:P-256");
	c = bed_open(bed, ctx, "a.test", bed->got);
	SSL_do_handshake(c->client);
	if (other != NULL)
		SSL_set_tlsext_host_name(c->client, other);
	if (swap != NULL)
		assert_int_equal(SSL_set_session(c->client, swap), 1);
	bed_drive(c);
	assert_int_equal(c->alert, alert);
	if (alert != -1)
		assert_int_equal(c->reason, REASON_TLS_HELLO_CHANGED);
	bed_close(c);
	SSL_CTX_free(ctx);
}

static void test_a_second_hello_may_not_change_name_or_session(void **state)
{
	struct tls_bed *bed = bed_started();
	SSL_CTX *ctx = bed_client(bed, TLS1_3_VERSION);
	SSL_SESSION *other;

	(void)state;
	first(bed, ctx, "a.test");
	other = bed->got;
	bed->got = NULL;
	first(bed, ctx, "a.test");
	check_second_hello(bed, NULL, NULL, -1);
	first(bed, ctx, "a.test");
	check_second_hello(bed, "b.test", NULL, SSL_AD_ILLEGAL_PARAMETER);
	first(bed, ctx, "a.test");
	check_second_hello(bed, NULL, other, SSL_AD_ILLEGAL_PARAMETER);
	SSL_SESSION_free(other);
	SSL_CTX_free(ctx);
	bed_stop(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_four_kinds_are_resumed_and_counted),
		cmocka_unit_test(test_a_tls12_client_without_tickets_gets_an_id_in_the_cache),
		cmocka_unit_test(test_off_is_off),
		cmocka_unit_test(test_resumptions_end_with_the_lifetime_of_the_first_session),
		cmocka_unit_test(test_without_an_epoch_there_are_no_tickets_and_no_harm),
		cmocka_unit_test(test_a_session_is_of_its_site_only),
		cmocka_unit_test(test_a_session_of_an_open_site_opens_no_other),
		cmocka_unit_test(test_other_names_of_a_site_resume_in_tls13_only),
		cmocka_unit_test(test_a_cipher_that_was_switched_off_is_not_resumed),
		cmocka_unit_test(test_faults_of_the_cache_cost_a_full_handshake),
		cmocka_unit_test(test_one_network_stores_its_share_and_no_more),
		cmocka_unit_test(test_a_slow_cache_only_delays),
		cmocka_unit_test(test_made_up_ids_are_not_looked_up),
		cmocka_unit_test(test_a_second_hello_may_not_change_name_or_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
