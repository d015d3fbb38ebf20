/*
 * health.c: see health.h. Checks begin spread over their interval, and no more than HEALTH_OPEN_MAX are
 * under way: what would be one more waits for a moment.
 */
#include "gateway/monitor/health.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "gateway/monitor/check.h"
#include "gateway/resolved.h"
#include "wire/proxyproto.h"

#include "base/poison.h"

enum {
	HEALTH_OPEN_MAX = 256,
	HEALTH_LATER_MS = 20,
	HEALTH_SPREAD_MS = 7, /* between the first checks of two servers */
	HEALTH_WHY_MAX = 96,
};

struct watched {
	struct health *health;
	const struct pool_conf *conf;
	struct healthword word; /* which it is; its state, as it was told last */
	const char *address;
	char *host; /* a name; NULL: numeric */
	uint16_t port;
	struct endpoint *at; /* heap */
	size_t at_n, at_next;
	uint8_t *request; /* heap; NULL: a connection will do */
	size_t request_len;
	struct check *check; /* under way */
	struct deadline next;
	enum health_state state;
	bool told;
	int64_t in_row; /* checks that spoke against the state */
	uint64_t since_ms, checks, failures;
	char why[HEALTH_WHY_MAX];
};

struct health {
	struct health_params params;
	struct watched *servers;
	size_t n, open;
	struct head *scratch;
};

static int watch(struct watched *);
static void unwatch(struct watched *);
static void look_cb(struct deadline *);

struct health *health_new(const struct health_params *params)
{
	const struct gateway_conf *conf = params->conf;
	struct health *h = calloc(1, sizeof(*h));
	size_t n = 0;

	if (h == NULL)
		return NULL;
	h->params = *params;
	for (size_t i = 0; i < conf->pools.n; i++)
		if (pool_conf_interval(&conf->pools.at[i]) > 0)
			n += conf->pools.at[i].servers.n;
	h->servers = calloc(n + 1, sizeof(*h->servers));
	h->scratch = calloc(1, sizeof(*h->scratch));
	if (h->servers == NULL || h->scratch == NULL)
		goto fail;
	for (size_t i = 0; i < conf->pools.n; i++) {
		const struct pool_conf *pool = &conf->pools.at[i];

		for (size_t k = 0; pool_conf_interval(pool) > 0 && k < pool->servers.n; k++) {
			struct watched *w = &h->servers[h->n++];

			w->health = h;
			w->conf = pool;
			w->word = (struct healthword){ .pool = i, .server = k };
			w->address = pool->servers.at[k].address;
			if (watch(w) == -1)
				goto fail;
		}
	}
	return h;
fail:
	health_free(h);
	return NULL;
}

void health_free(struct health *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->n; i++)
		unwatch(&h->servers[i]);
	free(h->servers);
	free(h->scratch);
	free(h);
}

/* A server that takes PROXY headers gets one that speaks of no client. */
static int request_make(struct watched *w)
{
	const struct proxyproto from = { .version = (uint8_t)w->conf->proxy_protocol,
		.local = true };
	const char *host = w->conf->health_check.host;
	uint8_t header[PROXYPROTO_V1_MAX];
	size_t header_len = 0;
	char *text;
	int len;

	if (w->conf->health_check.path == NULL)
		return 0;
	if (host == NULL)
		host = strncmp(w->address, "unix:", 5) == 0 ? "localhost" : w->address;
	len = asprintf(&text,
	    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sslgw-health\r\nAccept: */*\r\n"
	    "Connection: close\r\n\r\n",
	    w->conf->health_check.path, host);
	if (len == -1)
		return -1;
	if (from.version != 0)
		header_len = proxyproto_build(&from, header, sizeof(header));
	w->request = malloc(header_len + (size_t)len);
	if (w->request != NULL) {
		memcpy(w->request, header, header_len);
		memcpy(w->request + header_len, text, (size_t)len);
		w->request_len = header_len + (size_t)len;
	}
	free(text);
	return w->request != NULL ? 0 : -1;
}

static int watch(struct watched *w)
{
	struct health *h = w->health;
	char host[RESOLVED_HOST_MAX];
	struct endpoint numeric;

	if (request_make(w) == -1)
		return -1;
	if (endpoint_parse(&numeric, w->address) == 0) {
		w->at = malloc(sizeof(*w->at));
		if (w->at == NULL)
			return -1;
		w->at[w->at_n++] = numeric;
	} else if (endpoint_split(w->address, host, sizeof(host), &w->port) == 0) {
		w->host = strdup(host);
		if (w->host == NULL)
			return -1;
	}
	w->since_ms = loop_now_ms(h->params.loop);
	deadline_set(h->params.loop, &w->next,
	    h->n * HEALTH_SPREAD_MS % pool_conf_interval(w->conf), look_cb);
	return 0;
}

static void unwatch(struct watched *w)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): h->n counts those that have one */
	deadline_clear(w->health->params.loop, &w->next);
	check_cancel(w->check);
	free(w->at);
	free(w->host);
	free(w->request);
}

void health_resolved(struct health *h, const char *host, const struct endpoint *at, size_t n)
{
	for (size_t i = 0; i < h->n; i++) {
		struct watched *w = &h->servers[i];
		struct endpoint *own;

		if (w->host == NULL || strcasecmp(w->host, host) != 0)
			continue;
		own = calloc(n, sizeof(*own));
		if (own == NULL)
			continue;
		for (size_t k = 0; k < n; k++) {
			own[k] = at[k];
			if (at[k].addr.ss_family == AF_INET)
				((struct sockaddr_in *)(void *)&own[k].addr)->sin_port = htons(
				    w->port);
			else
				((struct sockaddr_in6 *)(void *)&own[k].addr)->sin6_port = htons(
				    w->port);
		}
		free(w->at);
		w->at = own;
		w->at_n = n;
		w->at_next = 0;
	}
}

/* ---- up and down */

static void tell(struct watched *w)
{
	struct health *h = w->health;

	w->word.up = w->state == HEALTH_UP;
	if (!w->told)
		w->told = h->params.changed(h->params.arg, &w->word) == 0;
}

static void become(struct watched *w, enum health_state state)
{
	const char *why = w->why;

	if (state == HEALTH_DOWN)
		log_warnx("pool \"%s\": server %s is down: %s", w->conf->name, w->address, why);
	else if (w->state == HEALTH_DOWN)
		log_info("pool \"%s\": server %s is up again", w->conf->name, w->address);
	w->state = state;
	w->told = false;
	w->in_row = 0;
	w->since_ms = loop_now_ms(w->health->params.loop);
}

static void looked(void *arg, const char *why)
{
	struct watched *w = arg;
	enum health_state seen = why == NULL ? HEALTH_UP : HEALTH_DOWN;
	int64_t enough = seen == HEALTH_UP ? w->conf->health_check.rise
					   : w->conf->health_check.fall;

	w->check = NULL;
	w->health->open--;
	w->checks++;
	if (why != NULL) {
		w->failures++;
		strlcpy(w->why, why, sizeof(w->why));
	}
	if (seen == w->state)
		w->in_row = 0;
	else if (++w->in_row >= enough || w->state == HEALTH_UNKNOWN)
		become(w, seen);
	tell(w);
	deadline_set(w->health->params.loop, &w->next, pool_conf_interval(w->conf), look_cb);
}

/* Of a name with several addresses, another one each time. */
static void look_cb(struct deadline *deadline)
{
	struct watched *w = CONTAINER_OF(deadline, struct watched, next);
	struct health *h = w->health;
	struct check_params params = {
		.request = bytes_of(w->request, w->request_len),
		.statuses = w->conf->health_check.status,
		.timeout_ms = w->conf->health_check.timeout,
		.scratch = h->scratch,
		.done = looked,
		.arg = w,
	};
	uint64_t again = pool_conf_interval(w->conf);

	if (h->open >= HEALTH_OPEN_MAX) {
		again = HEALTH_LATER_MS;
	} else if (w->at_n > 0) {
		params.at = &w->at[w->at_next++ % w->at_n];
		w->check = check_start(h->params.loop, &params);
	} else {
		again = HEALTH_LATER_MS * 10; /* its name has not resolved */
	}
	if (w->check != NULL)
		h->open++;
	else
		deadline_set(h->params.loop, &w->next, again, look_cb);
}

bool health_server(const struct health *h, size_t i, struct health_server *s)
{
	const struct watched *w;

	if (h == NULL || i >= h->n)
		return false;
	w = &h->servers[i];
	*s = (struct health_server){
		.pool = w->conf->name,
		.address = w->address,
		.state = w->state,
		.why = w->why,
		.since_ms = w->since_ms,
		.checks = w->checks,
		.failures = w->failures,
	};
	return true;
}
