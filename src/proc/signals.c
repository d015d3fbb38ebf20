/*
 * signals.c: see signals.h.
 */
#include "proc/signals.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "base/poison.h"

enum { SIGNALS_MAX = 16 };

struct signals {
	void (*got)(void *arg, int signo);
	void *arg;
	size_t n;
	struct event *events[SIGNALS_MAX];
};

static void signal_cb(evutil_socket_t signo, short what, void *arg)
{
	struct signals *signals = arg;

	(void)what;
	signals->got(signals->arg, (int)signo);
}

struct signals *signals_new(
    struct loop *loop, const int *list, void (*got)(void *arg, int signo), void *arg)
{
	struct signals *signals = calloc(1, sizeof(*signals));

	if (signals == NULL)
		return NULL;
	signals->got = got;
	signals->arg = arg;
	signal(SIGPIPE, SIG_IGN);
	for (; *list != 0 && signals->n < SIGNALS_MAX; list++) {
		struct event *event = evsignal_new(loop_base(loop), *list, signal_cb, signals);

		if (event == NULL || event_add(event, NULL) != 0) {
			if (event != NULL)
				event_free(event);
			signals_free(signals);
			return NULL;
		}
		signals->events[signals->n++] = event;
	}
	return signals;
}

void signals_free(struct signals *signals)
{
	if (signals == NULL)
		return;
	while (signals->n > 0)
		event_free(signals->events[--signals->n]);
	free(signals);
}
