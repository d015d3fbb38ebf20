/*
 * verdict.c: from a reason to the status that says it best (RFC 9110 section 15), and from the
 * request's reasons to the back-end's.
 */
#include "http/verdict.h"

#include "base/poison.h"

uint16_t verdict_status(enum reason reason)
{
	switch (reason) {
	case REASON_METHOD:
		return 405;
	case REASON_BODY_SIZE:
		return 413;
	case REASON_TARGET_SIZE:
		return 414;
	case REASON_EXPECT:
		return 417;
	case REASON_MISDIRECTED:
		return 421;
	case REASON_HEAD_SIZE:
	case REASON_FIELDS:
		return 431;
	case REASON_METHOD_UNKNOWN:
		return 501;
	case REASON_VERSION:
		return 505;
	default:
		return 400;
	}
}

static enum reason backend_reason(enum reason reason)
{
	switch (reason) {
	case REASON_REQUEST_LINE:
	case REASON_VERSION:
		return REASON_BACKEND_STATUS;
	case REASON_TARGET_SIZE:
	case REASON_HEAD_SIZE:
	case REASON_FIELDS:
		return REASON_BACKEND_HEAD_SIZE;
	case REASON_CONTENT_LENGTH:
	case REASON_TRANSFER_ENCODING:
	case REASON_FRAMING:
		return REASON_BACKEND_FRAMING;
	case REASON_CHUNK:
	case REASON_CHUNK_OVERHEAD:
	case REASON_TRAILER:
		return REASON_BACKEND_CHUNK;
	case REASON_BACKEND_UPGRADE:
	case REASON_INTERNAL:
		return reason;
	default:
		return REASON_BACKEND_HEAD;
	}
}

enum parse verdict_refuse(
    struct verdict *verdict, enum message message, enum reason reason, size_t offset)
{
	if (message == MESSAGE_RESPONSE) {
		verdict->status = 502;
		verdict->reason = backend_reason(reason);
	} else {
		verdict->status = verdict_status(reason);
		verdict->reason = reason;
	}
	verdict->offset = offset;
	return PARSE_BAD;
}
