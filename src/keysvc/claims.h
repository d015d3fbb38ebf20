/*
 * claims.h: signatures that are asked for with a gateway's identity against those that the gateway says it
 * has asked for (sslgw/signed, wire/keyless.h): what is beyond, somebody else has asked for.
 *
 * Both count questions, so that those which are refused or lost their caller count on both sides. A
 * gateway counts before it sends; its claim is read from all its workers' counts at one moment, and
 * another worker's question may overtake it. So a claim may lack what is asked in the time that it takes:
 * an alarm is what CLAIMS_ROWS claims in a row lack, beyond a twentieth of what was asked in the last 10 to
 * 20 s. That is a bound for all time, not for each claim: counts are totals. An idle gateway's is exact.
 *
 * What a gateway asked just before all of it died is never claimed: no alarm by itself, but questions that
 * go on without any claim are. When a gateway starts again (another instance), and after a reload of
 * this service, counting begins anew. An instance that comes back after another one means that two
 * gateways have one identity. Pure: time and counts are passed in.
 */
#ifndef KEYSVC_CLAIMS_H
#define KEYSVC_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CLAIMS_TICK_MS = 10000,
	CLAIMS_TICKS = 4, /* that are remembered */
	CLAIMS_ROWS = 4,
	CLAIMS_SLACK = 20, /* the part of what was asked lately that may be on its way */
	CLAIMS_SILENT_MS = 40000, /* without a claim, and still asking */
};

/* Of one caller; all zero at first. */
struct claims {
	uint64_t instance, former; /* 0: none yet */
	uint64_t count; /* the highest that this instance has claimed */
	uint64_t covered; /* so many of `asked` are claimed */
	uint64_t seen[CLAIMS_TICKS]; /* asked, at the last ticks, the newest first */
	uint64_t beyond[CLAIMS_ROWS]; /* what the last claims lacked, the newest first */
	uint64_t claimed_ms; /* the last time; 0: never */
	uint64_t unclaimed; /* the alarm: how many in all */
	bool doubled; /* two instances at a time */
};

/* A claim has come. asked: what was asked so far. How many of them are found to be unclaimed, by this. */
uint64_t claims_take(
    struct claims *, uint64_t instance, uint64_t count, uint64_t asked, uint64_t now_ms);
/* Every CLAIMS_TICK_MS. The same. */
uint64_t claims_tick(struct claims *, uint64_t asked, uint64_t now_ms);

#endif
