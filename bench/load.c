/*
 * load.c: a load generator for TLS fronts: one thread, epoll, OpenSSL. It warms up (connections open,
 * sessions held), says READY, waits for a line on its input, measures, and prints one line of JSON;
 * whoever calls it takes the front's CPU time at READY and at that line, so the warm-up is not counted.
 * With --op idle it says READY before the first connection and HELD when all are open.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { EVENTS = 128, OPENING_MAX = 64, WARM_UP_MAX_S = 90 };

double load_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void load_note(struct load *l, const char *what)
{
	unsigned long code = ERR_peek_error();
	char text[120] = "";

	if (l->error[0] == '\0') {
		if (code != 0)
			ERR_error_string_n(code, text, sizeof(text));
		else if (errno != 0 && errno != EAGAIN)
			snprintf(text, sizeof(text), "%s", strerror(errno));
		snprintf(l->error, sizeof(l->error), "%s: %s", what, text);
		for (char *p = l->error; *p != '\0'; p++)
			if (*p == '"' || *p == '\\' || *p < ' ')
				*p = ' ';
	}
	ERR_clear_error();
}

void load_free_visit(struct visit *v)
{
	struct load *l = v->load;
	double now = load_now();

	if (!l->measuring && v->warm_left > 0) {
		v->warm_left--;
		visit_begin(v, now);
		return;
	}
	if (l->measuring && l->options.rate > 0) {
		v->next = l->free;
		l->free = v;
	} else if (l->measuring && l->options.op != OP_IDLE && now < l->until) {
		visit_begin(v, now);
		return;
	}
	l->resting++;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct visit *v = SSL_get_app_data(ssl);

	if (v->load->options.resume == RESUME_NONE)
		return 0;
	SSL_SESSION_free(v->session);
	v->session = session;
	return 1;
}

/* ---- options */

static void usage(void)
{
	fputs(
	    "usage: load --ports P[,P...] [--op handshake|fetch|request|idle] [--resume "
	    "none|ticket|id]\n"
	    "  [--tls 12|13] [--cert rsa|ecdsa] [--connections N] [--seconds S] [--rate R]\n"
	    "  [--warm N] [--path /BYTES] [--post BYTES] [--name HOST] [--groups LIST] "
	    "[--patience S]\n"
	    "  [--ca FILE] [--each FILE]\n"
	    "  [--names N] [--paths N]: of the numbers that stand for ### in the name, the "
	    "path\n"
	    "  [--lead S]: so long all are busy before the measurement, so that the front has what "
	    "it needs for that\n",
	    stderr);
	exit(2);
}

static int word(const char *text, const char *const words[])
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	usage();
	return 0;
}

static void ports(struct options *o, char *text)
{
	for (char *p = strtok(text, ","); p != NULL; p = strtok(NULL, ","))
		if (o->ports_n < LOAD_PORTS_MAX)
			o->ports[o->ports_n++] = (uint16_t)atoi(p);
}

static void options_read(struct options *o, int argc, char **argv)
{
	static const char *const ops[] = { "handshake", "fetch", "request", "idle", NULL };
	static const char *const resumes[] = { "none", "ticket", "id", NULL };
	static const char *const certs[] = { "rsa", "ecdsa", NULL };
	static const struct option names[] = { { "ports", 1, 0, 'p' }, { "op", 1, 0, 'o' },
		{ "resume", 1, 0, 'r' }, { "tls", 1, 0, 't' }, { "cert", 1, 0, 'c' },
		{ "connections", 1, 0, 'n' }, { "seconds", 1, 0, 's' }, { "rate", 1, 0, 'R' },
		{ "warm", 1, 0, 'w' }, { "path", 1, 0, 'P' }, { "post", 1, 0, 'b' },
		{ "name", 1, 0, 'N' }, { "groups", 1, 0, 'g' }, { "patience", 1, 0, 'T' },
		{ "names", 1, 0, 'M' }, { "paths", 1, 0, 'O' }, { "ca", 1, 0, 'C' },
		{ "each", 1, 0, 'e' }, { "lead", 1, 0, 'l' }, { 0, 0, 0, 0 } };
	int c;

	*o = (struct options){ .tls = 13,
		.connections = 16,
		.seconds = 2,
		.warm = -1,
		.path = "/1024",
		.name = "bench.test",
		.groups = "X25519:P-256",
		.patience = 10 };
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'p':
			ports(o, optarg);
			break;
		case 'o':
			o->op = (enum op)word(optarg, ops);
			break;
		case 'r':
			o->resume = (enum resume)word(optarg, resumes);
			break;
		case 't':
			o->tls = atoi(optarg);
			break;
		case 'c':
			o->ecdsa = word(optarg, certs) == 1;
			break;
		case 'n':
			o->connections = atoi(optarg);
			break;
		case 's':
			o->seconds = atof(optarg);
			break;
		case 'R':
			o->rate = atof(optarg);
			break;
		case 'w':
			o->warm = atoi(optarg);
			break;
		case 'P':
			o->path = optarg;
			break;
		case 'b':
			o->post = atol(optarg);
			break;
		case 'N':
			o->name = optarg;
			break;
		case 'g':
			o->groups = optarg;
			break;
		case 'T':
			o->patience = atof(optarg);
			break;
		case 'l':
			o->lead = atof(optarg);
			break;
		case 'M':
			o->names = atol(optarg);
			break;
		case 'O':
			o->paths = atol(optarg);
			break;
		case 'C':
			o->ca = optarg;
			break;
		case 'e':
			o->each = optarg;
			break;
		default:
			usage();
		}
	}
	if (o->ports_n == 0 || o->connections < 1 || optind != argc ||
	    (o->tls != 12 && o->tls != 13))
		usage();
	if (o->warm < 0)
		o->warm = o->op == OP_REQUEST ? 10 : o->op == OP_IDLE ? 0 : 2;
}

/* ---- the TLS client */

static SSL_CTX *ctx_new(const struct options *o)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int version = o->tls == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, version) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, version) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
	    SSL_CTX_set_cipher_list(ctx,
		o->ecdsa ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "ECDHE-RSA-AES128-GCM-SHA256") != 1 ||
	    SSL_CTX_set1_sigalgs_list(
		ctx, o->ecdsa ? "ECDSA+SHA256" : "rsa_pss_rsae_sha256:RSA+SHA256") != 1 ||
	    SSL_CTX_set1_groups_list(ctx, o->groups) != 1)
		errx(2, "TLS: %s", ERR_error_string(ERR_get_error(), NULL));
	/* Throw-away certificates; the figure is of the front, not of this client's checks. */
	SSL_CTX_set_verify(ctx, o->ca != NULL ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (o->ca != NULL && SSL_CTX_load_verify_locations(ctx, o->ca, NULL) != 1)
		errx(2, "%s: %s", o->ca, ERR_error_string(ERR_get_error(), NULL));
	if (o->resume == RESUME_ID && o->tls == 12)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	if (o->op != OP_IDLE)
		SSL_CTX_set_read_ahead(ctx, 1);
	if (o->op == OP_REQUEST)
		SSL_CTX_set_default_read_buffer_len(
		    ctx, atol(o->path + 1) > 60000 ? 131072 : 20480);
	return ctx;
}

static void visits_new(struct load *l)
{
	l->visits = calloc((size_t)l->options.connections, sizeof(*l->visits));
	l->block = malloc(LOAD_BLOCK);
	if (l->visits == NULL || l->block == NULL)
		err(2, "connections");
	for (int i = 0; i < l->options.connections; i++) {
		struct visit *v = &l->visits[i];

		v->load = l;
		v->fd = -1;
		v->number = i;
		v->warm_left = l->options.warm;
		request_of_visit(v);
		v->reply.head = malloc(REPLY_HEAD_MAX);
		if (v->reply.head == NULL)
			err(2, "connections");
	}
}

/* ---- phases */

static void pump(struct load *l, double until)
{
	struct epoll_event events[EVENTS];
	double left = until - load_now(), now;
	struct timespec wait = { 0, 0 };
	static double watched;
	int n;

	if (left > 0)
		wait.tv_nsec = left > 0.2 ? 200000000 : (long)(left * 1e9);
	n = epoll_pwait2(l->epoll, events, EVENTS, &wait, NULL);
	for (int i = 0; i < n; i++)
		visit_event(events[i].data.ptr);
	now = load_now();
	if (now - watched < 0.25)
		return;
	watched = now;
	for (int i = 0; i < l->options.connections; i++)
		visit_watch(&l->visits[i], now);
}

static void wait_for_caller(const char *says)
{
	char line[16];

	puts(says);
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(1);
}

/* Few at a time, so that no listening queue overflows. */
static void open_all(struct load *l)
{
	double began = load_now();
	int opened = 0, n = l->options.connections;

	while (l->resting < n) {
		while (opened < n && opened - l->resting < OPENING_MAX) {
			struct visit *v = &l->visits[opened++];

			if (l->options.op == OP_IDLE)
				visit_begin(v, load_now());
			else
				load_free_visit(v);
		}
		pump(l, load_now() + 0.05);
		if (load_now() - began > WARM_UP_MAX_S)
			errx(3, "the warm-up takes too long: %s", l->error);
	}
}

static void begin_measuring(struct load *l, double seconds)
{
	l->error[0] = '\0';
	l->bytes = 0;
	l->started = l->done = l->failed = l->handshakes = l->resumed = l->reconnects = 0;
	l->bad_status = l->forced = l->late = 0;
	l->samples.n = 0;
	l->measuring = true;
	l->from = l->last = load_now();
	l->until = l->from + seconds;
}

static void closed_loop(struct load *l)
{
	l->resting = 0;
	for (int i = 0; i < l->options.connections; i++)
		load_free_visit(&l->visits[i]);
	while (l->resting < l->options.connections)
		pump(l, load_now() + 0.1);
}

/* By the clock: an operation is late when none is free to begin it, and its latency counts from then. */
static void open_loop(struct load *l)
{
	long k = 0;
	double due = l->from, now = l->from;

	for (int i = l->options.connections - 1; i >= 0; i--) {
		l->visits[i].next = l->free;
		l->free = &l->visits[i];
	}
	while ((due < l->until || l->resting < l->options.connections) && now < l->until + 5) {
		while (l->free != NULL && due <= now && due < l->until) {
			struct visit *v = l->free;

			l->free = v->next;
			l->resting--;
			visit_begin(v, due);
			due = l->from + (double)++k / l->options.rate;
			now = load_now();
		}
		pump(l, l->free != NULL && due < l->until ? due : now + 0.05);
		now = load_now();
	}
	l->last = now;
}

static long still_open(const struct load *l)
{
	long n = 0;
	char byte;

	for (int i = 0; i < l->options.connections; i++) {
		ssize_t got = l->visits[i].fd < 0 ? 0 : recv(l->visits[i].fd, &byte, 1, MSG_PEEK);

		n += got > 0 || (got < 0 && errno == EAGAIN);
	}
	return n;
}

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

static void report(struct load *l, double cpu)
{
	double wall = l->last - l->from;

	samples_sort(&l->samples);
	printf("{\"ops\":%ld,\"errors\":%ld,\"handshakes\":%ld,\"resumed\":%ld,\"reconnects\":%ld,"
	       "\"bad_status\":%ld,"
	       "\"forced\":%ld,\"late\":%ld,\"bytes\":%lld,\"wall\":%.6f,\"rate\":%.1f,\"p50_us\":%"
	       ".1f,"
	       "\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"client_cpu\":%.4f,\"error\":\"%"
	       "s\"}\n",
	    l->done, l->failed, l->handshakes, l->resumed, l->reconnects, l->bad_status, l->forced,
	    l->late, (long long)l->bytes, wall, wall > 0 ? (double)l->done / wall : 0,
	    samples_at(&l->samples, .5), samples_at(&l->samples, .9), samples_at(&l->samples, .99),
	    samples_at(&l->samples, 1), cpu, l->error);
	fflush(stdout);
}

static void more_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	static struct load l;
	double cpu;

	options_read(&l.options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	more_descriptors();
	if (l.options.each != NULL && (l.each = fopen(l.options.each, "we")) == NULL)
		err(2, "%s", l.options.each);
	l.ctx = ctx_new(&l.options);
	request_new(&l);
	visits_new(&l);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l.options.op == OP_IDLE) {
		wait_for_caller("READY");
		begin_measuring(&l, l.options.seconds);
		open_all(&l);
		cpu = cpu_seconds();
		l.last = load_now();
		wait_for_caller("HELD");
		l.reconnects = l.options.connections - still_open(&l);
	} else {
		open_all(&l);
		if (l.options.lead > 0) {
			begin_measuring(&l, l.options.lead);
			closed_loop(&l);
		}
		wait_for_caller("READY");
		cpu = cpu_seconds();
		begin_measuring(&l, l.options.seconds);
		if (l.options.rate > 0)
			open_loop(&l);
		else
			closed_loop(&l);
	}
	if (l.each != NULL && fclose(l.each) != 0)
		err(2, "%s", l.options.each);
	report(&l, cpu_seconds() - cpu);
	_exit(l.failed > 0 && l.done == 0);
}
