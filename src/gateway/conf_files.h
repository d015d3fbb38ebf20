/*
 * conf_files.h: the options of a route that is answered from a folder, as gateway_conf.c's table has
 * them, and their checks.
 */
#ifndef GATEWAY_CONF_FILES_H
#define GATEWAY_CONF_FILES_H

#include "gateway/gateway_conf.h"

/* at_(field): the offset of that field in struct route_conf. */
#define CONF_FILES_OPTIONS(at_)                                                                    \
	{ .path = "sites[].routes[].files",                                                        \
		.type = CONF_PATH,                                                                 \
		.at = at_(files),                                                                  \
		.help = "a folder whose files are the answer, instead of a pool; the workers' "    \
			"user must be able to read them" },                                        \
	    { .path = "sites[].routes[].files_index",                                              \
		    .type = CONF_STRING,                                                           \
		    .def = "index.html",                                                           \
		    .at = at_(files_index),                                                        \
		    .help = "the file that answers for a folder" },                                \
	    { .path = "sites[].routes[].files_symlinks",                                           \
		    .type = CONF_BOOL,                                                             \
		    .def = "false",                                                                \
		    .at = at_(files_symlinks),                                                     \
		    .help = "follow symbolic links that stay within the folder" },                 \
	    { .path = "sites[].routes[].files_cache",                                              \
		    .type = CONF_STRING,                                                           \
		    .at = at_(files_cache),                                                        \
		    .help = "their Cache-Control: \"public, max-age=3600\"; none if left out" },   \
	{                                                                                          \
		.path = "sites[].routes[].files_charset", .type = CONF_STRING, .def = "utf-8",     \
		.at = at_(files_charset), .help = "the charset of text files; none leaves it open" \
	}

void conf_check_files(const struct route_conf *, struct conf_errors *);

#endif
