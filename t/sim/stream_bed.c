/*
 * stream_bed.c: see stream_bed.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/listener.h"
#include "stream_bed.h"

#include "base/poison.h"

static void close_if(struct user *u, enum call call)
{
	if (u->closes_in != call)
		return;
	stream_close(u->stream);
	stream_close(u->closes_too);
}

static void opened(void *arg)
{
	struct user *u = arg;

	u->opened++;
	close_if(u, OPENED);
}

static void input(void *arg)
{
	struct user *u = arg;
	struct bytes in = stream_input(u->stream);

	u->inputs++;
	if (u->closes_in == INPUT) {
		close_if(u, INPUT);
		return;
	}
	if (u->leaves) {
		if (u->expects)
			stream_expect(u->stream);
		return;
	}
	for (size_t i = 0; i < in.len && u->got + i + 1 < sizeof u->text; i++)
		u->text[u->got + i] = (char)in.at[i];
	u->got += in.len;
	stream_consume(u->stream, in.len);
	u->ended += stream_ended(u->stream);
	if (u->expects)
		stream_expect(u->stream);
	if (u->pauses_after_input)
		stream_pause(u->stream);
}

static void drained(void *arg)
{
	struct user *u = arg;

	u->drained++;
	close_if(u, DRAINED);
}

static void closed(void *arg, enum reason why)
{
	struct user *u = arg;

	u->closed++;
	u->why = why;
	stream_close(u->stream);
}

static enum stream_step step(void *arg, SSL *ssl, enum reason *why)
{
	struct user *u = arg;
	int ret;

	u->steps++;
	if (u->closes_in == STEP) {
		close_if(u, STEP);
		return STREAM_STEP_READ;
	}
	if (u->fails_with != REASON_NONE) {
		*why = u->fails_with;
		return STREAM_STEP_FAILED;
	}
	if (u->pauses_in_steps > 0) {
		u->pauses_in_steps--;
		return STREAM_STEP_PAUSED;
	}
	ret = SSL_do_handshake(ssl);
	if (ret == 1)
		return STREAM_STEP_DONE;
	return SSL_get_error(ssl, ret) == SSL_ERROR_WANT_READ ? STREAM_STEP_READ
							      : STREAM_STEP_FAILED;
}

const struct stream_events stream_bed_events = { opened, input, drained, closed, step };

/* ---- the two ends */

static SSL_CTX *server_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_set_pubkey(cert, key);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_sign(cert, key, EVP_sha256());
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* as the product has it */
	return ctx;
}

int stream_bed_setup(void **state)
{
	struct stream_bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	signal(SIGPIPE, SIG_IGN); /* the far end is OpenSSL's, which writes by write(2) */
	bed->fd = -1;
	bed->server = server_ctx();
	bed->client = SSL_CTX_new(TLS_client_method());
	*state = bed;
	return 0;
}

int stream_bed_teardown(void **state)
{
	struct stream_bed *bed = *state;

	if (bed->user.closed == 0 && bed->user.closes_in == 0)
		stream_close(bed->user.stream);
	SSL_free(bed->peer);
	if (bed->fd >= 0)
		close(bed->fd);
	loop_free(bed->loop);
	SSL_CTX_free(bed->server);
	SSL_CTX_free(bed->client);
	free(bed);
	return 0;
}

/* Over TCP, for its resets and halves: fds[0] is accepted. */
void stream_bed_pair(int fds[2])
{
	struct endpoint at;
	int listening;

	assert_int_equal(endpoint_parse(&at, "127.0.0.1:0"), 0);
	listening = listener_socket(&at, false);
	assert_true(listening >= 0);
	at.len = sizeof at.addr;
	assert_int_equal(getsockname(listening, (struct sockaddr *)&at.addr, &at.len), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (const struct sockaddr *)&at.addr, at.len), 0);
	fds[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	close(listening);
}

static void stream_bed_accept(struct stream_bed *bed, int fds[2], SSL *ssl)
{
	bed->user.loop = bed->loop;
	bed->user.stream = stream_accept(
	    bed->loop, fds[0], false, ssl, &stream_bed_events, &bed->user);
	assert_non_null(bed->user.stream);
	bed->fd = fds[1];
}

void stream_bed_plain(struct stream_bed *bed)
{
	int fds[2];

	stream_bed_pair(fds);
	stream_bed_accept(bed, fds, NULL);
}

void stream_bed_tls(struct stream_bed *bed)
{
	SSL *ssl = SSL_new(bed->server);
	int fds[2];

	stream_bed_pair(fds);
	SSL_set_accept_state(ssl);
	bed->peer = SSL_new(bed->client);
	SSL_set_fd(bed->peer, fds[1]);
	SSL_set_connect_state(bed->peer);
	stream_bed_accept(bed, fds, ssl);
}

/* Both halves of the handshake, until the far end has done its own. */
bool stream_bed_peer_is_done(struct stream_bed *bed)
{
	return SSL_do_handshake(bed->peer) == 1;
}

void stream_bed_open(struct stream_bed *bed)
{
	sim_until(bed->loop, stream_bed_peer_is_done(bed) && bed->user.opened == 1);
}

/* The kernel takes little at a time. */
void stream_bed_narrow(struct stream_bed *bed)
{
	int small = 4096;

	setsockopt(stream_fd(bed->user.stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
}

void stream_bed_far_says(struct stream_bed *bed, const char *text)
{
	assert_int_equal(send(bed->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void stream_bed_far_resets(struct stream_bed *bed)
{
	struct linger now = { 1, 0 };

	assert_int_equal(setsockopt(bed->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
	close(bed->fd);
	bed->fd = -1;
}

size_t stream_bed_far_reads(struct stream_bed *bed)
{
	size_t n = 0;
	ssize_t got;

	while ((got = recv(bed->fd, bed->block, sizeof bed->block, 0)) > 0)
		n += (size_t)got;
	return n;
}

enum flow stream_bed_say(struct stream_bed *bed, size_t len)
{
	static const char block[200 * 1024];
	struct iovec iov = { (void *)(uintptr_t)block, len };

	assert_in_range(len, 0, sizeof block);
	return stream_write(bed->user.stream, &iov, 1);
}

/* A loop that has nothing to do uses next to no processor time. */
void stream_bed_is_idle(struct stream_bed *bed)
{
	enum { LOOK_MS = 150 };
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	{
		uint64_t end = sim_now_ms() + LOOK_MS;

		while (sim_now_ms() < end)
			sim_turn(bed->loop); /* about 1 ms each, asleep */
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	assert_in_range(
	    (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000, 0,
	    LOOK_MS / 2);
}
