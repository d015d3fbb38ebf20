/*
 * test_service_tls.c: who may call a service over TLS, by its certificate; callers that may not, that
 * never finish, and crowds; and the asking side over the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "net/listener.h"
#include "net/peers_private.h"

#include "tls_callers.h"

static void check_served(struct tls_callers *bed, struct tlsctx *ctx, int i)
{
	struct caller *c = caller_connect(bed, i, tlsctx_ssl(ctx));

	sim_until(bed->loop, caller_is_open(c));
	caller_say(c, "hello\n");
	sim_until(bed->loop, caller_got(c, "hello\n"));
}

static void the_caller_is_whom_its_certificate_names(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx;
	uint8_t spki[TLSCTX_SPKI_LEN];
	char text[ENDPOINT_TEXT_MAX];

	pki_issue(&bed->pki, "x", "x", "DNS:x.test,URI:sslgw:operator", 3600, spki);
	callers_start(bed, ROLE_GATEWAY | ROLE_OPERATOR);
	ctx = pki_ctx(&bed->pki, false, "x", ROLE_KEYSVC);
	check_served(bed, ctx, 0);
	assert_true(bed->identity.tls && !bed->identity.local);
	assert_string_equal(bed->name, "x.test");
	assert_int_equal(bed->identity.role, ROLE_OPERATOR);
	assert_memory_equal(bed->identity.spki, spki, sizeof(spki));
	assert_string_equal(
	    endpoint_host_text(&bed->identity.address, text, sizeof(text)), "127.0.0.1");
	assert_int_not_equal(endpoint_port(&bed->identity.address), 0);
	assert_int_equal(bed->identity.uid, (uid_t)-1);
	tlsctx_free(ctx);
}

/* Gets an alert, or is just closed; calls nothing, leaves nothing. Others are served meanwhile. */
static void check_refused(struct tls_callers *bed, SSL *ssl, int alert)
{
	struct caller *c = caller_connect(bed, 1, ssl);

	sim_until(bed->loop, caller_is_ended(c));
	if (alert != 0)
		assert_int_equal(c->alert, alert);
	assert_int_equal(bed->calls_n, 0);
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

static void others_are_refused_with_an_alert(void **state)
{
	struct tls_callers *bed = *state;
	uint8_t spki[TLSCTX_SPKI_LEN];
	SSL_CTX *bare = SSL_CTX_new(TLS_client_method());
	struct tlsctx *ctx;
	SSL *ssl;

	pki_issue(&bed->pki, "cs", "cs", "DNS:cs.test,URI:sslgw:cachesvc", 3600, NULL);
	pki_issue(&bed->pki, "stolen", "gw2", "DNS:gw2.test,URI:sslgw:gateway", 3600, spki);
	pki_issue_other(&bed->pki, "other", "gw3", "DNS:gw3.test,URI:sslgw:gateway", 3600, NULL);
	pki_deny(&bed->pki, spki);
	callers_start(bed, ROLE_GATEWAY);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		const struct {
			const char *name;
			int alert;
		} cases[] = {
			{ "cs", SSL_AD_BAD_CERTIFICATE },
			{ "stolen", SSL_AD_CERTIFICATE_REVOKED },
			{ "other", SSL_AD_DECRYPT_ERROR },
		};

		for (size_t i = 0; i < 3; i++) {
			ctx = pki_ctx(&bed->pki, false, cases[i].name, ROLE_KEYSVC);
			ssl = tlsctx_ssl(ctx);
			SSL_set_max_proto_version(ssl, version);
			check_refused(bed, ssl, cases[i].alert);
			tlsctx_free(ctx);
		}
		ssl = SSL_new(bare);
		SSL_set_connect_state(ssl);
		SSL_set_max_proto_version(ssl, version);
		check_refused(bed, ssl,
		    version == TLS1_2_VERSION ? SSL_AD_HANDSHAKE_FAILURE
					      : SSL_AD_CERTIFICATE_REQUIRED);
	}
	ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	check_served(bed, ctx, 0);
	tlsctx_free(ctx);
	SSL_CTX_free(bare);
}

static void old_versions_and_ciphers_are_refused(void **state)
{
	struct tls_callers *bed = *state;
	static const char *const ciphers[] = { "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA",
		"ECDHE-ECDSA-AES256-SHA384" };
	struct tlsctx *ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	SSL *ssl;

	callers_start(bed, ROLE_GATEWAY);
	for (size_t i = 0; i < 3; i++) {
		ssl = tlsctx_ssl(ctx);
		SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
		assert_int_equal(SSL_set_cipher_list(ssl, ciphers[i]), 1);
		check_refused(bed, ssl, SSL_AD_HANDSHAKE_FAILURE);
	}
	ssl = tlsctx_ssl(ctx);
	assert_int_equal(SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0"), 1);
	SSL_set_min_proto_version(ssl, TLS1_1_VERSION);
	SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
	check_refused(bed, ssl, SSL_AD_PROTOCOL_VERSION);
	tlsctx_free(ctx);
}

static void who_does_not_finish_is_closed(void **state)
{
	static const char *const starts[] = { "", "\x16\x03\x01\x02", "GET / HTTP/1.0\r\n\r\n",
		"hello\n" };
	struct tls_callers *bed = *state;

	bed->params.stall_ms = 100;
	callers_start(bed, ROLE_GATEWAY);
	for (size_t i = 0; i < 4; i++) {
		struct caller *c = caller_connect(bed, (int)i, NULL);

		sim_while(bed->loop, 5, !c->open);
		if (starts[i][0] != '\0')
			caller_say(c, starts[i]);
	}
	for (int i = 0; i < 4; i++)
		sim_until(bed->loop, caller_is_ended(&bed->callers[i]));
	sim_until(bed->loop, service_connections(bed->service) == 0);
	assert_int_equal(bed->calls_n, 0);
}

static void a_crowd_comes_in_by_so_many_a_second(void **state)
{
	struct tls_callers *bed = *state;
	uint64_t began;
	size_t first;

	callers_start(bed, ROLE_GATEWAY);
	for (int i = 0; i < 300; i++)
		caller_connect(bed, i, NULL);
	began = sim_now_ms();
	sim_until(bed->loop, service_connections(bed->service) > 0);
	sim_while(bed->loop, 200, true);
	first = service_connections(bed->service);
	assert_in_range(first, 10, 80);
	sim_while(bed->loop, 990 - (sim_now_ms() - began),
	    service_connections(bed->service) <= SERVICE_HANDSHAKES_S);
	sim_until(bed->loop, service_connections(bed->service) == 300);
	assert_in_range(sim_now_ms() - began, 1200, 2500);
}

static void a_crowd_that_has_left_costs_nothing(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	uint64_t began;

	callers_start(bed, ROLE_GATEWAY);
	for (int i = 0; i < 300; i++) {
		struct caller *c = caller_connect(bed, i, NULL);

		if (i % 2 == 0) /* some had said a word */
			caller_say(c, "\x16\x03\x01");
		caller_leave(c);
	}
	began = sim_now_ms();
	check_served(bed, ctx, 300);
	assert_true(sim_now_ms() - began < 400);
	tlsctx_free(ctx);
}

static void a_crowd_that_says_nothing_keeps_nobody_out(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);

	bed->params.conns_max = 40;
	callers_start(bed, ROLE_GATEWAY);
	check_served(bed, ctx, 310);
	for (int i = 0; i < 300; i++) {
		caller_connect(bed, i, NULL);
		if (i % 100 == 50)
			check_served(bed, ctx, 311 + i / 100);
		assert_true(service_connections(bed->service) <= 40);
	}
	sim_until(bed->loop, caller_is_ended(&bed->callers[200]));
	assert_true(service_connections(bed->service) <= 25);
	caller_say(&bed->callers[310], "you\n");
	sim_until(bed->loop, caller_got(&bed->callers[310], "hello\nyou\n"));
	tlsctx_free(ctx);
}

/* ---- who is no longer wanted */

static bool keep_not_denied(void *arg, const struct identity *who)
{
	return !tlsctx_denied(arg, who->spki);
}

static void on_changed(void *arg)
{
	struct tls_callers *bed = arg;

	service_recheck(bed->service, keep_not_denied, bed->ctx);
}

static void who_is_denied_while_connected_is_closed(void **state)
{
	struct tls_callers *bed = *state;
	uint8_t spki[TLSCTX_SPKI_LEN];
	struct tlsctx *gw, *stolen;

	pki_issue(&bed->pki, "stolen", "gw2", "DNS:gw2.test,URI:sslgw:gateway", 3600, spki);
	pki_deny(&bed->pki, NULL);
	callers_start(bed, ROLE_GATEWAY);
	tlsctx_watch(bed->ctx, bed->loop, on_changed, bed);
	gw = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	stolen = pki_ctx(&bed->pki, false, "stolen", ROLE_KEYSVC);
	check_served(bed, gw, 0);
	check_served(bed, stolen, 1);
	check_served(bed, stolen, 2);
	bed->hold = true;
	caller_say(&bed->callers[1], "wait\n");
	sim_until(bed->loop, bed->held_n == 1);
	pki_deny(&bed->pki, spki);
	sim_until(
	    bed->loop, caller_is_ended(&bed->callers[1]) && caller_is_ended(&bed->callers[2]));
	assert_int_equal(bed->gone_n, 1);
	bed->hold = false;
	caller_say(&bed->callers[0], "still\n");
	sim_until(bed->loop, caller_got(&bed->callers[0], "hello\nstill\n"));
	assert_int_equal(service_connections(bed->service), 1);
	tlsctx_free(gw);
	tlsctx_free(stolen);
}

static bool keep_none(void *arg, const struct identity *who)
{
	(void)who;
	++*(int *)arg;
	return false;
}

static void a_recheck_asks_about_each_once(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	int asked = 0;

	callers_start(bed, ROLE_GATEWAY);
	for (int i = 0; i < 5; i++)
		check_served(bed, ctx, i);
	caller_connect(bed, 5, NULL); /* nobody yet */
	sim_until(bed->loop, service_connections(bed->service) == 6);
	service_recheck(bed->service, keep_none, &asked);
	assert_int_equal(asked, 5);
	assert_int_equal(service_connections(bed->service), 1);
	tlsctx_free(ctx);
}

static void a_connection_ends_with_its_certificate(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx;
	int64_t end;

	pki_issue(&bed->pki, "x", "x", "DNS:x.test,URI:sslgw:gateway", 2, NULL);
	callers_start(bed, ROLE_GATEWAY);
	ctx = pki_ctx(&bed->pki, false, "x", ROLE_KEYSVC);
	end = tlsctx_not_after(ctx);
	check_served(bed, ctx, 0);
	bed->hold = true;
	caller_say(&bed->callers[0], "wait\n");
	sim_until(bed->loop, bed->held_n == 1);
	sim_until(bed->loop, time(NULL) > end);
	/* What it asked is answered yet. */
	sim_while(bed->loop, 50, !caller_is_ended(&bed->callers[0]));
	call_reply(bed->held[--bed->held_n], &(struct iovec){ (void *)(uintptr_t) "done\n", 5 }, 1);
	sim_until(bed->loop, caller_is_ended(&bed->callers[0]));
	assert_string_equal(bed->callers[0].in, "hello\ndone\n");
	tlsctx_free(ctx);
}

/* ---- the asking side */

static void on_answer(void *arg, enum peers_result result, struct bytes got)
{
	int *answers = arg;

	assert_int_equal(result, PEERS_OK);
	assert_true(bytes_equal_str(got, "over tls\n"));
	(*answers)++;
}

static struct peers *ask_by(struct tls_callers *bed, struct tlsctx *ctx)
{
	const struct peers_params params = {
		.name = "test service",
		.codec = &sim_lines,
		.tls = ctx,
		.deadline_ms = 5000,
		.in_flight_max = 100,
		.connect_ms = 1000,
		.owner = (uid_t)-1,
	};
	struct peers *peers = peers_new(bed->loop, &params);

	assert_non_null(peers);
	assert_int_equal(peers_set(peers, &bed->at, 1), 0);
	return peers;
}

static void check_asks(struct tls_callers *bed, struct peers *peers, int n)
{
	enum peers_why why;
	int answers = 0;

	for (int i = 0; i < n; i++)
		assert_non_null(peers_ask(peers, bytes_str("over tls\n"),
		    (struct peers_choice){ .by = PEERS_ANY }, 0, on_answer, &answers, &why));
	sim_until(bed->loop, answers == n);
}

static void peers_ask_over_tls_and_resume(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	struct peers *peers;
	int asked = 0;

	callers_start(bed, ROLE_GATEWAY);
	peers = ask_by(bed, ctx);
	check_asks(bed, peers, 50);
	assert_string_equal(bed->name, "gw1.test");
	assert_false(SSL_session_reused(stream_ssl(peers->at[0]->stream)));
	service_recheck(bed->service, keep_none, &asked);
	sim_until(bed->loop, peers->at[0]->state != PEER_UP);
	check_asks(bed, peers, 50);
	assert_true(SSL_session_reused(stream_ssl(peers->at[0]->stream)));
	assert_string_equal(bed->name, "gw1.test"); /* it is known all the same */
	assert_int_equal(bed->identity.role, ROLE_GATEWAY);
	peers_free(peers);
	sim_until(bed->loop, service_connections(bed->service) == 0);
	tlsctx_free(ctx);
}

/* A stopped server: the kernel accepts, and nobody shakes hands. */
static void peers_do_without_a_server_that_is_stopped(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	struct endpoint both[2];
	struct peers *peers;
	int fd;

	callers_start(bed, ROLE_GATEWAY);
	assert_int_equal(endpoint_parse(&both[0], "127.0.0.1:0"), 0);
	fd = listener_socket(&both[0], false);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&both[0].addr, &both[0].len), 0);
	both[1] = bed->at;
	peers = ask_by(bed, ctx);
	assert_int_equal(peers_set(peers, both, 2), 0);
	peers_connect(peers);
	sim_until(bed->loop, peers->at[1]->state == PEER_UP);
	for (int i = 0; i < 20; i++) {
		uint64_t began = sim_now_ms();

		check_asks(bed, peers, 5);
		assert_true(sim_now_ms() - began < 100);
	}
	sim_until(bed->loop, peers->at[0]->state == PEER_WAITING);
	assert_string_equal(peers->at[0]->why, "connecting took too long");
	check_asks(bed, peers, 5);
	/* It goes on: what waits in its queue is served, late as it is. */
	assert_int_equal(service_listen(bed->service, fd, bed->ctx), 0);
	sim_until(bed->loop, peers->at[0]->state == PEER_UP);
	check_asks(bed, peers, 20);
	peers_free(peers);
	sim_while(bed->loop, 5, true);
	tlsctx_free(ctx);
}

static void peers_leave_a_server_that_is_denied(void **state)
{
	struct tls_callers *bed = *state;
	uint8_t spki[TLSCTX_SPKI_LEN];
	char error[256];
	struct tlsctx *ctx;
	struct peers *peers;

	pki_issue(&bed->pki, "ks", "ks1", "DNS:ks1.test,URI:sslgw:keysvc", 3600, spki);
	callers_start(bed, ROLE_GATEWAY);
	pki_deny(&bed->pki, NULL);
	ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	peers = ask_by(bed, ctx);
	check_asks(bed, peers, 1);
	peers_recheck(peers);
	assert_int_equal(peers->at[0]->state, PEER_UP);
	pki_deny(&bed->pki, spki);
	assert_int_equal(tlsctx_reload(ctx, error, sizeof(error)), 0);
	peers_recheck(peers);
	assert_int_not_equal(peers->at[0]->state, PEER_UP);
	sim_until(bed->loop, !peers_usable(peers));
	assert_non_null(strstr(peers->at[0]->why, "deny list"));
	peers_free(peers);
	sim_while(bed->loop, 5, true);
	tlsctx_free(ctx);
}

static void peers_that_are_refused_say_why(void **state)
{
	struct tls_callers *bed = *state;
	struct tlsctx *ctx;
	struct peers *peers;

	callers_start(bed, ROLE_OPERATOR);
	ctx = pki_ctx(&bed->pki, false, "gw", ROLE_KEYSVC);
	peers = ask_by(bed, ctx);
	peers_connect(peers);
	/* Nothing is asked, and it is known that nothing can be. */
	sim_until(bed->loop, !peers_usable(peers));
	assert_non_null(strstr(peers->at[0]->why, "bad certificate"));
	peers_free(peers);
	sim_while(bed->loop, 5, true);
	tlsctx_free(ctx);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, callers_setup, callers_teardown)
	const struct CMUnitTest tests[] = {
		T(the_caller_is_whom_its_certificate_names),
		T(others_are_refused_with_an_alert),
		T(old_versions_and_ciphers_are_refused),
		T(who_does_not_finish_is_closed),
		T(a_crowd_comes_in_by_so_many_a_second),
		T(a_crowd_that_has_left_costs_nothing),
		T(a_crowd_that_says_nothing_keeps_nobody_out),
		T(who_is_denied_while_connected_is_closed),
		T(a_recheck_asks_about_each_once),
		T(a_connection_ends_with_its_certificate),
		T(peers_ask_over_tls_and_resume),
		T(peers_do_without_a_server_that_is_stopped),
		T(peers_leave_a_server_that_is_denied),
		T(peers_that_are_refused_say_why),
	};
#undef T

	return cmocka_run_group_tests_name("service_tls", tests, NULL, NULL);
}
