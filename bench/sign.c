/*
 * sign.c: a load generator for the key service: a few connections by mutual TLS, so many questions in flight on
 * each, every one a CertificateVerify of TLS 1.3. The first signature of each connection is verified. Says READY
 * when all connections have had an answer, waits for a line, measures, prints one line of JSON.
 */
#include <err.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crypto/cert.h"
#include "wire/keyless.h"

enum { CONNECTIONS_MAX = 64, INPUT = 1 << 17, QUESTION_MAX = 512, TBS_LEN = 130 };
enum { SCHEME_P256 = 0x0403, SCHEME_PSS = 0x0804 };

struct options {
	int port, connections, window;
	double seconds;
	const char *identity, *identity_key, *ca_file, *certificate;
};

struct conn {
	int fd;
	SSL *ssl;
	bool verified;
	uint8_t in[INPUT];
	size_t in_n;
};

struct sign {
	struct options options;
	SSL_CTX *ctx;
	X509 *leaf;
	bool rsa;
	uint8_t tbs[TBS_LEN], question[QUESTION_MAX];
	size_t question_n;
	uint8_t out[16384];
	uint32_t id;
	struct conn at[CONNECTIONS_MAX];
	long signed_n, refused;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	errx(3, "%s: %s", what, ERR_error_string(ERR_get_error(), NULL));
}

/* ---- what is asked, and whether the answer is right */

static void question_new(struct sign *s)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";
	uint8_t payload[2 + TBS_LEN], ski[KEYLESS_SKI_LEN];
	unsigned scheme = s->rsa ? SCHEME_PSS : SCHEME_P256;

	memset(s->tbs, 0x20, 64);
	memcpy(s->tbs + 64, context, sizeof(context)); /* with its NUL */
	memset(s->tbs + 64 + sizeof(context), 0x5a, 32);
	payload[0] = (uint8_t)(scheme >> 8);
	payload[1] = (uint8_t)scheme;
	memcpy(payload + 2, s->tbs, TBS_LEN);
	if (key_ski(X509_get0_pubkey(s->leaf), ski) == -1)
		die("the certificate's key");
	s->question_n = keyless_build_custom(1, KEYLESS_FN_TLS_SIGN, ski,
	    bytes_of(payload, sizeof(payload)), s->question, sizeof(s->question));
	if (s->question_n == 0)
		errx(3, "the question is too long");
}

static void verify(const struct sign *s, struct bytes signature)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how;

	if (md == NULL ||
	    EVP_DigestVerifyInit(md, &how, EVP_sha256(), NULL, X509_get0_pubkey(s->leaf)) != 1 ||
	    (s->rsa && (EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) != 1 ||
			   EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) != 1)) ||
	    EVP_DigestVerify(md, signature.at, signature.len, s->tbs, TBS_LEN) != 1)
		errx(3, "the signature is wrong");
	EVP_MD_CTX_free(md);
}

/* ---- connections */

static void connect_all(struct sign *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)s->options.port) };
	int one = 1;

	for (int i = 0; i < s->options.connections; i++) {
		struct conn *c = &s->at[i];

		c->fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
			err(3, "connect");
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->ssl = SSL_new(s->ctx);
		if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
			die("TLS");
	}
}

/* In one record. A few dozen questions always fit into the socket's buffer. */
static void ask(struct sign *s, struct conn *c, int n)
{
	uint8_t *out = s->out;
	size_t len = 0;

	for (int i = 0; i < n && len + s->question_n <= sizeof(s->out); i++, len += s->question_n) {
		memcpy(out + len, s->question, s->question_n);
		keyless_number(out + len, ++s->id);
	}
	if (len > 0 && SSL_write(c->ssl, out, (int)len) != (int)len)
		die("write");
}

/* How many answers it had. */
static int take(struct sign *s, struct conn *c)
{
	size_t at = 0, len;
	uint32_t id;
	int n = 0;

	while (keyless_next(bytes_of(c->in + at, c->in_n - at), &len, &id) == PARSE_OK) {
		struct keyless answer;
		enum keyless_error error;

		if (keyless_parse(bytes_of(c->in + at, len), &answer, &error) != PARSE_OK)
			errx(3, "an answer's format");
		if (answer.opcode == KEYLESS_ANSWER) {
			s->signed_n++;
			if (!c->verified)
				verify(s, answer.payload);
			c->verified = true;
		} else {
			s->refused++;
		}
		at += len;
		n++;
	}
	memmove(c->in, c->in + at, c->in_n - at);
	c->in_n -= at;
	return n;
}

static void turn(struct sign *s)
{
	struct pollfd fds[CONNECTIONS_MAX];

	for (int i = 0; i < s->options.connections; i++)
		fds[i] = (struct pollfd){ .fd = s->at[i].fd, .events = POLLIN };
	if (poll(fds, (nfds_t)s->options.connections, 5000) <= 0)
		errx(3, "no answer within 5 s");
	for (int i = 0; i < s->options.connections; i++) {
		struct conn *c = &s->at[i];
		int n;

		if (fds[i].revents == 0)
			continue;
		n = SSL_read(c->ssl, c->in + c->in_n, (int)(INPUT - c->in_n));
		if (n <= 0)
			die("the connection ended");
		c->in_n += (size_t)n;
		ask(s, c, take(s, c));
	}
}

/* ---- start */

static void prepare(struct sign *s)
{
	const struct options *o = &s->options;
	FILE *f = fopen(o->certificate, "r");

	s->leaf = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	if (s->leaf == NULL)
		errx(3, "%s: no certificate", o->certificate);
	fclose(f);
	s->rsa = EVP_PKEY_get_base_id(X509_get0_pubkey(s->leaf)) == EVP_PKEY_RSA;
	s->ctx = SSL_CTX_new(TLS_client_method());
	if (s->ctx == NULL || SSL_CTX_use_certificate_chain_file(s->ctx, o->identity) != 1 ||
	    SSL_CTX_use_PrivateKey_file(s->ctx, o->identity_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(s->ctx, o->ca_file, NULL) != 1)
		die("identity");
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, NULL);
	question_new(s);
}

static void options_read(struct options *o, int argc, char **argv)
{
	static const struct option names[] = { { "port", 1, 0, 'p' }, { "connections", 1, 0, 'n' },
		{ "window", 1, 0, 'w' }, { "seconds", 1, 0, 's' }, { "identity", 1, 0, 'i' },
		{ "identity-key", 1, 0, 'k' }, { "ca-file", 1, 0, 'a' },
		{ "certificate", 1, 0, 'c' }, { 0, 0, 0, 0 } };
	int c;

	*o = (struct options){ .connections = 4, .window = 32, .seconds = 2 };
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->port = atoi(optarg);
			break;
		case 'n':
			o->connections = atoi(optarg);
			break;
		case 'w':
			o->window = atoi(optarg);
			break;
		case 's':
			o->seconds = atof(optarg);
			break;
		case 'i':
			o->identity = optarg;
			break;
		case 'k':
			o->identity_key = optarg;
			break;
		case 'a':
			o->ca_file = optarg;
			break;
		case 'c':
			o->certificate = optarg;
			break;
		default:
			exit(2);
		}
	}
	if (o->port == 0 || o->identity == NULL || o->identity_key == NULL || o->ca_file == NULL ||
	    o->certificate == NULL || o->connections < 1 || o->connections > CONNECTIONS_MAX ||
	    o->window < 1)
		errx(2, "usage: sign --port P --identity F --identity-key F --ca-file F "
			"--certificate F [--connections N] [--window N] [--seconds S]");
}

int main(int argc, char **argv)
{
	static struct sign s;
	char line[16];
	double began, until;
	long before;

	options_read(&s.options, argc, argv);
	prepare(&s);
	connect_all(&s);
	for (int i = 0; i < s.options.connections; i++)
		ask(&s, &s.at[i], s.options.window);
	while (s.signed_n < 4L * s.options.connections * s.options.window)
		turn(&s);
	puts("READY");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return 1;
	before = s.signed_n;
	s.refused = 0;
	began = now();
	until = began + s.options.seconds;
	while (now() < until)
		turn(&s);
	printf("{\"ops\":%ld,\"refused\":%ld,\"wall\":%.6f}\n", s.signed_n - before, s.refused,
	    now() - began);
	return 0;
}
