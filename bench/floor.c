/*
 * floor.c: no product, but the yardstick beside the fronts: the least that ending TLS and passing on HTTP/1.1
 * costs with this libssl and this kernel. One epoll loop; kept connections to one server; requests and answers
 * pass as they are; whatever libssl makes of one event leaves by one call. Nothing is checked, bounded or timed:
 * a head has to come in one piece, and a server to take what it is sent.
 * usage: floor ORIGIN CERTIFICATES RSA ECDSA STATEFUL (ports, and the folder of rsa.crt, rsa.key, ecdsa.*)
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* INPUT: 16, 64 and 128 KiB cost more CPU time a byte on downloads. */
enum { INPUT = 32768, OUTPUT = 524288, EVENTS = 256, PORTS = 3, ACCEPTS = 16 };

enum kind { LISTENER, CLIENT, SERVER };

/* Lives as long as its descriptor, and to the end of the turn in which that is closed. */
struct source {
	enum kind kind;
	int fd; /* -1: closed */
	struct source *next_closed;
};

struct server;

struct client {
	struct source source;
	SSL *ssl;
	struct server *server; /* while a request is under way */
	bool established, closes;
	size_t body_left; /* of the request */
	char *waiting; /* what the socket did not take */
	size_t waiting_n, waiting_sent;
};

struct server {
	struct source source;
	struct client *client;
	bool in_head, held; /* held: it is not read until its client takes more */
	size_t left; /* of the answer */
	struct server *next_idle;
};

struct listener {
	struct source source;
	SSL_CTX *ctx;
};

static int epoll, origin_port;
static struct server *idle;
static struct source *closed;

/* Of the one event that is being served. */
static char input[INPUT], output[OUTPUT], piece[INPUT];
static size_t input_n, input_used, output_n;

/* ---- libssl reads and writes memory */

static int bio_write(BIO *bio, const char *bytes, int n)
{
	(void)bio;
	if ((size_t)n > OUTPUT - output_n)
		return -1;
	memcpy(output + output_n, bytes, (size_t)n);
	output_n += (size_t)n;
	return n;
}

static int bio_read(BIO *bio, char *bytes, int n)
{
	size_t some = input_n - input_used;

	BIO_clear_retry_flags(bio);
	if (some == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (some > (size_t)n)
		some = (size_t)n;
	memcpy(bytes, input + input_used, some);
	input_used += some;
	return (int)some;
}

static long bio_ctrl(BIO *bio, int what, long n, void *p)
{
	(void)bio;
	(void)n;
	(void)p;
	return what == BIO_CTRL_FLUSH || what == BIO_CTRL_PUSH || what == BIO_CTRL_POP;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO *bio_new(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "memory");

	if (m == NULL)
		errx(1, "BIO");
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_ctrl(m, bio_ctrl);
	BIO_meth_set_create(m, bio_create);
	return BIO_new(m);
}

/* ---- ends */

static void watch(struct source *s, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = s };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event) != 0)
		err(1, "epoll");
}

static void source_close(struct source *s)
{
	close(s->fd);
	s->fd = -1;
	s->next_closed = closed;
	closed = s;
}

static void server_drop(struct server *s)
{
	struct server **at = &idle;

	if (s->client != NULL) {
		s->client->server = NULL;
	} else {
		while (*at != s)
			at = &(*at)->next_idle;
		*at = s->next_idle;
	}
	source_close(&s->source);
}

static void client_drop(struct client *c)
{
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	free(c->waiting);
	if (c->server != NULL)
		server_drop(c->server);
	source_close(&c->source);
}

static void close_all(void)
{
	struct source *s;

	while ((s = closed) != NULL) {
		closed = s->next_closed;
		free(s);
	}
}

/* ---- output to a client */

/* More for a socket that is full. */
static void client_keep(struct client *c, const char *bytes, size_t n)
{
	c->waiting = realloc(c->waiting, c->waiting_n + n);
	if (c->waiting == NULL)
		err(1, "output");
	memcpy(c->waiting + c->waiting_n, bytes, n);
	c->waiting_n += n;
}

/* False: the connection is broken. */
static bool client_flush(struct client *c)
{
	const char *from = output;
	size_t n = output_n;
	ssize_t sent;

	output_n = 0;
	if (c->waiting_n > 0) {
		if (n > 0)
			client_keep(c, output, n);
		from = c->waiting + c->waiting_sent;
		n = c->waiting_n - c->waiting_sent;
	}
	if (n == 0)
		return true;
	sent = send(c->source.fd, from, n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent < 0)
		sent = 0;
	if (c->waiting_n > 0)
		c->waiting_sent += (size_t)sent;
	else if ((size_t)sent < n)
		client_keep(c, output + sent, n - (size_t)sent);
	if (c->waiting_sent == c->waiting_n) {
		free(c->waiting);
		c->waiting = NULL;
		c->waiting_n = c->waiting_sent = 0;
	}
	return true;
}

/* ---- answers */

static struct server *server_take(struct client *c)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct server *s = idle;
	int one = 1;

	if (s != NULL) {
		idle = s->next_idle;
	} else {
		s = calloc(1, sizeof(*s));
		if (s == NULL)
			err(1, "server");
		at.sin_port = htons((uint16_t)origin_port);
		s->source.kind = SERVER;
		s->source.fd = socket(AF_INET, SOCK_STREAM, 0);
		if (s->source.fd < 0 ||
		    connect(s->source.fd, (struct sockaddr *)&at, sizeof(at)) != 0)
			err(1, "connection to the server");
		setsockopt(s->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(&s->source, EPOLLIN | EPOLLOUT | EPOLLET);
	}
	s->client = c;
	s->in_head = true;
	c->server = s;
	return s;
}

static void server_put_back(struct server *s)
{
	s->client->server = NULL;
	s->client = NULL;
	s->next_idle = idle;
	idle = s;
}

/* How long the answer is whose first n bytes are in piece; 0: that can't be said. */
static size_t answer_length(size_t n)
{
	const char *end = memmem(piece, n, "\r\n\r\n", 4), *field;

	if (end == NULL)
		return 0;
	field = memmem(piece, (size_t)(end - piece), "Content-Length: ", 16);
	return (size_t)(end + 4 - piece) + (field != NULL ? (size_t)atol(field + 16) : 0);
}

static void server_read(struct server *s)
{
	struct client *c = s->client;
	ssize_t n = INPUT;

	/* A full piece: there may be more. Less: the next arrival is an edge. */
	while (n == INPUT) {
		if (c != NULL && c->waiting_n > 0) {
			s->held = true;
			return;
		}
		n = recv(s->source.fd, piece, INPUT, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0 && c != NULL && s->in_head) {
			s->left = answer_length((size_t)n);
			s->in_head = false;
		}
		if (n <= 0 || c == NULL || s->left < (size_t)n) {
			if (c != NULL)
				client_drop(c);
			else
				server_drop(s);
			return;
		}
		s->left -= (size_t)n;
		if (SSL_write(c->ssl, piece, (int)n) != n) {
			client_drop(c);
			return;
		}
		if (s->left == 0) {
			server_put_back(s);
			if (c->closes)
				SSL_shutdown(c->ssl);
		}
		if (!client_flush(c) || (c->closes && c->server == NULL && c->waiting_n == 0)) {
			client_drop(c);
			return;
		}
		if (c->server == NULL)
			return;
	}
}

/* ---- requests */

/* n bytes of the client's in piece; false: this is no request that can be passed on. */
static bool client_forward(struct client *c, size_t n)
{
	char *end, *field;

	if (c->body_left > 0) {
		c->body_left -= n < c->body_left ? n : c->body_left;
	} else {
		end = memmem(piece, n, "\r\n\r\n", 4);
		if (end == NULL || c->server != NULL)
			return false;
		server_take(c);
		field = memmem(piece, (size_t)(end - piece), "Connection: close", 17);
		if (field != NULL) {
			c->closes = true; /* the server's connection stays */
			memcpy(field, "X-Connection", 12);
		}
		if (piece[0] == 'P') {
			field = memmem(piece, (size_t)(end - piece), "Content-Length: ", 16);
			c->body_left = field != NULL ? (size_t)atol(field + 16) : 0;
			c->body_left -= n - (size_t)(end + 4 - piece);
		}
	}
	for (size_t sent = 0; sent < n;) {
		ssize_t some = send(c->server->source.fd, piece + sent, n - sent, MSG_NOSIGNAL);

		if (some <= 0)
			return false;
		sent += (size_t)some;
	}
	return true;
}

/* What came in: false: this was its last, or it is broken. */
static bool client_take(struct client *c)
{
	int n;

	if (!c->established) {
		n = SSL_do_handshake(c->ssl);
		c->established = n == 1;
		if (n != 1 && SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
			return false;
	}
	while (c->established && (input_used < input_n || SSL_has_pending(c->ssl))) {
		n = SSL_read(c->ssl, piece, INPUT);
		if (n <= 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
			break;
		if (n <= 0 || !client_forward(c, (size_t)n)) {
			SSL_shutdown(c->ssl);
			return false;
		}
	}
	return true;
}

static void client_read(struct client *c, uint32_t events)
{
	ssize_t n = INPUT;

	while (n == INPUT || (events & EPOLLRDHUP)) {
		bool goes_on;

		n = recv(c->source.fd, input, INPUT, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		input_n = n > 0 ? (size_t)n : 0;
		input_used = 0;
		goes_on = n > 0 && client_take(c);
		ERR_clear_error();
		if (!client_flush(c) || !goes_on) {
			client_drop(c);
			return;
		}
	}
}

static void client_event(struct client *c, uint32_t events)
{
	if (c->waiting_n > 0 && (events & EPOLLOUT)) {
		if (!client_flush(c) || (c->closes && c->server == NULL && c->waiting_n == 0)) {
			client_drop(c);
			return;
		}
		if (c->waiting_n == 0 && c->server != NULL && c->server->held) {
			c->server->held = false;
			server_read(c->server);
		}
	}
	if (c->source.fd >= 0 && (events & ~(uint32_t)EPOLLOUT))
		client_read(c, events);
}

/* ---- the loop */

static void accept_some(struct listener *l, BIO *bio)
{
	int fd;

	for (int n = 0; n < ACCEPTS; n++) {
		struct client *c;

		fd = accept4(l->source.fd, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0)
			return;
		c = calloc(1, sizeof(*c));
		if (c == NULL || (c->ssl = SSL_new(l->ctx)) == NULL)
			err(1, "connection");
		c->source.kind = CLIENT;
		c->source.fd = fd;
		BIO_up_ref(bio);
		BIO_up_ref(bio);
		SSL_set_bio(c->ssl, bio, bio);
		SSL_set_accept_state(c->ssl);
		watch(&c->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	}
}

static SSL_CTX *context(const char *folder, const char *name, bool tickets)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char file[512];

	if (ctx == NULL)
		errx(1, "context");
	snprintf(file, sizeof(file), "%s/%s.crt", folder, name);
	if (SSL_CTX_use_certificate_chain_file(ctx, file) != 1)
		errx(1, "%s", file);
	snprintf(file, sizeof(file), "%s/%s.key", folder, name);
	if (SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM) != 1)
		errx(1, "%s", file);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set1_groups_list(ctx, "X25519:P-256");
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"floor", 5);
	SSL_CTX_sess_set_cache_size(ctx, 200000);
	SSL_CTX_set_timeout(ctx, 3600);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (!tickets)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	return ctx;
}

static void listen_on(const char *port, SSL_CTX *ctx)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct listener *l = calloc(1, sizeof(*l));
	int one = 1;

	if (l == NULL)
		err(1, "listener");
	at.sin_port = htons((uint16_t)atoi(port));
	l->ctx = ctx;
	l->source.kind = LISTENER;
	l->source.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(l->source.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(
	    l->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* accept inherits it */
	if (bind(l->source.fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(l->source.fd, 4096) != 0)
		err(1, "port %s", port);
	watch(&l->source, EPOLLIN);
}

static void serve(struct source *s, uint32_t events, BIO *bio)
{
	output_n = 0;
	switch (s->kind) {
	case LISTENER:
		accept_some((struct listener *)s, bio);
		break;
	case CLIENT:
		client_event((struct client *)s, events);
		break;
	case SERVER:
		if (events & ~(uint32_t)EPOLLOUT)
			server_read((struct server *)s);
		break;
	}
}

int main(int argc, char **argv)
{
	static struct epoll_event events[EVENTS];
	struct rlimit limit;
	BIO *bio = bio_new();

	if (argc != 3 + PORTS)
		errx(2, "usage: floor ORIGIN CERTIFICATES RSA ECDSA STATEFUL");
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	origin_port = atoi(argv[1]);
	epoll = epoll_create1(0);
	listen_on(argv[3], context(argv[2], "rsa", true));
	listen_on(argv[4], context(argv[2], "ecdsa", true));
	listen_on(argv[5], context(argv[2], "rsa", false));
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			if (s->fd >= 0)
				serve(s, events[i].events, bio);
		}
		close_all();
	}
}
