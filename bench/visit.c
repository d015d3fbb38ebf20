/*
 * visit.c: one connection of the load generator: a place that connects, shakes hands, asks and closes,
 * over and over. The server closes first, so neither side keeps a TIME_WAIT.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { SOURCES = 16, CLOSE_PATIENCE_S = 2 };
enum { IO_AGAIN = -1, IO_BROKEN = -2 };

void visit_close(struct visit *v)
{
	struct linger reset = { 1, 0 };

	if (v->ssl != NULL) {
		/* Said to be closed well, or OpenSSL gives the session up. */
		SSL_set_shutdown(v->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(v->ssl);
		v->ssl = NULL;
	}
	if (v->fd >= 0) {
		setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(v->fd);
		v->fd = -1;
	}
	v->state = VISIT_OFF;
}

void visit_end(struct visit *v, bool good)
{
	struct load *l = v->load;
	double now = load_now();

	v->busy = false;
	if (l->each != NULL && l->measuring)
		fprintf(l->each, "%.6f %.6f %d %d\n", v->due,
		    (v->answered > 0 ? v->answered : now) - v->due, v->resumed, good);
	if (!l->measuring) {
		if (!good) {
			if (++l->warm_failed > 20 + 4L * l->options.connections)
				errx(3, "the warm-up fails: %s", l->error);
			v->warm_left++;
		}
	} else if (good) {
		l->done++;
		l->last = now;
		samples_add(&l->samples, (v->answered > 0 ? v->answered : now) - v->due);
	} else {
		l->failed++;
	}
	if (!good)
		visit_close(v);
	load_free_visit(v);
}

static int receive(struct visit *v, char *at, int size)
{
	int n = SSL_read(v->ssl, at, size), why;

	if (n > 0)
		return n;
	why = SSL_get_error(v->ssl, n);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return IO_AGAIN;
	if (why == SSL_ERROR_ZERO_RETURN || (why == SSL_ERROR_SYSCALL && ERR_peek_error() == 0))
		return 0;
	load_note(v->load, "read");
	return IO_BROKEN;
}

/* The rest of the request, as far as it goes. */
static bool send_request(struct visit *v)
{
	struct load *l = v->load;

	while (v->sent < l->request_len) {
		size_t left = l->request_len - v->sent;
		int n = SSL_write(
		    v->ssl, v->request + v->sent, left > 1 << 20 ? 1 << 20 : (int)left);
		int why;

		if (n <= 0) {
			why = SSL_get_error(v->ssl, n);
			if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
				return true;
			load_note(l, "write");
			return false;
		}
		v->sent += (size_t)n;
	}
	return true;
}

static void ask(struct visit *v)
{
	reply_begin(&v->reply);
	request_next_path(v);
	v->sent = 0;
	v->state = VISIT_REPLY;
}

static void say_goodbye(struct visit *v)
{
	SSL_shutdown(v->ssl);
	ERR_clear_error();
	v->state = VISIT_CLOSING;
}

/* false: the operation is over. */
static bool answered(struct visit *v)
{
	struct load *l = v->load;
	bool good = v->reply.status == 200 || v->reply.status == 204;

	if (!good) {
		l->bad_status++;
		load_note(l, "an answer's status");
	}
	v->answered = load_now();
	if (good && l->options.op == OP_FETCH) {
		say_goodbye(v);
		return true;
	}
	if (v->reply.closes)
		visit_close(v);
	else
		v->state = VISIT_OPEN;
	visit_end(v, good);
	return false;
}

static bool step_handshake(struct visit *v)
{
	struct load *l = v->load;
	int n = SSL_do_handshake(v->ssl), why;

	if (n != 1) {
		why = SSL_get_error(v->ssl, n);
		if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
			return false;
		load_note(l, "handshake");
		visit_end(v, false);
		return false;
	}
	v->resumed = SSL_session_reused(v->ssl);
	if (l->measuring) {
		l->handshakes++;
		l->resumed += v->resumed;
	}
	if (l->options.op == OP_HANDSHAKE) {
		v->answered = load_now();
		say_goodbye(v);
	} else {
		ask(v);
	}
	return true;
}

static bool step_reply(struct visit *v)
{
	struct load *l = v->load;
	enum reply_step step;
	int n;

	if (!send_request(v)) {
		visit_end(v, false);
		return false;
	}
	n = receive(v, l->block, LOAD_BLOCK);
	if (n == IO_AGAIN)
		return false;
	if (n <= 0) {
		load_note(l, "the connection ended within an answer");
		visit_end(v, false);
		return false;
	}
	l->bytes += n;
	step = reply_feed(&v->reply, l->block, (size_t)n);
	if (step == REPLY_WHOLE)
		return answered(v);
	if (step == REPLY_BAD) {
		load_note(l, "an answer's framing");
		visit_end(v, false);
		return false;
	}
	return true;
}

/* Open and idle: only an end may come. */
static bool step_open(struct visit *v)
{
	int n = receive(v, v->load->block, LOAD_BLOCK);

	if (n == IO_AGAIN)
		return false;
	if (n <= 0) {
		visit_close(v);
		return false;
	}
	return true;
}

static bool step_closing(struct visit *v)
{
	int n = receive(v, v->load->block, LOAD_BLOCK); /* tickets too */

	if (n == IO_AGAIN)
		return false;
	if (n <= 0)
		v->state = VISIT_DRAINING;
	return true;
}

static bool step_draining(struct visit *v)
{
	ssize_t n = recv(v->fd, v->load->block, LOAD_BLOCK, 0);

	if (n > 0)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	visit_close(v);
	visit_end(v, true);
	return false;
}

void visit_event(struct visit *v)
{
	static bool (*const steps[])(struct visit *) = {
		[VISIT_HANDSHAKE] = step_handshake,
		[VISIT_REPLY] = step_reply,
		[VISIT_OPEN] = step_open,
		[VISIT_CLOSING] = step_closing,
		[VISIT_DRAINING] = step_draining,
	};

	while (v->state != VISIT_OFF && steps[v->state](v))
		continue;
}

/* From one of many addresses of loopback, so that the ports of none run out. */
static int source_socket(struct load *l, struct visit *v)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	(void)l;
	if (fd < 0)
		err(2, "socket");
	from.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)((v->number + v->connects) % SOURCES));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)
		err(2, "bind");
	return fd;
}

static bool open_connection(struct visit *v)
{
	struct load *l = v->load;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = v };
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	to.sin_port = htons(l->options.ports[(v->number + v->connects) % l->options.ports_n]);
	v->connects++;
	v->fd = source_socket(l, v);
	if (connect(v->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
		load_note(l, "connect");
		return false;
	}
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, v->fd, &event) != 0)
		err(2, "epoll_ctl");
	v->ssl = SSL_new(l->ctx);
	if (v->ssl == NULL || SSL_set_fd(v->ssl, v->fd) != 1)
		errx(2, "no memory");
	SSL_set_app_data(v->ssl, v);
	request_next_name(v);
	SSL_set_tlsext_host_name(v->ssl, v->name);
	if (l->options.resume != RESUME_NONE && v->session != NULL)
		SSL_set_session(v->ssl, v->session);
	SSL_set_connect_state(v->ssl);
	v->state = VISIT_HANDSHAKE;
	return true;
}

void visit_begin(struct visit *v, double due)
{
	struct load *l = v->load;
	enum op op = l->options.op;

	v->due = due;
	v->began = load_now();
	v->answered = 0;
	v->resumed = false;
	v->busy = true;
	if (l->measuring)
		l->started++;
	if ((op == OP_REQUEST || op == OP_IDLE) && v->fd >= 0) {
		ask(v);
	} else {
		l->reconnects += op == OP_REQUEST && l->measuring;
		if (!open_connection(v)) {
			visit_end(v, false);
			return;
		}
	}
	visit_event(v);
}

void visit_watch(struct visit *v, double now)
{
	struct load *l = v->load;
	bool closing = v->state == VISIT_CLOSING || v->state == VISIT_DRAINING;

	if (!v->busy)
		return;
	if (closing && now - v->began > CLOSE_PATIENCE_S) {
		l->forced++; /* the server does not close: said in the result */
		visit_close(v);
		visit_end(v, true);
	} else if (now - v->began > l->options.patience) {
		l->late++;
		load_note(l, "an operation takes too long");
		visit_end(v, false);
	}
}
