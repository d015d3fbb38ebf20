/*
 * signqueue.c: see signqueue.h.
 */
#include "config.h"

#include "gateway/tls/signqueue.h"

#include "base/poison.h"

void signqueue_init(struct signqueue *q, size_t bound)
{
	*q = (struct signqueue){ .bound = bound };
	TAILQ_INIT(&q->waiting);
}

static struct signwait *take(struct signqueue *q, struct signwait *w)
{
	if (w == NULL)
		return NULL;
	TAILQ_REMOVE(&q->waiting, w, link);
	q->waiting_n--;
	w->state = SIGNWAIT_NOT;
	/* Short again: a quarter of what may wait. */
	if (q->bound < SIGNQUEUE_ASKED_MAX || q->waiting_n <= (q->bound - SIGNQUEUE_ASKED_MAX) / 4)
		q->newest_first = false;
	return w;
}

bool signqueue_enter(
    struct signqueue *q, struct signwait *w, uint64_t now_ms, struct signwait **shed)
{
	*shed = NULL;
	w->state = SIGNWAIT_NOT;
	if (q->waiting_n + q->asked_n >= q->bound) {
		/* All that there may be are with the service: nobody can be sent away for this one. */
		if (q->waiting_n == 0)
			return false;
		*shed = take(q, TAILQ_FIRST(&q->waiting));
		q->newest_first = true;
	}
	if (q->asked_n < SIGNQUEUE_ASKED_MAX && q->waiting_n == 0) {
		w->state = SIGNWAIT_ASKED;
		q->asked_n++;
		return true;
	}
	w->state = SIGNWAIT_WAITING;
	w->since_ms = now_ms;
	TAILQ_INSERT_TAIL(&q->waiting, w, link);
	q->waiting_n++;
	return false;
}

void signqueue_leave(struct signqueue *q, struct signwait *w)
{
	if (w->state == SIGNWAIT_WAITING)
		(void)take(q, w);
	else if (w->state == SIGNWAIT_ASKED)
		q->asked_n--;
	w->state = SIGNWAIT_NOT;
}

struct signwait *signqueue_next(struct signqueue *q)
{
	struct signwait *w;

	if (q->asked_n >= SIGNQUEUE_ASKED_MAX)
		return NULL;
	w = take(
	    q, q->newest_first ? TAILQ_LAST(&q->waiting, signwaits) : TAILQ_FIRST(&q->waiting));
	if (w == NULL)
		return NULL;
	w->state = SIGNWAIT_ASKED;
	q->asked_n++;
	return w;
}

struct signwait *signqueue_late(struct signqueue *q, uint64_t now_ms)
{
	struct signwait *w = TAILQ_FIRST(&q->waiting);

	if (w == NULL || now_ms - w->since_ms < SIGNQUEUE_WAIT_MS)
		return NULL;
	return take(q, w);
}
