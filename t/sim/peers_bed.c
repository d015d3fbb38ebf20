/*
 * peers_bed.c: see peers_bed.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "peers_bed.h"

size_t bed_hello(void *arg, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(max >= 6);
	memcpy(buf, "hello\n", 6);
	return 6;
}

enum parse bed_welcome(void *arg, struct bytes answer)
{
	(void)arg;
	return bytes_equal_str(answer, "welcome\n") ? PARSE_OK : PARSE_BAD;
}

size_t bed_ping(void *arg, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(max >= 5);
	memcpy(buf, "ping\n", 5);
	return 5;
}

void bed_number(uint8_t *message, uint32_t id)
{
	struct writer w = writer_of(message + 1, 4);

	writer_u32(&w, id);
}

int bed_setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	sim_server_init(&bed->server);
	bed->params = (struct peers_params){
		.name = "test service",
		.codec = &sim_lines,
		.deadline_ms = 5000,
		.in_flight_max = 100,
		.connect_ms = 3000,
		.owner = (uid_t)-1,
	};
	for (int i = 0; i < ASKS_MAX; i++)
		bed->asked[i].bed = bed;
	*state = bed;
	return 0;
}

int bed_teardown(void **state)
{
	struct bed *bed = *state;

	peers_free(bed->peers);
	loop_free(bed->loop);
	sim_server_clear(&bed->server);
	free(bed);
	return 0;
}

static void up(void *arg)
{
	((struct bed *)arg)->up_n++;
}

/* With the server listening, unless the test wants it dead. */
void bed_start(struct bed *bed, bool listening)
{
	if (listening)
		sim_server_listen(&bed->server);
	bed->peers = peers_new(bed->loop, &bed->params);
	assert_non_null(bed->peers);
	peers_on_up(bed->peers, up, bed);
	assert_int_equal(peers_set(bed->peers, &bed->server.endpoint, 1), 0);
}

void bed_done(void *arg, enum peers_result result, struct bytes answer)
{
	struct asked *asked = arg;

	assert_false(asked->bed->asking);
	asked->done_n++;
	asked->result = result;
	assert_true(answer.len < sizeof(asked->answer));
	if (answer.len > 0)
		memcpy(asked->answer, answer.at, answer.len);
	asked->answer[answer.len] = '\0';
	if (asked->then != NULL)
		asked->then(asked);
}

struct ask *bed_ask_bytes(struct bed *bed, int i, struct bytes message, uint32_t deadline_ms)
{
	struct asked *asked = &bed->asked[i];

	bed->asking = true;
	asked->ask = peers_ask(bed->peers, message, (struct peers_choice){ .by = PEERS_ANY },
	    deadline_ms, bed_done, asked, &bed->why);
	bed->asking = false;
	return asked->ask;
}

void bed_ask(struct bed *bed, int i, const char *text, uint32_t deadline_ms)
{
	assert_non_null(bed_ask_bytes(bed, i, bytes_str(text), deadline_ms));
	assert_int_equal(bed->why, PEERS_ASKED);
}

void bed_connect(struct bed *bed)
{
	int n = bed->server.accepted_n, up_n = bed->up_n;

	peers_connect(bed->peers);
	sim_until(bed->loop, sim_server_accepted(&bed->server, n + 1));
	if (bed->params.hello == NULL)
		sim_until(bed->loop, bed->up_n > up_n);
}

bool bed_ended(struct bed *bed, int i, enum peers_result result)
{
	return bed->asked[i].done_n == 1 && bed->asked[i].result == result;
}
