/*
 * admin_private.h: the admin address, as its files share it. admin.c: connections and requests;
 * admin_out.c: how a page is written; admin_page.c: the pages that every daemon has.
 */
#ifndef PROC_ADMIN_PRIVATE_H
#define PROC_ADMIN_PRIVATE_H

#include "proc/admin.h"

struct evbuffer;

enum { ADMIN_METRIC_NAME_MAX = 128 };

struct admin_out {
	struct evbuffer *to; /* borrowed; what is in it is the page so far */
	bool full; /* ADMIN_PAGE_MAX is passed, or there is no memory: the page is dropped */
	bool comma; /* JSON: a member came before in this object or list */
	char metric[ADMIN_METRIC_NAME_MAX]; /* whose HELP and TYPE were written last */
};

/* The pages: NULL: there is none of that path. The content type; *status is set. */
const char *admin_page(
    const struct admin_params *, const char *path, struct admin_out *, int *status);

#endif
