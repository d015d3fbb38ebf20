/*
 * exchange.c: one set of net/peers for each peer, so that each is asked. Called by epochs.
 */
#include "keysvc/exchange.h"

#include <stdlib.h>

#include "base/log.h"
#include "net/peers.h"
#include "wire/keyless.h"

#include "base/poison.h"

enum { CONNECT_MS = 1500, PING_MS = 10 * 1000, IN_FLIGHT_MAX = 4, QUESTION_MAX = 64 };

struct exchange_peer {
	struct exchange *exchange;
	size_t number;
	struct peers *peers; /* of one endpoint */
	struct ask *ask; /* NULL: it has answered or failed */
};

struct exchange {
	struct loop *loop;
	struct exchange_params params;
	struct exchange_peer *at;
	size_t n;
	bool asking;
	size_t open; /* asks */
	struct later over;
};

static const struct frame_codec codec = {
	.name = "Keyless", .next = keyless_next, .ordered = false, .max = KEYLESS_MAX
};

static size_t ping(void *arg, uint8_t *buf, size_t max)
{
	struct keyless k = { .opcode = KEYLESS_PING };

	(void)arg;
	return keyless_build(&k, false, buf, max);
}

static int add(struct exchange *x, const struct endpoint *endpoint)
{
	struct exchange_peer *p = &x->at[x->n];
	struct peers_params params = {
		.name = "key service peer",
		.codec = &codec,
		.tls = x->params.tls,
		.deadline_ms = EXCHANGE_MS,
		.in_flight_max = IN_FLIGHT_MAX,
		.connect_ms = CONNECT_MS,
		.ping_ms = PING_MS,
		.owner = (uid_t)-1,
		.ping = ping,
		.number = keyless_number,
		.arg = p,
	};

	p->exchange = x;
	p->number = x->n;
	if ((p->peers = peers_new(x->loop, &params)) == NULL)
		return -1;
	x->n++;
	return peers_set(p->peers, endpoint, 1);
}

struct exchange *exchange_new(struct loop *loop, const struct exchange_params *params)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->loop = loop;
	x->params = *params;
	x->params.peers = NULL; /* borrowed no longer than this call */
	if ((x->at = calloc(params->n + 1, sizeof(*x->at))) == NULL)
		goto fail;
	for (size_t i = 0; i < params->n; i++) {
		if (add(x, &params->peers[i]) == -1)
			goto fail;
	}
	return x;
fail:
	exchange_free(x);
	return NULL;
}

void exchange_free(struct exchange *x)
{
	if (x == NULL)
		return;
	for (size_t i = 0; i < x->n; i++) {
		if (x->at[i].ask != NULL)
			ask_cancel(x->at[i].ask);
		peers_free(x->at[i].peers);
	}
	loop_later_cancel(&x->over);
	free(x->at);
	free(x);
}

static void over(struct later *later)
{
	struct exchange *x = CONTAINER_OF(later, struct exchange, over);

	x->asking = false;
	x->params.done(x->params.arg);
}

static bool makes_sense(struct exchange_peer *p, struct bytes message)
{
	struct exchange *x = p->exchange;
	struct keyless k;
	enum keyless_error error;

	if (keyless_parse(message, &k, &error) != PARSE_OK)
		return false;
	if (k.opcode == KEYLESS_ERROR && k.payload.len == 1) {
		log_debug(
		    "key service peer %zu: %s", p->number, keyless_error_text(k.payload.at[0]));
		return true; /* it lives, but has nothing to say */
	}
	return k.opcode == KEYLESS_ANSWER &&
	       x->params.answered(x->params.arg, p->number, k.payload);
}

static void answered(void *arg, enum peers_result result, struct bytes message)
{
	struct exchange_peer *p = arg;
	struct exchange *x = p->exchange;

	if (result == PEERS_OK && !makes_sense(p, message)) {
		log_warnx("key service peer %zu: its answer makes no sense: is it of another "
			  "version?",
		    p->number);
		peers_blame(p->peers, p->ask);
	}
	p->ask = NULL;
	if (--x->open == 0)
		loop_later(x->loop, &x->over, over);
}

bool exchange_ask(struct exchange *x)
{
	struct peers_choice any = { .by = PEERS_ANY };
	uint8_t question[QUESTION_MAX];
	size_t len = keyless_build_custom(
	    0, KEYLESS_FN_GENERATIONS, NULL, bytes_of(NULL, 0), question, sizeof(question));
	enum peers_why why;

	if (x->asking)
		return false;
	x->asking = true;
	for (size_t i = 0; i < x->n; i++) {
		struct exchange_peer *p = &x->at[i];

		p->ask = peers_ask(p->peers, bytes_of(question, len), any, 0, answered, p, &why);
		if (p->ask != NULL)
			x->open++;
	}
	if (x->open == 0)
		loop_later(x->loop, &x->over, over);
	return true;
}
