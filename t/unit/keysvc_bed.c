/* keysvc_bed.c: see keysvc_bed.h. */
#include "keysvc_bed.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rsa.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/epoch.h"
#include "keysvc/keyop.h"
#include "keysvc/keysvc.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "wire/keyless.h"

#include "base/poison.h"

enum { DEADLINE_S = 30 };

struct keystore *key_set(struct key *key)
{
	struct keystore *set = keystore_new();

	assert_int_equal(keystore_add(set, key_ref(key)), 0);
	keystore_seal(set);
	return set;
}

void join(struct fixture *f)
{
	struct endpoint at;

	if (f->fd != -1)
		close(f->fd);
	f->in_n = f->last = 0;
	assert_int_equal(endpoint_parse(&at, f->path), 0);
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->fd, (struct sockaddr *)&at.addr, at.len), 0);
}

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct epochs_params epochs = { .path = NULL, .period = 3600, .lifetime_s = 7 * 86400 };
	struct keysvc_params params = { .threads = 1,
		.slow_threads = 1,
		.queue_max = 8,
		.conns_max = 4,
		.deadline_ms = 20000 };
	struct endpoint at;
	char why[100];

	snprintf(f->dir, sizeof(f->dir), "/tmp/sslgw-keysvc-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->path, sizeof(f->path), "unix:%s/s", f->dir);
	f->fd = -1;
	f->loop = loop_new();
	f->policy.has_token = true;
	f->policy.grants = GRANT_TLS_SIGN | GRANT_EPOCH_KEYS | GRANT_KEYS;
	memset(f->policy.token, 0x77, sizeof(f->policy.token));
	f->op = keyop_new(KEYOP_NO_SLOT);
	params.policy = &f->policy;
	params.epochs = f->epochs = epochs_new(f->loop, &epochs);
	f->svc = keysvc_new(f->loop, &params);
	f->key = key_new(EVP_EC_gen("P-256"), "test", why, sizeof(why));
	keysvc_set_keys(f->svc, key_set(f->key));
	if (endpoint_parse(&at, f->path) == -1 ||
	    keysvc_listen(f->svc, listener_socket(&at, false), NULL) == -1)
		return -1;
	join(f);
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	keysvc_free(f->svc);
	epochs_free(f->epochs);
	loop_free(f->loop);
	key_unref(f->key);
	keyop_free(f->op);
	unlink(f->path + strlen("unix:"));
	rmdir(f->dir);
	free(f);
	return 0;
}

void send_all(struct fixture *f, const uint8_t *at, size_t len)
{
	assert_int_equal(send(f->fd, at, len, MSG_NOSIGNAL), len);
}

/* Turns the loop until a whole message is there, or the end (false). */
bool receive(struct fixture *f, struct keyless *k)
{
	time_t begin = time(NULL);
	enum keyless_error error;
	size_t len;
	uint32_t id;

	memmove(f->in, f->in + f->last, f->in_n - f->last);
	f->in_n -= f->last;
	f->last = 0;
	while (keyless_next(bytes_of(f->in, f->in_n), &len, &id) == PARSE_MORE) {
		ssize_t n = recv(f->fd, f->in + f->in_n, sizeof(f->in) - f->in_n, MSG_DONTWAIT);

		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return false;
		if (n > 0) {
			f->in_n += (size_t)n;
			continue;
		}
		assert_true(time(NULL) - begin < DEADLINE_S);
		assert_int_equal(loop_turn(f->loop), 0);
	}
	assert_int_equal(keyless_parse(bytes_of(f->in, len), k, &error), PARSE_OK);
	f->last = len;
	return true;
}

struct keyless ask(struct fixture *f, const struct keyless *request)
{
	size_t n = keyless_build(request, false, f->out, sizeof(f->out));
	struct keyless answer;

	assert_int_not_equal(n, 0);
	send_all(f, f->out, n);
	assert_true(receive(f, &answer));
	assert_int_equal(answer.id, request->id);
	return answer;
}

struct keyless custom(
    struct fixture *f, const char *function, const uint8_t *ski, struct bytes payload)
{
	struct keyless k = { .id = 4711,
		.opcode = KEYLESS_CUSTOM,
		.function = bytes_str(function),
		.payload = payload };

	if (ski != NULL)
		k.ski = bytes_of(ski, 20);
	return ask(f, &k);
}

void hello(struct fixture *f)
{
	assert_int_equal(custom(f, KEYLESS_FN_HELLO, NULL, bytes_of(f->policy.token, 32)).opcode,
	    KEYLESS_ANSWER);
}

void refused(struct keyless k, enum keyless_error error)
{
	assert_int_equal(k.opcode, KEYLESS_ERROR);
	assert_int_equal(k.payload.len, 1);
	assert_int_equal(k.payload.at[0], error);
}

__attribute__((noinline)) void refuses_custom(struct fixture *f, const char *function,
    const uint8_t *ski, struct bytes payload, enum keyless_error error)
{
	refused(custom(f, function, ski, payload), error);
}

struct bytes sign_request(uint8_t *buf, uint16_t scheme)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";

	buf[0] = (uint8_t)(scheme >> 8);
	buf[1] = (uint8_t)scheme;
	memset(buf + 2, ' ', 64);
	memcpy(buf + 66, context, sizeof(context));
	memset(buf + 66 + sizeof(context), 0xab, 32);
	return bytes_of(buf, 2 + 130);
}

void closed(struct fixture *f)
{
	struct keyless k;

	assert_false(receive(f, &k));
}
