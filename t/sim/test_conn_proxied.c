/*
 * test_conn_proxied.c: connections that a proxy before us says the client of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "conn_bed.h"
#include "gateway/trusted.h"

#include "base/poison.h"

static void trust(struct bed *bed, const char *network)
{
	char *texts[1] = { (char *)(uintptr_t)network };
	struct conf_strings strings = { texts, 1 };

	bed->worker.trusted = trusted_new(&strings);
	assert_non_null(bed->worker.trusted);
}

static void a_header_of_a_trusted_proxy_names_the_client(void **state)
{
	static const char header[] = "PROXY TCP4 198.51.100.4 192.0.2.1 999 80\r\n";
	struct bed *bed = *state;
	const struct client *client;

	conn_bed_start(bed, 0);
	trust(bed, "192.0.2.0/24");
	conn_bed_comes(bed, LISTENER_PLAIN | LISTENER_PROXIED);
	assert_int_equal(bed->fronts_n, 0);
	for (size_t i = 0; i < sizeof header - 1; i++) {
		assert_int_equal(send(bed->clients[0], header + i, 1, 0), 1);
		sim_turn(bed->worker.loop);
	}
	sim_until(bed->worker.loop, bed->fronts_n == 1);
	client = conn_client(bed->fronts[0].c);
	assert_string_equal(client->peer_text, "198.51.100.4");
	assert_int_equal(endpoint_brief_port(&client->peer), 999);
	assert_int_equal(endpoint_brief_port(&client->local), 80);
	assert_int_equal(client->listener_mode, LISTENER_PLAIN);
	assert_false(client->trusted);
	assert_int_equal(send(bed->clients[0], "GET", 3, 0), 3);
	sim_until(bed->worker.loop, bed->fronts[0].inputs == 1);
}

static void a_header_of_anybody_else_is_not_asked_for(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	trust(bed, "198.51.100.0/24");
	conn_bed_comes(bed, LISTENER_TLS | LISTENER_PROXIED);
	assert_int_equal(conn_bed_ended(bed, REASON_PROXY_UNTRUSTED), 1);
	sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[0]));
	assert_int_equal(bed->handshakes, 0);
}

static void a_header_that_does_not_come_has_an_end(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	bed->conf.timeouts.handshake = 20;
	trust(bed, "192.0.2.0/24");
	conn_bed_comes(bed, LISTENER_TLS | LISTENER_PROXIED);
	assert_int_equal(send(bed->clients[0], "PROXY ", 6, 0), 6);
	sim_until(bed->worker.loop, conn_bed_ended(bed, REASON_HANDSHAKE_TIMEOUT) == 1);
	sim_until(bed->worker.loop, conn_bed_is_gone(bed->clients[0]));
	assert_int_equal(bed->handshakes, 0);
}

static void a_header_cut_short_is_told_from_no_word_at_all(void **state)
{
	struct bed *bed = *state;

	conn_bed_start(bed, 0);
	trust(bed, "192.0.2.0/24");
	conn_bed_comes(bed, LISTENER_TLS | LISTENER_PROXIED);
	assert_int_equal(send(bed->clients[0], "PROXY ", 6, 0), 6);
	sim_turn(bed->worker.loop);
	assert_int_equal(shutdown(bed->clients[0], SHUT_WR), 0);
	sim_until(bed->worker.loop, conn_bed_ended(bed, REASON_PROXY_HEADER) == 1);
	conn_bed_comes(bed, LISTENER_TLS | LISTENER_PROXIED);
	assert_int_equal(shutdown(bed->clients[1], SHUT_WR), 0);
	sim_until(bed->worker.loop, conn_bed_ended(bed, REASON_CLOSE) == 1);
}

int main(void)
{
#define CONN_TEST(f) cmocka_unit_test_setup_teardown(f, conn_bed_setup, conn_bed_teardown)
	const struct CMUnitTest tests[] = {
		CONN_TEST(a_header_of_a_trusted_proxy_names_the_client),
		CONN_TEST(a_header_of_anybody_else_is_not_asked_for),
		CONN_TEST(a_header_that_does_not_come_has_an_end),
		CONN_TEST(a_header_cut_short_is_told_from_no_word_at_all),
	};

#undef CONN_TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
