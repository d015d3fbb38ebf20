/*
 * slots.c: which process serves which slot's sockets: its own worker, or for as long as it has none a
 * neighbour. A socket that nobody accepts from would hang its share of the clients.
 */
#include "base/log.h"
#include "gateway/master/workers_private.h"

#include "base/poison.h"

enum { SLOTS_AGAIN_MS = 100 }; /* nobody is ready: looked at again */

/* The mode goes with the socket: a worker of a former plan may not know the listener. */
static void give(struct workers *w, struct process *to, unsigned slot)
{
	const struct sockets *sockets = w->now.sockets;

	if (to->channel == NULL || slot >= sockets_slots(sockets))
		return;
	for (size_t i = 0; i < sockets_listeners(sockets); i++) {
		int fd = sockets_fd(sockets, i, slot);

		if (sockets_listen(sockets, i, slot) != 0)
			log_error("cannot listen on a socket of worker %u", slot);
		if (channel_send(
			to->channel, &fd, 1, "listen %u %d", slot, sockets_mode(sockets, i)) != 0)
			log_warnx("worker %u takes no messages", to->slot);
	}
}

static struct process *find_neighbour(const struct workers *w, unsigned slot, bool of_now)
{
	for (unsigned i = 1; i < ROLES_WORKERS_MAX; i++) {
		struct process *p = w->slots[(slot + i) % ROLES_WORKERS_MAX].current;

		if (p != NULL && p->state == PROCESS_READY &&
		    (!of_now || p->generation == w->now.generation))
			return p;
	}
	return NULL;
}

static void orphaned_cb(struct deadline *deadline)
{
	struct slot *s = CONTAINER_OF(deadline, struct slot, orphaned);
	struct workers *w = s->workers;
	unsigned slot = (unsigned)(s - w->slots);

	if (s->current != NULL || s->server != NULL || w->draining ||
	    slot >= sockets_slots(w->now.sockets))
		return;
	s->server = find_neighbour(w, slot, true);
	if (s->server == NULL) /* of a former plan: it will drain soon, but it is there now */
		s->server = find_neighbour(w, slot, false);
	if (s->server != NULL)
		give(w, s->server, slot);
	else
		slots_orphan(w, slot, SLOTS_AGAIN_MS);
}

void slots_orphan(struct workers *w, unsigned slot, uint64_t ms)
{
	if (w->now.sockets != NULL)
		deadline_set(w->params.loop, &w->slots[slot].orphaned, ms, orphaned_cb);
}

void slots_taken(struct workers *w, struct process *p)
{
	struct slot *s = &w->slots[p->slot];

	deadline_clear(w->params.loop, &s->orphaned);
	give(w, p, p->slot);
	if (s->server != NULL && s->server->channel != NULL)
		channel_send(s->server->channel, NULL, 0, "unlisten %u", p->slot);
	s->server = NULL;
}

void slots_left(struct workers *w, const struct process *p)
{
	for (unsigned i = 0; i < ROLES_WORKERS_MAX; i++) {
		if (w->slots[i].server != p)
			continue;
		w->slots[i].server = NULL;
		slots_orphan(w, i, 0);
	}
}
