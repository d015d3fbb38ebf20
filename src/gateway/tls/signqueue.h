/*
 * signqueue.h: which handshakes may ask for a signature now, which wait, and which are given up. Pure:
 * remotekey_sign asks, the time is passed in.
 *
 * Only so many questions are with the key service at once, since it answers in order: what waits there
 * cannot be taken back, and past its capacity all of it would come too late. The others wait here, the
 * oldest first in line. At the bound the oldest is given up, and until the line is short again the
 * newest go first: their clients are still there, and so the service's work is never in vain.
 */
#ifndef GATEWAY_TLS_SIGNQUEUE_H
#define GATEWAY_TLS_SIGNQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
	SIGNQUEUE_ASKED_MAX =
	    32, /* with the service at once; even slow RSA keys sign these in 300 ms */
	SIGNQUEUE_WAIT_MS = 2000, /* longer nobody waits in line */
};

struct signwait { /* embedded in what waits; the queue owns nothing */
	TAILQ_ENTRY(signwait) link;
	uint64_t since_ms;
	enum { SIGNWAIT_NOT, SIGNWAIT_WAITING, SIGNWAIT_ASKED } state;
};

struct signqueue {
	TAILQ_HEAD(signwaits, signwait) waiting; /* the oldest first */
	size_t waiting_n, asked_n, bound; /* of both together */
	bool newest_first;
};

void signqueue_init(struct signqueue *, size_t bound);
/* true: it may ask now. false: it waits, or with a bound of 0 nothing: then its state is SIGNWAIT_NOT.
 * *shed: the oldest that waited, out of the queue, for which there was no room; or NULL. */
bool signqueue_enter(
    struct signqueue *, struct signwait *, uint64_t now_ms, struct signwait **shed);
/* It is over, wherever it was. */
void signqueue_leave(struct signqueue *, struct signwait *);
/* One that may ask now; NULL: none waits, or no more can be asked. */
struct signwait *signqueue_next(struct signqueue *);
/* One that waited too long, out of the queue; or NULL. */
struct signwait *signqueue_late(struct signqueue *, uint64_t now_ms);

#endif
