/*
 * fuzz_commands.c: any bytes as a connection to the cache, once with AUTH demanded and once without.
 * Invariants: each request gets just one whole reply (or none, where it has no words); before AUTH
 * nothing reaches the store; the store's count of entries comes out at nothing in the end.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cachesvc/commands.h"
#include "wire/resp.h"

#include "base/poison.h"

enum { REPLY_MAX = COMMANDS_REPLY_MAX + STORE_VALUE_MAX + 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const struct commands_reply *reply, uint8_t *buf)
{
	struct writer w = writer_of(buf, REPLY_MAX);
	struct resp_reply parsed;
	enum resp_fault fault;
	size_t used;

	for (int i = 0; i < reply->n; i++)
		writer_put(&w, reply->iov[i].iov_base, reply->iov[i].iov_len);
	assert(w.ok);
	if (reply->n == 0 || buf[0] == '*') /* COMMAND, HELLO */
		return;
	assert(resp_reply(bytes_of(buf, writer_len(&w)), STORE_VALUE_MAX, &parsed, &used, &fault) ==
	       PARSE_OK);
	assert(used == writer_len(&w));
}

static void converse(struct bytes in, struct bytes secret, uint8_t *buf)
{
	struct commands_reply *reply = malloc(sizeof(*reply));
	struct store *store = store_new(STORE_MEMORY_MIN, 1000);
	struct commands commands;
	struct store_stats stats;
	bool authed = false;
	uint64_t now = 1000;
	enum parse r;
	size_t len;
	uint32_t id;

	assert(store != NULL && reply != NULL);
	commands_init(&commands, store, secret, now);
	while ((r = resp_command_next(in, &len, &id)) == PARSE_OK) {
		commands_run(&commands, &authed, bytes_sub(in, 0, len), now, reply);
		check_reply(reply, buf);
		now += len * 37;
		in = bytes_sub(in, len, in.len);
		store_stats(store, &stats);
		assert(authed || secret.len == 0 || stats.stored + stats.hits + stats.misses == 0);
		if (reply->close)
			break;
	}
	if (r == PARSE_BAD)
		assert(commands_bad(in, buf, 512) <= 512);
	store_flush(store);
	store_stats(store, &stats);
	assert(stats.entries == 0 && stats.used_memory == stats.index_memory);
	commands_clear(&commands);
	store_free(store);
	free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *buf = malloc(REPLY_MAX);

	assert(buf != NULL);
	converse(bytes_of(data, size), bytes_of(NULL, 0), buf);
	converse(bytes_of(data, size), bytes_str("secret"), buf);
	free(buf);
	return 0;
}
