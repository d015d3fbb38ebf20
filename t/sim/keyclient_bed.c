/*
 * keyclient_bed.c: see keyclient_bed.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "t/sim/keyclient_bed.h"

#include "base/poison.h"

enum { MESSAGE_MAX = 40000 };

const struct keyclient_key bed_key = { .ski = "12345678901234567890" };
const uint8_t bed_ecdsa_sig[8] = { 0x30, 6, 2, 1, 1, 2, 1, 1 };

void bed_setup(struct fixture *f, struct keyclient_params params)
{
	struct endpoint e[2] = { { 0 } };

	*f = (struct fixture){ .loop = loop_new() };
	assert_non_null(f->loop);
	params.servers = e;
	params.n = 2;
	f->keys = keyclient_new(f->loop, &params);
	assert_non_null(f->keys);
}

void bed_teardown(struct fixture *f)
{
	keyclient_free(f->keys);
	loop_free(f->loop);
}

void told_cb(void *arg, enum reason reason, struct bytes sig)
{
	struct told *t = arg;

	t->n++;
	t->reason = reason;
	t->len = sig.len;
}

bool check_cb(void *arg, struct bytes sig, uint64_t nth)
{
	struct told *t = arg;

	(void)sig;
	t->nth = nth;
	t->checks++;
	return !t->refuse;
}

struct keyclient_ask *ask_sign(struct fixture *f, uint16_t scheme, enum reason *why)
{
	return keyclient_sign(
	    f->keys, &bed_key, scheme, bytes_str("to be signed"), check_cb, told_cb, &f->told, why);
}

void sign(struct fixture *f, uint16_t scheme)
{
	enum reason why;

	f->told = (struct told){ .refuse = f->told.refuse };
	assert_non_null(ask_sign(f, scheme, &why));
	assert_int_equal(f->told.n, 0);
}

struct keyless asked(size_t i)
{
	struct keyless k;
	enum keyless_error error;

	assert_int_equal(
	    keyless_parse(
		bytes_of(fake_peers()->asks[i].message, fake_peers()->asks[i].len), &k, &error),
	    PARSE_OK);
	return k;
}

void answer_keyless(size_t i, uint8_t opcode, const void *payload, size_t len)
{
	struct keyless k = { .opcode = opcode, .payload = bytes_of(payload, len) };
	static uint8_t buf[MESSAGE_MAX];
	size_t n = keyless_build(&k, false, buf, sizeof(buf));

	assert_true(n > 0);
	fake_answer(i, PEERS_OK, buf, n);
}
