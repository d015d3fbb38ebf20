/*
 * test_tlsctx.c: who is let in by mutual TLS, in both versions, and what a session may stand for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "t/sim/pki.h"
#include "t/sim/sim.h"

enum { LIFE = 3600 };

/* What one handshake came to. */
struct shake {
	bool done; /* for both */
	bool resumed;
	int alert; /* that the client got; 0: none */
	int server_alert; /* that the server got */
	struct tlsctx_peer seen; /* the client, by the server */
	bool known; /* seen is set */
	char refusal[128]; /* the server's */
	SSL *client, *server;
};

static void on_info(const SSL *ssl, int where, int value)
{
	struct shake *s = SSL_get_ex_data(ssl, 1);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
		if (SSL_is_server((SSL *)(uintptr_t)ssl))
			s->server_alert = value & 0xff;
		else
			s->alert = value & 0xff;
	}
}

static void on_connected(struct shake *s)
{
	const char *why = tlsctx_refusal(s->server);

	snprintf(s->refusal, sizeof(s->refusal), "%s", why != NULL ? why : "");
	s->known = tlsctx_peer(s->server, &s->seen) == 0;
	s->resumed = SSL_session_reused(s->client) == 1 && SSL_session_reused(s->server) == 1;
}

/* Both ends over a pair in memory; then a byte each way, so that tickets and late alerts come. */
static void shake(
    struct shake *s, struct tlsctx *client, struct tlsctx *server, int version, SSL_SESSION **last)
{
	BIO *a, *b;
	char byte;

	*s = (struct shake){ 0 };
	s->client = last != NULL ? tlsctx_ssl_again(client, last) : tlsctx_ssl(client);
	s->server = tlsctx_ssl(server);
	assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
	SSL_set_bio(s->client, a, a);
	SSL_set_bio(s->server, b, b);
	SSL_set_ex_data(s->client, 1, s);
	SSL_set_ex_data(s->server, 1, s);
	SSL_set_info_callback(s->client, on_info);
	SSL_set_info_callback(s->server, on_info);
	if (version != 0)
		SSL_set_max_proto_version(s->client, version);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(s->client);
		SSL_do_handshake(s->server);
	}
	s->done = SSL_is_init_finished(s->client) && SSL_is_init_finished(s->server);
	if (s->done) {
		assert_int_equal(SSL_write(s->server, "x", 1), 1);
		assert_int_equal(SSL_read(s->client, &byte, 1), 1);
	} else if (SSL_is_init_finished(s->client)) {
		(void)SSL_read(s->client, &byte, 1);
	}
	on_connected(s);
	SSL_set_shutdown(s->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(s->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->client);
	SSL_free(s->server);
	ERR_clear_error();
}

static int setup(void **state)
{
	struct pki *pki = calloc(1, sizeof(*pki));

	assert_non_null(pki);
	pki_init(pki);
	pki_issue(pki, "ks", "ks1", "DNS:ks1.test,URI:sslgw:keysvc", LIFE, NULL);
	pki_issue(pki, "gw", "gw1", "URI:sslgw:gateway,DNS:gw1.test,DNS:second.test", LIFE, NULL);
	*state = pki;
	return 0;
}

static int teardown(void **state)
{
	pki_clear(*state);
	free(*state);
	return 0;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void a_peer_is_known_by_its_certificate(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	struct tlsctx *client = pki_ctx(*state, false, "gw", ROLE_KEYSVC);
	struct shake s;

	assert_string_equal(tlsctx_name(client), "gw1.test");
	assert_in_range(tlsctx_not_after(client), time(NULL) + LIFE - 60, time(NULL) + LIFE);
	for (int v = 0; v < 2; v++) {
		shake(&s, client, server, versions[v], NULL);
		assert_true(s.done && s.known && !s.resumed);
		assert_string_equal(s.seen.name, "gw1.test");
		assert_int_equal(s.seen.role, ROLE_GATEWAY);
		assert_int_equal(s.seen.not_after, tlsctx_not_after(client));
		assert_string_equal(s.refusal, "");
	}
	tlsctx_free(client);
	tlsctx_free(server);
}

/* The server refuses the client "x", with that alert, in both versions. */
static void check_refused(struct pki *pki, int alert)
{
	struct tlsctx *server = pki_ctx(pki, true, "ks", ROLE_GATEWAY | ROLE_OPERATOR);
	struct tlsctx *client = pki_ctx(pki, false, "x", ROLE_KEYSVC);
	struct shake s;

	for (int v = 0; v < 2; v++) {
		shake(&s, client, server, versions[v], NULL);
		assert_false(s.done);
		assert_false(s.known);
		if (alert != 0)
			assert_int_equal(s.alert, alert);
		else
			assert_true(s.alert != 0);
		assert_string_not_equal(s.refusal, "");
	}
	tlsctx_free(client);
	tlsctx_free(server);
}

static void who_has_no_accepted_role_gets_an_alert(void **state)
{
	static const char *const alts[] = {
		"DNS:x.test,URI:sslgw:cachesvc", /* another role */
		"DNS:x.test", /* none */
		"DNS:x.test,URI:sslgw:gateway,URI:sslgw:operator", /* two */
		"DNS:x.test,URI:sslgw:gateway,URI:sslgw:gateway",
		"DNS:x.test,URI:sslgw:gateways", /* unknown ones */
		"DNS:x.test,URI:sslgw:", "DNS:x.test,URI:SSLGW:gateway",
		"DNS:x.test,URI:sslgw:gateway,URI:sslgw:root", "DNS:x.test,URI:other:sslgw:gateway",
		"URI:sslgw:gateway", /* no name */
		"DNS:x test,URI:sslgw:gateway", /* names that are none */
	};

	for (size_t i = 0; i < sizeof(alts) / sizeof(alts[0]); i++) {
		pki_issue(*state, "x", "x.test", alts[i], LIFE, NULL);
		check_refused(*state, SSL_AD_BAD_CERTIFICATE);
	}
	/* The extension twice: libcrypto minds it itself. */
	pki_issue(*state, "x", "x.test",
	    "DNS:x.test,URI:sslgw:gateway|DNS:y.test,URI:sslgw:gateway", LIFE, NULL);
	check_refused(*state, 0);
}

static void who_is_of_another_ca_or_expired_gets_an_alert(void **state)
{
	pki_issue_other(*state, "x", "x", "DNS:gw1.test,URI:sslgw:gateway", LIFE, NULL);
	check_refused(*state, SSL_AD_DECRYPT_ERROR); /* the same CA's name, another key */
	pki_issue(*state, "x", "x", "DNS:gw1.test,URI:sslgw:gateway", -10, NULL);
	check_refused(*state, SSL_AD_CERTIFICATE_EXPIRED);
}

static void who_is_denied_gets_an_alert(void **state)
{
	uint8_t spki[TLSCTX_SPKI_LEN];

	pki_issue(*state, "x", "x", "DNS:x.test,URI:sslgw:gateway", LIFE, spki);
	pki_deny(*state, spki);
	check_refused(*state, SSL_AD_CERTIFICATE_REVOKED);
}

static void who_has_no_certificate_gets_an_alert(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	SSL_CTX *bare = SSL_CTX_new(TLS_client_method());

	for (int v = 0; v < 2; v++) {
		SSL *client = SSL_new(bare), *ssl = tlsctx_ssl(server);
		struct shake s = { 0 };
		BIO *a, *b;
		char byte;

		SSL_set_connect_state(client);
		SSL_set_max_proto_version(client, versions[v]);
		assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
		SSL_set_bio(client, a, a);
		SSL_set_bio(ssl, b, b);
		SSL_set_ex_data(client, 1, &s);
		SSL_set_info_callback(client, on_info);
		for (int i = 0; i < 10; i++) {
			SSL_do_handshake(client);
			SSL_do_handshake(ssl);
		}
		(void)SSL_read(client, &byte, 1);
		assert_false(SSL_is_init_finished(ssl));
		assert_int_equal(
		    s.alert, v == 0 ? SSL_AD_HANDSHAKE_FAILURE : TLS13_AD_CERTIFICATE_REQUIRED);
		SSL_free(client);
		SSL_free(ssl);
	}
	SSL_CTX_free(bare);
	tlsctx_free(server);
	ERR_clear_error();
}

static void a_client_refuses_the_wrong_server(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "gw", ROLE_GATEWAY);
	struct tlsctx *client = pki_ctx(*state, false, "gw", ROLE_KEYSVC);
	struct shake s;

	for (int v = 0; v < 2; v++) {
		shake(&s, client, server, versions[v], NULL);
		assert_false(s.done);
		assert_int_equal(s.server_alert, SSL_AD_BAD_CERTIFICATE);
	}
	tlsctx_free(client);
	tlsctx_free(server);
}

static void a_foreign_server_is_known_by_its_host(void **state)
{
	struct tlsctx *server, *client;
	struct tlsctx_params p;
	char bufs[4][128], error[512];
	const struct {
		const char *host;
		bool good;
	} cases[] = { { "keys.example", true }, { "192.0.2.7", true }, { "other.example", false },
		{ "192.0.2.8", false } };
	struct shake s;

	pki_issue(*state, "f", "keys", "DNS:keys.example,IP:192.0.2.7", LIFE, NULL);
	pki_issue(*state, "c", "plain client", NULL, LIFE, NULL);
	pki_issue(*state, "n", "plain-client", NULL, LIFE, NULL);
	server = pki_ctx(*state, true, "f", ROLE_NONE);
	for (size_t i = 0; i < 4; i++) {
		pki_params(*state, &p, bufs, false, "n", 0);
		p.host = cases[i].host;
		client = tlsctx_new(&p, error, sizeof(error));
		assert_non_null(client);
		shake(&s, client, server, 0, NULL);
		assert_int_equal(s.done, cases[i].good);
		if (s.done) { /* and the server, which takes foreign clients, calls it by its CN */
			assert_string_equal(s.seen.name, "plain-client");
			assert_int_equal(s.seen.role, ROLE_NONE);
		} else {
			assert_int_equal(s.server_alert, SSL_AD_BAD_CERTIFICATE);
		}
		tlsctx_free(client);
	}
	tlsctx_free(server);
}

/* ---- sessions */

static void a_client_that_comes_back_resumes_as_itself(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	struct tlsctx *client = pki_ctx(*state, false, "gw", ROLE_KEYSVC);
	char error[512];
	struct shake s;

	for (int v = 0; v < 2; v++) {
		SSL_SESSION *last = NULL;

		shake(&s, client, server, versions[v], &last);
		assert_true(s.done && !s.resumed && last != NULL);
		for (int i = 0; i < 3; i++) {
			shake(&s, client, server, versions[v], &last);
			assert_true(s.done && s.resumed && s.known);
			assert_string_equal(s.seen.name, "gw1.test");
			assert_int_equal(s.seen.role, ROLE_GATEWAY);
		}
		/* The server's ticket key is that of its context. */
		assert_int_equal(tlsctx_reload(server, error, sizeof(error)), 0);
		shake(&s, client, server, versions[v], &last);
		assert_true(s.done && !s.resumed);
		SSL_SESSION_free(last);
	}
	tlsctx_free(client);
	tlsctx_free(server);
}

static void who_was_denied_since_does_not_resume(void **state)
{
	uint8_t spki[TLSCTX_SPKI_LEN];
	struct loop *loop = loop_new();

	for (int v = 0; v < 2; v++) {
		struct tlsctx *server, *client;
		SSL_SESSION *last = NULL;
		struct shake s;

		pki_issue(*state, "x", "x", "DNS:x.test,URI:sslgw:gateway", LIFE, spki);
		pki_deny(*state, NULL);
		server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
		client = pki_ctx(*state, false, "x", ROLE_KEYSVC);
		shake(&s, client, server, versions[v], &last);
		shake(&s, client, server, versions[v], &last);
		assert_true(s.done && s.resumed);
		assert_false(tlsctx_denied(server, spki));
		tlsctx_watch(server, loop, NULL, NULL);
		pki_deny(*state, spki);
		for (int i = 0; i < 100 && !tlsctx_denied(server, spki); i++)
			loop_turn(loop);
		assert_true(tlsctx_denied(server, spki));
		shake(&s, client, server, versions[v], &last);
		assert_false(s.done);
		assert_int_equal(s.alert, SSL_AD_CERTIFICATE_REVOKED);
		SSL_SESSION_free(last);
		tlsctx_free(client);
		tlsctx_free(server);
	}
	loop_free(loop);
}

static void a_session_ends_with_its_certificate(void **state)
{
	struct tlsctx *server, *client;
	SSL_SESSION *last = NULL;
	struct loop *loop;
	struct shake s;
	int64_t end;

	pki_issue(*state, "x", "x", "DNS:x.test,URI:sslgw:gateway", 3, NULL);
	server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	client = pki_ctx(*state, false, "x", ROLE_KEYSVC);
	end = tlsctx_not_after(client);
	shake(&s, client, server, TLS1_3_VERSION, &last);
	shake(&s, client, server, TLS1_3_VERSION, &last);
	assert_true(s.done && s.resumed);
	assert_true(SSL_SESSION_get_ticket_lifetime_hint(last) <= 3);
	/* Past it: the session is not resumed, and the certificate refused. */
	loop = loop_new();
	sim_until(loop, time(NULL) > end);
	loop_free(loop);
	shake(&s, client, server, TLS1_3_VERSION, &last);
	assert_false(s.done);
	assert_int_equal(s.alert, SSL_AD_CERTIFICATE_EXPIRED);
	SSL_SESSION_free(last);
	tlsctx_free(client);
	tlsctx_free(server);
}

static void a_client_offers_no_session_of_a_server_it_would_refuse(void **state)
{
	uint8_t spki[TLSCTX_SPKI_LEN];
	struct tlsctx *server, *client;
	SSL_SESSION *last = NULL;
	char error[512];
	struct shake s;

	pki_issue(*state, "s", "s", "DNS:s.test,URI:sslgw:keysvc", LIFE, spki);
	pki_deny(*state, NULL);
	server = pki_ctx(*state, true, "s", ROLE_GATEWAY);
	client = pki_ctx(*state, false, "gw", ROLE_KEYSVC);
	shake(&s, client, server, 0, &last);
	shake(&s, client, server, 0, &last);
	assert_true(s.resumed);
	pki_deny(*state, spki);
	assert_int_equal(tlsctx_reload(client, error, sizeof(error)), 0);
	shake(&s, client, server, 0, &last);
	assert_false(s.done);
	assert_int_equal(s.server_alert, SSL_AD_CERTIFICATE_REVOKED);
	assert_null(last);
	tlsctx_free(client);
	tlsctx_free(server);
}

static void another_ca_ends_the_sessions(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	struct tlsctx_params p;
	struct tlsctx *client;
	SSL_SESSION *last = NULL;
	char bufs[4][128], error[512];
	struct shake s;

	pki_trust(*state, "trust.pem", true, false);
	pki_params(*state, &p, bufs, false, "gw", ROLE_KEYSVC);
	p.ca_file = pki_path(*state, "trust.pem", bufs[2]);
	client = tlsctx_new(&p, error, sizeof(error));
	assert_non_null(client);
	shake(&s, client, server, 0, &last);
	shake(&s, client, server, 0, &last);
	assert_true(s.resumed);
	pki_trust(*state, "trust.pem", true, true);
	assert_int_equal(tlsctx_reload(client, error, sizeof(error)), 0);
	shake(&s, client, server, 0, &last);
	assert_true(s.done && !s.resumed);
	pki_trust(*state, "trust.pem", false, true);
	assert_int_equal(tlsctx_reload(client, error, sizeof(error)), 0);
	shake(&s, client, server, 0, &last);
	assert_false(s.done);
	SSL_SESSION_free(last);
	tlsctx_free(client);
	tlsctx_free(server);
}

/* ---- files */

static void each_bad_file_is_named(void **state)
{
	static const struct {
		const char *file, *text, *says;
	} cases[] = {
		{ "x.pem", "", "x.pem: holds no certificate" },
		{ "x.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		    "x.pem" },
		{ "ca.pem", "no CA", "ca.pem" },
		{ "deny", "12\n", "deny:1: not the SHA-256" },
		{ "deny",
		    "# ok\n\nzz23456789012345678901234567890123456789012345678901234567890123\n",
		    "deny:3:" },
		{ "deny", "0123456789012345678901234567890123456789012345678901234567890123x\n",
		    "deny:1:" },
	};
	struct tlsctx *t = pki_ctx(*state, true, "gw", ROLE_GATEWAY);

	tlsctx_free(t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pki *pki = *state;
		struct tlsctx_params p;
		char bufs[4][128], error[512] = "";

		pki_issue(pki, "x", "x", "DNS:x.test,URI:sslgw:gateway", LIFE, NULL);
		pki_deny(pki, NULL);
		pki_params(pki, &p, bufs, true, "x", ROLE_GATEWAY);
		t = tlsctx_new(&p, error, sizeof(error));
		assert_non_null(t);
		if (strcmp(cases[i].file, "ca.pem") == 0)
			p.ca_file = pki_path(pki, "nca.pem", bufs[2]);
		pki_write(pki,
		    p.ca_file == bufs[2] && strstr(bufs[2], "nca") ? "nca.pem" : cases[i].file,
		    cases[i].text);
		assert_null(tlsctx_new(&p, error, sizeof(error)));
		if (strstr(error, cases[i].says) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", error, cases[i].says);
		if (strcmp(cases[i].file, "ca.pem") != 0)
			assert_int_equal(tlsctx_reload(t, error, sizeof(error)), -1);
		assert_string_equal(tlsctx_name(t), "x.test");
		tlsctx_free(t);
	}
}

static void a_key_of_another_or_a_missing_file_is_named(void **state)
{
	struct tlsctx_params p;
	char bufs[4][128], path[128], error[512];

	pki_params(*state, &p, bufs, true, "gw", ROLE_GATEWAY);
	p.key_file = pki_path(*state, "ks.pem", path);
	assert_null(tlsctx_new(&p, error, sizeof(error)));
	assert_non_null(strstr(error, "ks.pem: the key is not"));
	p.key_file = pki_path(*state, "ca.pem", path);
	assert_null(tlsctx_new(&p, error, sizeof(error)));
	assert_non_null(strstr(error, "ca.pem: holds no private key"));
	p.key_file = pki_path(*state, "nowhere.pem", path);
	assert_null(tlsctx_new(&p, error, sizeof(error)));
	assert_non_null(strstr(error, "nowhere.pem: cannot be read: No such file"));
	pki_params(*state, &p, bufs, true, "gw", ROLE_GATEWAY);
	p.deny_file = path;
	assert_null(tlsctx_new(&p, error, sizeof(error)));
	assert_non_null(strstr(error, "nowhere.pem: cannot be read"));
	p.deny_file = NULL;
	p.ciphers12 = "no-such-cipher";
	assert_null(tlsctx_new(&p, error, sizeof(error)));
	assert_non_null(strstr(error, "no-such-cipher"));
}

static void a_reload_takes_the_new_identity(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "ks", ROLE_GATEWAY), *client;
	char error[512];
	struct shake s;

	pki_issue(*state, "x", "x", "DNS:old.test,URI:sslgw:gateway", LIFE, NULL);
	client = pki_ctx(*state, false, "x", ROLE_KEYSVC);
	pki_issue(*state, "x", "x", "DNS:new.test,URI:sslgw:gateway", 2 * LIFE, NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tlsctx_reload(client, error, sizeof(error)), 0);
	assert_string_equal(tlsctx_name(client), "new.test");
	shake(&s, client, server, 0, NULL);
	assert_true(s.done);
	assert_string_equal(s.seen.name, "new.test");
	tlsctx_free(client);
	tlsctx_free(server);
}

static void ssls_outlive_their_context(void **state)
{
	struct tlsctx *server = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	struct tlsctx *client = pki_ctx(*state, false, "gw", ROLE_KEYSVC);
	SSL *a = tlsctx_ssl(client), *b = tlsctx_ssl(server);
	BIO *c, *d;

	tlsctx_free(server);
	assert_int_equal(BIO_new_bio_pair(&c, 65536, &d, 65536), 1);
	SSL_set_bio(a, c, c);
	SSL_set_bio(b, d, d);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(a);
		SSL_do_handshake(b);
	}
	assert_false(SSL_is_init_finished(b)); /* nobody can judge any more: nobody comes in */
	SSL_free(a);
	SSL_free(b);
	tlsctx_free(client);
	tlsctx_free(NULL);
	ERR_clear_error();
}

/* ---- the deny list's changes */

static void on_changed(void *arg)
{
	++*(int *)arg;
}

static void a_changed_deny_list_is_seen_and_a_bad_one_is_not_taken(void **state)
{
	uint8_t spki[TLSCTX_SPKI_LEN], other[TLSCTX_SPKI_LEN];
	struct loop *loop = loop_new();
	struct tlsctx *t;
	int changed = 0;

	arc4random_buf(spki, sizeof(spki));
	arc4random_buf(other, sizeof(other));
	pki_deny(*state, spki);
	t = pki_ctx(*state, true, "ks", ROLE_GATEWAY);
	assert_true(tlsctx_denied(t, spki));
	tlsctx_watch(t, loop, on_changed, &changed);
	pki_write(*state, "deny", "half a li");
	for (int i = 0; i < 2; i++)
		loop_turn(loop);
	assert_int_equal(changed, 0);
	assert_true(tlsctx_denied(t, spki));
	pki_deny(*state, other);
	for (int i = 0; i < 100 && changed == 0; i++)
		loop_turn(loop);
	assert_int_equal(changed, 1);
	assert_true(tlsctx_denied(t, other) && !tlsctx_denied(t, spki));
	tlsctx_free(t);
	loop_free(loop);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_peer_is_known_by_its_certificate),
		T(who_has_no_accepted_role_gets_an_alert),
		T(who_is_of_another_ca_or_expired_gets_an_alert),
		T(who_is_denied_gets_an_alert),
		T(who_has_no_certificate_gets_an_alert),
		T(a_client_refuses_the_wrong_server),
		T(a_foreign_server_is_known_by_its_host),
		T(a_client_that_comes_back_resumes_as_itself),
		T(who_was_denied_since_does_not_resume),
		T(a_session_ends_with_its_certificate),
		T(a_client_offers_no_session_of_a_server_it_would_refuse),
		T(another_ca_ends_the_sessions),
		T(each_bad_file_is_named),
		T(a_key_of_another_or_a_missing_file_is_named),
		T(a_reload_takes_the_new_identity),
		T(ssls_outlive_their_context),
		T(a_changed_deny_list_is_seen_and_a_bad_one_is_not_taken),
	};
#undef T

	return cmocka_run_group_tests_name("tlsctx", tests, NULL, NULL);
}
