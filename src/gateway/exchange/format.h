/*
 * format.h: a line of the access log, Apache's "combined":
 *
 *	host - - [time] "request line" status bytes "Referer" "User-Agent"
 *
 * Text from strangers is written as Apache writes it: \" and \\ and \xNN for what is not printable
 * ASCII, so a line cannot be forged, nor a terminal be talked to.
 */
#ifndef GATEWAY_EXCHANGE_FORMAT_H
#define GATEWAY_EXCHANGE_FORMAT_H

#include "base/bytes.h"

enum {
	FORMAT_TEXT_MAX = 4096, /* bytes of one text; what is longer is cut */
	FORMAT_LINE_MAX = 4 * 4 * FORMAT_TEXT_MAX + 512, /* four texts, each byte \xNN */
	FORMAT_TIME_SIZE = 32,
};

struct format_facts {
	struct bytes peer, time; /* time as format_time() makes it */
	struct bytes method, target; /* empty: none was understood */
	uint8_t minor;
	uint16_t status; /* 0: none was sent */
	uint64_t length; /* of the answer's body */
	struct bytes referer, agent;
};

/* With its newline. FORMAT_LINE_MAX bytes always suffice; 0: size does not. */
size_t format_combined(const struct format_facts *, char *line, size_t size);
size_t format_time(
    int64_t wall, char buf[static FORMAT_TIME_SIZE]); /* 24/Nov/2026:08:21:47 +0000 */

#endif
