/*
 * relay.c: the answer's way, from an origin to the front: head cleaned, body passed as it comes.
 */
#include "config.h"

#include "gateway/exchange/exchange_private.h"
#include "gateway/exchange/sticky.h"

#include "base/poison.h"

static size_t clean(const struct head *, struct field *to);

/* Interim answers pass as they are, but for 100: the front has answered Expect itself. 101 is final. */
void exchange_relay_head(void *arg, const struct head *head)
{
	struct exchange *x = arg;
	struct field *fields = x->worker->exchanges->fields;
	struct answer answer = {
		.status = head->status,
		.phrase = head->phrase,
		.fields = fields,
		.length = head->length,
		.has_length = head->has_length,
		.close = x->close,
	};

	if (head->status == 100)
		return;
	answer.fields_n = clean(head, fields);
	if (head->status >= 200)
		answer.fields_n += sticky_write(x, &fields[answer.fields_n]);
	switch (head->body) {
	case BODY_NONE:
		answer.body = ANSWER_NO_BODY;
		break;
	case BODY_LENGTH:
		answer.body = ANSWER_LENGTH;
		break;
	case BODY_CHUNKED:
	case BODY_TO_CLOSE:
		answer.body = ANSWER_UNKNOWN_LENGTH;
		break;
	}
	if (head->status == 101) {
		answer.body = ANSWER_TUNNEL;
		answer.upgrade_to = head->upgrade_to;
		x->tunnel = true;
	}
	if (head->status >= 200 || x->tunnel) {
		exchange_state_set(x, EXCHANGE_ANSWERING);
		x->status = head->status;
		x->head_ms = loop_now_ms(x->worker->loop);
		/* There will be no other try. */
		exchange_held_free(x);
	}
	x->front->ops->head(x->front, &answer);
}

enum flow exchange_relay_body(void *arg, struct bytes slice)
{
	struct exchange *x = arg;

	x->answer_len += slice.len;
	return x->front->ops->body(x->front, slice);
}

void exchange_relay_half(void *arg)
{
	struct exchange *x = arg;

	x->front->ops->end(x->front);
}

void exchange_relay_end(void *arg)
{
	struct exchange *x = arg;

	x->origin = NULL;
	x->upstream = NULL;
	x->front->ops->end(x->front);
	exchange_finish(x);
}

void exchange_relay_drained(void *arg)
{
	struct exchange *x = arg;

	if (!x->front_stopped)
		return;
	x->front_stopped = false;
	x->front->ops->resume(x->front);
}

/*
 * Hop-by-hop fields, framing, and what the back-end's Connection lists stay here. Names that only we
 * write in requests are nothing special in an answer.
 */
static size_t clean(const struct head *head, struct field *to)
{
	size_t n = 0;

	for (size_t i = 0; i < head->fields_n; i++) {
		if (head->ids[i] != FIELD_OTHER && head->ids[i] != FIELD_OWNED)
			continue;
		if (head->connection_n > 0 && head_lists(head, head->fields[i].name))
			continue;
		to[n++] = head->fields[i];
	}
	return n;
}
