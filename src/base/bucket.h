/*
 * bucket.h: a token bucket. Time is passed in, in ms, so tests move it by hand. It starts full.
 */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint64_t rate; /* tokens a second */
	uint64_t burst; /* tokens that it holds when full */
	uint64_t level; /* thousandths of a token */
	uint64_t last; /* ms */
};

void bucket_init(struct bucket *, uint64_t rate, uint64_t burst, uint64_t now);
void bucket_set(struct bucket *, uint64_t rate, uint64_t burst); /* keeps the level, within burst */
bool bucket_take(struct bucket *, uint64_t tokens, uint64_t now); /* all of them or none */

#endif
