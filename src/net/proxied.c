/*
 * proxied.c: see proxied.h. The header is looked at where it lies (MSG_PEEK) until it is complete, then
 * taken by its exact length.
 */
#include "net/proxied.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/network.h"
#include "wire/proxyproto.h"

#include "base/poison.h"

struct proxied {
	struct event event;
	int fd;
	void (*told)(void *arg, enum reason, const struct proxied_addresses *);
	void *arg;
	uint8_t head[PROXYPROTO_MAX];
};

static void readable_cb(evutil_socket_t, short what, void *);

struct proxied *proxied_read(struct loop *loop, int fd,
    void (*told)(void *arg, enum reason, const struct proxied_addresses *), void *arg)
{
	struct proxied *p = malloc(sizeof *p);

	if (p == NULL)
		return NULL;
	p->fd = fd;
	p->told = told;
	p->arg = arg;
	/* By edges: a part of a header that was looked at would be readable for ever. */
	event_assign(&p->event, loop_base(loop), fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST,
	    readable_cb, p);
	if (event_add(&p->event, NULL) != 0) {
		free(p);
		return NULL;
	}
	return p;
}

void proxied_cancel(struct proxied *p)
{
	if (p == NULL)
		return;
	event_del(&p->event);
	free(p);
}

static void endpoint_of(
    struct endpoint *to, int family, const struct in6_addr *address, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&to->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&to->addr;

	memset(to, 0, sizeof *to);
	to->addr.ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		memcpy(&v4->sin_addr, address, sizeof v4->sin_addr);
		v4->sin_port = htons(port);
		to->len = sizeof *v4;
	} else {
		v6->sin6_addr = *address;
		v6->sin6_port = htons(port);
		to->len = sizeof *v6;
	}
}

static void tlvs_of(struct proxied_addresses *to, const struct proxyproto *said)
{
	to->tlvs = (struct proxied_tlvs){ .alpn = said->alpn,
		.authority = said->authority,
		.unique_id = said->unique_id,
		.tls = said->tls,
		.tls_version = said->tls_version,
		.cipher = said->cipher,
		.common_name = said->common_name,
		.certificate = said->certificate,
		.verified = said->verified };
	to->has_tlvs = said->tls || said->alpn.len > 0 || said->authority.len > 0 ||
		       said->unique_id.len > 0;
}

static void tell(struct proxied *p, enum reason why, const struct proxyproto *said)
{
	void (*told)(void *, enum reason, const struct proxied_addresses *) = p->told;
	struct proxied_addresses addresses = { .local = true };
	void *arg = p->arg;

	if (said != NULL && !said->local) {
		addresses.local = false;
		endpoint_of(&addresses.from, said->family, &said->from, said->from_port);
		endpoint_of(&addresses.to, said->family, &said->to, said->to_port);
		tlvs_of(&addresses, said);
	}
	/* The header that the slices are of lies in p. */
	event_del(&p->event);
	told(arg, why, why == REASON_NONE ? &addresses : NULL);
	free(p);
}

static void readable_cb(evutil_socket_t fd, short what, void *arg)
{
	struct proxied *p = arg;
	struct proxyproto said;
	size_t used = 0;
	ssize_t n;

	n = recv(fd, p->head, sizeof p->head, MSG_PEEK);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		tell(p, n == 0 ? REASON_CLOSE : REASON_RESET, NULL);
		return;
	}
	switch (proxyproto_parse(bytes_of(p->head, (size_t)n), &said, &used)) {
	case PARSE_MORE:
		if (what & EV_CLOSED)
			tell(p, REASON_PROXY_HEADER, NULL);
		break;
	case PARSE_BAD:
		tell(p, REASON_PROXY_HEADER, NULL);
		break;
	case PARSE_OK:
		/* They were there a moment ago, and there is no other reader. */
		n = recv(fd, p->head, used, 0);
		tell(p, n == (ssize_t)used ? REASON_NONE : REASON_IO, &said);
		break;
	}
}

/* ---- writing */

static bool is_v4(const uint8_t address[static 16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address, mapped, sizeof mapped) == 0;
}

/* Both of one family: a v4 address beside a v6 one is written in its mapped form. */
static bool addresses_of(
    struct proxyproto *p, const struct endpoint *from, const struct endpoint *to)
{
	uint8_t a[16], b[16];
	bool v4;

	if (!network_address(from, a) || !network_address(to, b))
		return false;
	v4 = is_v4(a) && is_v4(b);
	p->family = v4 ? AF_INET : AF_INET6;
	memcpy(&p->from, v4 ? a + 12 : a, v4 ? 4 : 16);
	memcpy(&p->to, v4 ? b + 12 : b, v4 ? 4 : 16);
	p->from_port = endpoint_port(from);
	p->to_port = endpoint_port(to);
	return true;
}

size_t proxied_write(int version, const struct endpoint *from, const struct endpoint *to,
    uint8_t out[static PROXIED_HEADER_MAX])
{
	struct proxyproto p = { .version = (uint8_t)version };

	p.local = !addresses_of(&p, from, to);
	return proxyproto_build(&p, out, PROXIED_HEADER_MAX);
}
