/*
 * init.h: a cluster as the command line of sslgwctl init names it: init.c reads and checks it,
 * init_write.c makes the folders of its machines.
 */
#ifndef CTL_INIT_H
#define CTL_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/cert.h"

enum { INIT_PARTS_MAX = 256, INIT_SITES_MAX = 64, INIT_CHAINS_MAX = 4, INIT_BACKENDS_MAX = 64 };

enum part_kind { PART_GATEWAY, PART_KEYSVC, PART_CACHESVC, PART_KINDS };

/* A program on a machine. Parts of one name share a folder. */
struct part {
	enum part_kind kind;
	char name[254];
	char host[64]; /* numeric; IPv6 without brackets */
	uint16_t port;
};

struct chain {
	const char *file; /* NULL: self-signed, made here */
	struct cert_chain *cert; /* owned */
	char *key_pem; /* owned, cleansed; NULL: to be put there by the operator */
	char stem[280]; /* its files' name, without end */
};

struct site {
	const char *name;
	struct chain chains[INIT_CHAINS_MAX];
	size_t chains_n;
};

struct init {
	const char *dir;
	bool force, here;
	int64_t life_s; /* of identities */
	struct part parts[INIT_PARTS_MAX];
	size_t parts_n;
	struct site sites[INIT_SITES_MAX];
	size_t sites_n;
	const char *backends[INIT_BACKENDS_MAX];
	size_t backends_n;
};

const char *part_role(enum part_kind); /* "gateway" */
const char *part_program(enum part_kind); /* "sslgw" */
/* "10.0.0.1:443", "[fd00::1]:443" */
const char *part_address(const struct part *, char *buf, size_t size);

/* Writes everything. 0, or -1: said. */
int init_write(const struct init *);

#endif
