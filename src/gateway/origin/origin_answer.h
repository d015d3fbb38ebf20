/*
 * origin_answer.h: an answer of our own: a redirect or an error page. It lies in its exchange. It
 * speaks in a later turn, as a back-end would.
 */
#ifndef GATEWAY_ORIGIN_ORIGIN_ANSWER_H
#define GATEWAY_ORIGIN_ORIGIN_ANSWER_H

#include "gateway/origin/origin.h"
#include "net/loop.h"

enum { ORIGIN_ANSWER_FIELDS_MAX = 6, ORIGIN_ANSWER_BODY_MAX = 768 };

struct origin_answer {
	struct origin origin; /* first */
	struct loop *loop;
	struct head *scratch; /* of the worker; used only while events->head runs */
	struct later later;
	uint16_t status;
	bool head_request;
	struct field fields[ORIGIN_ANSWER_FIELDS_MAX]; /* values are borrowed until the end */
	size_t fields_n;
	struct bytes text; /* the body, borrowed; at NULL: body has it */
	size_t body_len;
	char body[ORIGIN_ANSWER_BODY_MAX];
};

/* Empty answer; then its fields and body; then ops->start. */
void origin_answer_init(struct origin_answer *, struct loop *, struct head *scratch,
    uint16_t status, const struct origin_events *, void *arg);
void origin_answer_field(struct origin_answer *, const char *name, struct bytes value);

#endif
