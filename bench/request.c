/*
 * request.c: the request that is sent, and its numbers: a run of '#' in the name or the path stands for a
 * number that changes (--names: with each connection, --paths: with each request), so that a load goes round
 * many sites or routes. A visit has a copy of its own where there are numbers.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

/* A prime: neighbours in time are none in the front's tables. */
enum { STRIDE = 7919 };

static void run_find(struct run *r, const char *from, const char *text)
{
	const char *at = strchr(from, '#');

	if (at == NULL)
		return;
	r->at = (size_t)(at - text);
	r->len = strspn(at, "#");
}

static void run_put(const struct run *r, char *text, long n)
{
	for (size_t i = r->len; i-- > 0; n /= 10)
		text[r->at + i] = (char)('0' + n % 10);
}

void request_new(struct load *l)
{
	const struct options *o = &l->options;
	char head[1024], *host;
	int n;

	if (o->post > 0)
		n = snprintf(head, sizeof(head),
		    "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n"
		    "Content-Type: application/octet-stream\r\nContent-Length: %ld\r\n\r\n",
		    o->path, o->name, o->post);
	else
		n = snprintf(head, sizeof(head),
		    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n",
		    o->path, o->name, o->op == OP_FETCH ? "Connection: close\r\n" : "");
	if (n < 0 || (size_t)n >= sizeof(head))
		errx(2, "the name or the path is too long");
	host = strstr(head, "\r\n");
	if (o->paths > 0)
		run_find(&l->path_run, head, head);
	if (o->names > 0) {
		run_find(&l->host_run, host, head);
		run_find(&l->name_run, o->name, o->name);
	}
	if ((o->paths > 0 && l->path_run.len == 0) || (o->names > 0 && l->host_run.len == 0))
		errx(2, "--names and --paths want a run of # in the name or path");
	l->request_len = (size_t)n + (size_t)o->post;
	l->request = malloc(l->request_len);
	if (l->request == NULL)
		err(2, "request");
	memcpy(l->request, head, (size_t)n);
	memset(l->request + n, 'u', (size_t)o->post);
}

void request_of_visit(struct visit *v)
{
	struct load *l = v->load;

	v->request = l->request;
	v->name = strdup(l->options.name);
	if (v->name == NULL)
		err(2, "name");
	if (l->options.names == 0 && l->options.paths == 0)
		return;
	v->request = malloc(l->request_len);
	if (v->request == NULL)
		err(2, "request");
	memcpy(v->request, l->request, l->request_len);
}

void request_next_name(struct visit *v)
{
	struct load *l = v->load;
	long n;

	if (l->options.names == 0)
		return;
	n = l->names_used++ * STRIDE % l->options.names;
	run_put(&l->name_run, v->name, n);
	run_put(&l->host_run, v->request, n);
}

void request_next_path(struct visit *v)
{
	struct load *l = v->load;

	if (l->options.paths > 0)
		run_put(&l->path_run, v->request, l->paths_used++ * STRIDE % l->options.paths);
}
