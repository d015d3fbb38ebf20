/*
 * stream_tls.c: libssl over the loop's buffers. All SSLs of a loop share one BIO: its reads take
 * from the bytes that were just received, its writes append to the shared output, and both belong
 * to the stream whose SSL call is on the stack (iobufs.running). So a connection has no BIO buffers
 * of its own, many records leave in one write(2), and SSL_write never has to be repeated.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "net/stream_private.h"

#include "base/poison.h"

static int bio_read(BIO *bio, char *buf, int size)
{
	struct iobufs *bufs = BIO_get_data(bio);
	size_t len = bufs->raw.len;

	BIO_clear_retry_flags(bio);
	if (len == 0) {
		/* At the end of the stream there is no more to wait for. */
		if (bufs->running->eof)
			return 0;
		BIO_set_retry_read(bio);
		return -1;
	}
	if (size <= 0)
		return 0;
	if (len > (size_t)size)
		len = (size_t)size;
	memcpy(buf, bufs->raw.at, len);
	bufs->raw.at += len;
	bufs->raw.len -= len;
	return (int)len;
}

static int bio_write(BIO *bio, const char *buf, int size)
{
	struct iobufs *bufs = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	stream_put_out(bufs->running, (const uint8_t *)buf, (size_t)size);
	return size;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP || cmd == BIO_CTRL_PUSH ||
	       cmd == BIO_CTRL_POP;
}

static BIO *bio_new(struct iobufs *bufs)
{
	BIO_METHOD *method = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sslgw stream");
	BIO *bio;

	if (method == NULL)
		return NULL;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	bio = BIO_new(method);
	if (bio == NULL) {
		BIO_meth_free(method);
		return NULL;
	}
	BIO_set_data(bio, bufs);
	BIO_set_init(bio, 1);
	bufs->bio_method = method;
	return bio;
}

int stream_tls_attach(struct stream *s)
{
	if (s->bufs->bio == NULL)
		s->bufs->bio = bio_new(s->bufs);
	if (s->bufs->bio == NULL || !BIO_up_ref(s->bufs->bio))
		return -1;
	/* With the same BIO both ways SSL_set_bio takes one reference. */
	SSL_set_bio(s->ssl, s->bufs->bio, s->bufs->bio);
	return 0;
}

void stream_tls_bio_free(struct iobufs *bufs)
{
	if (bufs->bio == NULL)
		return;
	BIO_free(bufs->bio);
	BIO_meth_free(bufs->bio_method);
}

/* The SSL calls of other streams may lie below this one on the stack: a hello that asks a service. */
static struct stream *enter(struct stream *s, struct bytes *saved_raw, struct bytes raw)
{
	struct stream *outer = s->bufs->running;

	*saved_raw = s->bufs->raw;
	s->bufs->running = s;
	s->bufs->raw = raw;
	return outer;
}

/* Before what SSL_get_error() is asked about. Of an empty queue ERR_clear_error() would write all sixteen places. */
static void forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* Keeps what SSL did not take: it stays in the stream's own buffer until the next call. */
static void leave(struct stream *s, struct stream *outer, struct bytes saved_raw)
{
	struct bytes left = s->bufs->raw;

	if (buffer_len(&s->rawbuf) > 0)
		buffer_consume(&s->rawbuf, buffer_len(&s->rawbuf) - left.len);
	else if (left.len > 0 && buffer_append(&s->rawbuf, left.at, left.len) != 0)
		stream_fail_later(s, REASON_MEMORY);
	s->bufs->running = outer;
	s->bufs->raw = saved_raw;
}

static enum stream_step plain_step(struct stream *s, enum reason *why)
{
	int ret = SSL_do_handshake(s->ssl);

	if (ret == 1)
		return STREAM_STEP_DONE;
	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return STREAM_STEP_READ;
	case SSL_ERROR_WANT_WRITE:
		return STREAM_STEP_WRITE;
	default:
		*why = REASON_TLS;
		return STREAM_STEP_FAILED;
	}
}

enum stream_step stream_tls_step(struct stream *s, struct bytes fresh, enum reason *why)
{
	struct bytes saved_raw, raw = buffer_len(&s->rawbuf) > 0 ? buffer_bytes(&s->rawbuf) : fresh;
	struct stream *outer = enter(s, &saved_raw, raw);
	enum stream_step step;

	forget_errors();
	*why = REASON_TLS;
	if (s->events->handshake != NULL)
		step = s->events->handshake(s->arg, s->ssl, why);
	else
		step = plain_step(s, why);
	leave(s, outer, saved_raw);
	return step;
}

/*
 * Decrypts all that there is into buf: max leaves room for one read and one record. Where nothing is
 * left, libssl is not asked for more only to hear so: that costs it a buffer.
 */
enum reason stream_tls_read(
    struct stream *s, struct bytes fresh, uint8_t *buf, size_t max, size_t *got)
{
	struct bytes saved_raw, raw = buffer_len(&s->rawbuf) > 0 ? buffer_bytes(&s->rawbuf) : fresh;
	struct stream *outer = enter(s, &saved_raw, raw);
	enum reason why = REASON_NONE;
	int ret;

	forget_errors();
	*got = 0;
	do {
		ret = SSL_read(s->ssl, buf + *got, (int)(max - *got));
		if (ret > 0)
			*got += (size_t)ret;
	} while (*got < max && ret > 0 && (s->bufs->raw.len > 0 || SSL_has_pending(s->ssl)));
	if (ret <= 0) {
		switch (SSL_get_error(s->ssl, ret)) {
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			break;
		case SSL_ERROR_ZERO_RETURN:
			s->eof = s->clean_eof = true;
			break;
		default:
			if (!s->eof)
				why = ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION
					  ? REASON_TLS_RENEGOTIATION
					  : REASON_TLS;
		}
	}
	leave(s, outer, saved_raw);
	return why;
}

int stream_tls_write(struct stream *s, const uint8_t *data, size_t len)
{
	struct bytes saved_raw;
	struct stream *outer = enter(s, &saved_raw, (struct bytes){ 0 });
	struct buffer held = s->rawbuf;
	size_t written = 0;
	int ret = 1;

	/* A write reads nothing; what lies in rawbuf is not touched. */
	s->rawbuf = (struct buffer){ 0 };
	/* libssl makes the records: smaller ones where the client asked for that (max_fragment_length). */
	while (written < len && ret > 0) {
		ret = SSL_write(s->ssl, data + written, (int)(len - written));
		if (ret > 0)
			written += (size_t)ret;
	}
	leave(s, outer, saved_raw);
	s->rawbuf = held;
	return written == len ? 0 : -1;
}

void stream_tls_shutdown(struct stream *s)
{
	struct bytes saved_raw;
	struct stream *outer = enter(s, &saved_raw, (struct bytes){ 0 });
	struct buffer held = s->rawbuf;

	s->rawbuf = (struct buffer){ 0 };
	SSL_shutdown(s->ssl);
	leave(s, outer, saved_raw);
	s->rawbuf = held;
}

/*
 * Many may be closed in one turn, and the alert leaves its record's buffer until the end. Where reading
 * goes on it has to stay: libssl before 3.0.14 frees one that a record is being read into (CVE-2024-4741).
 */
void stream_tls_unbuffer(struct stream *s)
{
	SSL_free_buffers(s->ssl);
}

void stream_tls_free(struct stream *s)
{
	if (s->ssl == NULL)
		return;
	/* Without this SSL_free would call the session bad and drop it. */
	SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	s->ssl = NULL;
}
