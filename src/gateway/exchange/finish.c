/*
 * finish.c: the one exit of an exchange: logged, counted, its front told, and freed after the turn.
 * Also where exchanges come from: they go round a free list, so a request costs no malloc.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "gateway/exchange/accesslog.h"
#include "gateway/exchange/exchange_private.h"
#include "gateway/exchange/sticky.h"
#include "gateway/origin/limits.h"

#include "base/poison.h"

enum { OUT_BYTES = HEAD_BYTES_MAX + 16384 };

static void complain(const struct exchange *);
static void gone(struct later *);
static void exchange_free(struct exchange *);

struct exchanges *exchanges_new(struct worker *worker)
{
	struct exchanges *all = calloc(1, sizeof(*all));
	uint64_t prefix;

	if (all == NULL)
		return NULL;
	all->worker = worker;
	all->limits = limits_of(worker->conf);
	all->gather_max = worker->conf->limits.request_buffer;
	all->held_max = all->gather_max + EXCHANGE_HELD_BYTES;
	all->held_n_max = worker->conf->limits.request_buffers > 0
			      ? worker->conf->limits.request_buffers / all->held_max
			      : SIZE_MAX;
	all->id_key = hash_key_random();
	bucket_init(&all->complaints, EXCHANGES_COMPLAINTS_RATE, EXCHANGES_COMPLAINTS_BURST,
	    loop_now_ms(worker->loop));
	prefix = hash_key_random().k[0];
	for (size_t i = 0; i < sizeof(all->id_prefix); i++, prefix >>= 4)
		all->id_prefix[i] = "0123456789abcdef"[prefix & 15];
	all->request = calloc(1, sizeof(*all->request));
	all->own = calloc(1, sizeof(*all->own));
	all->fields = calloc(EXCHANGE_FIELDS_MAX + 2, sizeof(*all->fields));
	all->values = malloc(EXCHANGE_VALUES_BYTES);
	all->paths = malloc(sizeof(*all->paths));
	all->cookie = malloc(STICKY_COOKIE_MAX);
	all->out = malloc(OUT_BYTES);
	if (all->request == NULL || all->own == NULL || all->fields == NULL || all->out == NULL ||
	    all->values == NULL || all->paths == NULL || all->cookie == NULL) {
		exchanges_free(all);
		return NULL;
	}
	return all;
}

void exchanges_give_back(struct exchanges *all)
{
	while (all->free != NULL) {
		struct exchange *x = all->free;

		all->free = x->next;
		exchange_free(x);
	}
	while (all->held_free != NULL) {
		void *next = *(void **)all->held_free;

		free(all->held_free);
		all->held_free = next;
	}
	all->free_n = all->held_free_n = 0;
}

void exchanges_free(struct exchanges *all)
{
	if (all == NULL)
		return;
	exchanges_give_back(all);
	free(all->request);
	free(all->own);
	free(all->fields);
	free(all->cookie);
	free(all->values);
	free(all->paths);
	free(all->out);
	all->worker->exchanges = NULL;
	free(all);
}

struct head *exchanges_head(struct exchanges *all)
{
	return all->request;
}

const struct head_limits *exchanges_head_limits(const struct exchanges *all)
{
	return &all->limits;
}

struct writer exchanges_writer(struct exchanges *all)
{
	return writer_of(all->out, OUT_BYTES);
}

struct exchange *exchange_alloc(struct exchanges *all)
{
	struct exchange *x = all->free;
	uint8_t *head;
	size_t cap;

	if (x == NULL) {
		x = malloc(sizeof(*x));
		if (x == NULL)
			return NULL;
		head = x->first;
		cap = sizeof(x->first);
	} else {
		all->free = x->next;
		all->free_n--;
		head = x->head;
		cap = x->head_cap;
	}
	/* Only what is not always written before it is read. */
	memset(x, 0, offsetof(struct exchange, answer));
	x->held_all = true;
	x->head = head;
	x->head_cap = cap;
	x->head_len = 0;
	return x;
}

uint8_t *exchange_held_alloc(struct exchanges *all)
{
	void *held = all->held_free;

	if (all->held_n >= all->held_n_max) {
		counter_add(all->worker->counters.bodies_not_kept, 1);
		return NULL;
	}
	if (held == NULL) {
		held = malloc(all->held_max);
	} else {
		all->held_free = *(void **)held;
		all->held_free_n--;
	}
	all->held_n += held != NULL;
	return held;
}

void exchange_held_free(struct exchange *x)
{
	struct exchanges *all = x->worker->exchanges;

	x->held_len = 0;
	if (x->held == NULL)
		return;
	all->held_n--;
	if (all->held_free_n < EXCHANGES_HELD_FREE_MAX) {
		*(void **)(void *)x->held = all->held_free;
		all->held_free = x->held;
		all->held_free_n++;
	} else {
		free(x->held);
	}
	x->held = NULL;
}

void exchange_finish(struct exchange *x)
{
	struct front *front = x->front;

	exchange_over(x);
	front->ops->done(front, x);
}

void exchange_over(struct exchange *x)
{
	struct worker *worker = x->worker;

	exchange_state_set(x, EXCHANGE_OVER);
	exchange_held_free(x);
	pool_wait_cancel(&x->waiter);
	if (worker->log != NULL)
		accesslog_write(worker->log, x);
	if (x->reason != REASON_NONE) {
		counter_add(worker->counters.reasons[x->reason], 1);
		complain(x);
	}
	counter_sub(worker->counters.requests_open, 1);
	loop_later(worker->loop, &x->gone, gone);
}

/*
 * Why a request was refused or failed, for the operator. Strangers can make as many of these as they
 * like, so there are only so many a second; the counters have them all. log.c escapes what is in them.
 */
static void complain(const struct exchange *x)
{
	struct exchanges *all = x->worker->exchanges;
	struct bytes method = bytes_sub(x->method, 0, 32);
	struct bytes target = bytes_sub(x->marks.target, 0, 200);
	char kept[64] = "";

	if (!bucket_take(&all->complaints, 1, loop_now_ms(x->worker->loop))) {
		all->complaints_kept++;
		return;
	}
	if (all->complaints_kept > 0)
		snprintf(kept, sizeof(kept), " (and %llu more)",
		    (unsigned long long)all->complaints_kept);
	all->complaints_kept = 0;
	if (method.len == 0)
		method = bytes_str("-");
	log_info("%s \"%.*s %.*s\" %u: %s%s%s%s", x->peer, (int)method.len, (const char *)method.at,
	    (int)target.len, target.len > 0 ? (const char *)target.at : "", x->status,
	    reason_text(x->reason), x->server != NULL ? ", server " : "",
	    x->server != NULL ? x->server : "", kept);
}

static void gone(struct later *later)
{
	struct exchange *x = CONTAINER_OF(later, struct exchange, gone);
	struct exchanges *all = x->worker->exchanges;

	if (all == NULL || all->free_n >= EXCHANGES_FREE_MAX) {
		exchange_free(x);
		return;
	}
	if (x->head != x->first && x->head_cap > EXCHANGE_HEAD_KEPT) {
		free(x->head);
		x->head = x->first;
		x->head_cap = sizeof(x->first);
	}
	x->next = all->free;
	all->free = x;
	all->free_n++;
}

static void exchange_free(struct exchange *x)
{
	if (x->head != x->first)
		free(x->head);
	free(x);
}
