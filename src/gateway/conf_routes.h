/*
 * conf_routes.h: what a site and a route do with paths, fields and clients, as rows of gateway.conf's
 * table. Included by gateway_conf.c only.
 */
#ifndef GATEWAY_CONF_ROUTES_H
#define GATEWAY_CONF_ROUTES_H

#include "gateway/gateway_conf.h"

#define CONF_ROUTES_SITE_OPTIONS                                                                   \
	{ .path = "sites[].hsts",                                                                  \
		.type = CONF_DURATION,                                                             \
		.max = 10 * 365 * 86400e3,                                                         \
		.def = "0s",                                                                       \
		.at = offsetof(struct site_conf, hsts),                                            \
		.help = "so long browsers shall ask for https only (Strict-Transport-Security): "  \
			"\"365d\"; 0s: not said" },                                                \
	    { .path = "sites[].hsts_subdomains",                                                   \
		    .type = CONF_BOOL,                                                             \
		    .def = "false",                                                                \
		    .at = offsetof(struct site_conf, hsts_subdomains),                             \
		    .help = "the same for all names under this one" },                             \
	    { .path = "sites[].paths",                                                             \
		    .type = CONF_GROUP,                                                            \
		    .help = "paths that servers behind read in different ways: safe (pass where "  \
			    "each reading is on the same route), refuse, or pass" },               \
	    { .path = "sites[].paths.encoded_slash",                                               \
		    .type = CONF_ENUM,                                                             \
		    .values = "safe|refuse|pass",                                                  \
		    .def = "safe",                                                                 \
		    .at = offsetof(struct site_conf, paths.encoded_slash),                         \
		    .help = "%2F in a path" },                                                     \
	    { .path = "sites[].paths.backslash",                                                   \
		    .type = CONF_ENUM,                                                             \
		    .values = "safe|refuse|pass",                                                  \
		    .def = "safe",                                                                 \
		    .at = offsetof(struct site_conf, paths.backslash),                             \
		    .help = "a backslash, or %5C, in a path" },                                    \
	    { .path = "sites[].paths.parameters",                                                  \
		    .type = CONF_ENUM,                                                             \
		    .values = "safe|refuse|pass",                                                  \
		    .def = "safe",                                                                 \
		    .at = offsetof(struct site_conf, paths.parameters),                            \
		    .help = "parameters behind a ; in a path" },                                   \
	    { .path = "sites[].paths.double_slash",                                                \
		    .type = CONF_ENUM,                                                             \
		    .values = "safe|refuse|pass",                                                  \
		    .def = "safe",                                                                 \
		    .at = offsetof(struct site_conf, paths.double_slash),                          \
		    .help = "an empty segment, //, in a path" },                                   \
	    { .path = "sites[].add",                                                               \
		    .type = CONF_PAIRS,                                                            \
		    .at = offsetof(struct site_conf, fields.add),                                  \
		    .help = "fields for the server, instead of the client's: add = { X-Version = " \
			    "\"%{tls_version}\"; };" },                                            \
	    { .path = "sites[].remove",                                                            \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct site_conf, fields.remove),                               \
		    .help = "fields of the client that the server does not get" },                 \
	    { .path = "sites[].answer_add",                                                        \
		    .type = CONF_PAIRS,                                                            \
		    .at = offsetof(struct site_conf, fields.answer_add),                           \
		    .help = "fields for the client, instead of the server's: answer_add = { "      \
			    "X-Frame-Options = \"DENY\"; };" },                                    \
	    { .path = "sites[].answer_remove",                                                     \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct site_conf, fields.answer_remove),                        \
		    .help = "fields of the server that the client does not get" },                 \
	    { .path = "sites[].require",                                                           \
		    .type = CONF_GROUP,                                                            \
		    .help = "who may ask; others get 403" },                                       \
	    { .path = "sites[].require.subject",                                                   \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct site_conf, require.subject),                             \
		    .help =                                                                        \
			"subjects of client certificates: [ \"CN=alice,*\" ]; a * is any text" },  \
	    { .path = "sites[].require.issuer",                                                    \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct site_conf, require.issuer),                              \
		    .help = "issuers of client certificates" },                                    \
	    { .path = "sites[].require.san",                                                       \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct site_conf, require.san),                                 \
		    .help = "alternative names of client certificates: [ \"DNS:*.example.com\", "  \
			    "\"URI:spiffe://example/*\" ]" },                                      \
	{                                                                                          \
		.path = "sites[].require.networks", .type = CONF_STRINGS,                          \
		.at = offsetof(struct site_conf, require.networks),                                \
		.help = "client addresses: [ \"10.0.0.0/8\" ]"                                     \
	}

#define CONF_ROUTES_OPTIONS                                                                        \
	{ .path = "sites[].routes[].exact",                                                        \
		.type = CONF_BOOL,                                                                 \
		.def = "false",                                                                    \
		.at = offsetof(struct route_conf, exact),                                          \
		.help = "the path alone, not what lies under it" },                                \
	    { .path = "sites[].routes[].plain",                                                    \
		    .type = CONF_BOOL,                                                             \
		    .def = "false",                                                                \
		    .at = offsetof(struct route_conf, plain),                                      \
		    .help = "served on listeners that redirect, too: for "                         \
			    "/.well-known/acme-challenge/" },                                      \
	    { .path = "sites[].routes[].strip_prefix",                                             \
		    .type = CONF_STRING,                                                           \
		    .at = offsetof(struct route_conf, strip_prefix),                               \
		    .help = "taken off the path's begin for the server" },                         \
	    { .path = "sites[].routes[].add_prefix",                                               \
		    .type = CONF_STRING,                                                           \
		    .at = offsetof(struct route_conf, add_prefix),                                 \
		    .help = "put before the path for the server" },                                \
	    { .path = "sites[].routes[].rewrite",                                                  \
		    .type = CONF_FLAGS,                                                            \
		    .values = "location|cookies",                                                  \
		    .at = offsetof(struct route_conf, rewrite),                                    \
		    .help = "what of an answer is put into the client's terms: location "          \
			    "(Location, Content-Location), cookies (Domain, Path)" },              \
	    { .path = "sites[].routes[].redirect",                                                 \
		    .type = CONF_STRING,                                                           \
		    .at = offsetof(struct route_conf, redirect),                                   \
		    .help = "the answer is a redirect there: redirect = "                          \
			    "\"https://new.example%{uri}\";" },                                    \
	    { .path = "sites[].routes[].redirect_status",                                          \
		    .type = CONF_INTEGER,                                                          \
		    .max = 308,                                                                    \
		    .def = "0",                                                                    \
		    .at = offsetof(struct route_conf, redirect_status),                            \
		    .help =                                                                        \
			"301, 302, 303, 307 or 308; 0: 301, or 308 where the method must stay" },  \
	    { .path = "sites[].routes[].respond",                                                  \
		    .type = CONF_GROUP,                                                            \
		    .help = "an answer that is always the same" },                                 \
	    { .path = "sites[].routes[].respond.status",                                           \
		    .type = CONF_INTEGER,                                                          \
		    .max = 599,                                                                    \
		    .def = "0",                                                                    \
		    .at = offsetof(struct route_conf, respond.status),                             \
		    .help = "200 to 599; 0: 200, if there is a body" },                            \
	    { .path = "sites[].routes[].respond.body",                                             \
		    .type = CONF_STRING,                                                           \
		    .at = offsetof(struct route_conf, respond.body),                               \
		    .help = "its text" },                                                          \
	    { .path = "sites[].routes[].respond.type",                                             \
		    .type = CONF_STRING,                                                           \
		    .def = "text/plain; charset=utf-8",                                            \
		    .at = offsetof(struct route_conf, respond.type),                               \
		    .help = "its Content-Type" },                                                  \
	    { .path = "sites[].routes[].paths",                                                    \
		    .type = CONF_GROUP,                                                            \
		    .help = "paths that servers behind read in different ways: safe (pass where "  \
			    "each reading is on the same route), refuse, or pass" },               \
	    { .path = "sites[].routes[].paths.encoded_slash",                                      \
		    .type = CONF_ENUM,                                                             \
		    .values = "site|safe|refuse|pass",                                             \
		    .def = "site",                                                                 \
		    .at = offsetof(struct route_conf, paths.encoded_slash),                        \
		    .help = "%2F in a path" },                                                     \
	    { .path = "sites[].routes[].paths.backslash",                                          \
		    .type = CONF_ENUM,                                                             \
		    .values = "site|safe|refuse|pass",                                             \
		    .def = "site",                                                                 \
		    .at = offsetof(struct route_conf, paths.backslash),                            \
		    .help = "a backslash, or %5C, in a path" },                                    \
	    { .path = "sites[].routes[].paths.parameters",                                         \
		    .type = CONF_ENUM,                                                             \
		    .values = "site|safe|refuse|pass",                                             \
		    .def = "site",                                                                 \
		    .at = offsetof(struct route_conf, paths.parameters),                           \
		    .help = "parameters behind a ; in a path" },                                   \
	    { .path = "sites[].routes[].paths.double_slash",                                       \
		    .type = CONF_ENUM,                                                             \
		    .values = "site|safe|refuse|pass",                                             \
		    .def = "site",                                                                 \
		    .at = offsetof(struct route_conf, paths.double_slash),                         \
		    .help = "an empty segment, //, in a path" },                                   \
	    { .path = "sites[].routes[].add",                                                      \
		    .type = CONF_PAIRS,                                                            \
		    .at = offsetof(struct route_conf, fields.add),                                 \
		    .help = "fields for the server, instead of the client's: add = { X-Version = " \
			    "\"%{tls_version}\"; };" },                                            \
	    { .path = "sites[].routes[].remove",                                                   \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct route_conf, fields.remove),                              \
		    .help = "fields of the client that the server does not get" },                 \
	    { .path = "sites[].routes[].answer_add",                                               \
		    .type = CONF_PAIRS,                                                            \
		    .at = offsetof(struct route_conf, fields.answer_add),                          \
		    .help = "fields for the client, instead of the server's: answer_add = { "      \
			    "X-Frame-Options = \"DENY\"; };" },                                    \
	    { .path = "sites[].routes[].answer_remove",                                            \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct route_conf, fields.answer_remove),                       \
		    .help = "fields of the server that the client does not get" },                 \
	    { .path = "sites[].routes[].require",                                                  \
		    .type = CONF_GROUP,                                                            \
		    .help = "who may ask; others get 403" },                                       \
	    { .path = "sites[].routes[].require.subject",                                          \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct route_conf, require.subject),                            \
		    .help =                                                                        \
			"subjects of client certificates: [ \"CN=alice,*\" ]; a * is any text" },  \
	    { .path = "sites[].routes[].require.issuer",                                           \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct route_conf, require.issuer),                             \
		    .help = "issuers of client certificates" },                                    \
	    { .path = "sites[].routes[].require.san",                                              \
		    .type = CONF_STRINGS,                                                          \
		    .at = offsetof(struct route_conf, require.san),                                \
		    .help = "alternative names of client certificates: [ \"DNS:*.example.com\", "  \
			    "\"URI:spiffe://example/*\" ]" },                                      \
	{                                                                                          \
		.path = "sites[].routes[].require.networks", .type = CONF_STRINGS,                 \
		.at = offsetof(struct route_conf, require.networks),                               \
		.help = "client addresses: [ \"10.0.0.0/8\" ]"                                     \
	}

#endif
