/*
 * conf_table.h: a small table with every type, for the tests of conf.
 */
#ifndef T_CONF_TABLE_H
#define T_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/conf.h"

struct toy_route {
	char *path;
	int64_t weight;
};

struct toy_site {
	char *name;
	struct conf_strings names;
	struct {
		int verify;
		int64_t depth;
	} client;
	struct {
		struct toy_route *at;
		size_t n;
	} routes;
};

struct toy {
	char *user;
	int64_t workers;
	bool fast;
	struct {
		uint64_t idle, head;
	} timeouts;
	uint64_t memory, rate;
	int mode;
	unsigned headers;
	char *log;
	struct conf_strings keys, pairs;
	struct {
		struct toy_site *at;
		size_t n;
	} sites;
};

#define AT(field) .at = offsetof(struct toy, field)
#define SITE(field) .at = offsetof(struct toy_site, field)
#define ROUTE(field) .at = offsetof(struct toy_route, field)

static const struct conf_option toy_table[] = {
	{ .path = "user", .type = CONF_STRING, .help = "who runs it", AT(user) },
	{ .path = "workers",
	    .type = CONF_INTEGER,
	    .def = "2",
	    .max = 64,
	    .help = "how many",
	    AT(workers) },
	{ .path = "pairs", .type = CONF_PAIRS, .help = "names and values", AT(pairs) },
	{ .path = "fast", .type = CONF_BOOL, .def = "true", .help = "or slow", AT(fast) },
	{ .path = "timeouts", .type = CONF_GROUP, .help = "how long" },
	{ .path = "timeouts.idle",
	    .type = CONF_DURATION,
	    .def = "75s",
	    .min = 1000,
	    .max = 3600000,
	    .help = "doing nothing",
	    AT(timeouts.idle) },
	{ .path = "timeouts.head",
	    .type = CONF_DURATION,
	    .def = "10s",
	    .help = "for a head",
	    AT(timeouts.head) },
	{ .path = "memory", .type = CONF_SIZE, .def = "64M", .help = "at most", AT(memory) },
	{ .path = "rate", .type = CONF_RATE, .def = "100/s", .help = "at most", AT(rate) },
	{ .path = "mode",
	    .type = CONF_ENUM,
	    .values = "tls|redirect|plain",
	    .def = "tls",
	    .help = "what is spoken",
	    AT(mode) },
	{ .path = "headers",
	    .type = CONF_FLAGS,
	    .values = "forwarded|mod_ssl|extra",
	    .def = "forwarded|mod_ssl",
	    .help = "what is told",
	    AT(headers) },
	{ .path = "log", .type = CONF_PATH, .values = "stderr", .help = "a file", AT(log) },
	{ .path = "keys", .type = CONF_PATHS, .values = "pkcs11:", .help = "files", AT(keys) },
	{ .path = "sites[]",
	    .type = CONF_LIST,
	    .required = 1,
	    .min = 1,
	    .size = sizeof(struct toy_site),
	    .help = "add sites = ( { ... } );",
	    AT(sites) },
	{ .path = "sites[].name", .type = CONF_STRING, .help = "its name", SITE(name) },
	{ .path = "sites[].names",
	    .type = CONF_STRINGS,
	    .required = 1,
	    .help = "add names = [ \"www.example.com\" ];",
	    SITE(names) },
	{ .path = "sites[].client", .type = CONF_GROUP, .help = "who asks" },
	{ .path = "sites[].client.verify",
	    .type = CONF_ENUM,
	    .values = "none|optional|require",
	    .def = "none",
	    .help = "how",
	    SITE(client.verify) },
	{ .path = "sites[].client.depth",
	    .type = CONF_INTEGER,
	    .def = "3",
	    .min = 1,
	    .max = 9,
	    .help = "how deep",
	    SITE(client.depth) },
	{ .path = "sites[].routes[]",
	    .type = CONF_LIST,
	    .size = sizeof(struct toy_route),
	    .help = "where to",
	    SITE(routes) },
	{ .path = "sites[].routes[].path", .type = CONF_STRING, .help = "prefix", ROUTE(path) },
	{ .path = "sites[].routes[].weight",
	    .type = CONF_INTEGER,
	    .def = "1",
	    .min = 1,
	    .max = 100,
	    .help = "how much",
	    ROUTE(weight) },
};
enum { TOY_TABLE_N = sizeof(toy_table) / sizeof(toy_table[0]) };

#endif
