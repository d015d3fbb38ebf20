/*
 * service_bed.c: see service_bed.h.
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

#include "service_bed.h"

void bed_answer(struct bed *bed, int i, const char *text)
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

void bed_drained(void *arg)
{
	((struct bed *)arg)->drained_n++;
}

int bed_setup(void **state)
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

int bed_teardown(void **state)
{
	struct bed *bed = *state;

	service_free(bed->service);
	for (int i = 0; i < bed->calls_n; i++) /* owed all the same */
		if (bed->calls[i] != NULL)
			bed_answer(bed, i, "too late\n");
	loop_free(bed->loop);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (bed->clients[i].fd >= 0)
			close(bed->clients[i].fd);
	sim_server_clear(&bed->at);
	free(bed->big);
	free(bed);
	return 0;
}

void bed_start(struct bed *bed)
{
	sim_server_listen(&bed->at);
	bed->service = service_new(bed->loop, &bed->params, bed);
	assert_non_null(bed->service);
	assert_int_equal(service_listen(bed->service, bed->at.listen_fd, NULL), 0);
	bed->at.listen_fd = -1; /* the service's */
}

void bed_client(struct bed *bed, int i)
{
	size_t n = service_connections(bed->service);

	bed->clients[i].fd = sim_connect(&bed->at.endpoint);
	sim_until(bed->loop, service_connections(bed->service) == n + 1);
}

void bed_say(struct bed *bed, int i, const char *text)
{
	assert_int_equal(send(bed->clients[i].fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

bool bed_got(struct bed *bed, int i, const char *text)
{
	struct client *c = &bed->clients[i];

	return sim_got(c->fd, c->in, sizeof(c->in), &c->len, text);
}

void bed_hang_up(struct bed *bed, int i)
{
	close(bed->clients[i].fd);
	bed->clients[i].fd = -1;
}
