/*
 * foreign.h: what is different where the key servers are not ours, but speak the Keyless protocol as
 * its other programs do: they sign digests (opcodes 05 to 07, 15 to 17, 35 to 37; 18 takes the whole
 * message), know a key by its SKI or, older ones, by the digest of its modulus, and answer their own
 * errors. Part of keyclient.c.
 */
#ifndef GATEWAY_CLUSTER_FOREIGN_H
#define GATEWAY_CLUSTER_FOREIGN_H

#include "base/bytes.h"
#include "gateway/cluster/keyclient.h"
#include "net/endpoint.h"

/* The question for a signature of tbs, number 0; 0: there is no operation for that scheme, or no room. */
size_t foreign_question(
    const struct keyclient_key *, uint16_t scheme, struct bytes tbs, uint8_t *buf, size_t size);
/* May another try, at another server where there is one, do better after that error? */
bool foreign_again(uint8_t error);

/* Lines about errors, at most one in FOREIGN_LINE_MS. All zero at first. */
enum { FOREIGN_LINE_MS = 10000 };
struct foreign_said {
	uint64_t at; /* ms of the last line; 0: none yet */
	uint64_t more; /* errors since then */
};
void foreign_say(struct foreign_said *, uint64_t now_ms, const struct endpoint *server,
    struct bytes question, uint8_t error);

#endif
