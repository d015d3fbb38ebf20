/*
 * fuzz_resp.c: any bytes as commands and as replies. Invariants: a message that is OK has its slices
 * within its length, is MORE at each shorter prefix tried, and is told apart by the frame functions
 * at the same place; what is BAD stays BAD with more bytes.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/resp.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_slice(struct bytes in, size_t used, struct bytes slice)
{
	assert(used <= in.len);
	if (slice.len > 0)
		assert(slice.at >= in.at && slice.at + slice.len <= in.at + used);
}

static void check_commands(struct bytes in)
{
	struct resp_limits limits = resp_limits_default();
	struct resp_command cmd;
	enum resp_fault fault;
	size_t used, len;

	while (in.len > 0) {
		enum parse r = resp_command(in, &limits, &cmd, &used, &fault);

		if (r == PARSE_BAD)
			assert(fault > RESP_FAULT_NONE && fault < RESP_FAULT_N);
		if (r != PARSE_OK)
			break;
		len = used;
		assert(len > 0 && cmd.argc <= RESP_ARGS_MAX);
		for (uint32_t i = 0; i < cmd.argc; i++)
			check_slice(in, used, cmd.argv[i]);
		assert(resp_command(bytes_sub(in, 0, used - 1), &limits, &cmd, &used, &fault) ==
		       PARSE_MORE);
		in = bytes_sub(in, len, in.len);
	}
}

static void check_replies(struct bytes in)
{
	struct resp_reply reply;
	enum resp_fault fault;
	size_t used, len;
	uint32_t id;

	while (in.len > 0) {
		enum parse r = resp_reply(in, RESP_BULK_MAX, &reply, &used, &fault);

		assert(resp_reply_next(in, &len, &id) == r);
		if (r != PARSE_OK)
			break;
		assert(used > 0 && len == used && used <= RESP_REPLY_MAX);
		if (reply.type != RESP_INTEGER && reply.type != RESP_NIL)
			check_slice(in, used, reply.text);
		assert(resp_reply(bytes_sub(in, 0, len - 1), RESP_BULK_MAX, &reply, &used,
			   &fault) == PARSE_MORE);
		in = bytes_sub(in, len, in.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_commands(bytes_of(data, size));
	check_replies(bytes_of(data, size));
	return 0;
}
