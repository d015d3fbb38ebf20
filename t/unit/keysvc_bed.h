/*
 * keysvc_bed.h: a key service on a Unix socket, one P-256 key, and a client that asks it.
 */
#ifndef T_UNIT_KEYSVC_BED_H
#define T_UNIT_KEYSVC_BED_H

#include "keysvc/keyop.h"
#include "keysvc/keysvc.h"
#include "wire/keyless.h"

struct fixture {
	char dir[64], path[96];
	struct loop *loop;
	struct policy policy;
	struct epochs *epochs;
	struct keysvc *svc;
	struct key *key; /* in the service's set; held */
	struct keyop *op;
	int fd;
	uint8_t in[2 * KEYLESS_MAX], out[1024];
	size_t in_n, last; /* last: bytes of the answer given out */
};

void join(struct fixture *f);
int setup(void **state);
int teardown(void **state);
void send_all(struct fixture *f, const uint8_t *at, size_t len);
bool receive(struct fixture *f, struct keyless *k);
struct keyless ask(struct fixture *f, const struct keyless *request);
struct keyless custom(
    struct fixture *f, const char *function, const uint8_t *ski, struct bytes payload);
void hello(struct fixture *f);
void refused(struct keyless k, enum keyless_error error);
void refuses_custom(struct fixture *f, const char *function, const uint8_t *ski,
    struct bytes payload, enum keyless_error error);
struct bytes sign_request(uint8_t *buf, uint16_t scheme);
void closed(struct fixture *f);
struct keystore *key_set(struct key *key);

#endif
