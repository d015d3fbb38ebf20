/*
 * many_bed.c: see many_bed.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "many_bed.h"

/* ---- servers */

static void reply(struct call *call, const char *text, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)text, len };

	call_reply(call, &iov, 1);
}

static void owed_passed(struct deadline *deadline)
{
	struct owed *owed = CONTAINER_OF(deadline, struct owed, deadline);

	reply(owed->call, owed->text, owed->len);
	owed->call = NULL;
}

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct many_server *server = arg;
	struct many_bed *bed = server->bed;
	struct owed *owed;

	server->calls_n++;
	assert_true(request.len < sizeof(owed->text));
	switch (server->behaviour) {
	case ECHO:
		reply(call, (const char *)request.at, request.len);
		return;
	case RUBBISH:
		reply(call, "!\xff!!!!!\n", 8);
		return;
	case HANG:
		assert_true(bed->hung_n < ANSWERS_MAX);
		bed->hung[bed->hung_n++] = call;
		return;
	case SLOW:
		assert_true(bed->owed_n < ANSWERS_MAX);
		owed = &bed->owed[bed->owed_n++];
		*owed = (struct owed){ .server = server, .call = call, .len = request.len };
		memcpy(owed->text, request.at, request.len);
		deadline_set(bed->loop, &owed->deadline, server->slow_ms, owed_passed);
		return;
	}
}

void many_answer_hung(struct many_bed *bed)
{
	while (bed->hung_n > 0)
		reply(bed->hung[--bed->hung_n], "late\n", 5);
}

void many_server_start(struct many_server *server)
{
	sim_server_listen(&server->at);
	server->service = service_new(server->bed->loop, &server->bed->service_params, server);
	assert_non_null(server->service);
	assert_int_equal(service_listen(server->service, server->at.listen_fd, NULL), 0);
	server->at.listen_fd = -1;
}

void many_server_stop(struct many_server *server)
{
	service_free(server->service);
	server->service = NULL;
	sim_server_stop(&server->at);
}

/* ---- users */

static void user_ask(struct user *user);

static void on_done(void *arg, enum peers_result result, struct bytes answer)
{
	struct user *user = arg;
	struct many_bed *bed = user->bed;

	user->slot = ask_slot(user->ask);
	if (result == PEERS_OK && user->blames && user->slot == 0) {
		peers_blame(bed->peers, user->ask);
		result = PEERS_PROTOCOL;
	}
	if (result != PEERS_OK && bed->retry && user->tries < 3) {
		user->avoid |= UINT64_C(1) << user->slot;
		user_ask(user);
		return;
	}
	if (result == PEERS_OK)
		assert_true(answer.len > 0);
	user->done_n++;
	user->result = result;
	user->took_ms = sim_now_ms() - user->began_ms;
	bed->ended_n++;
	bed->failed_n += result != PEERS_OK;
}

static void user_ask(struct user *user)
{
	struct many_bed *bed = user->bed;
	struct peers_choice choice = bed->choice;
	enum peers_why why;

	choice.avoid |= user->avoid;
	user->tries++;
	user->ask = peers_ask(bed->peers,
	    bed->params.codec->ordered ? bytes_str("ask\n") : bytes_of("\3....ask", 8), choice, 0,
	    on_done, user, &why);
	if (user->ask == NULL) {
		user->done_n++;
		user->result = PEERS_LOST;
		bed->ended_n++;
		bed->failed_n++;
	}
}

void many_ask(struct many_bed *bed)
{
	struct user *user = &bed->users[bed->users_n++];

	assert_true(bed->users_n <= USERS_MAX);
	user->bed = bed;
	user->began_ms = sim_now_ms();
	user_ask(user);
}

void many_ask_for(struct many_bed *bed, uint32_t ms)
{
	uint64_t end = sim_now_ms() + ms, next = 0;

	while (sim_now_ms() < end) {
		if (sim_now_ms() >= next) {
			next = sim_now_ms() + 2;
			many_ask(bed);
		}
		sim_turn(bed->loop);
	}
	sim_until(bed->loop, bed->ended_n == bed->users_n);
}

uint64_t many_slowest(const struct many_bed *bed, int from)
{
	uint64_t slowest = 0;

	for (int i = from; i < bed->users_n; i++)
		if (bed->users[i].took_ms > slowest)
			slowest = bed->users[i].took_ms;
	return slowest;
}

/* ---- life */

static void number(uint8_t *message, uint32_t id)
{
	struct writer w = writer_of(message + 1, 4);

	writer_u32(&w, id);
}

static size_t ping(void *arg, uint8_t *buf, size_t max)
{
	struct many_bed *bed = arg;
	const char *text = bed->params.codec->ordered ? "ping\n" : "\4....ping";
	size_t len = bed->params.codec->ordered ? 5 : 9;

	assert_true(max >= len);
	memcpy(buf, text, len);
	return len;
}

int many_setup(void **state)
{
	struct many_bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	bed->service_params = (struct service_params){
		.codec = &sim_lines,
		.conns_max = 64,
		.calls_max = 2000,
		.conn_calls_max = 1000,
		.stall_ms = 60000,
		.call = on_call,
	};
	bed->params = (struct peers_params){
		.name = "test service",
		.codec = &sim_lines,
		.deadline_ms = 100,
		.in_flight_max = 500,
		.connect_ms = 300,
		.ping_ms = 200,
		.owner = (uid_t)-1,
		.ping = ping,
		.number = number,
		.arg = bed,
	};
	bed->retry = true;
	*state = bed;
	return 0;
}

int many_teardown(void **state)
{
	struct many_bed *bed = *state;

	peers_free(bed->peers);
	for (int i = 0; i < bed->n; i++)
		service_free(bed->servers[i].service);
	many_answer_hung(bed);
	for (int i = 0; i < bed->owed_n; i++)
		if (bed->owed[i].call != NULL) {
			deadline_clear(bed->loop, &bed->owed[i].deadline);
			reply(bed->owed[i].call, "x\n", 2);
		}
	loop_free(bed->loop);
	for (int i = 0; i < bed->n; i++)
		sim_server_clear(&bed->servers[i].at);
	free(bed);
	return 0;
}

void many_set(struct many_bed *bed, int n)
{
	struct endpoint endpoints[SERVERS_MAX];

	for (int i = 0; i < n; i++)
		endpoints[i] = bed->servers[i].at.endpoint;
	assert_int_equal(peers_set(bed->peers, endpoints, (size_t)n), 0);
}

void many_start(struct many_bed *bed, int n)
{
	bed->n = n;
	bed->service_params.codec = bed->params.codec;
	for (int i = 0; i < n; i++) {
		bed->servers[i].bed = bed;
		sim_server_init(&bed->servers[i].at);
		many_server_start(&bed->servers[i]);
	}
	bed->peers = peers_new(bed->loop, &bed->params);
	assert_non_null(bed->peers);
	many_set(bed, n);
}
