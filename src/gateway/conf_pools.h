/*
 * conf_pools.h: how the servers of a pool are watched and clients kept to them, as rows of gateway.conf's
 * table. Included by gateway_conf.c only.
 */
#ifndef GATEWAY_CONF_POOLS_H
#define GATEWAY_CONF_POOLS_H

#include "gateway/gateway_conf.h"

#define CONF_POOLS_AT(field) .at = offsetof(struct pool_conf, field)
#define CONF_POOLS_OPTIONS                                                                         \
	{ .path = "pools[].max_fails",                                                             \
		.type = CONF_INTEGER,                                                              \
		.def = "3",                                                                        \
		.min = 0,                                                                          \
		.max = 1000,                                                                       \
		CONF_POOLS_AT(max_fails),                                                          \
		.help =                                                                            \
		    "a server is spared after so many failures in a row, or one to connect; 0: "   \
		    "never" },                                                                     \
	    { .path = "pools[].fail_timeout",                                                      \
		    .type = CONF_DURATION,                                                         \
		    .def = "10s",                                                                  \
		    .min = 1000,                                                                   \
		    .max = 3600e3,                                                                 \
		    CONF_POOLS_AT(fail_timeout),                                                   \
		    .help = "a server that fails is spared for 1s, then 2s, 4s, up to this" },     \
	    { .path = "pools[].slow_start",                                                        \
		    .type = CONF_DURATION,                                                         \
		    .def = "0s",                                                                   \
		    .max = 3600e3,                                                                 \
		    CONF_POOLS_AT(slow_start),                                                     \
		    .help = "the share of a server that came back grows for so long" },            \
	    { .path = "pools[].sticky_cookie",                                                     \
		    .type = CONF_STRING,                                                           \
		    CONF_POOLS_AT(sticky_cookie),                                                  \
		    .help = "a cookie of this name keeps a client at its server" },                \
	    { .path = "pools[].sticky_secret",                                                     \
		    .type = CONF_STRING,                                                           \
		    CONF_POOLS_AT(sticky_secret),                                                  \
		    .help = "hides the servers behind the cookie's values; the same on all "       \
			    "gateways: \"${NAME}\"" },                                             \
	    { .path = "pools[].health_check",                                                      \
		    .type = CONF_GROUP,                                                            \
		    .help = "the servers are asked now and then whether they are well" },          \
	    { .path = "pools[].health_check.path",                                                 \
		    .type = CONF_STRING,                                                           \
		    CONF_POOLS_AT(health_check.path),                                              \
		    .help = "asked for by GET; without it a connection is opened, no more" },      \
	    { .path = "pools[].health_check.interval",                                             \
		    .type = CONF_DURATION,                                                         \
		    .def = "0s",                                                                   \
		    .max = 3600e3,                                                                 \
		    CONF_POOLS_AT(health_check.interval),                                          \
		    .help = "from one check to the next; 0: 2s with a path, none without" },       \
	    { .path = "pools[].health_check.timeout",                                              \
		    .type = CONF_DURATION,                                                         \
		    .def = "1s",                                                                   \
		    .min = 10,                                                                     \
		    .max = 300e3,                                                                  \
		    CONF_POOLS_AT(health_check.timeout),                                           \
		    .help = "for a connection and the head of the answer" },                       \
	    { .path = "pools[].health_check.rise",                                                 \
		    .type = CONF_INTEGER,                                                          \
		    .def = "2",                                                                    \
		    .min = 1,                                                                      \
		    .max = 100,                                                                    \
		    CONF_POOLS_AT(health_check.rise),                                              \
		    .help = "good checks in a row until a server that was down is up" },           \
	    { .path = "pools[].health_check.fall",                                                 \
		    .type = CONF_INTEGER,                                                          \
		    .def = "3",                                                                    \
		    .min = 1,                                                                      \
		    .max = 100,                                                                    \
		    CONF_POOLS_AT(health_check.fall),                                              \
		    .help = "bad checks in a row until a server that was up is down" },            \
	    { .path = "pools[].health_check.status",                                               \
		    .type = CONF_STRING,                                                           \
		    .def = "200-399",                                                              \
		    CONF_POOLS_AT(health_check.status),                                            \
		    .help = "what a good answer bears: \"200-399\", \"200,204\"" },                \
	{                                                                                          \
		.path = "pools[].health_check.host", .type = CONF_STRING,                          \
		CONF_POOLS_AT(health_check.host),                                                  \
		.help = "the Host that is asked for; the server's address if left out"             \
	}

#define CONF_POOLS_STREAM                                                                          \
	{                                                                                          \
		.path = "sites[].routes[].stream", .type = CONF_BOOL, .def = "false",              \
		.at = offsetof(struct route_conf, stream),                                         \
		.help = "pass a request's body on from its first byte (limits.request_buffer)"     \
	}

#endif
