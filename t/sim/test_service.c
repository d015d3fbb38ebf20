/*
 * test_service.c: the answering side against scripted callers: order, bounds, deadlines, and calls
 * whose callers leave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/peers.h"
#include "net/service.h"

#include "sim.h"

enum { CALLS_MAX = 256, CLIENTS_MAX = 8 };

struct bed;

struct client {
	int fd;
	char in[8192];
	size_t len;
};

struct bed {
	struct loop *loop;
	struct service *service;
	struct service_params params;
	struct sim_server at; /* for its path alone */
	struct client clients[CLIENTS_MAX];
	struct call *calls[CALLS_MAX]; /* in the order of their coming; NULL: answered */
	char asked[CALLS_MAX][32];
	int calls_n, gone_n, drained_n;
	bool echo; /* answer at once with the request */
	bool reply_gone; /* answer within gone() */
	bool close_all, free_all;
	char *big; /* with echo: answer with this */
	size_t big_len;
	struct identity identity;
};

static void answer(struct bed *bed, int i, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct call *call = bed->calls[i];

	assert_non_null(call);
	bed->calls[i] = NULL;
	call_reply(call, &iov, 1);
}

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct bed *bed = arg;
	struct iovec iov[2] = { { (void *)(uintptr_t)request.at, request.len } };
	int i = bed->calls_n++;

	assert_true(i < CALLS_MAX && request.len > 0);
	snprintf(bed->asked[i], sizeof(bed->asked[i]), "%.*s", (int)request.len, request.at);
	bed->calls[i] = call;
	bed->identity = *call_identity(call);
	if (bed->echo && bed->big != NULL)
		iov[0] = (struct iovec){ bed->big, bed->big_len };
	if (bed->echo || bed->close_all)
		bed->calls[i] = NULL;
	if (bed->echo)
		call_reply(call, iov, 1);
	else if (bed->close_all)
		call_close(call);
	else if (bed->free_all) {
		service_free(bed->service);
		bed->service = NULL;
	}
}

static void on_gone(void *arg, struct call *call)
{
	struct bed *bed = arg;
	struct iovec iov = { (void *)(uintptr_t) "x\n", 2 };

	bed->gone_n++;
	for (int i = 0; i < bed->calls_n; i++)
		if (bed->calls[i] == call && bed->reply_gone) {
			bed->calls[i] = NULL;
			call_reply(call, &iov, 1);
			break;
		}
}

static size_t on_bad(void *arg, struct bytes input, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(input.len > 0 && max >= 4);
	memcpy(buf, "BAD\n", 4);
	return 4;
}

static void on_drained(void *arg)
{
	((struct bed *)arg)->drained_n++;
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	sim_server_init(&bed->at);
	bed->params = (struct service_params){
		.codec = &sim_lines,
		.conns_max = 4,
		.calls_max = 100,
		.conn_calls_max = 50,
		.idle_ms = 60000,
		.stall_ms = 60000,
		.call = on_call,
		.gone = on_gone,
		.bad = on_bad,
	};
	for (int i = 0; i < CLIENTS_MAX; i++)
		bed->clients[i].fd = -1;
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	service_free(bed->service);
	for (int i = 0; i < bed->calls_n; i++) /* owed all the same */
		if (bed->calls[i] != NULL)
			answer(bed, i, "too late\n");
	loop_free(bed->loop);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (bed->clients[i].fd >= 0)
			close(bed->clients[i].fd);
	sim_server_clear(&bed->at);
	free(bed->big);
	free(bed);
	return 0;
}

static void start(struct bed *bed)
{
	sim_server_listen(&bed->at);
	bed->service = service_new(bed->loop, &bed->params, bed);
	assert_non_null(bed->service);
	assert_int_equal(service_listen(bed->service, bed->at.listen_fd, NULL), 0);
	bed->at.listen_fd = -1; /* the service's */
}

static void client(struct bed *bed, int i)
{
	size_t n = service_connections(bed->service);

	bed->clients[i].fd = sim_connect(&bed->at.endpoint);
	sim_until(bed->loop, service_connections(bed->service) == n + 1);
}

static void say(struct bed *bed, int i, const char *text)
{
	assert_int_equal(send(bed->clients[i].fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool got(struct bed *bed, int i, const char *text)
{
	struct client *c = &bed->clients[i];

	return sim_got(c->fd, c->in, sizeof(c->in), &c->len, text);
}

static void hang_up(struct bed *bed, int i)
{
	close(bed->clients[i].fd);
	bed->clients[i].fd = -1;
}

/* ---- order */

static void messages_are_cut_wherever_their_pieces_are(void **state)
{
	struct bed *bed = *state;
	const char *text = "a\nbb\nccc\n";

	bed->echo = true;
	start(bed);
	client(bed, 0);
	for (size_t i = 0; text[i] != '\0'; i++) {
		assert_int_equal(send(bed->clients[0].fd, text + i, 1, 0), 1);
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, got(bed, 0, text));
	say(bed, 0, "d\ne\nf\n");
	sim_until(bed->loop, got(bed, 0, "a\nbb\nccc\nd\ne\nf\n"));
	assert_int_equal(bed->calls_n, 6);
}

static void ordered_answers_wait_for_their_turn(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	say(bed, 0, "a\nb\nc\nd\n");
	sim_until(bed->loop, bed->calls_n == 4);
	answer(bed, 3, "D\n");
	answer(bed, 1, "B\n");
	sim_while(bed->loop, 10, got(bed, 0, ""));
	answer(bed, 0, "A\n");
	sim_until(bed->loop, got(bed, 0, "A\nB\n"));
	sim_while(bed->loop, 10, got(bed, 0, "A\nB\n"));
	answer(bed, 2, "C\n");
	sim_until(bed->loop, got(bed, 0, "A\nB\nC\nD\n"));
}

static void numbered_answers_leave_as_they_come(void **state)
{
	struct bed *bed = *state;

	bed->params.codec = &sim_numbered;
	start(bed);
	client(bed, 0);
	assert_int_equal(send(bed->clients[0].fd, "\1...1a\1...2b", 12, 0), 12);
	sim_until(bed->loop, bed->calls_n == 2);
	answer(bed, 1, "\1...2B");
	sim_until(bed->loop, got(bed, 0, "\1...2B"));
	answer(bed, 0, "\1...1A");
	sim_until(bed->loop, got(bed, 0, "\1...2B\1...1A"));
}

static void an_answer_may_have_no_bytes(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	say(bed, 0, "a\nb\n");
	sim_until(bed->loop, bed->calls_n == 2);
	call_reply(bed->calls[0], NULL, 0);
	bed->calls[0] = NULL;
	answer(bed, 1, "B\n");
	sim_until(bed->loop, got(bed, 0, "B\n"));
}

/* ---- who asks */

static void the_caller_on_a_unix_socket_is_known(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	start(bed);
	client(bed, 0);
	say(bed, 0, "a\n");
	sim_until(bed->loop, got(bed, 0, "a\n"));
	assert_true(bed->identity.local);
	assert_int_equal(bed->identity.uid, getuid());
	assert_int_equal(bed->identity.gid, getgid());
	assert_int_equal(bed->identity.pid, getpid());
	assert_string_equal(bed->identity.name, "");
}

/* ---- bad bytes and closes */

static void bad_bytes_are_answered_after_what_came_before_them(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	client(bed, 1);
	say(bed, 0, "a\n!!!\nb\n");
	sim_until(bed->loop, bed->calls_n == 1);
	sim_while(bed->loop, 10, got(bed, 0, ""));
	say(bed, 0, "c\n"); /* dropped */
	answer(bed, 0, "A\n");
	sim_until(bed->loop, got(bed, 0, "A\nBAD\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_int_equal(bed->calls_n, 1);
	/* The neighbour does not notice. */
	say(bed, 1, "d\n");
	sim_until(bed->loop, bed->calls_n == 2);
}

static void a_message_that_never_ends_is_bad(void **state)
{
	struct bed *bed = *state;
	char big[1024];

	memset(big, 'x', sizeof(big));
	start(bed);
	client(bed, 0);
	for (int i = 0; i < 32; i++) {
		assert_false(got(bed, 0, "BAD\n"));
		assert_int_equal(send(bed->clients[0].fd, big, sizeof(big), 0), sizeof(big));
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, got(bed, 0, "BAD\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
}

static void bad_bytes_of_a_numbered_codec_end_it_when_all_is_answered(void **state)
{
	struct bed *bed = *state;

	bed->params.codec = &sim_numbered;
	start(bed);
	client(bed, 0);
	assert_int_equal(send(bed->clients[0].fd, "\1...1a\xff", 7, 0), 7);
	sim_until(bed->loop, got(bed, 0, "BAD\n"));
	assert_int_equal(bed->calls_n, 1);
	answer(bed, 0, "\1...1A");
	sim_until(bed->loop, got(bed, 0, "BAD\n\1...1A"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
}

static void a_call_can_end_the_connection(void **state)
{
	struct bed *bed = *state;
	struct iovec iov = { (void *)(uintptr_t) "bye\n", 4 };

	start(bed);
	client(bed, 0);
	say(bed, 0, "a\nb\nc\n");
	sim_until(bed->loop, bed->calls_n == 3);
	call_reply_last(bed->calls[1], &iov, 1);
	bed->calls[1] = NULL;
	answer(bed, 0, "A\n");
	sim_until(bed->loop, got(bed, 0, "A\nbye\n"));
	/* What lay behind it is not answered. */
	answer(bed, 2, "C\n");
	sim_while(bed->loop, 10, got(bed, 0, "A\nbye\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	hang_up(bed, 0);
	sim_until(bed->loop, service_connections(bed->service) == 0);
	/* And at once, without an answer. */
	bed->close_all = true;
	client(bed, 1);
	say(bed, 1, "a\nb\n");
	sim_until(bed->loop, sim_ended(bed->clients[1].fd));
	assert_int_equal(bed->calls_n, 4);
}

/* ---- bounds */

static void connections_are_bounded(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	start(bed);
	for (int i = 0; i < 4; i++)
		client(bed, i);
	bed->clients[4].fd = sim_connect(&bed->at.endpoint);
	sim_until(bed->loop, sim_ended(bed->clients[4].fd));
	hang_up(bed, 0);
	sim_until(bed->loop, service_connections(bed->service) == 3);
	client(bed, 5);
	say(bed, 5, "a\n");
	sim_until(bed->loop, got(bed, 5, "a\n"));
}

static void calls_of_one_connection_are_bounded(void **state)
{
	struct bed *bed = *state;

	bed->params.conn_calls_max = 2;
	start(bed);
	client(bed, 0);
	client(bed, 1);
	say(bed, 0, "a\nb\nc\nd\n");
	sim_until(bed->loop, bed->calls_n == 2);
	sim_while(bed->loop, 10, bed->calls_n == 2);
	say(bed, 1, "x\n"); /* the neighbour's turn comes */
	sim_until(bed->loop, bed->calls_n == 3);
	answer(bed, 1, "B\n"); /* held: it takes its place yet */
	sim_while(bed->loop, 10, bed->calls_n == 3);
	answer(bed, 0, "A\n");
	sim_until(bed->loop, bed->calls_n == 5);
	assert_string_equal(bed->asked[3], "c\n");
	assert_string_equal(bed->asked[4], "d\n");
}

static void calls_of_all_connections_are_bounded(void **state)
{
	struct bed *bed = *state;
	int done = 0;

	bed->params.calls_max = 2;
	start(bed);
	for (int i = 0; i < 4; i++) {
		client(bed, i);
		say(bed, i, "a\nb\nc\n");
	}
	while (done < 12) {
		sim_until(bed->loop, bed->calls_n == (done + 2 < 12 ? done + 2 : 12));
		sim_while(bed->loop, 3, bed->calls_n <= done + 2);
		answer(bed, done++, "A\n");
	}
	for (int i = 0; i < 4; i++)
		sim_until(bed->loop, got(bed, i, "A\nA\nA\n"));
}

static void a_place_is_not_lost_with_who_waits_for_it(void **state)
{
	struct bed *bed = *state;

	bed->params.calls_max = 1;
	start(bed);
	client(bed, 0);
	say(bed, 0, "a\n");
	sim_until(bed->loop, bed->calls_n == 1);
	for (int i = 1; i < 4; i++) {
		client(bed, i);
		say(bed, i, "b\n");
		sim_turn(bed->loop);
	}
	hang_up(bed, 1);
	answer(bed, 0, "A\n");
	for (int i = 1; i < 4; i++) { /* the one that left may still have had its turn */
		sim_until(bed->loop, bed->calls_n > i || got(bed, 3, "B\n"));
		if (bed->calls_n > i)
			answer(bed, i, "B\n");
	}
	sim_until(bed->loop, got(bed, 3, "B\n"));
}

static void who_does_not_read_is_not_read(void **state)
{
	struct bed *bed = *state;
	int n;

	bed->echo = true;
	bed->big_len = 30000;
	bed->big = malloc(bed->big_len);
	assert_non_null(bed->big);
	memset(bed->big, 'x', bed->big_len);
	bed->params.stall_ms = 1000;
	start(bed);
	client(bed, 0);
	for (int i = 0; i < 50; i++)
		say(bed, 0, "a\na\na\na\n");
	sim_until(bed->loop, bed->calls_n > 3);
	sim_while(bed->loop, 20, bed->calls_n < 100);
	n = bed->calls_n;
	/* It reads again: all goes on. */
	while (bed->calls_n < n + 20) {
		bed->clients[0].len = 0;
		got(bed, 0, "");
		sim_turn(bed->loop);
	}
	/* And stops for good: it is closed. */
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

/* ---- deadlines */

static void half_a_message_has_a_deadline(void **state)
{
	struct bed *bed = *state;
	uint64_t began = sim_now_ms();

	bed->echo = true;
	bed->params.stall_ms = 100;
	start(bed);
	client(bed, 0);
	while (service_connections(bed->service) > 0 && sim_now_ms() < began + 5000) {
		(void)send(
		    bed->clients[0].fd, "a", 1, MSG_NOSIGNAL); /* a byte a turn buys no time */
		sim_turn(bed->loop);
	}
	assert_int_equal(service_connections(bed->service), 0);
	assert_in_range(sim_now_ms() - began, 90, 4000);
}

static void whole_messages_that_leave_a_half_are_no_stall(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	bed->params.stall_ms = 300;
	start(bed);
	client(bed, 0);
	say(bed, 0, "a");
	for (int i = 0; i < 20; i++) {
		sim_while(bed->loop, 20, service_connections(bed->service) == 1);
		say(bed, 0, "\na");
	}
	sim_until(bed->loop, service_connections(bed->service) == 0);
	assert_int_equal(bed->calls_n, 20);
}

static void an_idle_connection_is_closed_a_working_one_is_not(void **state)
{
	struct bed *bed = *state;

	bed->params.idle_ms = 400;
	start(bed);
	client(bed, 0);
	client(bed, 1);
	say(bed, 0, "a\n");
	sim_until(bed->loop, service_connections(bed->service) == 1);
	assert_true(sim_ended(bed->clients[1].fd));
	sim_while(bed->loop, 500, service_connections(bed->service) == 1);
	answer(bed, 0, "A\n");
	sim_until(bed->loop, got(bed, 0, "A\n"));
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

/* ---- callers that leave */

static void a_call_whose_caller_left_is_told_and_answered_all_the_same(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	say(bed, 0, "a\nb\nc\n");
	sim_until(bed->loop, bed->calls_n == 3);
	answer(bed, 1, "B\n"); /* held */
	hang_up(bed, 0);
	sim_until(bed->loop, bed->gone_n == 2);
	assert_int_equal(service_connections(bed->service), 0);
	assert_true(call_identity(bed->calls[0])->local);
	answer(bed, 0, "A\n");
	answer(bed, 2, "C\n");
	sim_turn(bed->loop);
	assert_int_equal(bed->gone_n, 2);
	/* Within gone(). */
	bed->reply_gone = true;
	client(bed, 1);
	say(bed, 1, "a\nb\n");
	sim_until(bed->loop, bed->calls_n == 5);
	hang_up(bed, 1);
	sim_until(bed->loop, bed->gone_n == 4);
}

static void what_was_asked_before_the_end_is_answered(void **state)
{
	struct bed *bed = *state;

	bed->echo = true;
	start(bed);
	client(bed, 0);
	say(bed, 0, "a\nb\nhalf");
	shutdown(bed->clients[0].fd, SHUT_WR);
	sim_until(bed->loop, got(bed, 0, "a\nb\n"));
	sim_until(bed->loop, service_connections(bed->service) == 0);
	assert_true(sim_ended(bed->clients[0].fd));
	/* An end in the middle of the first message. */
	client(bed, 1);
	say(bed, 1, "half");
	hang_up(bed, 1);
	sim_until(bed->loop, service_connections(bed->service) == 0);
}

/* ---- drain and free */

static void drain_answers_what_is_in_work_and_takes_no_more(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	client(bed, 1); /* idle */
	say(bed, 0, "a\nb\n");
	sim_until(bed->loop, bed->calls_n == 2);
	service_drain(bed->service, on_drained);
	assert_int_equal(bed->drained_n, 0);
	sim_until(bed->loop, sim_ended(bed->clients[1].fd));
	hang_up(bed, 1);
	say(bed, 0, "c\n");
	sim_while(bed->loop, 20, bed->calls_n == 2 && bed->drained_n == 0);
	answer(bed, 0, "A\n");
	answer(bed, 1, "B\n");
	sim_until(bed->loop, got(bed, 0, "A\nB\n"));
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	hang_up(bed, 0);
	sim_until(bed->loop, bed->drained_n == 1);
	sim_while(bed->loop, 10, bed->drained_n == 1);
}

static void drain_waits_for_calls_whose_callers_left(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	say(bed, 0, "a\n");
	sim_until(bed->loop, bed->calls_n == 1);
	hang_up(bed, 0);
	sim_until(bed->loop, bed->gone_n == 1);
	service_drain(bed->service, on_drained);
	sim_while(bed->loop, 10, bed->drained_n == 0);
	answer(bed, 0, "A\n");
	sim_until(bed->loop, bed->drained_n == 1);
}

static void a_freed_service_leaves_calls_that_can_be_answered(void **state)
{
	struct bed *bed = *state;

	start(bed);
	client(bed, 0);
	client(bed, 1);
	say(bed, 0, "a\nb\n");
	say(bed, 1, "c\n");
	sim_until(bed->loop, bed->calls_n == 3);
	hang_up(bed, 1);
	sim_until(bed->loop, bed->gone_n == 1);
	service_free(bed->service);
	bed->service = NULL;
	answer(bed, 0, "A\n");
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_int_equal(bed->gone_n, 1);
	/* The other two are answered in the teardown, turns later. */
}

static void a_service_can_be_freed_by_a_call(void **state)
{
	struct bed *bed = *state;

	bed->free_all = true;
	start(bed);
	client(bed, 0);
	say(bed, 0, "a\nb\n");
	sim_until(bed->loop, bed->service == NULL);
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	assert_int_equal(bed->calls_n, 1);
}

/* ---- over TLS */

static SSL_CTX *server_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_true(ctx != NULL && key != NULL && cert != NULL);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static void on_answer(void *arg, enum peers_result result, struct bytes got)
{
	int *answers = arg;

	assert_int_equal(result, PEERS_OK);
	assert_true(bytes_equal_str(got, "over tls\n"));
	(*answers)++;
}

static void peers_and_service_speak_tls(void **state)
{
	struct bed *bed = *state;
	SSL_CTX *server = server_ctx(), *client_ctx = SSL_CTX_new(TLS_client_method());
	struct peers_params params = {
		.name = "test service",
		.codec = &sim_lines,
		.tls = client_ctx,
		.deadline_ms = 5000,
		.in_flight_max = 100,
		.connect_ms = 5000,
		.owner = (uid_t)-1,
	};
	struct peers *peers = peers_new(bed->loop, &params);
	enum peers_why why;
	int answers = 0;

	assert_non_null(peers);
	bed->echo = true;
	bed->params.stall_ms = 100;
	sim_server_listen(&bed->at);
	bed->service = service_new(bed->loop, &bed->params, bed);
	assert_int_equal(service_listen(bed->service, bed->at.listen_fd, server), 0);
	bed->at.listen_fd = -1;
	assert_int_equal(peers_set(peers, &bed->at.endpoint, 1), 0);
	for (int i = 0; i < 50; i++)
		assert_non_null(peers_ask(peers, bytes_str("over tls\n"),
		    (struct peers_choice){ 0 }, 0, on_answer, &answers, &why));
	sim_until(bed->loop, answers == 50);
	/* Who opens and says no hello has stall_ms. */
	client(bed, 0);
	sim_until(bed->loop, sim_ended(bed->clients[0].fd));
	peers_free(peers);
	sim_until(bed->loop, service_connections(bed->service) == 0);
	SSL_CTX_free(server);
	SSL_CTX_free(client_ctx);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(messages_are_cut_wherever_their_pieces_are),
		T(ordered_answers_wait_for_their_turn),
		T(numbered_answers_leave_as_they_come),
		T(an_answer_may_have_no_bytes),
		T(the_caller_on_a_unix_socket_is_known),
		T(bad_bytes_are_answered_after_what_came_before_them),
		T(a_message_that_never_ends_is_bad),
		T(bad_bytes_of_a_numbered_codec_end_it_when_all_is_answered),
		T(a_call_can_end_the_connection),
		T(connections_are_bounded),
		T(calls_of_one_connection_are_bounded),
		T(calls_of_all_connections_are_bounded),
		T(a_place_is_not_lost_with_who_waits_for_it),
		T(who_does_not_read_is_not_read),
		T(half_a_message_has_a_deadline),
		T(whole_messages_that_leave_a_half_are_no_stall),
		T(an_idle_connection_is_closed_a_working_one_is_not),
		T(a_call_whose_caller_left_is_told_and_answered_all_the_same),
		T(what_was_asked_before_the_end_is_answered),
		T(drain_answers_what_is_in_work_and_takes_no_more),
		T(drain_waits_for_calls_whose_callers_left),
		T(a_freed_service_leaves_calls_that_can_be_answered),
		T(a_service_can_be_freed_by_a_call),
		T(peers_and_service_speak_tls),
	};
#undef T

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
