/*
 * frame.h: all that peers and service know of a protocol: where a message ends, and its number.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "base/bytes.h"

struct frame_codec {
	const char *name;
	/* OK: the first *len bytes are one whole message with number *id (0 where ordered). in starts at a
	 * message's first byte; called again with more bytes after MORE. NULL only where a service has its own. */
	enum parse (*next)(struct bytes in, size_t *len, uint32_t *id);
	bool ordered; /* answers come in the order of the questions; no numbers */
	size_t max; /* longest message, bytes; above: BAD */
};

#endif
