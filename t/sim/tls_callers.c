/*
 * tls_callers.c: see tls_callers.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "net/listener.h"

#include "tls_callers.h"

static void on_call(void *arg, struct call *call, struct bytes request)
{
	struct tls_callers *bed = arg;
	struct iovec iov = { (void *)(uintptr_t)request.at, request.len };

	bed->calls_n++;
	bed->identity = *call_identity(call);
	strlcpy(bed->name, bed->identity.name, sizeof(bed->name));
	if (!bed->hold) {
		call_reply(call, &iov, 1);
		return;
	}
	assert_true(bed->held_n < OWED_MAX);
	bed->held[bed->held_n++] = call;
}

static void on_gone(void *arg, struct call *call)
{
	(void)call;
	((struct tls_callers *)arg)->gone_n++;
}

int callers_setup(void **state)
{
	struct tls_callers *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->loop = loop_new();
	pki_init(&bed->pki);
	pki_issue(&bed->pki, "ks", "ks1", "DNS:ks1.test,URI:sslgw:keysvc", 3600, NULL);
	pki_issue(&bed->pki, "gw", "gw1", "DNS:gw1.test,URI:sslgw:gateway", 3600, NULL);
	for (int i = 0; i < CALLERS_MAX; i++)
		bed->callers[i].fd = -1;
	bed->params = (struct service_params){
		.codec = &sim_lines,
		.conns_max = 1000,
		.calls_max = 100,
		.conn_calls_max = 50,
		.idle_ms = 60000,
		.stall_ms = 60000,
		.call = on_call,
		.gone = on_gone,
	};
	*state = bed;
	return 0;
}

int callers_teardown(void **state)
{
	struct tls_callers *bed = *state;

	service_free(bed->service);
	for (int i = 0; i < bed->held_n; i++)
		call_close(bed->held[i]);
	for (int i = 0; i < CALLERS_MAX; i++)
		caller_leave(&bed->callers[i]);
	tlsctx_free(bed->ctx);
	loop_free(bed->loop);
	pki_clear(&bed->pki);
	free(bed);
	return 0;
}

void callers_start(struct tls_callers *bed, unsigned roles)
{
	int fd;

	assert_int_equal(endpoint_parse(&bed->at, "127.0.0.1:0"), 0);
	fd = listener_socket(&bed->at, false);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bed->at.addr, &bed->at.len), 0);
	bed->ctx = pki_ctx(&bed->pki, true, "ks", roles);
	bed->service = service_new(bed->loop, &bed->params, bed);
	assert_non_null(bed->service);
	assert_int_equal(service_listen(bed->service, fd, bed->ctx), 0);
}

static void on_info(const SSL *ssl, int where, int value)
{
	struct caller *c = SSL_get_ex_data(ssl, 1);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		c->alert = value & 0xff;
}

struct caller *caller_connect(struct tls_callers *bed, int i, SSL *ssl)
{
	struct caller *c = &bed->callers[i];

	assert_true(i < CALLERS_MAX);
	caller_leave(c);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(c->fd >= 0);
	(void)connect(c->fd, (struct sockaddr *)&bed->at.addr, bed->at.len);
	c->ssl = ssl;
	if (ssl != NULL) {
		SSL_set_ex_data(ssl, 1, c);
		SSL_set_info_callback(ssl, on_info);
		SSL_set_fd(ssl, c->fd);
	}
	return c;
}

static void work_plain(struct caller *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOTCONN))
		c->ended = true;
}

void caller_work(struct caller *c)
{
	int n;

	if (c->ended)
		return;
	if (c->ssl == NULL) {
		work_plain(c);
		return;
	}
	ERR_clear_error();
	if (!c->open) {
		n = SSL_do_handshake(c->ssl);
		c->open = n == 1;
	} else {
		n = SSL_read(c->ssl, c->in + c->len, (int)(sizeof(c->in) - 1 - c->len));
		if (n > 0)
			c->in[c->len += (size_t)n] = '\0';
	}
	if (n <= 0 && SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ &&
	    SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_WRITE && errno != ENOTCONN)
		c->ended = true;
}

bool caller_is_open(struct caller *c)
{
	caller_work(c);
	return c->open;
}

bool caller_is_ended(struct caller *c)
{
	caller_work(c);
	return c->ended;
}

void caller_say(struct caller *c, const char *text)
{
	if (c->ssl != NULL)
		assert_int_equal(SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
	else
		assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

bool caller_got(struct caller *c, const char *text)
{
	caller_work(c);
	return c->open && strcmp(c->in, text) == 0;
}

void caller_leave(struct caller *c)
{
	if (c->ssl != NULL) {
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(c->ssl);
	}
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct caller){ .fd = -1 };
}
