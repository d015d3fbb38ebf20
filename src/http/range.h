/*
 * range.h: which bytes of a whole a Range field asks for (RFC 9110, section 14). One range is given;
 * of several, nothing less than the whole, so nobody can ask for the same bytes a thousand times.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include "base/bytes.h"

enum range {
	RANGE_WHOLE, /* none that is understood, or several */
	RANGE_PART, /* len bytes from first */
	RANGE_OUTSIDE, /* none of them is there: 416 */
};

struct range_bytes {
	uint64_t first, len; /* len > 0 */
};

enum range range_read(struct bytes field, uint64_t size, struct range_bytes *);

#endif
