/*
 * endpoint.h: an address that can be connected to or listened on, and its text. Numeric only: names
 * are resolved by the monitor.
 */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct endpoint {
	socklen_t len;
	struct sockaddr_storage addr;
};

/* What is kept of each connection's: without the room for a Unix socket's path, nor the path. */
union endpoint_brief {
	sa_family_t family; /* AF_INET, AF_INET6; else neither address nor port is known */
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

enum { ENDPOINT_TEXT_MAX = 128, ENDPOINT_HOST_MAX = INET6_ADDRSTRLEN };

/* "127.0.0.1:80", "[::1]:80", "*:443" ([::] and v4, in listening), "unix:/path", "unix:@abstract". 0, or
 * -1: malformed or a name. */
int endpoint_parse(struct endpoint *, const char *text);
int endpoint_of_ip(struct endpoint *, const char *ip, uint16_t port); /* -1: not an address */
/* Splits "host:port" (a name or an address, IPv6 in brackets); host is NUL-terminated. 0 or -1. */
int endpoint_split(const char *text, char *host, size_t host_size, uint16_t *port);
const char *endpoint_text(
    const struct endpoint *, char *buf, size_t size); /* "127.0.0.1:80"; buf */
const char *endpoint_host_text(
    const struct endpoint *, char *buf, size_t size); /* "127.0.0.1", v4-mapped as v4 */
uint16_t endpoint_port(const struct endpoint *); /* 0 for unix */
bool endpoint_is_any(const struct endpoint *); /* 0.0.0.0 or [::], whatever port */
union endpoint_brief endpoint_brief(const struct endpoint *);
struct endpoint endpoint_whole(const union endpoint_brief *);
uint16_t endpoint_brief_port(const union endpoint_brief *); /* 0 for unix */
bool endpoint_equal(const struct endpoint *, const struct endpoint *);

#endif
