/*
 * epochs_peers.c: what the other key services say: their generations are taken by the Rule, their
 * clocks are compared, their troubles are told to the operator. Called by epochs for each answer.
 */
#include "config.h"

#include <string.h>

#include "base/log.h"
#include "keysvc/epochs_private.h"

#include "base/poison.h"

const char *epochs_trouble_text(enum trouble trouble)
{
	static const char *const texts[] = {
#define X(id, text) text,
		EPOCHS_TROUBLES(X)
#undef X
	};

	return texts[trouble];
}

size_t epochs_others(const struct epochs *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->peers_n; i++)
		n += !e->peers[i].self;
	return n;
}

bool epochs_peers_agree(const struct epochs *e, struct epochs_time now)
{
	int64_t mine = (int64_t)(now.wall - now.boot);
	size_t agree = 0;

	for (size_t i = 0; i < e->peers_n; i++) {
		const struct epochs_peer *p = &e->peers[i];
		int64_t apart = p->ahead > mine ? p->ahead - mine : mine - p->ahead;

		if (!p->self && p->ever && !p->held && now.boot - p->at <= EPOCHS_FRESH_S &&
		    apart <= EPOCHS_AGREE_S)
			agree++;
	}
	return agree > epochs_others(e) / 2;
}

/* The worst first: one line and one text a peer. */
static enum trouble trouble_of(const struct generations_taken *taken)
{
	if (taken->other_period)
		return TROUBLE_PERIOD;
	if (taken->conflicts > 0)
		return TROUBLE_CONFLICT;
	if (taken->other_clock)
		return TROUBLE_CLOCK;
	if (taken->ahead > 0)
		return TROUBLE_AHEAD;
	return taken->full > 0 || taken->failed > 0 ? TROUBLE_FULL : TROUBLE_NONE;
}

static void tell_trouble(struct epochs_peer *p, enum trouble trouble, uint64_t boot)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_text(&p->endpoint, text, sizeof(text));
	if (trouble == TROUBLE_NONE && p->trouble != TROUBLE_NONE)
		log_info("key service %s: all is well again", text);
	else if (trouble != TROUBLE_NONE &&
		 (trouble != p->trouble || boot - p->said >= EPOCHS_SAY_S)) {
		log_errorx("key service %s: %s", text, epochs_trouble_text(trouble));
		p->said = boot;
	}
	p->trouble = trouble;
}

/* One server is counted once, whatever addresses it is listed under. */
static bool is_counted(const struct epochs *e, size_t peer, const uint8_t *sender)
{
	if (memcmp(sender, e->sender, EPOCH_ID_LEN) == 0)
		return true;
	for (size_t i = 0; i < peer; i++) {
		if (e->peers[i].answered && memcmp(sender, e->peers[i].sender, EPOCH_ID_LEN) == 0)
			return true;
	}
	return false;
}

bool epochs_peer_said(struct epochs *e, size_t peer, struct bytes payload)
{
	struct epochs_time now = epochs_time(e);
	struct epochs_peer *p = &e->peers[peer];
	struct generations_taken taken;

	if (generations_offer_parse(payload, e->offer) != PARSE_OK)
		return false;
	memcpy(p->sender, e->offer->sender, sizeof(p->sender));
	p->self = is_counted(e, peer, p->sender);
	p->answered = p->ever = true;
	p->at = now.boot;
	p->ahead = (int64_t)(e->offer->unix_now - now.boot);
	p->held = e->offer->held;
	p->empty = e->offer->n == 0;
	if (!p->self) {
		epochclock_check(
		    &e->clock, now.wall, now.boot); /* it may have leapt since the tick */
		if (generations_take(&e->g, e->kit, e->offer, now.wall, e->clock.held, &taken))
			e->dirty = true;
		tell_trouble(p, trouble_of(&taken), now.boot);
		if (taken.revoked > 0)
			log_warnx("%u generations of ticket keys were revoked by the operator: "
				  "their sessions end",
			    taken.revoked);
	}
	generations_offer_clear(e->offer);
	return true;
}
