/*
 * conf_clients.h: the options of gateway.conf about what clients may take (timeouts, limits) and what is
 * written down of them (access_log), for the table in gateway_conf.c; and their checks.
 */
#ifndef GATEWAY_CONF_CLIENTS_H
#define GATEWAY_CONF_CLIENTS_H

#include <stddef.h>

#include "gateway/gateway_conf.h"

#define CLIENTS_AT(field) .at = offsetof(struct gateway_conf, field)
#define CONF_CLIENTS_OPTIONS                                                                       \
	{ .path = "timeouts", .type = CONF_GROUP, .help = "how long a client may take" },          \
	    { .path = "timeouts.handshake",                                                        \
		    .type = CONF_DURATION,                                                         \
		    .def = "10s",                                                                  \
		    .min = 1,                                                                      \
		    .max = 3600e3,                                                                 \
		    CLIENTS_AT(timeouts.handshake),                                                \
		    .help = "for a TLS handshake" },                                               \
	    { .path = "timeouts.head",                                                             \
		    .type = CONF_DURATION,                                                         \
		    .def = "10s",                                                                  \
		    .min = 1,                                                                      \
		    .max = 3600e3,                                                                 \
		    CLIENTS_AT(timeouts.head),                                                     \
		    .help = "for a request's head" },                                              \
	    { .path = "timeouts.body",                                                             \
		    .type = CONF_DURATION,                                                         \
		    .def = "30s",                                                                  \
		    .min = 1,                                                                      \
		    .max = 86400e3,                                                                \
		    CLIENTS_AT(timeouts.body),                                                     \
		    .help = "between two pieces of a request's body" },                            \
	    { .path = "timeouts.idle",                                                             \
		    .type = CONF_DURATION,                                                         \
		    .def = "75s",                                                                  \
		    .min = 1,                                                                      \
		    .max = 86400e3,                                                                \
		    CLIENTS_AT(timeouts.idle),                                                     \
		    .help = "between two requests of a connection" },                              \
	    { .path = "timeouts.write",                                                            \
		    .type = CONF_DURATION,                                                         \
		    .def = "60s",                                                                  \
		    .min = 1,                                                                      \
		    .max = 86400e3,                                                                \
		    CLIENTS_AT(timeouts.write),                                                    \
		    .help = "while a client reads nothing of an answer" },                         \
	    { .path = "timeouts.tunnel",                                                           \
		    .type = CONF_DURATION,                                                         \
		    .def = "1h",                                                                   \
		    .min = 1,                                                                      \
		    .max = 7 * 86400e3,                                                            \
		    CLIENTS_AT(timeouts.tunnel),                                                   \
		    .help = "a tunnel (WebSocket) without a byte" },                               \
	    { .path = "timeouts.drain",                                                            \
		    .type = CONF_DURATION,                                                         \
		    .def = "300s",                                                                 \
		    .max = 7 * 86400e3,                                                            \
		    CLIENTS_AT(timeouts.drain),                                                    \
		    .help = "open connections, when a process is replaced or stops" },             \
	    { .path = "limits", .type = CONF_GROUP, .help = "how much a client may ask for" },     \
	    { .path = "limits.connections",                                                        \
		    .type = CONF_INTEGER,                                                          \
		    .def = "0",                                                                    \
		    .max = 1e8,                                                                    \
		    CLIENTS_AT(limits.connections),                                                \
		    .help = "client connections at once; 0: what the descriptors allow" },         \
	    { .path = "limits.handshakes",                                                         \
		    .type = CONF_INTEGER,                                                          \
		    .def = "512",                                                                  \
		    .min = 1,                                                                      \
		    .max = 1e6,                                                                    \
		    CLIENTS_AT(limits.handshakes),                                                 \
		    .help = "handshakes that wait for a signature, in each worker" },              \
	    { .path = "limits.head",                                                               \
		    .type = CONF_SIZE,                                                             \
		    .def = "32K",                                                                  \
		    .min = 1024,                                                                   \
		    .max = 64 * 1024, /* HEAD_BYTES_MAX */                                         \
		    CLIENTS_AT(limits.head),                                                       \
		    .help = "a request's head" },                                                  \
	    { .path = "limits.fields",                                                             \
		    .type = CONF_INTEGER,                                                          \
		    .def = "100",                                                                  \
		    .min = 8,                                                                      \
		    .max = 128, /* HEAD_FIELDS_MAX */                                              \
		    CLIENTS_AT(limits.fields),                                                     \
		    .help = "fields of a request's head" },                                        \
	    { .path = "limits.body",                                                               \
		    .type = CONF_SIZE,                                                             \
		    .def = "0",                                                                    \
		    CLIENTS_AT(limits.body),                                                       \
		    .help = "a request's body; 0: no limit" },                                     \
	    { .path = "limits.request_buffer",                                                     \
		    .type = CONF_SIZE,                                                             \
		    .def = "16K",                                                                  \
		    .max = 1 << 20,                                                                \
		    CLIENTS_AT(limits.request_buffer),                                             \
		    .help = "so much of a request's body is awaited before a server is asked; 0: " \
			    "none" },                                                              \
	    { .path = "limits.request_buffers",                                                    \
		    .type = CONF_SIZE,                                                             \
		    .def = "64M",                                                                  \
		    CLIENTS_AT(limits.request_buffers),                                            \
		    .help = "memory for all bodies that are kept, in each worker; once it is "     \
			    "used up, bodies are passed on as they come, and their requests not "  \
			    "retried; 0: no limit" },                                              \
	    { .path = "limits.response_buffer",                                                    \
		    .type = CONF_SIZE,                                                             \
		    .def = "64K",                                                                  \
		    .min = 16 << 10,                                                               \
		    .max = 64 << 20,                                                               \
		    CLIENTS_AT(limits.response_buffer),                                            \
		    .help = "so much of an answer is taken from its server at once, however slow " \
			    "its client is" },                                                     \
	    { .path = "limits.response_buffers",                                                   \
		    .type = CONF_SIZE,                                                             \
		    .def = "256M",                                                                 \
		    CLIENTS_AT(limits.response_buffers),                                           \
		    .help = "memory for all that waits for clients and servers, in each worker; "  \
			    "above it each gets 16K; 0: no limit" },                               \
	    { .path = "limits.body_rate",                                                          \
		    .type = CONF_SIZE,                                                             \
		    .def = "100",                                                                  \
		    CLIENTS_AT(limits.body_rate),                                                  \
		    .help = "bytes a second of a request's body, on average, once it has taken "   \
			    "longer than "                                                         \
			    "timeouts.body; 0: as slow as it likes" },                             \
	    { .path = "limits.connections_per_client",                                             \
		    .type = CONF_INTEGER,                                                          \
		    .def = "0",                                                                    \
		    .max = 1e8,                                                                    \
		    CLIENTS_AT(limits.connections_per_client),                                     \
		    .help = "connections at once of one address (IPv6: of a /64), in each "        \
			    "worker; 0: no "                                                       \
			    "limit" },                                                             \
	    { .path = "limits.handshakes_per_client",                                              \
		    .type = CONF_RATE,                                                             \
		    .max = 1e6,                                                                    \
		    CLIENTS_AT(limits.handshakes_per_client),                                      \
		    .help = "new connections of one address (IPv6: of a /64), in each worker: "    \
			    "\"20/s\"; twice as many at once; no limit if left out" },             \
                                                                                                   \
	    { .path = "access_log", .type = CONF_GROUP, .help = "one line a request" },            \
	    { .path = "access_log.file",                                                           \
		    .type = CONF_PATH,                                                             \
		    .values = "stderr|syslog:",                                                    \
		    CLIENTS_AT(access_log.file),                                                   \
		    .help = "a path, stderr, or syslog:/dev/log; none if left out" },              \
	    { .path = "access_log.format",                                                         \
		    .type = CONF_STRING,                                                           \
		    .def = "combined",                                                             \
		    CLIENTS_AT(access_log.format),                                                 \
		    .help =                                                                        \
			"combined, json, or words and variables: \"%{client} %{status} %{ms}\"" }, \
	{                                                                                          \
		.path = "access_log.connections", .type = CONF_BOOL, .def = "false",               \
		CLIENTS_AT(access_log.connections),                                                \
		.help = "a line, too, for each connection that ends without a request"             \
	}

/* trusted_proxies and who needs them, access_log. Adds what is wrong. */
void conf_check_clients(const struct gateway_conf *, struct conf_errors *);

#endif
