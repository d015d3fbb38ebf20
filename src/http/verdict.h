/*
 * verdict.h: how the reading of a message ended: the status to answer, the reason to log and count,
 * and where the bad byte stands. One place knows which status goes with which reason, and that a
 * back-end's fault is always a 502.
 */
#ifndef HTTP_VERDICT_H
#define HTTP_VERDICT_H

#include "base/bytes.h"
#include "base/reason.h"

enum message { MESSAGE_REQUEST, MESSAGE_RESPONSE };

struct verdict {
	uint16_t status; /* to answer the client with; the connection closes after it */
	enum reason reason; /* of a response: always one of REASON_BACKEND_* */
	size_t offset; /* of the bad byte in the input, to log */
};

/*
 * Reasons are given in the request's terms; for a response they become the back-end's. Fills the
 * verdict (which may not be NULL) and returns PARSE_BAD, so that a refusal is one line.
 */
enum parse verdict_refuse(struct verdict *, enum message, enum reason, size_t offset);
/* The status for a reason of the request's side. */
uint16_t verdict_status(enum reason);

#endif
