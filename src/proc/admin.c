/*
 * admin.c: see admin.h. Each connection has one request: so the rate at which connections are taken
 * bounds all the work that strangers can cause on the daemon's loop. Each has one deadline for its
 * whole life, whatever it drips. TCP and the Unix socket are two sides with limits of their own: a
 * flood on one leaves the other to the operator.
 */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "proc/admin_private.h"

#include "base/poison.h"

enum {
	SIDE_LISTENERS_MAX = 8,
	SIDE_REST_MS = 20, /* above the rate, or without descriptors */
	SIDE_SWEEP_MS = 100, /* between looks for connections that are over */
	SIDE_IDLE_MS = 1000, /* the same, where there was none */
	HEAD_MAX_BYTES = 8192,
};

struct side {
	struct admin *admin;
	bool local;
	struct evhttp *http;
	struct evconnlistener *listeners[SIDE_LISTENERS_MAX];
	struct evhttp_bound_socket *bound[SIDE_LISTENERS_MAX]; /* evhttp's names for them */
	size_t listeners_n;
	unsigned conns, conns_max;
	struct bucket rate;
	struct deadline rest, sweep;
	struct later soon;
	struct conn *first;
};

struct admin {
	struct admin_params params;
	struct loop *loop;
	struct side tcp, local;
	char host[256]; /* the machine's own name; "": none */
};

/* A connection beside evhttp's, which tells nobody when one ends that sent no request. It holds its bufferevent
 * with a reference of its own, and sees by the callbacks, which evhttp takes away, that evhttp is done with it. */
struct conn {
	struct side *side;
	struct conn *next;
	struct bufferevent *bev;
	struct deadline life;
};

/* ---- connections: how many, how fast, how long */

static void side_arm(struct side *s)
{
	bool take = s->conns < s->conns_max && !deadline_is_set(&s->rest);

	for (size_t i = 0; i < s->listeners_n; i++) {
		if (take)
			evconnlistener_enable(s->listeners[i]);
		else
			evconnlistener_disable(s->listeners[i]);
	}
}

static void rested(struct deadline *deadline)
{
	side_arm(CONTAINER_OF(deadline, struct side, rest));
}

/* evhttp notices the end and frees what it has. */
static void too_old(struct deadline *deadline)
{
	struct conn *c = CONTAINER_OF(deadline, struct conn, life);

	shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
}

static bool is_over(const struct conn *c)
{
	bufferevent_event_cb event;

	bufferevent_getcb(c->bev, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void conn_free(struct conn *c)
{
	deadline_clear(c->side->admin->loop, &c->life);
	bufferevent_decref(c->bev); /* the last: closes the socket */
	free(c);
}

/* Lets go of the connections that are over. */
static void sweep(struct side *s)
{
	struct conn **at = &s->first, *c;

	while ((c = *at) != NULL) {
		if (!is_over(c)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		s->conns--;
		conn_free(c);
	}
	side_arm(s);
}

static void sweep_cb(struct deadline *deadline)
{
	struct side *s = CONTAINER_OF(deadline, struct side, sweep);

	sweep(s);
	deadline_set(
	    s->admin->loop, &s->sweep, s->conns > 0 ? SIDE_SWEEP_MS : SIDE_IDLE_MS, sweep_cb);
}

static void sweep_soon(struct later *later)
{
	sweep(CONTAINER_OF(later, struct side, soon));
}

static void answered(struct evhttp_request *req, void *arg)
{
	struct side *s = arg;

	(void)req;
	loop_later(s->admin->loop, &s->soon, sweep_soon);
}

/* Called by evhttp for each connection that it takes, and before it sets its callbacks. NULL: no memory; evhttp
 * makes a bufferevent of its own, which has evhttp's timeout still. */
static struct bufferevent *conn_new(struct event_base *base, void *arg)
{
	struct side *s = arg;
	struct conn *c = calloc(1, sizeof *c);

	if (!bucket_take(&s->rate, 1, loop_now_ms(s->admin->loop)))
		deadline_set(s->admin->loop, &s->rest, SIDE_REST_MS, rested);
	if (c != NULL &&
	    (c->bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE)) == NULL) {
		free(c);
		c = NULL;
	}
	if (c != NULL) {
		bufferevent_incref(c->bev);
		c->side = s;
		c->next = s->first;
		s->first = c;
		s->conns++;
		deadline_set(s->admin->loop, &c->life, ADMIN_TIMEOUT_S * 1000, too_old);
	}
	side_arm(s);
	return c != NULL ? c->bev : NULL;
}

/* No descriptors left: without a rest, until the next sweep, this would spin. */
static void accept_failed(struct evconnlistener *listener, void *http)
{
	(void)http;
	evconnlistener_disable(listener);
}

/* ---- who asks, and by which name */

static bool is_admitted(const struct admin *a, struct evhttp_request *req)
{
	struct bufferevent *bev = evhttp_connection_get_bufferevent(
	    evhttp_request_get_connection(req));
	struct ucred who;
	socklen_t len = sizeof who;

	if (getsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return false;
	if (a->params.uids_n == 0)
		return who.uid == 0 || who.uid == geteuid();
	for (size_t i = 0; i < a->params.uids_n; i++)
		if (a->params.uids[i] == who.uid)
			return true;
	return false;
}

static bool is_known_name(const struct admin *a, const char *name)
{
	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (a->host[0] != '\0' && strcasecmp(name, a->host) == 0)
		return true;
	for (size_t i = 0; i < a->params.names_n; i++)
		if (strcasecmp(name, a->params.names[i]) == 0)
			return true;
	return false;
}

/* A page of another site can make a browser ask us by that site's name (DNS rebinding), never by an address
 * literal or by a name of ours: so all other names are refused. */
static bool is_own_host(const struct admin *a, const char *host)
{
	char name[256];
	struct in6_addr address;
	size_t len;

	if (host[0] == '[') {
		len = strcspn(++host, "]");
		if (host[len] != ']' || (host[len + 1] != '\0' && host[len + 1] != ':'))
			return false;
	} else {
		len = strcspn(host, ":");
	}
	if (len == 0 || len >= sizeof name)
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
		return true;
	return is_known_name(a, name);
}

/* NULL: the request may be answered; else why not, with *status. */
static const char *refusal(const struct side *s, struct evhttp_request *req, int *status)
{
	const struct evkeyval *field;
	const char *host = NULL;

	*status = 400;
	TAILQ_FOREACH (field, evhttp_request_get_input_headers(req), next) {
		if (strcasecmp(field->key, "Host") != 0)
			continue;
		if (host != NULL)
			return "two Host fields\n";
		host = field->value;
	}
	if (evhttp_request_get_evhttp_uri(req) == NULL ||
	    evhttp_uri_get_host(evhttp_request_get_evhttp_uri(req)) != NULL)
		return "a path is expected, and no URL\n";
	*status = 403;
	if (s->local)
		return is_admitted(s->admin, req) ? NULL : "this user may not ask here\n";
	/* HTTP/1.0 needs no Host, and browsers always send one. */
	if (host == NULL && req->major == 1 && req->minor == 0)
		return NULL;
	if (host == NULL || !is_own_host(s->admin, host))
		return "this name is not one of ours: ask by an address, or add it to "
		       "admin.names\n";
	return NULL;
}

/* ---- answers */

static void send_answer(
    struct evhttp_request *req, int status, const char *type, struct evbuffer *body)
{
	static const struct {
		const char *name, *value;
	} fields[] = {
		{ "Connection", "close" },
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Content-Security-Policy",
		    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
		    "form-action 'none'; frame-ancestors 'none'" },
	};
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	char length[32];

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		evhttp_add_header(out, fields[i].name, fields[i].value);
	evhttp_add_header(out, "Content-Type", type);
	snprintf(length, sizeof length, "%zu", evbuffer_get_length(body));
	evhttp_add_header(out, "Content-Length", length);
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD)
		evbuffer_drain(body, evbuffer_get_length(body));
	evhttp_send_reply(req, status, NULL, body);
}

static void send_text(struct evhttp_request *req, int status, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (body == NULL) {
		evhttp_send_reply(req, status, NULL, NULL);
		return;
	}
	evbuffer_add(body, text, strlen(text));
	send_answer(req, status, "text/plain; charset=utf-8", body);
	evbuffer_free(body);
}

/* ---- commands: a word a line */

/* Cuts text into words, in place. Their number; -1: too many, or with bytes that no command has. */
static int words_of(char *text, char **words)
{
	int n = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		bool last = text[len] == '\0';

		for (size_t i = 0; i < len; i++)
			if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
				return -1;
		if (n == ADMIN_WORDS_MAX)
			return -1;
		text[len] = '\0';
		words[n++] = text;
		text += last ? len : len + 1;
	}
	words[n] = NULL;
	return n;
}

static void serve_command(struct admin *a, struct evhttp_request *req)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(req);
	struct admin_out out = { .to = evbuffer_new() };
	char *words[ADMIN_WORDS_MAX + 1];
	size_t len = evbuffer_get_length(input);
	char *text = len <= ADMIN_COMMAND_MAX ? calloc(1, len + 1) : NULL;
	int n = -1;

	if (text != NULL) {
		evbuffer_remove(input, text, len);
		n = strlen(text) == len ? words_of(text, words) : -1;
	}
	if (out.to == NULL || n < 1) {
		send_text(req, 400, "a command is one word a line\n");
	} else {
		bool good = a->params.command(a->params.arg, n, words, &out);

		send_answer(req,
		    out.full ? 500
		    : good   ? 200
			     : 409,
		    "text/plain; charset=utf-8", out.to);
	}
	if (out.to != NULL)
		evbuffer_free(out.to);
	free(text);
}

static void serve_post(const struct side *s, struct evhttp_request *req, const char *path)
{
	if (!s->local) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		send_text(req, 405, "commands are taken on the Unix socket only\n");
	} else if (strcmp(path, "/command") != 0 || s->admin->params.command == NULL) {
		send_text(req, 404, "commands are taken at /command\n");
	} else {
		serve_command(s->admin, req);
	}
}

static void serve(struct evhttp_request *req, void *arg)
{
	const struct side *s = arg;
	struct admin_out out = { 0 };
	const char *why, *type, *path;
	int status;

	evhttp_request_set_on_complete_cb(req, answered, arg);
	if ((why = refusal(s, req, &status)) != NULL) {
		send_text(req, status, why);
		return;
	}
	path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	if (path == NULL)
		path = "";
	if (evhttp_request_get_command(req) == EVHTTP_REQ_POST) {
		serve_post(s, req, path);
		return;
	}
	if ((out.to = evbuffer_new()) == NULL) {
		send_text(req, 500, "out of memory\n");
		return;
	}
	type = admin_page(&s->admin->params, path, &out, &status);
	if (out.full)
		send_text(req, 500, "the page is too large\n");
	else
		send_answer(req, status, type, out.to);
	evbuffer_free(out.to);
}

/* ---- life */

static int side_init(struct admin *a, struct side *s, bool local, unsigned conns_max)
{
	s->admin = a;
	s->local = local;
	s->conns_max = conns_max;
	bucket_init(&s->rate, ADMIN_RATE, ADMIN_RATE, loop_now_ms(a->loop));
	if ((s->http = evhttp_new(loop_base(a->loop))) == NULL)
		return -1;
	evhttp_set_max_headers_size(s->http, HEAD_MAX_BYTES);
	evhttp_set_max_body_size(s->http, ADMIN_COMMAND_MAX);
	evhttp_set_timeout(s->http, ADMIN_TIMEOUT_S);
	/* POST on TCP is answered too: with why not. */
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
	evhttp_set_bevcb(s->http, conn_new, s);
	evhttp_set_gencb(s->http, serve, s);
	deadline_set(a->loop, &s->sweep, SIDE_IDLE_MS, sweep_cb);
	return 0;
}

struct admin *admin_new(struct loop *loop, const struct admin_params *params)
{
	struct admin *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	a->loop = loop;
	a->params = *params;
	if (a->params.started == 0)
		a->params.started = time(NULL);
	if (gethostname(a->host, sizeof a->host - 1) != 0)
		a->host[0] = '\0';
	if (side_init(a, &a->tcp, false, ADMIN_CONNS_MAX * 3 / 4) != 0 ||
	    side_init(a, &a->local, true, ADMIN_CONNS_MAX / 4) != 0) {
		admin_free(a);
		return NULL;
	}
	return a;
}

int admin_listen(struct admin *a, int fd, bool local)
{
	struct side *s = local ? &a->local : &a->tcp;
	struct evconnlistener *listener = NULL;

	evutil_make_socket_nonblocking(fd);
	if (s->listeners_n < SIDE_LISTENERS_MAX)
		listener = evconnlistener_new(loop_base(a->loop), NULL, NULL,
		    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener == NULL) {
		close(fd);
		return -1;
	}
	if ((s->bound[s->listeners_n] = evhttp_bind_listener(s->http, listener)) == NULL) {
		evconnlistener_free(listener);
		return -1;
	}
	evconnlistener_set_error_cb(listener, accept_failed);
	s->listeners[s->listeners_n++] = listener;
	side_arm(s);
	return 0;
}

int admin_listen_instead(struct admin *a, int fd)
{
	struct side *s = &a->local;

	while (s->listeners_n > 0)
		evhttp_del_accept_socket(s->http, s->bound[--s->listeners_n]);
	return admin_listen(a, fd, true);
}

static void side_clear(struct side *s)
{
	struct conn *c, *next;

	if (s->http == NULL)
		return;
	deadline_clear(s->admin->loop, &s->rest);
	deadline_clear(s->admin->loop, &s->sweep);
	loop_later_cancel(&s->soon);
	evhttp_free(s->http); /* with its listeners and connections */
	for (c = s->first; c != NULL; c = next) {
		next = c->next;
		conn_free(c);
	}
}

void admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	side_clear(&a->tcp);
	side_clear(&a->local);
	free(a);
}
