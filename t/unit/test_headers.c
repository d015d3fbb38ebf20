/*
 * test_headers.c: the request as a back-end gets it: nothing forged, nothing lost, framing anew.
 */
#include "config.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/exchange/headers.h"
#include "t/unit/client_at.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))
#define ID "0123456789abcdef0123456789abcdef"
#define FORWARDED(host)                                                                            \
	"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n" host                          \
	"X-Forwarded-Port: 8443\r\nX-Real-IP: 192.0.2.7\r\nX-Request-ID: " ID "\r\n"
#define FORWARDED_A FORWARDED("X-Forwarded-Host: a\r\n")

struct bench {
	struct head head;
	struct site_conf conf;
	struct site site;
	struct client client;
	struct clientcert cert;
	struct headers_facts facts;
	struct headers_marks marks;
	uint8_t out[16384];
	size_t len;
};

static struct bench *bench(void)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	b.conf.name = S("shop.example");
	b.conf.headers = HEADERS_FORWARDED;
	b.site.conf = &b.conf;
	b.client.version = "TLSv1.3";
	b.client.cipher = "TLS_AES_128_GCM_SHA256";
	b.client.cipher_bits = b.client.alg_bits = 128;
	b.client.verify = "NONE";
	b.client.local = brief_of("192.0.2.1", 8443);
	b.cert = (struct clientcert){ S("CN=x"), S("CN=ca"), S("0A1B"),
		S("Nov 24 06:00:00 2026 GMT"), S("Nov 24 06:00:00 2027 GMT"), S("-----BEGIN%20"),
		S(""), NULL, "", "SUCCESS" };
	b.facts = (struct headers_facts){
		.head = &b.head,
		.client = &b.client,
		.site = &b.site,
		.peer = bytes_str("192.0.2.7"),
		.real = bytes_str("192.0.2.7"),
		.id = bytes_str(ID),
	};
	return &b;
}

/* The request as it comes out, NUL-terminated. */
static const char *built(struct bench *b, const char *request)
{
	static const struct head_limits limits = { 32768, 16384, 100 };
	struct head_scan scan = { 0 };
	struct verdict verdict;
	struct writer w;
	size_t used, bound;

	if (head_request(bytes_str(request), &limits, &scan, &b->head, &used, &verdict) != PARSE_OK)
		fail_msg("%s: %s", reason_name(verdict.reason), request);
	b->facts.hops = headers_hops(&b->head);
	bound = headers_bound(&b->facts);
	assert_true(bound < sizeof(b->out));
	w = writer_of(b->out, bound);
	assert_true(headers_write(&w, &b->facts, &b->marks));
	b->len = writer_len(&w);
	b->out[b->len] = '\0';
	assert_int_equal(strlen((char *)b->out), b->len);
	for (size_t size = 0; size < b->len; size++) {
		struct headers_marks marks;
		static uint8_t less[16384];

		w = writer_of(less, size);
		assert_false(headers_write(&w, &b->facts, &marks));
	}
	return (char *)b->out;
}

static void what_is_end_to_end_passes_and_ours_is_added(void **state)
{
	(void)state;
	assert_string_equal(
	    built(bench(), "GET /a?b HTTP/1.1\r\nAccept: */*\r\nHost: "
			   "a\r\nX:y\r\nEmpty:\r\nSpaced: \t v \r\nLast: 1\r\n\r\n"),
	    "GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX: y\r\nEmpty: \r\nSpaced: v\r\n"
	    "Last: 1\r\n" FORWARDED_A "\r\n");
	assert_string_equal(built(bench(), "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
	    "GET /x HTTP/1.1\r\nHost: a\r\n" FORWARDED_A "\r\n");
	assert_string_equal(built(bench(), "OPTIONS * HTTP/1.1\r\nHost: a:443\r\n\r\n"),
	    "OPTIONS * HTTP/1.1\r\nHost: a:443\r\n" FORWARDED(
		"X-Forwarded-Host: a:443\r\n") "\r\n");
}

static void framing_is_written_anew(void **state)
{
	(void)state;
	assert_string_equal(built(bench(), "POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: "
					   "007\r\nExpect: 100-continue\r\n\r\n"),
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n" FORWARDED_A "\r\n");
	assert_string_equal(
	    built(bench(),
		"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:Chunked\r\nTE: trailers\r\n"
		"Trailer: x\r\nConnection: te\r\n\r\n"),
	    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" FORWARDED_A "\r\n");
	assert_string_equal(
	    built(bench(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" FORWARDED_A "\r\n");
}

static void hop_by_hop_fields_and_those_that_connection_lists_stay_here(void **state)
{
	(void)state;
	assert_string_equal(
	    built(bench(),
		"GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nConnection: keep-alive, B, x-forwarded-for, "
		"host\r\n"
		"b: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy: x\r\nUpgrade: websocket\r\n"
		"HTTP2-Settings: x\r\nC: 3\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nC: 3\r\n" FORWARDED_A "\r\n");
}

static void an_upgrade_is_asked_for_anew(void **state)
{
	struct bench *b = bench();

	(void)state;
	assert_string_equal(
	    built(b, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
		     "Upgrade: h2c, websocket, other/2\r\nSec-WebSocket-Key: k\r\n\r\n"),
	    "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\n"
	    "Upgrade: websocket\r\n" FORWARDED_A "\r\n");
	assert_true(bytes_equal_str(b->marks.upgrade_to, "websocket"));
	/* Of a request with a body nobody knows where the new protocol would begin. */
	built(b, "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		 "Content-Length: 1\r\n\r\nx");
	assert_int_equal(b->marks.upgrade_to.len, 0);
	assert_null(strstr((char *)b->out, "pgrade"));
}

static void http_1_0_without_host_gets_the_name_of_its_site(void **state)
{
	struct bench *b = bench();

	(void)state;
	assert_string_equal(built(b, "GET / HTTP/1.0\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: shop.example\r\n" FORWARDED("") "\r\n");
	b->conf.name = S("*.shop.example");
	assert_string_equal(built(b, "GET / HTTP/1.0\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: shop.example\r\n" FORWARDED("") "\r\n");
	b->client.sni = "b";
	assert_string_equal(built(b, "GET / HTTP/1.0\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: b\r\n" FORWARDED("") "\r\n");
}

static const char *const owned[] = { "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
	"X-Forwarded-Port", "X-Real-IP", "X-Request-ID", "Forwarded", "Client-Cert",
	"Client-Cert-Chain", "X-SSL-Protocol", "X-SSL-Cipher", "X-SSL-Cipher-Usekeysize",
	"X-SSL-Cipher-Algkeysize", "X-SSL-Session-Id", "X-SSL-Session-Resumed", "X-SSL-TLS-SNI",
	"X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-SSL-Client-I-DN", "X-SSL-Client-M-Serial",
	"X-SSL-Client-V-Start", "X-SSL-Client-V-End", "X-SSL-Client-Cert", "X-ARR-ClientCert",
	"X-ARR-SSL", "Front-End-Https", "MS-ASPNETCORE-CLIENTCERT", "X-Forwarded-Client-Cert",
	"Proxy" };

/* The n-th spelling of a name: its case, and what stands for its dashes. */
static void spell(char *to, const char *name, unsigned n)
{
	static const char dashes[] = "-_.";
	unsigned k = n / 3;

	for (; *name != '\0'; name++, to++) {
		if (*name == '-') {
			*to = dashes[n % 3];
			if (n >= 9)
				n++;
		} else {
			*to = (char)(k % 3 == 0   ? *name
				     : k % 3 == 1 ? tolower(*name)
						  : toupper(*name));
		}
	}
	*to = '\0';
}

static void no_spelling_of_a_name_of_ours_passes(void **state)
{
	struct bench *b;
	char request[1024], name[64];

	(void)state;
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		for (unsigned n = 0; n < 18; n++) {
			spell(name, owned[i], n);
			for (int listed = 0; listed < 2; listed++) {
				b = bench();
				b->conf.headers = HEADERS_FORWARDED | HEADERS_MOD_SSL;
				b->client.cert = &b->cert;
				snprintf(request, sizeof(request),
				    "GET / HTTP/1.1\r\n%s: forged\r\nHost: "
				    "a\r\n%s:forged\r\n%s%s%s%s: forged\r\n\r\n",
				    name, name, listed ? "Connection: " : "", listed ? name : "",
				    listed ? "\r\n" : "", name);
				if (strstr(built(b, request), "forged") != NULL)
					fail_msg("%s passed: %s", name, b->out);
				/* Nor did it delete ours. */
				assert_non_null(strstr((char *)b->out, FORWARDED_A));
				assert_non_null(
				    strstr((char *)b->out, "\r\nX-SSL-Client-S-DN: CN=x\r\n"));
			}
		}
	}
}

static void without_a_profile_its_names_are_removed_all_the_same(void **state)
{
	struct bench *b = bench();

	(void)state;
	b->conf.headers = 0;
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nHost: a\r\nX_SSL_Client.Verify: "
				     "SUCCESS\r\nx-real-ip: 1\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void mod_ssl_names_what_the_handshake_found(void **state)
{
	struct bench *b = bench();

	(void)state;
	b->conf.headers = HEADERS_MOD_SSL;
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nX-SSL-Protocol: TLSv1.3\r\n"
	    "X-SSL-Cipher: TLS_AES_128_GCM_SHA256\r\nX-SSL-Cipher-Usekeysize: 128\r\n"
	    "X-SSL-Cipher-Algkeysize: 128\r\nX-SSL-Session-Resumed: Initial\r\n"
	    "X-SSL-Client-Verify: NONE\r\n\r\n");
	b->client.version = "TLSv1.2";
	b->client.resumed = CLIENT_BY_CACHE;
	b->client.session_id_len = 3;
	memcpy(b->client.session_id, "\x01\xab\xff", 3);
	b->client.sni = "a.b";
	b->client.verify = "SUCCESS";
	b->client.cert = &b->cert;
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nX-SSL-Protocol: TLSv1.2\r\n"
	    "X-SSL-Cipher: TLS_AES_128_GCM_SHA256\r\nX-SSL-Cipher-Usekeysize: 128\r\n"
	    "X-SSL-Cipher-Algkeysize: 128\r\nX-SSL-Session-Id: 01abff\r\n"
	    "X-SSL-Session-Resumed: Resumed\r\nX-SSL-TLS-SNI: a.b\r\nX-SSL-Client-Verify: "
	    "SUCCESS\r\n"
	    "X-SSL-Client-S-DN: CN=x\r\nX-SSL-Client-I-DN: CN=ca\r\nX-SSL-Client-M-Serial: 0A1B\r\n"
	    "X-SSL-Client-V-Start: Nov 24 06:00:00 2026 GMT\r\n"
	    "X-SSL-Client-V-End: Nov 24 06:00:00 2027 GMT\r\nX-SSL-Client-Cert: "
	    "-----BEGIN%20\r\n\r\n");
	/* Plain HTTP has none of it. */
	b->client.version = NULL;
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nHost: a\r\nX-SSL-Protocol: x\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void a_certificate_is_told_as_each_profile_has_it(void **state)
{
	struct bench *b = bench();

	(void)state;
	b->conf.headers = HEADERS_RFC9440 | HEADERS_XFCC;
	b->client.cert = &b->cert;
	b->cert.pem_urlencoded = S("-----BEGIN%20CERTIFICATE-----%0AAb%2B%2F%0A%3D%0A"
				   "-----END%20CERTIFICATE-----%0A");
	b->cert.subject = S("CN=\\\"x\\\"");
	b->cert.sans = S("DNS:a.b\0email:c@d\0URI:e:f\0");
	memcpy(b->cert.hash, "0af", 4);
#define CLIENT_CERT "Client-Cert: :Ab+/=:\r\n"
#define XFCC                                                                                       \
	"X-Forwarded-Client-Cert: "                                                                \
	"Hash=0af;Cert=\"-----BEGIN%20CERTIFICATE-----%0AAb%2B%2F%0A%3D%0A"                        \
	"-----END%20CERTIFICATE-----%0A\";Subject=\"CN=\\\\\\\"x\\\\\\\"\";DNS=\"a.b\";URI=\"e:"   \
	"f\"\r\n"
	assert_string_equal(
	    built(b, "GET / HTTP/1.1\r\nHost: a\r\nClient_Cert.Chain: :forged:\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\n" CLIENT_CERT XFCC "\r\n");
	b->cert.chain = S(":AAAA:, :BBBB:");
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\n" CLIENT_CERT "Client-Cert-Chain: :AAAA:, :BBBB:\r\n" XFCC
	    "\r\n");
}

static void an_options_counts_its_hops(void **state)
{
	struct bench *b = bench();

	(void)state;
	b->conf.headers = 0;
	assert_string_equal(built(b, "OPTIONS * HTTP/1.1\r\nmax-FORWARDS: 10\r\nHost: a\r\n\r\n"),
	    "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n\r\n");
	/* Of others it says nothing, and what is no number is nobody's. */
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nMax-Forwards: 0\r\nHost: a\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
	assert_string_equal(built(b, "OPTIONS / HTTP/1.1\r\nMax-Forwards: -1\r\nHost: a\r\n\r\n"),
	    "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n");
	assert_string_equal(
	    built(b, "OPTIONS / HTTP/1.1\r\nMax-Forwards: 9999999999\r\nHost: a\r\n\r\n"),
	    "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9999999999\r\n\r\n");
}

static void via_is_put_behind_that_of_others(void **state)
{
	struct bench *b = bench();

	(void)state;
	b->conf.headers = HEADERS_VIA;
	assert_string_equal(built(b, "GET / HTTP/1.1\r\nVia: 2 fred\r\nHost: a\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nVia: 2 fred\r\nVia: 1.1 sslgw\r\n\r\n");
	b->client.version = NULL; /* of plain HTTP too, and of what the client spoke */
	assert_string_equal(built(b, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
	    "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 sslgw\r\n\r\n");
}

static void the_log_finds_its_fields(void **state)
{
	struct bench *b = bench();

	(void)state;
	(void)built(b, "GET /a?b HTTP/1.1\r\nX: 1\r\nREFERER: r/\r\nHost: a\r\nA:b\r\nuser-agent:  "
		       "u a \r\nZ: 1\r\n"
		       "User-Agent: second\r\n\r\n");
	/* built() has written it again since. */
	assert_true(bytes_equal_str(b->marks.target, "/a?b"));
	assert_true(bytes_equal_str(b->marks.referer, "r/"));
	assert_true(bytes_equal_str(b->marks.agent, "u a"));
	(void)built(b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(b->marks.referer.len, 0);
	assert_int_equal(b->marks.agent.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_end_to_end_passes_and_ours_is_added),
		cmocka_unit_test(framing_is_written_anew),
		cmocka_unit_test(hop_by_hop_fields_and_those_that_connection_lists_stay_here),
		cmocka_unit_test(an_upgrade_is_asked_for_anew),
		cmocka_unit_test(http_1_0_without_host_gets_the_name_of_its_site),
		cmocka_unit_test(no_spelling_of_a_name_of_ours_passes),
		cmocka_unit_test(without_a_profile_its_names_are_removed_all_the_same),
		cmocka_unit_test(mod_ssl_names_what_the_handshake_found),
		cmocka_unit_test(a_certificate_is_told_as_each_profile_has_it),
		cmocka_unit_test(an_options_counts_its_hops),
		cmocka_unit_test(via_is_put_behind_that_of_others),
		cmocka_unit_test(the_log_finds_its_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
