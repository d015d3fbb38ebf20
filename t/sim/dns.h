/*
 * dns.h: a scripted DNS server on a loopback port, UDP and TCP. It answers A and AAAA questions from a
 * table that the test may change at any time; names that are not in it do not exist.
 */
#ifndef DNS_H
#define DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_ADDRESSES_MAX = 24, DNS_NAMES_MAX = 8, DNS_CONNS_MAX = 8 };

enum dns_way {
	DNS_ANSWERS,
	DNS_SILENT,
	DNS_TRUNCATES, /* over UDP: an empty answer with TC; over TCP the whole */
	DNS_FAILS, /* SERVFAIL */
	DNS_BABBLES, /* first a wrong id, a cut answer and noise; then the answer */
	DNS_NO_AAAA, /* A is answered; AAAA is SERVFAIL */
};

struct dns_name {
	const char *name; /* with no dot at the end */
	enum dns_way way;
	uint32_t ttl; /* s */
	int ttl_step; /* each further record of a family has so much more */
	const char *addresses[DNS_ADDRESSES_MAX]; /* of both families, in order; NULL ends them */
};

struct dns {
	int udp, tcp, conns[DNS_CONNS_MAX], conns_n;
	char servers[32]; /* "127.0.0.1:PORT" */
	struct dns_name names[DNS_NAMES_MAX];
	size_t n;
	unsigned asked, asked_tcp; /* questions, of either type */
};

void dns_init(struct dns *);
void dns_clear(struct dns *);
/* The name's entry, made new where there is none. addresses: separated by spaces, borrowed for the
 * server's life; NULL or "": none. */
struct dns_name *dns_set(
    struct dns *, const char *name, enum dns_way, uint32_t ttl, char *addresses);
/* Answers what has come. True, for use in conditions. */
bool dns_serve(struct dns *);

#endif
