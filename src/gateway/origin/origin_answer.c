/*
 * origin_answer.c: see origin_answer.h. The request's body, if there is one, is dropped.
 */
#include "config.h"

#include "gateway/origin/origin_answer.h"

#include <assert.h>
#include <stddef.h>

#include "base/poison.h"

static void start(struct origin *, const struct origin_request *);
static enum flow body(struct origin *, struct bytes);
static void end(struct origin *);
static void resume(struct origin *);
static void cancel(struct origin *, enum reason);
static void speak(struct later *);

static const struct origin_ops ops = {
	.name = "answer",
	.start = start,
	.body = body,
	.end = end,
	.resume = resume,
	.cancel = cancel,
};

void origin_answer_init(struct origin_answer *a, struct loop *loop, struct head *scratch,
    uint16_t status, const struct origin_events *events, void *arg)
{
	a->origin = (struct origin){ .ops = &ops, .events = events, .arg = arg };
	a->loop = loop;
	a->scratch = scratch;
	a->status = status;
	a->fields_n = 0;
	a->body_len = 0;
	a->text = bytes_of(NULL, 0);
	a->later = (struct later){ 0 };
}

void origin_answer_field(struct origin_answer *a, const char *name, struct bytes value)
{
	assert(a->fields_n < ORIGIN_ANSWER_FIELDS_MAX);
	a->fields[a->fields_n++] = (struct field){ bytes_str(name), value };
}

static void start(struct origin *origin, const struct origin_request *request)
{
	struct origin_answer *a = CONTAINER_OF(origin, struct origin_answer, origin);

	a->head_request = request->head_request;
	loop_later(a->loop, &a->later, speak);
}

static enum flow body(struct origin *origin, struct bytes slice)
{
	(void)origin;
	(void)slice;
	return FLOW_GO;
}

static void end(struct origin *origin)
{
	(void)origin;
}

static void resume(struct origin *origin)
{
	(void)origin;
}

static void cancel(struct origin *origin, enum reason reason)
{
	struct origin_answer *a = CONTAINER_OF(origin, struct origin_answer, origin);

	(void)reason;
	loop_later_cancel(&a->later);
	a->origin.events = NULL;
}

/* Each event may cancel this, which shows in events. The page is one slice, so STOP changes nothing. */
static void speak(struct later *later)
{
	struct origin_answer *a = CONTAINER_OF(later, struct origin_answer, later);
	struct head *head = a->scratch;
	struct bytes text = a->text.at != NULL ? a->text : bytes_of(a->body, a->body_len);
	void *arg = a->origin.arg;

	head_init(head);
	head->status = a->status;
	head->major = head->minor = 1;
	head->has_length = 1;
	head->length = text.len;
	head->body = text.len > 0 && !a->head_request ? BODY_LENGTH : BODY_NONE;
	for (size_t i = 0; i < a->fields_n; i++)
		if (!head_add(head, a->fields[i].name, a->fields[i].value))
			break;
	/* cppcheck-suppress nullPointerRedundantCheck */
	a->origin.events->head(arg, head);
	if (a->origin.events != NULL && head->body == BODY_LENGTH)
		(void)a->origin.events->body(arg, text);
	if (a->origin.events != NULL)
		a->origin.events->end(arg, REASON_NONE);
}
