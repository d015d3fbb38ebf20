/*
 * test_front_http1.c: a client's connection over a socket pair, through a real exchange and origin to
 * a back-end that the test plays.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "t/sim/gateway.h"

#include "base/poison.h"

static void a_get_passes_and_both_connections_live_on(void **state)
{
	struct sim_gateway *g = sim_gateway_new(1);
	int client, backend;

	(void)state;
	sim_gateway_start(g);
	client = sim_client(g, NULL);
	sim_send(client, "GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n");
	backend = sim_accept(g, 0);
	for (int i = 0; i < 3; i++) {
		sim_expect(
		    g, backend, "GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n");
		sim_send(backend, "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello");
		sim_expect(
		    g, client, "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello");
		if (i < 2)
			sim_send(client,
			    "GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n");
	}
	close(client);
	sim_gateway_stop(g);
	close(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_get_passes_and_both_connections_live_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
