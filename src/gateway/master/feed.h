/*
 * feed.h: one pass of a plan's key files through the key service: each file is opened here and its
 * descriptor sent; what comes back is its SKI or what is wrong with it. A few are under way at a time.
 */
#ifndef GATEWAY_MASTER_FEED_H
#define GATEWAY_MASTER_FEED_H

#include "gateway/master/embedded.h"

struct channel;

enum { FEED_UNDER_WAY = 32 };

struct feed {
	const struct plan *plan; /* NULL: none going on */
	struct channel *channel;
	embedded_fed fed;
	void *arg;
	struct plan_key *keys; /* one a file: n */
	size_t n;
	size_t sent, answered;
	unsigned pass; /* its number: answers to a former one may be on their way */
	bool begun; /* they are not any more */
	char *pem;
	struct loop *loop;
	const char *error; /* with done queued: what fed() will be told */
	struct later done;
};

void feed_begin(
    struct feed *, struct loop *, struct channel *, const struct plan *, embedded_fed, void *arg);
void feed_message(struct feed *, char *text);
void feed_lost(struct feed *, const char *why);
void feed_commit(struct feed *, struct channel *);
void feed_discard(struct feed *, struct channel *); /* what was read is not wanted */
void feed_clear(struct feed *);

#endif
