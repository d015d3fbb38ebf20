/*
 * dns.c: see dns.h. RFC 1035 by hand: a header of 12 bytes, one question, records that point back to it.
 */
#include "dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/poison.h"

enum {
	HEADER = 12,
	QUESTION_MAX = 300,
	UDP_MAX = 512,
	ANSWER_MAX = 768,
	TYPE_A = 1,
	TYPE_AAAA = 28
};
enum { SERVFAIL = 2, NXDOMAIN = 3, TRUNCATED = 0x02 };

struct answer {
	uint8_t bytes[ANSWER_MAX];
	size_t len;
};

static void put(struct answer *a, const void *bytes, size_t n)
{
	assert_true(a->len + n <= sizeof a->bytes);
	memcpy(a->bytes + a->len, bytes, n);
	a->len += n;
}

/* The question's name as text; where its four last bytes begin, or 0. */
static size_t question_name(const uint8_t *q, size_t len, char *name, size_t size)
{
	size_t at = HEADER, to = 0;

	while (at < len && q[at] != 0) {
		if (q[at] > 63 || at + 1 + q[at] >= len || to + q[at] + 2 > size)
			return 0;
		if (to > 0)
			name[to++] = '.';
		memcpy(name + to, q + at + 1, q[at]);
		to += q[at];
		at += 1u + q[at];
	}
	name[to] = '\0';
	return at + 5 <= len ? at + 1 : 0;
}

static void put_records(struct answer *a, const struct dns_name *name, int type)
{
	for (size_t i = 0; i < DNS_ADDRESSES_MAX && name->addresses[i] != NULL; i++) {
		bool v6 = strchr(name->addresses[i], ':') != NULL;
		uint8_t record[12 + 16] = { 0xc0, HEADER, 0, (uint8_t)type, 0, 1 };
		uint32_t ttl = htonl(name->ttl + (uint32_t)(name->ttl_step * a->bytes[7]));

		if (v6 != (type == TYPE_AAAA))
			continue;
		memcpy(record + 6, &ttl, 4);
		record[11] = v6 ? 16 : 4;
		assert_int_equal(
		    inet_pton(v6 ? AF_INET6 : AF_INET, name->addresses[i], record + 12), 1);
		put(a, record, 12u + record[11]);
		a->bytes[7]++;
	}
}

static struct dns_name *find(struct dns *dns, const char *name)
{
	for (size_t i = 0; i < dns->n; i++)
		if (strcasecmp(dns->names[i].name, name) == 0)
			return &dns->names[i];
	return NULL;
}

/* False: it stays silent. */
static bool answer(struct dns *dns, const uint8_t *q, size_t len, bool tcp, struct answer *a)
{
	char text[256];
	size_t tail = len > HEADER ? question_name(q, len, text, sizeof text) : 0;
	const struct dns_name *name;
	int type;

	if (tail == 0)
		return false;
	dns->asked++;
	dns->asked_tcp += tcp;
	name = find(dns, text);
	type = q[tail + 1];
	a->len = 0;
	put(a, q, tail + 4);
	a->bytes[2] = 0x81; /* an answer; recursion was desired */
	a->bytes[3] = 0x80; /* and is available */
	memset(a->bytes + 6, 0, 6);
	if (name == NULL)
		a->bytes[3] |= NXDOMAIN;
	else if (name->way == DNS_SILENT)
		return false;
	else if (name->way == DNS_FAILS || (name->way == DNS_NO_AAAA && type == TYPE_AAAA))
		a->bytes[3] |= SERVFAIL;
	else if (name->way == DNS_TRUNCATES && !tcp)
		a->bytes[2] |= TRUNCATED;
	else
		put_records(a, name, type);
	assert_true(tcp || a->len <= UDP_MAX);
	return true;
}

static void babble(
    struct dns *dns, const struct answer *a, const struct sockaddr_in *to, socklen_t to_len)
{
	uint8_t wrong[UDP_MAX];

	memcpy(wrong, a->bytes, a->len);
	wrong[1] ^= 0x55;
	sendto(dns->udp, wrong, a->len, 0, (const struct sockaddr *)to, to_len);
	sendto(dns->udp, "\xff\xff\xff", 3, 0, (const struct sockaddr *)to, to_len);
}

static void serve_udp(struct dns *dns)
{
	uint8_t q[QUESTION_MAX];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	struct answer a;
	ssize_t n;

	while ((n = recvfrom(
		    dns->udp, q, sizeof q, MSG_DONTWAIT, (struct sockaddr *)&from, &len)) >= 0) {
		char text[256];
		const struct dns_name *name;

		if (!answer(dns, q, (size_t)n, false, &a))
			continue;
		question_name(q, (size_t)n, text, sizeof text);
		name = find(dns, text);
		if (name != NULL && name->way == DNS_BABBLES)
			babble(dns, &a, &from, len);
		sendto(dns->udp, a.bytes, a.len, 0, (struct sockaddr *)&from, len);
		len = sizeof from;
	}
}

static void serve_tcp(struct dns *dns)
{
	int fd;

	while (dns->conns_n < DNS_CONNS_MAX &&
	       (fd = accept4(dns->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		dns->conns[dns->conns_n++] = fd;
	for (int i = 0; i < dns->conns_n; i++) {
		uint8_t q[2 + QUESTION_MAX];
		struct answer a;

		/* A question is short, so it comes in one piece; more than one may. */
		while (recv(dns->conns[i], q, 2, MSG_DONTWAIT | MSG_PEEK) == 2) {
			size_t len = 2u + (size_t)(q[0] << 8 | q[1]);
			uint8_t head[2];

			assert_true(len <= sizeof q);
			if (recv(dns->conns[i], q, len, MSG_DONTWAIT | MSG_PEEK) != (ssize_t)len)
				break;
			assert_int_equal(recv(dns->conns[i], q, len, 0), len);
			if (!answer(dns, q + 2, len - 2, true, &a))
				continue;
			head[0] = (uint8_t)(a.len >> 8);
			head[1] = (uint8_t)a.len;
			send(dns->conns[i], head, 2, MSG_NOSIGNAL);
			send(dns->conns[i], a.bytes, a.len, MSG_NOSIGNAL);
		}
	}
}

bool dns_serve(struct dns *dns)
{
	serve_udp(dns);
	serve_tcp(dns);
	return true;
}

struct dns_name *dns_set(
    struct dns *dns, const char *name, enum dns_way way, uint32_t ttl, char *addresses)
{
	struct dns_name *entry = find(dns, name);
	size_t n = 0;

	if (entry == NULL) {
		assert_true(dns->n < DNS_NAMES_MAX);
		entry = &dns->names[dns->n++];
	}
	*entry = (struct dns_name){ .name = name, .way = way, .ttl = ttl };
	for (char *one; (one = strsep(&addresses, " ")) != NULL;) {
		if (*one == '\0')
			continue;
		assert_true(n < DNS_ADDRESSES_MAX);
		entry->addresses[n++] = one;
	}
	return entry;
}

/* One port for both: that of a free UDP port is most often free in TCP too. */
void dns_init(struct dns *dns)
{
	memset(dns, 0, sizeof *dns);
	for (int tries = 0; tries < 50; tries++) {
		struct sockaddr_in at = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof at;

		dns->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		dns->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(dns->udp >= 0 && dns->tcp >= 0);
		assert_int_equal(bind(dns->udp, (struct sockaddr *)&at, sizeof at), 0);
		assert_int_equal(getsockname(dns->udp, (struct sockaddr *)&at, &len), 0);
		snprintf(dns->servers, sizeof dns->servers, "127.0.0.1:%u", ntohs(at.sin_port));
		if (bind(dns->tcp, (struct sockaddr *)&at, sizeof at) == 0 &&
		    listen(dns->tcp, 16) == 0)
			return;
		close(dns->udp);
		close(dns->tcp);
	}
	fail_msg("no port is free for UDP and TCP");
}

void dns_clear(struct dns *dns)
{
	close(dns->udp);
	close(dns->tcp);
	for (int i = 0; i < dns->conns_n; i++)
		close(dns->conns[i]);
}
