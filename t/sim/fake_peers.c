/*
 * fake_peers.c: see fake_peers.h.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "t/sim/fake_peers.h"

#include "base/poison.h"

static struct peers *the_peers;

struct peers *fake_peers(void)
{
	return the_peers;
}

struct peers *peers_new(struct loop *loop, const struct peers_params *params)
{
	struct peers *p = calloc(1, sizeof(*p));

	(void)loop;
	assert_non_null(p);
	p->params = *params;
	the_peers = p;
	return p;
}

int peers_set(struct peers *p, const struct endpoint *e, size_t n)
{
	(void)e;
	p->set_n = n;
	return 0;
}

unsigned ask_slot(const struct ask *a)
{
	return a->slot;
}

void peers_recheck(struct peers *p)
{
	(void)p;
}

uint64_t peers_mark(const struct peers *p, struct peers_choice choice)
{
	assert_int_equal(choice.by, PEERS_RANK);
	assert_int_equal(choice.rank, 0);
	return p->mark;
}

void peers_connect(struct peers *p)
{
	(void)p;
}

void peers_on_up(struct peers *p, void (*up)(void *arg), void *arg)
{
	p->up = up;
	p->up_arg = arg;
}

struct ask *peers_ask(struct peers *p, struct bytes message, struct peers_choice choice,
    uint32_t deadline_ms, void (*done)(void *arg, enum peers_result, struct bytes answer),
    void *arg, enum peers_why *why)
{
	struct ask *a = &p->asks[p->n];

	*why = p->why;
	if (p->why != PEERS_ASKED)
		return NULL;
	assert_true(p->n++ < ASKS_MAX);
	p->asked++;
	*a = (struct ask){ .peers = p,
		.open = true,
		.choice = choice,
		.len = message.len,
		.deadline_ms = deadline_ms,
		.done = done,
		.arg = arg,
		.message = malloc(message.len) };
	assert_non_null(a->message);
	memcpy(a->message, message.at, message.len);
	return a;
}

void ask_cancel(struct ask *a)
{
	assert_true(a->open);
	a->open = false;
}

void peers_blame(struct peers *p, struct ask *a)
{
	assert_ptr_equal(a->peers, p);
	p->blamed++;
}

void fake_answer(size_t i, enum peers_result result, const void *bytes, size_t len)
{
	struct ask *a = &the_peers->asks[i];

	assert_true(i < the_peers->n && a->open);
	a->open = false;
	a->done(a->arg, result, bytes_of(bytes, len));
}

void fake_forget(void)
{
	for (size_t i = 0; i < the_peers->n; i++) {
		if (the_peers->asks[i].open)
			fake_answer(i, PEERS_LOST, NULL, 0);
		free(the_peers->asks[i].message);
	}
	the_peers->n = 0;
}

void peers_free(struct peers *p)
{
	assert_ptr_equal(p, the_peers);
	fake_forget();
	free(p);
	the_peers = NULL;
}
