/*
 * client_at.h: a client's addresses, for tests that make one by hand.
 */
#ifndef T_UNIT_CLIENT_AT_H
#define T_UNIT_CLIENT_AT_H

#include <stdio.h>

#include "gateway/client.h"

static inline union endpoint_brief brief_of(const char *ip, uint16_t port)
{
	struct endpoint endpoint;

	assert_int_equal(endpoint_of_ip(&endpoint, ip, port), 0);
	return endpoint_brief(&endpoint);
}

static inline void client_at(
    struct client *client, const char *ip, uint16_t port, const char *local, uint16_t local_port)
{
	client->peer = brief_of(ip, port);
	client->local = brief_of(local, local_port);
	snprintf(client->peer_text, sizeof client->peer_text, "%s", ip);
}

#endif
