/*
 * fuzz_commands.c: any bytes as a connection to the cache, once with AUTH demanded and once without.
 * Invariants: each request gets just one whole reply (or none, where it has no words); before AUTH
 * nothing reaches the store; nothing but the end of its time or a flush takes a claim away, and only who
 * may flush does; the store's count of entries comes out at nothing in the end.
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
	if (reply->n == 0 || buf[0] == '*') /* COMMAND, HELLO: arrays */
		return;
	assert(resp_reply(bytes_of(buf, writer_len(&w)), STORE_VALUE_MAX, &parsed, &used, &fault) ==
	       PARSE_OK);
	assert(used == writer_len(&w));
}

static void converse(struct bytes in, struct bytes secret, bool may_flush, uint8_t *buf)
{
	struct commands_reply *reply = malloc(sizeof(*reply));
	struct store *store = store_new(STORE_MEMORY_MIN, 1000);
	struct commands commands;
	struct store_stats stats;
	struct commands_caller caller = { .id = 1, .may_flush = may_flush };
	uint64_t claims = 0;
	char run_id[41];
	uint64_t now = 1000;
	enum parse r;
	size_t len;

	assert(store != NULL && reply != NULL);
	commands_init(&commands, store, secret, now);
	while ((r = commands_next(&commands, in, &len)) == PARSE_OK) {
		memcpy(run_id, commands.run_id, sizeof(run_id));
		commands_run(&commands, &caller, now, reply);
		check_reply(reply, buf);
		now += len * 37;
		in = bytes_sub(in, len, in.len);
		store_stats(store, &stats);
		assert(caller.authed || secret.len == 0 ||
		       stats.stored + stats.hits + stats.misses == 0);
		assert(stats.claims >= claims || stats.expired > 0 || may_flush);
		assert(may_flush || strcmp(run_id, commands.run_id) == 0);
		claims = stats.claims;
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
	converse(bytes_of(data, size), bytes_of(NULL, 0), false, buf);
	converse(bytes_of(data, size), bytes_of(NULL, 0), true, buf);
	converse(bytes_of(data, size), bytes_str("secret"), false, buf);
	free(buf);
	return 0;
}
