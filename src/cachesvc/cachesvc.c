/*
 * cachesvc.c: see cachesvc.h. Each call is answered within itself, so nothing is ever in work.
 */
#include "cachesvc/cachesvc.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cachesvc/commands.h"
#include "net/service.h"
#include "net/tlsctx.h"
#include "wire/resp.h"

#include "base/poison.h"

enum {
	CACHESVC_STALL_MS = 5000, /* half a request, or answers not read */
	CACHESVC_TICK_MS = 1000, /* what has expired goes, also while nobody asks */
	CACHESVC_TELL_MS = 60 * 1000,
};

static const struct frame_codec codec = {
	.name = "resp",
	.ordered = true,
	.max = RESP_COMMAND_MAX,
};

struct cachesvc {
	struct loop *loop;
	struct cachesvc_params params;
	struct service_params service_params;
	struct service *service;
	struct store *store;
	struct commands commands;
	struct commands_reply reply; /* of the call in work */
	struct deadline tick;
	uint64_t told_ms; /* when a stranger was last logged; 0: never */
	uintptr_t last_id; /* of a connection */
	uint64_t flushes; /* that callers have been told of */
	void (*drained)(void *arg);
	void *drained_arg;
};

/* A connection's caller lies in the word that its identity has for us, so nothing has to be freed:
 * bit 0 authed, 1 and 2 failures, 3 knows the run_id, above: the id. */
enum { USER_FAILURES_SHIFT = 1, USER_FAILURES_MASK = 3, USER_KNOWS_SHIFT = 3, USER_ID_SHIFT = 4 };

_Static_assert(
    (int)COMMANDS_AUTH_FAILURES <= (int)USER_FAILURES_MASK, "they do not fit their bits");

static struct commands_caller caller_of(const struct identity *who)
{
	uintptr_t user = (uintptr_t)who->user;

	return (struct commands_caller){
		.id = user >> USER_ID_SHIFT,
		.authed = who->tls || (user & 1) != 0,
		.may_flush = who->tls ? who->role == ROLE_OPERATOR : who->local && who->uid == 0,
		.knows_run = (user >> USER_KNOWS_SHIFT & 1) != 0,
		.failures = (user >> USER_FAILURES_SHIFT) & USER_FAILURES_MASK,
	};
}

static void caller_keep(struct identity *who, const struct commands_caller *caller)
{
	who->user = (void *)((uintptr_t)caller->id << USER_ID_SHIFT |
			     (uintptr_t)caller->knows_run << USER_KNOWS_SHIFT |
			     (uintptr_t)caller->failures << USER_FAILURES_SHIFT |
			     (uintptr_t)caller->authed);
}

static bool may_call(const struct cachesvc *c, const struct identity *who)
{
	if (!who->local) /* its certificate has been looked at; without one AUTH decides, if there is one */
		return true;
	for (size_t i = 0; i < c->params.callers_n; i++)
		if (c->params.callers[i] == who->uid)
			return true;
	return false;
}

static void refuse(struct cachesvc *c, struct call *call, const struct identity *who)
{
	uint64_t now = loop_now_ms(c->loop);

	if (c->told_ms == 0 || now - c->told_ms > CACHESVC_TELL_MS)
		log_warnx("user %ld (process %ld) may not call here: name it in caller_users",
		    (long)who->uid, (long)who->pid);
	c->told_ms = now;
	call_close(call);
}

static bool keep_ignorant(void *arg, const struct identity *who)
{
	struct commands_caller caller = caller_of(who);

	(void)arg;
	return !caller.knows_run;
}

/* Claims are gone: who has asked what run this is asks again, on a new connection, before it makes another.
 * What it has sent already is not carried out. */
static void forget_run(struct cachesvc *c)
{
	c->flushes = c->commands.flushes;
	service_recheck(c->service, keep_ignorant, c);
}

static bool on_known(void *arg, const struct identity *who)
{
	const struct cachesvc *c = arg;
	const struct commands_caller caller = caller_of(who);

	return may_call(c, who) && !commands_is_stranger(&c->commands, &caller);
}

static enum parse on_next(void *arg, struct bytes in, size_t *len)
{
	struct cachesvc *c = arg;

	return commands_next(&c->commands, in, len);
}

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct cachesvc *c = arg;
	struct identity *who = call_identity(call);
	struct commands_caller caller = caller_of(who);

	(void)request; /* on_next() has read it */
	if (!may_call(c, who)) {
		refuse(c, call, who);
		return;
	}
	c->commands.connections = service_connections(c->service);
	if (caller.id == 0)
		caller.id = ++c->last_id;
	commands_run(&c->commands, &caller, loop_now_ms(c->loop), &c->reply);
	caller_keep(who, &caller);
	if (c->commands.flushes != c->flushes)
		forget_run(c);
	if (c->reply.close)
		call_reply_last(call, c->reply.iov, c->reply.n);
	else
		call_reply(call, c->reply.iov, c->reply.n);
}

static size_t message_max(void *arg, const struct identity *who)
{
	const struct cachesvc *c = arg;
	struct commands_caller caller = caller_of(who);

	return commands_is_stranger(&c->commands, &caller) ? COMMANDS_STRANGER_MAX
							   : RESP_COMMAND_MAX;
}

static size_t on_bad(void *arg, struct bytes input, uint8_t *buf, size_t max)
{
	(void)arg;
	return commands_bad(input, buf, max);
}

static void on_tick(struct deadline *deadline)
{
	struct cachesvc *c = CONTAINER_OF(deadline, struct cachesvc, tick);

	store_tick(c->store, loop_now_ms(c->loop));
	deadline_set(c->loop, &c->tick, CACHESVC_TICK_MS, on_tick);
}

struct cachesvc *cachesvc_new(struct loop *loop, const struct cachesvc_params *params)
{
	struct cachesvc *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	assert(params->callers_n <= CACHESVC_CALLERS_MAX);
	c->loop = loop;
	c->params = *params;
	c->params.secret = bytes_of(NULL, 0); /* the verbs have it */
	c->service_params = (struct service_params){
		.codec = &codec,
		.conns_max = params->connections,
		.calls_max = UINT32_MAX,
		.conn_calls_max = UINT32_MAX,
		.idle_ms = params->idle_ms,
		.stall_ms = CACHESVC_STALL_MS,
		.next = on_next,
		.call = on_call,
		.known = on_known,
		.message_max = message_max,
		.bad = on_bad,
	};
	c->store = store_new(params->max_memory, loop_now_ms(loop));
	if (c->store == NULL)
		goto fail;
	c->service = service_new(loop, &c->service_params, c);
	if (c->service == NULL)
		goto fail;
	commands_init(&c->commands, c->store, params->secret, loop_now_ms(loop));
	deadline_set(loop, &c->tick, CACHESVC_TICK_MS, on_tick);
	return c;
fail:
	store_free(c->store);
	free(c);
	return NULL;
}

int cachesvc_listen(struct cachesvc *c, int fd, struct tlsctx *tls)
{
	return service_listen(c->service, fd, tls);
}

void cachesvc_set_secret(struct cachesvc *c, struct bytes secret)
{
	commands_set_secret(&c->commands, secret);
}

static bool keep_caller(void *arg, const struct identity *who)
{
	return may_call(arg, who);
}

void cachesvc_set_callers(struct cachesvc *c, const uid_t *callers, size_t n)
{
	assert(n <= CACHESVC_CALLERS_MAX);
	memcpy(c->params.callers, callers, n * sizeof(*callers));
	c->params.callers_n = n;
	service_recheck(c->service, keep_caller, c);
}

static bool keep_allowed(void *arg, const struct identity *who)
{
	return !who->tls || !tlsctx_denied(arg, who->spki);
}

void cachesvc_recheck(struct cachesvc *c, const struct tlsctx *tls)
{
	service_recheck(c->service, keep_allowed, (void *)(uintptr_t)tls);
}

static void on_drained(void *arg)
{
	struct cachesvc *c = arg;

	c->drained(c->drained_arg);
}

void cachesvc_drain(struct cachesvc *c, void (*done)(void *arg), void *arg)
{
	c->drained = done;
	c->drained_arg = arg;
	service_drain(c->service, on_drained);
}

void cachesvc_stats(const struct cachesvc *c, struct store_stats *stats)
{
	store_stats(c->store, stats);
}

void cachesvc_counts(const struct cachesvc *c, struct cachesvc_counts *counts)
{
	counts->connections = service_connections(c->service);
	counts->run = c->commands.run;
	counts->refused = c->commands.refused;
}

void cachesvc_free(struct cachesvc *c)
{
	if (c == NULL)
		return;
	deadline_clear(c->loop, &c->tick);
	service_free(c->service);
	commands_clear(&c->commands);
	store_free(c->store);
	free(c);
}
