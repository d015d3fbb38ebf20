/*
 * test_resolve.c: names to addresses, from a scripted DNS server: both families, TTLs, answers that are
 * cut, wrong or late, and a resolver that goes while it asks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns.h"
#include "gateway/monitor/resolve.h"
#include "sim.h"

#include "base/poison.h"

enum { TRY_MS = 30, TRIES = 2, MANY = 60 };

/* How long a try lasts: long enough for a busy machine, but where a test waits for its end. */
static int try_ms = SIM_PATIENCE_MS;

/* Linked in place of c-ares's: the same resolver with another patience. */
int __real_ares_init_options(ares_channel *, struct ares_options *, int mask);
int __wrap_ares_init_options(ares_channel *, struct ares_options *, int mask);

int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
	assert_int_equal(
	    mask & (ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES), ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
	options->timeout = try_ms;
	options->tries = TRIES;
	return __real_ares_init_options(channel, options, mask);
}

struct asked {
	struct resolver *resolver;
	int n; /* answers that came */
	bool ok;
	char line[512], why[128];
	struct asked *then; /* asked from within the answer */
};

struct bed {
	struct loop *loop;
	struct dns dns;
	struct resolver *resolver;
	char text[512]; /* of the addresses */
};

static void answered(void *arg, const struct resolved *answer, const char *why)
{
	struct asked *a = arg;

	a->n++;
	a->ok = answer != NULL;
	if (answer != NULL)
		assert_int_equal(resolved_print(answer, a->line, sizeof a->line), 0);
	else
		strlcpy(a->why, why, sizeof a->why);
	if (a->then != NULL)
		(void)resolver_ask(a->resolver, "two.test.", answered, a->then);
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	dns_init(&bed->dns);
	bed->resolver = resolver_new(bed->loop, bed->dns.servers);
	assert_non_null(bed->resolver);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	resolver_free(bed->resolver);
	dns_clear(&bed->dns);
	loop_free(bed->loop);
	free(bed);
	return 0;
}

static void renew(struct bed *bed, const char *servers, int patience_ms)
{
	resolver_free(bed->resolver);
	try_ms = patience_ms;
	bed->resolver = resolver_new(bed->loop, servers);
	try_ms = SIM_PATIENCE_MS;
	assert_non_null(bed->resolver);
}

/* Names end in a dot, so that this machine's search list does not matter. */
static void names_are(struct bed *bed, enum dns_way way, uint32_t ttl, const char *addresses)
{
	strlcpy(bed->text, addresses, sizeof bed->text);
	dns_set(&bed->dns, "app.test", way, ttl, bed->text);
}

static void ask(struct bed *bed, struct asked *a, const char *host)
{
	*a = (struct asked){ .resolver = bed->resolver };
	(void)resolver_ask(bed->resolver, host, answered, a);
	assert_int_equal(a->n, 0); /* never from within */
	sim_until(bed->loop, dns_serve(&bed->dns) && a->n > 0);
	assert_int_equal(a->n, 1);
}

static bool line_has(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = line; (at = strstr(at, word)) != NULL; at += len)
		if (at > line && at[-1] == ' ' && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static int words(const char *line)
{
	int n = 1;

	for (; *line != '\0'; line++)
		n += *line == ' ';
	return n;
}

static void addresses_of_both_families_come_with_their_ttl(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_ANSWERS, 77, "10.0.0.1 10.0.0.2 2001:db8::1");
	ask(bed, &a, "app.test.");
	assert_true(a.ok);
	assert_int_equal(strncmp(a.line, "app.test. 77 ", 13), 0);
	assert_true(line_has(a.line, "10.0.0.1"));
	assert_true(line_has(a.line, "10.0.0.2"));
	assert_true(line_has(a.line, "2001:db8::1"));
	assert_int_equal(words(a.line), 5);
}

static void a_change_is_seen_by_the_next_question(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_ANSWERS, 3600, "10.0.0.1");
	ask(bed, &a, "app.test.");
	assert_string_equal(a.line, "app.test. 3600 10.0.0.1");
	names_are(bed, DNS_ANSWERS, 3600, "10.0.0.9");
	ask(bed, &a, "app.test."); /* no cache of the resolver's own */
	assert_string_equal(a.line, "app.test. 3600 10.0.0.9");
}

static void a_ttl_of_0_and_a_huge_one_are_told_within_bounds(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_ANSWERS, 0, "10.0.0.1");
	ask(bed, &a, "app.test.");
	assert_string_equal(a.line, "app.test. 0 10.0.0.1");
	names_are(bed, DNS_ANSWERS, 0x7fffffff, "10.0.0.1");
	ask(bed, &a, "app.test.");
	assert_string_equal(a.line, "app.test. 86400 10.0.0.1");
	names_are(bed, DNS_ANSWERS, 0xffffffff, "10.0.0.1"); /* RFC 2181: as 0 */
	ask(bed, &a, "app.test.");
	assert_string_equal(a.line, "app.test. 0 10.0.0.1");
}

static void the_shortest_ttl_counts(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	for (int step = -10; step <= 10; step += 20) {
		names_are(bed, DNS_ANSWERS, 100, "10.0.0.1 10.0.0.2 10.0.0.3");
		bed->dns.names[0].ttl_step = step;
		ask(bed, &a, "app.test.");
		assert_int_equal(
		    strncmp(a.line, step < 0 ? "app.test. 80 " : "app.test. 100 ", 13), 0);
	}
}

static void no_more_addresses_than_may_be(void **state)
{
	struct bed *bed = *state;
	char many[512] = "";
	struct asked a;

	for (int i = 0; i < DNS_ADDRESSES_MAX; i++) {
		char one[16];

		snprintf(one, sizeof one, "10.0.0.%d ", i + 1);
		strlcat(many, one, sizeof many);
	}
	names_are(bed, DNS_ANSWERS, 60, many);
	ask(bed, &a, "app.test.");
	assert_true(a.ok);
	assert_int_equal(words(a.line), 2 + RESOLVED_ADDRESSES_MAX);
}

static void a_name_that_is_not_there_says_so(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	ask(bed, &a, "nowhere.test.");
	assert_false(a.ok);
	assert_string_equal(a.why, "Domain name not found");
}

static void a_name_without_addresses_is_a_failure(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_ANSWERS, 60, "");
	ask(bed, &a, "app.test.");
	assert_false(a.ok);
	assert_true(a.why[0] != '\0');
}

static void a_server_that_fails_is_a_failure(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_FAILS, 60, "10.0.0.1");
	ask(bed, &a, "app.test.");
	assert_false(a.ok);
	assert_true(a.why[0] != '\0');
}

static void one_family_that_fails_does_not_hide_the_other(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_NO_AAAA, 60, "10.0.0.1 2001:db8::1");
	ask(bed, &a, "app.test.");
	assert_true(a.ok);
	assert_string_equal(a.line, "app.test. 60 10.0.0.1");
}

static void a_silent_server_is_asked_again_and_then_given_up(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	renew(bed, bed->dns.servers, TRY_MS);
	names_are(bed, DNS_SILENT, 60, "10.0.0.1");
	ask(bed, &a, "app.test.");
	assert_false(a.ok);
	assert_string_equal(a.why, "Timeout while contacting DNS servers");
	assert_int_equal(bed->dns.asked, 2 * TRIES);
}

static void an_answer_to_the_second_try_counts(void **state)
{
	struct bed *bed = *state;
	struct asked a = { 0 };

	renew(bed, bed->dns.servers, 10 * TRY_MS);
	names_are(bed, DNS_SILENT, 60, "10.0.0.1");
	(void)resolver_ask(bed->resolver, "app.test.", answered, &a);
	sim_until(bed->loop, dns_serve(&bed->dns) && bed->dns.asked == 2);
	names_are(bed, DNS_ANSWERS, 60, "10.0.0.1");
	sim_until(bed->loop, dns_serve(&bed->dns) && a.n > 0);
	assert_true(a.ok);
}

static void a_truncated_answer_is_asked_for_over_tcp(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_TRUNCATES, 60, "10.0.0.1 10.0.0.2 2001:db8::1");
	ask(bed, &a, "app.test.");
	assert_true(a.ok);
	assert_int_equal(words(a.line), 5);
	assert_int_equal(bed->dns.asked_tcp, 2);
}

static void what_is_no_answer_to_the_question_is_passed_over(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	names_are(bed, DNS_BABBLES, 60, "10.0.0.1");
	ask(bed, &a, "app.test.");
	assert_true(a.ok);
	assert_string_equal(a.line, "app.test. 60 10.0.0.1");
}

static void a_server_that_is_not_there_is_a_failure(void **state)
{
	struct bed *bed = *state;
	struct asked a = { 0 };
	char was[32];

	strlcpy(was, bed->dns.servers, sizeof was);
	dns_clear(&bed->dns); /* its port is nobody's now */
	dns_init(&bed->dns);
	renew(bed, was, SIM_PATIENCE_MS);
	ask(bed, &a, "app.test.");
	assert_false(a.ok);
	assert_int_equal(bed->dns.asked, 0);
}

static void addresses_and_localhost_need_no_server(void **state)
{
	struct bed *bed = *state;
	struct asked a;

	ask(bed, &a, "::1"); /* c-ares has this answer at once: it is told no sooner than others */
	assert_true(a.ok);
	assert_true(line_has(a.line, "::1"));
	ask(bed, &a, "localhost"); /* of /etc/hosts, or by RFC 6761 */
	assert_true(a.ok);
	assert_true(line_has(a.line, "127.0.0.1") || line_has(a.line, "::1"));
	assert_int_equal(bed->dns.asked, 0);
}

static void what_is_no_name_is_a_failure(void **state)
{
	static const char *const bad[] = { "", "..", "a..test.",
		"1234567890123456789012345678901234567890123456789012345678901234.test." };
	struct bed *bed = *state;
	struct asked a;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ask(bed, &a, bad[i]);
		assert_false(a.ok);
	}
}

static void many_questions_at_once_are_each_answered_once(void **state)
{
	struct bed *bed = *state;
	struct asked *at = calloc(MANY, sizeof *at);
	int n;

	assert_non_null(at);
	names_are(bed, DNS_ANSWERS, 60, "10.0.0.1");
	for (int i = 0; i < MANY; i++)
		(void)resolver_ask(
		    bed->resolver, i % 2 ? "app.test." : "nowhere.test.", answered, &at[i]);
	do {
		sim_turn(bed->loop);
		dns_serve(&bed->dns);
		n = 0;
		for (int i = 0; i < MANY; i++)
			n += at[i].n;
	} while (n < MANY);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(at[i].n, 1);
		assert_int_equal(at[i].ok, i % 2);
	}
	free(at);
}

static void an_answer_may_ask_the_next_question(void **state)
{
	struct bed *bed = *state;
	struct asked second = { 0 }, first = { .resolver = bed->resolver, .then = &second };
	char two[] = "10.0.0.2";

	names_are(bed, DNS_ANSWERS, 60, "10.0.0.1");
	dns_set(&bed->dns, "two.test", DNS_ANSWERS, 60, two);
	(void)resolver_ask(bed->resolver, "app.test.", answered, &first);
	sim_until(bed->loop, dns_serve(&bed->dns) && second.n > 0);
	assert_int_equal(first.n, 1);
	assert_string_equal(second.line, "two.test. 60 10.0.0.2");
}

static void a_resolver_that_goes_answers_nothing_more(void **state)
{
	struct bed *bed = *state;
	struct asked in_flight = { 0 }, to_be_told = { 0 }, over_tcp = { 0 };
	char truncated[] = "10.0.0.1";

	names_are(bed, DNS_SILENT, 60, "10.0.0.1");
	dns_set(&bed->dns, "two.test", DNS_TRUNCATES, 60, truncated);
	(void)resolver_ask(bed->resolver, "app.test.", answered, &in_flight);
	(void)resolver_ask(bed->resolver, "two.test.", answered, &over_tcp);
	sim_until(bed->loop, dns_serve(&bed->dns) && bed->dns.asked >= 4);
	(void)resolver_ask(bed->resolver, "::1", answered, &to_be_told);
	resolver_free(bed->resolver);
	bed->resolver = NULL;
	sim_while(bed->loop, 3 * TRY_MS,
	    dns_serve(&bed->dns) && in_flight.n + to_be_told.n + over_tcp.n == 0);
}

static void servers_that_are_none_are_refused(void **state)
{
	struct bed *bed = *state;

	assert_null(resolver_new(bed->loop, "no server at all"));
	resolver_free(NULL);
}

int main(void)
{
#define RESOLVE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		RESOLVE_TEST(addresses_of_both_families_come_with_their_ttl),
		RESOLVE_TEST(a_change_is_seen_by_the_next_question),
		RESOLVE_TEST(a_ttl_of_0_and_a_huge_one_are_told_within_bounds),
		RESOLVE_TEST(the_shortest_ttl_counts),
		RESOLVE_TEST(no_more_addresses_than_may_be),
		RESOLVE_TEST(a_name_that_is_not_there_says_so),
		RESOLVE_TEST(a_name_without_addresses_is_a_failure),
		RESOLVE_TEST(a_server_that_fails_is_a_failure),
		RESOLVE_TEST(one_family_that_fails_does_not_hide_the_other),
		RESOLVE_TEST(a_silent_server_is_asked_again_and_then_given_up),
		RESOLVE_TEST(an_answer_to_the_second_try_counts),
		RESOLVE_TEST(a_truncated_answer_is_asked_for_over_tcp),
		RESOLVE_TEST(what_is_no_answer_to_the_question_is_passed_over),
		RESOLVE_TEST(a_server_that_is_not_there_is_a_failure),
		RESOLVE_TEST(addresses_and_localhost_need_no_server),
		RESOLVE_TEST(what_is_no_name_is_a_failure),
		RESOLVE_TEST(many_questions_at_once_are_each_answered_once),
		RESOLVE_TEST(an_answer_may_ask_the_next_question),
		RESOLVE_TEST(a_resolver_that_goes_answers_nothing_more),
		RESOLVE_TEST(servers_that_are_none_are_refused),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
