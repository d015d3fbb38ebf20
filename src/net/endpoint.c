/*
 * endpoint.c: text to address and back. No name is looked up here.
 */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

static int parse_port(const char *text, uint16_t *port)
{
	unsigned long value = 0;

	if (*text == '\0' || strlen(text) > 5)
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (unsigned long)(*text - '0');
	}
	if (value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

int endpoint_split(const char *text, char *host, size_t host_size, uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *from = text, *to = colon;

	if (colon == NULL || parse_port(colon + 1, port) != 0)
		return -1;
	if (*from == '[') {
		from++;
		to--;
		if (to < from || *to != ']')
			return -1;
	}
	if (to == from || (size_t)(to - from) >= host_size)
		return -1;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	/* Brackets go with an IPv6 address, and nothing else. */
	if ((strchr(host, ':') != NULL) != (*text == '[') || strpbrk(host, "[]") != NULL)
		return -1;
	return 0;
}

int endpoint_of_ip(struct endpoint *endpoint, const char *ip, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&endpoint->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&endpoint->addr;

	memset(endpoint, 0, sizeof *endpoint);
	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		endpoint->len = sizeof *v4;
		return 0;
	}
	if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		endpoint->len = sizeof *v6;
		return 0;
	}
	return -1;
}

static int parse_unix(struct endpoint *endpoint, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&endpoint->addr;
	size_t len = strlen(path);

	memset(endpoint, 0, sizeof *endpoint);
	if (len == 0 || len >= sizeof un->sun_path)
		return -1;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len);
	if (path[0] == '@') {
		un->sun_path[0] = '\0';
		endpoint->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	} else {
		endpoint->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	}
	return 0;
}

int endpoint_parse(struct endpoint *endpoint, const char *text)
{
	char host[64];
	uint16_t port;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(endpoint, text + 5);
	if (endpoint_split(text, host, sizeof host, &port) != 0)
		return -1;
	return endpoint_of_ip(endpoint, strcmp(host, "*") == 0 ? "::" : host, port);
}

const char *endpoint_host_text(const struct endpoint *endpoint, char *buf, size_t size)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->addr;
	const char *ok = NULL;

	if (endpoint->addr.ss_family == AF_INET)
		ok = inet_ntop(AF_INET, &v4->sin_addr, buf, (socklen_t)size);
	else if (endpoint->addr.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		ok = inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], buf, (socklen_t)size);
	else if (endpoint->addr.ss_family == AF_INET6)
		ok = inet_ntop(AF_INET6, &v6->sin6_addr, buf, (socklen_t)size);
	if (ok == NULL)
		snprintf(buf, size, "unix");
	return buf;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
	if (endpoint->addr.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&endpoint->addr)->sin_port);
	if (endpoint->addr.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&endpoint->addr)->sin6_port);
	return 0;
}

const char *endpoint_text(const struct endpoint *endpoint, char *buf, size_t size)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&endpoint->addr;
	char host[INET6_ADDRSTRLEN + 1];

	if (endpoint->addr.ss_family == AF_UNIX) {
		size_t len = endpoint->len - offsetof(struct sockaddr_un, sun_path);

		if (endpoint->len <= offsetof(struct sockaddr_un, sun_path))
			snprintf(buf, size, "unix:");
		else if (un->sun_path[0] == '\0')
			snprintf(buf, size, "unix:@%.*s", (int)len - 1, un->sun_path + 1);
		else
			snprintf(
			    buf, size, "unix:%.*s", (int)strnlen(un->sun_path, len), un->sun_path);
		return buf;
	}
	endpoint_host_text(endpoint, host, sizeof host);
	snprintf(buf, size, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
	    endpoint_port(endpoint));
	return buf;
}

bool endpoint_is_any(const struct endpoint *endpoint)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&endpoint->addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&endpoint->addr;

	if (endpoint->addr.ss_family == AF_INET)
		return v4->sin_addr.s_addr == htonl(INADDR_ANY);
	return endpoint->addr.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

union endpoint_brief endpoint_brief(const struct endpoint *endpoint)
{
	union endpoint_brief brief = { .family = endpoint->addr.ss_family };

	if (brief.family == AF_INET)
		memcpy(&brief.v4, &endpoint->addr, sizeof brief.v4);
	else if (brief.family == AF_INET6)
		memcpy(&brief.v6, &endpoint->addr, sizeof brief.v6);
	return brief;
}

struct endpoint endpoint_whole(const union endpoint_brief *brief)
{
	struct endpoint endpoint = { .len = sizeof(sa_family_t) };

	if (brief->family == AF_INET)
		endpoint.len = sizeof brief->v4;
	else if (brief->family == AF_INET6)
		endpoint.len = sizeof brief->v6;
	memcpy(&endpoint.addr, brief, endpoint.len);
	return endpoint;
}

uint16_t endpoint_brief_port(const union endpoint_brief *brief)
{
	if (brief->family == AF_INET)
		return ntohs(brief->v4.sin_port);
	return brief->family == AF_INET6 ? ntohs(brief->v6.sin6_port) : 0;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}
