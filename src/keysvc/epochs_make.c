/*
 * epochs_make.c: when this server makes a generation of itself. The one invariant: whoever has peers
 * asks them first, so that of many servers one makes it and the others take that one.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "keysvc/epochs_private.h"

#include "base/poison.h"

static void make(struct epochs *e, enum epoch_kind kind, uint64_t wall, bool at_once)
{
	e->make_at = 0;
	if (generations_make(&e->g, kind, wall, at_once) == -1) {
		log_warnx("no new generation of ticket keys could be made: too many, or no "
			  "randomness");
		return;
	}
	e->dirty = true;
	log_info("a new generation of ticket keys was made%s",
	    kind == EPOCH_ORPHAN ? ", for as long as no other key service has one"
	    : at_once            ? ""
				 : ": it rules from the epoch after the next on");
}

static bool is_wanting(const struct epochs *e, uint64_t wall)
{
	return generations_ruler(&e->g, generations_epoch(&e->g, wall)) == NULL;
}

/* None rules the present and the peers have been asked. */
static void decide_wanting(struct epochs *e, struct epochs_time now)
{
	size_t others = epochs_others(e), answered = 0;
	bool first = true, full = false;

	for (size_t i = 0; i < e->peers_n; i++) {
		const struct epochs_peer *p = &e->peers[i];

		if (p->self || !p->answered)
			continue;
		answered++;
		full |= !p->empty;
		if (memcmp(p->sender, e->sender, EPOCH_ID_LEN) < 0)
			first = false;
	}
	if (full) {
		/* They have some that cannot be taken: one more would only be one more trouble. */
		if (e->said_wanting == 0 || now.boot - e->said_wanting >= EPOCHS_SAY_S) {
			log_errorx("no ticket keys: the other key services have some, but none "
				   "that can be taken here (see sslgwctl epoch show)");
			e->said_wanting = now.boot;
		}
		return;
	}
	/* All that are there begin together: the one with the lowest number makes it. */
	if (answered > 0 && !first && now.boot - e->wanting_since < EPOCHS_ELECT_S)
		return;
	make(e, answered == others ? EPOCH_MADE : EPOCH_ORPHAN, now.wall, true);
}

void epochs_decide(struct epochs *e, struct epochs_time now)
{
	if (e->clock.held || !generations_due(&e->g, now.wall, e->lifetime_s))
		return;
	if (is_wanting(e, now.wall))
		decide_wanting(e, now);
	else if (e->make_at != 0 && now.boot >= e->make_at)
		make(e, EPOCH_MADE, now.wall, false);
}

void epochs_make_if_due(struct epochs *e, struct epochs_time now)
{
	bool wanting = is_wanting(e, now.wall);

	if (!wanting)
		e->wanting_since = e->said_wanting = 0;
	if (!generations_due(&e->g, now.wall, e->lifetime_s)) {
		e->make_at = 0;
		return;
	}
	if (wanting) {
		if (e->wanting_since == 0)
			e->wanting_since = now.boot;
	} else if (e->make_at == 0) {
		e->make_at = now.boot + arc4random_uniform(EPOCHS_WAIT_S + 1);
		return;
	} else if (now.boot < e->make_at) {
		return;
	}
	if (e->exchange == NULL)
		epochs_decide(e, now);
	else
		e->round_at = now.boot; /* ask them, then decide */
}
