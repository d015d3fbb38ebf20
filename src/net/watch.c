/*
 * watch.c: one persistent, level-triggered event round a callback.
 */
#include "net/watch.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/poison.h"

struct watch {
	struct event *event;
	void (*ready)(void *arg);
	void *arg;
};

static void ready_cb(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;

	(void)fd;
	(void)what;
	watch->ready(watch->arg);
}

struct watch *watch_new(struct loop *loop, int fd, void (*ready)(void *arg), void *arg)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return NULL;
	watch->ready = ready;
	watch->arg = arg;
	watch->event = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, ready_cb, watch);
	if (watch->event == NULL || event_add(watch->event, NULL) == -1) {
		watch_free(watch);
		return NULL;
	}
	return watch;
}

void watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	if (watch->event != NULL)
		event_free(watch->event);
	free(watch);
}
