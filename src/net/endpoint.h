/*
 * endpoint.h: an address that can be connected to or listened on, and its text. Numeric only: names
 * are resolved by the monitor.
 */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct endpoint {
	socklen_t len;
	struct sockaddr_storage addr;
};

enum { ENDPOINT_TEXT_MAX = 128 };

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
bool endpoint_equal(const struct endpoint *, const struct endpoint *);

#endif
