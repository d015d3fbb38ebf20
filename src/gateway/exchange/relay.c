/*
 * relay.c: the answer's way, from an origin to the front: head cleaned, body passed as it comes.
 */
#include "config.h"

#include "gateway/exchange/exchange_private.h"
#include "gateway/exchange/fieldset.h"
#include "gateway/exchange/rewrite.h"
#include "gateway/exchange/sticky.h"

#include "base/poison.h"

static size_t clean(const struct exchange *, const struct head *, struct field *to);
static size_t date_write(const struct exchange *, const struct head *, struct field *to);

/* The front has answered Expect itself, unless that was left to the server: then it may answer once. */
static bool passes_continue(struct exchange *x)
{
	bool passes = x->expects && x->body_len == 0;

	x->expects = false;
	return passes;
}

/* Interim answers pass as they are, but for 100. 101 is final. */
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

	if (head->status == 100 && !passes_continue(x))
		return;
	answer.fields_n = clean(x, head, fields);
	if (head->status >= 200) {
		answer.fields_n += date_write(x, head, &fields[answer.fields_n]);
		answer.fields_n += sticky_write(x, &fields[answer.fields_n]);
	}
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

/* Who passes an answer without a Date on says when it came (RFC 9110, section 6.6.1). */
static size_t date_write(const struct exchange *x, const struct head *head, struct field *to)
{
	const struct fieldset *rules = x->route != NULL ? x->route->answer : x->site->answer;
	struct exchanges *all = x->worker->exchanges;
	struct bytes name = bytes_str("Date");

	if (head_field(head, "Date") != NULL || fieldset_takes_out(rules, name))
		return 0;
	if (all->date_of != loop_wall(x->worker->loop)) {
		all->date_of = loop_wall(x->worker->loop);
		write_date(all->date_of, all->date);
	}
	*to = (struct field){ name, bytes_of(all->date, WRITE_DATE_SIZE - 1) };
	return 1;
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

void exchange_relay_end(void *arg, enum reason odd)
{
	struct exchange *x = arg;

	if (x->reason == REASON_NONE)
		x->reason = odd;
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
 * write in requests are nothing special in an answer. Then the site's rules and the route's.
 */
static size_t clean(const struct exchange *x, const struct head *head, struct field *to)
{
	const struct fieldset *rules = x->route != NULL ? x->route->answer : x->site->answer;
	struct writer values = writer_of(x->worker->exchanges->values, EXCHANGE_VALUES_BYTES);
	struct bytes server = bytes_str(x->server);
	struct rewrite_terms terms = {
		.route = x->route != NULL ? x->route->conf : NULL,
		.server = server,
		.host = x->marks.host,
		.tls = x->client->version != NULL,
	};
	bool rewrites = x->pool != NULL && terms.route != NULL && terms.route->rewrite != 0;
	size_t n = 0;

	if (head->status < 200 && head->status != 101)
		rules = NULL;

	for (size_t i = 0; i < head->fields_n; i++) {
		if (head->ids[i] != FIELD_OTHER && head->ids[i] != FIELD_OWNED)
			continue;
		if (head->connection_n > 0 && head_lists(head, head->fields[i].name))
			continue;
		if (fieldset_takes_out(rules, head->fields[i].name))
			continue;
		to[n] = head->fields[i];
		if (rewrites)
			rewrite_field(&terms, &to[n], &values);
		n++;
	}
	if (rules != NULL) {
		struct facts facts = { .client = x->client,
			.peer = bytes_str(x->peer),
			.id = bytes_of(x->id, x->id_len),
			.host = x->marks.host,
			.server = server };

		n += fieldset_add(rules, &facts, &values, to + n, EXCHANGE_FIELDS_MAX - n);
	}
	return n;
}
