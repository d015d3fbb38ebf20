/*
 * test_admin.c: the admin address as its callers see it, over real sockets: pages, commands, who is
 * refused, and what hostile callers cannot do: hold the daemon, or shut the operator out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/listener.h"
#include "proc/admin.h"
#include "sim.h"

#include "base/poison.h"

enum { ANSWER_MAX = 256 * 1024, FLOOD = 200 };

struct bed {
	struct loop *loop;
	struct admin *admin;
	struct admin_params params;
	struct sim_server at, other; /* for their paths alone */
	struct endpoint tcp, local;
	bool ready, refuse, large;
	char words[256]; /* of the last command, each in brackets */
	char answer[ANSWER_MAX];
	size_t len;
};

/* ---- the daemon's half */

static void metrics(void *arg, struct admin_out *out)
{
	const struct bed *bed = arg;
	char label[64];

	admin_metric(out, "sslgw_test_total", "counter", "Two lines,\nand a \\.",
	    admin_label(label, sizeof label, "site", "a\"b\\c\nd\xe9\xc3\xa9"), 3);
	admin_metric(out, "sslgw_test_total", "counter", "not said again", NULL, 4.5);
	for (int i = 0; bed->large && i < 200000; i++)
		admin_metric(
		    out, "sslgw_large", "gauge", "Much.", "much=\"much much much much\"", i);
}

static void status(void *arg, struct admin_out *out)
{
	(void)arg;
	admin_json_text(out, "text", "<script>alert(\"1\")</script>\\ \x01 \xc3\xa4 \xff");
	admin_json_open(out, "list", '[');
	admin_json_number(out, NULL, 1);
	admin_json_number(out, NULL, 0.5);
	admin_json_close(out, ']');
	admin_json_open(out, "problems", '[');
	admin_problem(out, "%s is not well", "something");
	admin_json_close(out, ']');
}

static bool is_ready(void *arg)
{
	const struct bed *bed = arg;

	return bed->ready;
}

static bool command(void *arg, int argc, char *const argv[], struct admin_out *out)
{
	struct bed *bed = arg;

	bed->words[0] = '\0';
	for (int i = 0; i < argc; i++) {
		strlcat(bed->words, "[", sizeof bed->words);
		strlcat(bed->words, argv[i], sizeof bed->words);
		strlcat(bed->words, "]", sizeof bed->words);
	}
	admin_printf(out, bed->refuse ? "not now\n" : "done\n");
	return !bed->refuse;
}

/* ---- the bed */

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);
	int fd;

	assert_non_null(bed);
	bed->loop = loop_new();
	bed->ready = true;
	bed->params = (struct admin_params){ .program = "sslgw-test",
		.metrics = metrics,
		.status = status,
		.ready = is_ready,
		.command = command,
		.arg = bed,
		.names = { "gw.example.com" },
		.names_n = 1 };
	bed->admin = admin_new(bed->loop, &bed->params);
	assert_non_null(bed->admin);
	endpoint_parse(&bed->tcp, "127.0.0.1:0");
	fd = listener_socket(&bed->tcp, false);
	assert_int_not_equal(fd, -1);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bed->tcp.addr, &bed->tcp.len), 0);
	assert_int_equal(admin_listen(bed->admin, fd, false), 0);
	sim_server_init(&bed->at);
	bed->local = bed->at.endpoint;
	fd = listener_socket(&bed->local, false);
	assert_int_not_equal(fd, -1);
	assert_int_equal(admin_listen(bed->admin, fd, true), 0);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	admin_free(bed->admin);
	loop_free(bed->loop);
	unlink(bed->at.path);
	sim_server_clear(&bed->at);
	free(bed);
	return 0;
}

static int dial(const struct endpoint *to)
{
	int fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to->addr, to->len), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Sends text and gathers until the other side closes. */
static void ask(struct bed *bed, const struct endpoint *to, const char *text)
{
	int fd = dial(to);
	bool over = false;

	bed->len = 0;
	bed->answer[0] = '\0';
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	sim_until(bed->loop, ({
		ssize_t n = read(fd, bed->answer + bed->len, sizeof bed->answer - 1 - bed->len);

		if (n > 0)
			bed->len += (size_t)n;
		over = n == 0 || (n < 0 && errno != EAGAIN);
		bed->answer[bed->len] = '\0';
		over;
	}));
	close(fd);
}

static void get(struct bed *bed, const char *path)
{
	char text[512];

	snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:9901\r\n\r\n", path);
	ask(bed, &bed->tcp, text);
}

static bool said(const struct bed *bed, const char *text)
{
	return strstr(bed->answer, text) != NULL;
}

static bool is_status(const struct bed *bed, int status_code)
{
	char line[32];

	snprintf(line, sizeof line, "HTTP/1.1 %d ", status_code);
	return strncmp(bed->answer, line, strlen(line)) == 0;
}

#define assert_status(bed, code)                                                                   \
	do {                                                                                       \
		if (!is_status(bed, code))                                                         \
			fail_msg("not %d: %.200s", code, (bed)->answer);                           \
	} while (0)
#define assert_said(bed, text)                                                                     \
	do {                                                                                       \
		if (!said(bed, text))                                                              \
			fail_msg("not said: %s\n%.2000s", text, (bed)->answer);                    \
	} while (0)

/* ---- pages */

static void test_pages_say_how_it_is(void **state)
{
	struct bed *bed = *state;

	get(bed, "/healthz");
	assert_status(bed, 200);
	assert_said(bed, "\r\n\r\nok\n");
	get(bed, "/ready");
	assert_status(bed, 200);
	bed->ready = false;
	get(bed, "/ready");
	assert_status(bed, 503);
	get(bed, "/healthz");
	assert_status(bed, 200);
	get(bed, "/nothing<script>");
	assert_status(bed, 404);
	assert_false(said(bed, "script>"));
}

static void test_answers_carry_headers_that_keep_browsers_out(void **state)
{
	struct bed *bed = *state;

	get(bed, "/");
	assert_status(bed, 200);
	assert_said(bed, "Content-Security-Policy: default-src 'none';");
	assert_said(bed, "X-Content-Type-Options: nosniff");
	assert_said(bed, "Cache-Control: no-store");
	assert_said(bed, "Connection: close");
	assert_false(said(bed, "Access-Control"));
}

static void test_metrics_are_escaped_and_told_once(void **state)
{
	struct bed *bed = *state;

	get(bed, "/metrics");
	assert_said(bed, "Content-Type: text/plain; version=0.0.4");
	assert_said(bed, "# HELP sslgw_test_total Two lines,\\nand a \\\\.\n"
			 "# TYPE sslgw_test_total counter\n"
			 "sslgw_test_total{site=\"a\\\"b\\\\c\\nd?\xc3\xa9\"} 3\n"
			 "sslgw_test_total 4.5\n");
	assert_said(bed, "sslgw_test_build_info{version=\"");
	assert_said(bed, "sslgw_test_ready 1\n");
	assert_false(said(bed, "said again"));
}

static void test_json_is_escaped_for_pages_too(void **state)
{
	struct bed *bed = *state;

	get(bed, "/status.json");
	assert_said(bed, "{\"program\":\"sslgw-test\",\"version\":\"");
	assert_said(bed, "\"ready\":true,");
	assert_said(bed, "\"text\":\"\\u003cscript\\u003ealert(\\\"1\\\")\\u003c/script\\u003e\\\\ "
			 "\\u0001 \xc3\xa4 \\ufffd\",\"list\":[1,0.5],");
	assert_said(bed, "\"problems\":[\"something is not well\"]}");
	get(bed, "/");
	assert_said(bed, "<th>text<td>&#x003c;script&#x003e;alert(&quot;1&quot;)");
	assert_said(bed, "<ul><li>1<li>0.5</ul>");
	assert_false(said(bed, "<script"));
}

static void test_a_head_has_the_length_and_no_body(void **state)
{
	struct bed *bed = *state;

	ask(bed, &bed->tcp, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_status(bed, 200);
	assert_said(bed, "Content-Length: 3\r\n");
	assert_string_equal(bed->answer + bed->len - 4, "\r\n\r\n");
}

static void test_a_page_that_grows_too_large_is_given_up(void **state)
{
	struct bed *bed = *state;

	bed->large = true;
	get(bed, "/metrics");
	assert_status(bed, 500);
	bed->large = false;
	get(bed, "/metrics");
	assert_status(bed, 200);
}

/* ---- who is refused */

static void test_names_of_others_are_refused(void **state)
{
	static const char *const good[] = { "127.0.0.1", "127.0.0.1:9901", "[::1]:9901", "[::1]",
		"localhost", "LOCALHOST:80", "gw.example.com:9901", "10.1.2.3:1" };
	static const char *const bad[] = { "evil.example.com", "evil.example.com:9901", "",
		"127.0.0.1.evil.com", "localhost.evil.com", "[::1", "[::1]x", "gw.example.com.",
		"127.0.0.1@evil.com" };
	struct bed *bed = *state;
	char text[512];

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
		ask(bed, &bed->tcp, text);
		assert_status(bed, 200);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
		ask(bed, &bed->tcp, text);
		if (!is_status(bed, 403) && !is_status(bed, 400))
			fail_msg("%s: %s", bad[i], bed->answer);
	}
	ask(bed, &bed->tcp, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n");
	assert_status(bed, 400);
	ask(bed, &bed->tcp, "GET http://evil.com/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_status(bed, 400);
	ask(bed, &bed->tcp, "GET /healthz HTTP/1.1\r\n\r\n");
	assert_status(bed, 403);
	ask(bed, &bed->tcp, "GET /healthz HTTP/1.0\r\n\r\n");
	assert_said(bed, "200 OK");
}

static void test_commands_come_by_the_unix_socket_only(void **state)
{
	static const char post[] = "POST /command HTTP/1.1\r\nHost: localhost\r\n"
				   "Content-Length: 20\r\n\r\nepoch\naccept-clock\n1";
	struct bed *bed = *state;

	ask(bed, &bed->tcp, post);
	assert_status(bed, 405);
	assert_said(bed, "Allow: GET, HEAD\r\n");
	assert_string_equal(bed->words, "");
	ask(bed, &bed->local, post);
	assert_status(bed, 200);
	assert_said(bed, "done\n");
	assert_string_equal(bed->words, "[epoch][accept-clock][1]");
	bed->refuse = true;
	ask(bed, &bed->local, post);
	assert_status(bed, 409);
	assert_said(bed, "not now\n");
}

static void test_commands_that_make_no_sense_are_refused(void **state)
{
	static const char *const bodies[] = { "", "re\tload", "re\x01load",
		"1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n1\n2\n3\n4\n5\n6\n7" };
	struct bed *bed = *state;
	char text[512];

	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		snprintf(text, sizeof text,
		    "POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
		    strlen(bodies[i]), bodies[i]);
		ask(bed, &bed->local, text);
		assert_status(bed, 400);
	}
	ask(bed, &bed->local, "POST /else HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
	assert_status(bed, 404);
	ask(bed, &bed->local,
	    "POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nx");
	assert_false(is_status(bed, 200));
	assert_string_equal(bed->words, "");
}

static void test_a_user_that_may_not_ask_is_refused(void **state)
{
	struct bed *bed = *state;
	struct admin *admin;

	bed->params.uids[0] = geteuid() + 12345;
	bed->params.uids_n = 1;
	admin = admin_new(bed->loop, &bed->params);
	assert_non_null(admin);
	sim_server_init(&bed->other);
	assert_int_equal(
	    admin_listen(admin, listener_socket(&bed->other.endpoint, false), true), 0);
	ask(bed, &bed->other.endpoint, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_status(bed, 403);
	ask(bed, &bed->other.endpoint,
	    "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nreload");
	assert_status(bed, 403);
	assert_string_equal(bed->words, "");
	admin_free(admin);
	unlink(bed->other.path);
	sim_server_clear(&bed->other);
}

static void test_other_methods_and_nonsense_do_not_pass(void **state)
{
	static const char *const bad[] = { "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"PUT /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n\r\n\r\n\r\n", "GET\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" };
	struct bed *bed = *state;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ask(bed, &bed->local, bad[i]);
		if (is_status(bed, 200))
			fail_msg("%s: %s", bad[i], bed->answer);
	}
	get(bed, "/healthz");
	assert_status(bed, 200);
}

/* ---- hostile callers */

static void test_a_head_without_end_is_cut(void **state)
{
	struct bed *bed = *state;
	char *text = calloc(1, 64 * 1024);
	int fd = dial(&bed->tcp);

	snprintf(text, 64, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
	memset(text + strlen(text), 'x', 60 * 1024);
	assert_true(write(fd, text, strlen(text)) > 0);
	sim_until(bed->loop, ({
		char drop[512];
		ssize_t n = read(fd, drop, sizeof drop);

		n == 0 || (n < 0 && errno != EAGAIN);
	}));
	close(fd);
	free(text);
}

/* Its own patience is shorter than a reader's who would wait for the timeout of a drip. */
static void test_a_slow_caller_ends_by_its_whole_time(void **state)
{
	struct bed *bed = *state;
	uint64_t start = sim_now_ms(), last = start, end = 0;
	int fd = dial(&bed->tcp);
	static const char head[] = "GET /healthz HTTP/1.1\r\nX: ";

	assert_int_equal(write(fd, head, strlen(head)), strlen(head));
	while (end == 0 && sim_now_ms() - start < 15000) {
		char drop[64];
		ssize_t n = read(fd, drop, sizeof drop);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			end = sim_now_ms();
		if (sim_now_ms() - last > 200) {
			last = sim_now_ms();
			(void)!send(fd, "x", 1, MSG_NOSIGNAL);
		}
		sim_turn(bed->loop);
	}
	close(fd);
	assert_in_range(end - start, 9000, 13000);
}

static void test_a_flood_on_tcp_leaves_the_unix_socket_alone(void **state)
{
	struct bed *bed = *state;
	int fds[FLOOD];

	for (int i = 0; i < FLOOD; i++)
		fds[i] = dial(&bed->tcp);
	sim_while(bed->loop, 100, true);
	ask(bed, &bed->local, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_status(bed, 200);
	for (int i = 0; i < FLOOD; i++)
		close(fds[i]);
	get(bed, "/healthz"); /* the room is given back */
	assert_status(bed, 200);
}

static void test_callers_that_leave_at_once_cost_nothing(void **state)
{
	struct bed *bed = *state;

	for (int i = 0; i < FLOOD; i++) {
		int fd = dial(&bed->tcp);

		if (i % 2)
			(void)!write(
			    fd, "GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 47);
		close(fd);
		sim_turn(bed->loop);
	}
	get(bed, "/healthz");
	assert_status(bed, 200);
}

static void test_requests_are_no_more_than_the_rate(void **state)
{
	struct bed *bed = *state;
	uint64_t start = sim_now_ms();

	for (int i = 0; i < ADMIN_RATE + ADMIN_RATE / 2; i++) {
		get(bed, "/healthz");
		assert_status(bed, 200);
	}
	assert_in_range(sim_now_ms() - start, 400, 20000);
}

static void test_connections_that_are_open_go_with_the_admin(void **state)
{
	struct bed *bed = *state;
	int a = dial(&bed->tcp), b = dial(&bed->local);

	(void)!write(a, "GET /hea", 8);
	sim_while(bed->loop, 20, true);
	admin_free(bed->admin);
	bed->admin = NULL;
	sim_until(bed->loop, sim_ended(a));
	sim_until(bed->loop, sim_ended(b));
	close(a);
	close(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pages_say_how_it_is),
		TEST(test_answers_carry_headers_that_keep_browsers_out),
		TEST(test_metrics_are_escaped_and_told_once),
		TEST(test_json_is_escaped_for_pages_too),
		TEST(test_a_head_has_the_length_and_no_body),
		TEST(test_a_page_that_grows_too_large_is_given_up),
		TEST(test_names_of_others_are_refused),
		TEST(test_commands_come_by_the_unix_socket_only),
		TEST(test_commands_that_make_no_sense_are_refused),
		TEST(test_a_user_that_may_not_ask_is_refused),
		TEST(test_other_methods_and_nonsense_do_not_pass),
		TEST(test_a_head_without_end_is_cut),
		TEST(test_a_slow_caller_ends_by_its_whole_time),
		TEST(test_a_flood_on_tcp_leaves_the_unix_socket_alone),
		TEST(test_callers_that_leave_at_once_cost_nothing),
		TEST(test_requests_are_no_more_than_the_rate),
		TEST(test_connections_that_are_open_go_with_the_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
