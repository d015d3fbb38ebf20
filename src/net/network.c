/*
 * network.c: see network.h. Called for the configuration, and for each caller.
 */
#include "net/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

enum { V4_PREFIX = 12, V4_PREFIX_BITS = 96, ADDRESS_BITS = 128 };

static const uint8_t v4_mapped[V4_PREFIX] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool network_address(const struct endpoint *endpoint, uint8_t address[static 16])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&endpoint->addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&endpoint->addr;

	switch (endpoint->addr.ss_family) {
	case AF_INET:
		memcpy(address, v4_mapped, V4_PREFIX);
		memcpy(address + V4_PREFIX, &v4->sin_addr, 4);
		return true;
	case AF_INET6:
		memcpy(address, &v6->sin6_addr, 16);
		return true;
	default:
		return false;
	}
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool zero_behind(const struct network *network)
{
	for (unsigned i = network->bits; i < ADDRESS_BITS; i++) {
		if ((network->at[i / 8] & (0x80 >> i % 8)) != 0)
			return false;
	}
	return true;
}

int network_parse(struct network *network, const char *text)
{
	char ip[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/'), *why = NULL;
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	struct endpoint at;
	unsigned skipped;

	if (len >= sizeof(ip))
		return -1;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (endpoint_of_ip(&at, ip, 0) == -1 || !network_address(&at, network->at))
		return -1;
	skipped = at.addr.ss_family == AF_INET ? V4_PREFIX_BITS : 0;
	network->bits = ADDRESS_BITS;
	if (slash != NULL && (slash[1] < '0' || slash[1] > '9'))
		return -1;
	if (slash != NULL)
		network->bits = skipped +
				(unsigned)strtonum(slash + 1, 0, ADDRESS_BITS - skipped, &why);
	return why == NULL && zero_behind(network) ? 0 : -1;
}

bool network_holds(const struct network *network, const struct endpoint *endpoint)
{
	uint8_t address[16];

	return network_address(endpoint, address) && same_bits(network->at, address, network->bits);
}
