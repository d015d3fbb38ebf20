/*
 * test_monitor.c: the monitor's process as the master sees it: what it says of names, when it asks
 * again, how it starts and ends. The test runs in the place of its loop, holds the other end of the
 * channel, and makes its waits shorter while it writes them down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ares.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/log.h"
#include "dns.h"
#include "gateway/monitor/monitor.h"
#include "gateway/monitor/resolve.h"
#include "proc/channel.h"
#include "sim.h"

#include "base/poison.h"

enum { SERVERS_MAX = 8, HEARD_MAX = 16, WAITS_MAX = 64, FASTER = 100 };
enum { READY_MS = 3000, TICK_MS = 500 /* the resolver's */ };

struct bed {
	struct loop *loop;
	struct dns dns;
	struct gateway_conf conf;
	struct pool_conf pools[2];
	struct server_conf servers[2][SERVERS_MAX];
	struct channel *master;
	int channel_fd; /* the monitor's end */
	char *heard[HEARD_MAX];
	int heard_n;
	uint64_t waits[WAITS_MAX]; /* ms, of names; as the monitor said */
	int waits_n;
	_Atomic uint64_t *beat; /* NULL: none */
	int try_ms; /* the resolver's patience with a server */
	bool hurried; /* the wait until it is ready is made shorter too */
	void (*script)(struct bed *); /* run once in the place of the monitor's loop */
	struct deadline patience;
	bool over;
	char text[512];
};

/* The bed of the test that runs: what is linked in has no argument for it. */
static struct bed *the_bed;

int __real_ares_init_options(ares_channel *, struct ares_options *, int mask);
int __wrap_ares_init_options(ares_channel *, struct ares_options *, int mask);
struct resolver *__real_resolver_new(struct loop *, const char *servers);
struct resolver *__wrap_resolver_new(struct loop *, const char *servers);
void __real_deadline_set(
    struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));
void __wrap_deadline_set(
    struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));
int __real_loop_run(struct loop *);
int __wrap_loop_run(struct loop *);

int __wrap_ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
	options->timeout = the_bed->try_ms;
	options->tries = 1;
	return __real_ares_init_options(channel, options, mask);
}

struct resolver *__wrap_resolver_new(struct loop *loop, const char *servers)
{
	assert_null(servers);
	return __real_resolver_new(loop, the_bed->dns.servers);
}

void __wrap_deadline_set(
    struct loop *loop, struct deadline *deadline, uint64_t ms, void (*passed)(struct deadline *))
{
	if (ms >= TICK_MS) {
		if (ms != TICK_MS && ms != READY_MS && the_bed->waits_n < WAITS_MAX)
			the_bed->waits[the_bed->waits_n++] = ms;
		if (ms != READY_MS || the_bed->hurried)
			ms /= FASTER;
	}
	__real_deadline_set(loop, deadline, ms, passed);
}

static void over_cb(struct deadline *deadline)
{
	struct bed *bed = CONTAINER_OF(deadline, struct bed, patience);

	bed->over = true;
	loop_stop(bed->loop);
}

/* After the script the monitor has to end by itself. */
int __wrap_loop_run(struct loop *loop)
{
	void (*script)(struct bed *) = the_bed->script;
	int rc;

	if (script == NULL)
		return __real_loop_run(loop);
	the_bed->script = NULL;
	script(the_bed);
	__real_deadline_set(loop, &the_bed->patience, SIM_PATIENCE_MS, over_cb);
	rc = __real_loop_run(loop);
	deadline_clear(loop, &the_bed->patience);
	return rc;
}

/* ---- the bed */

static void heard(void *arg, char *text, int *fds, int fds_n)
{
	struct bed *bed = arg;

	(void)fds;
	assert_int_equal(fds_n, 0);
	assert_in_range(bed->heard_n, 0, HEARD_MAX - 1);
	bed->heard[bed->heard_n++] = strdup(text);
}

static void closed(void *arg)
{
	(void)arg;
}

static const struct channel_events master_events = { heard, closed };

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);
	int fds[2];

	assert_non_null(bed);
	the_bed = bed;
	bed->try_ms = SIM_PATIENCE_MS;
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	dns_init(&bed->dns);
	bed->conf.pools.at = bed->pools;
	bed->conf.pools.n = 2;
	for (int i = 0; i < 2; i++)
		bed->pools[i].servers.at = bed->servers[i];
	assert_int_equal(channel_pair(fds), 0);
	bed->master = channel_new(bed->loop, fds[0], &master_events, bed);
	assert_non_null(bed->master);
	bed->channel_fd = fds[1];
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	for (int i = 0; i < bed->heard_n; i++)
		free(bed->heard[i]);
	channel_free(bed->master);
	dns_clear(&bed->dns);
	loop_free(bed->loop);
	free(bed);
	return 0;
}

static void server(struct bed *bed, int pool, char *address)
{
	bed->servers[pool][bed->pools[pool].servers.n++].address = address;
}

static void names_are(struct bed *bed, enum dns_way way, uint32_t ttl, const char *addresses)
{
	strlcpy(bed->text, addresses, sizeof bed->text);
	dns_set(&bed->dns, "app.test", way, ttl, bed->text);
}

static void run(struct bed *bed, void (*script)(struct bed *))
{
	bed->script = script;
	assert_int_equal(monitor_run(bed->loop, &bed->conf, bed->channel_fd, bed->beat, NULL), 0);
	assert_null(bed->script);
	assert_false(bed->over);
}

static void say(struct bed *bed, const char *text)
{
	assert_int_equal(channel_send(bed->master, NULL, 0, "%s", text), 0);
}

static int said(const struct bed *bed, const char *text)
{
	int n = 0;

	for (int i = 0; i < bed->heard_n; i++)
		n += strcmp(bed->heard[i], text) == 0;
	return n;
}

#define until(bed, cond) sim_until((bed)->loop, dns_serve(&(bed)->dns) && (cond))
#define during(bed, ms, cond) sim_while((bed)->loop, ms, dns_serve(&(bed)->dns) && (cond))

/* ---- start and end */

static void until_ready_then_stop(struct bed *bed)
{
	until(bed, said(bed, "ready") == 1);
	say(bed, "stop");
}

static void without_names_it_is_ready_at_once_and_asks_nothing(void **state)
{
	struct bed *bed = *state;
	char v4[] = "10.0.0.1:80", v6[] = "[::1]:80";
	uint64_t start = sim_now_ms();

	server(bed, 0, v4);
	server(bed, 1, v6);
	run(bed, until_ready_then_stop);
	assert_int_equal(bed->heard_n, 1);
	assert_int_equal(bed->dns.asked, 0);
	assert_int_equal(bed->waits_n, 0);
	assert_in_range(sim_now_ms() - start, 0, READY_MS / 2);
}

static void ready_script(struct bed *bed)
{
	until(bed, said(bed, "ready") == 1);
	assert_int_equal(bed->waits_n, 2); /* the silent one's try was over */
	during(bed, 20, bed->heard_n == 2);
	say(bed, "drain");
}

static void it_is_ready_when_each_name_has_an_answer_good_or_bad(void **state)
{
	struct bed *bed = *state;
	char good[] = "app.test.:80", bad[] = "silent.test.:80";

	server(bed, 0, good);
	server(bed, 1, bad);
	names_are(bed, DNS_ANSWERS, 300, "10.0.0.1 10.0.0.2");
	dns_set(&bed->dns, "silent.test", DNS_SILENT, 300, NULL);
	bed->try_ms = 300;
	run(bed, ready_script);
	assert_string_equal(bed->heard[0], "resolved app.test. 300 10.0.0.1 10.0.0.2");
	assert_string_equal(bed->heard[1], "ready");
}

static void patience_script(struct bed *bed)
{
	uint64_t start = sim_now_ms();

	until(bed, said(bed, "ready") == 1);
	assert_true(sim_now_ms() - start >= READY_MS / FASTER);
	assert_int_equal(bed->waits_n, 0); /* nothing has failed yet */
	during(bed, 60, bed->heard_n == 1);
	say(bed, "stop");
}

static void it_is_ready_in_time_though_a_server_is_silent(void **state)
{
	struct bed *bed = *state;
	char silent[] = "app.test.:80";

	server(bed, 0, silent);
	names_are(bed, DNS_SILENT, 300, "10.0.0.1");
	bed->hurried = true;
	run(bed, patience_script);
}

static void closing_script(struct bed *bed)
{
	until(bed, said(bed, "ready") == 1);
	channel_free(bed->master);
	bed->master = NULL;
}

static void it_ends_with_its_master(void **state)
{
	run(*state, closing_script);
}

static void deaf_script(struct bed *bed)
{
	int pipes[2];
	char byte;

	until(bed, said(bed, "ready") == 1);
	/* Words for others, with a descriptor that it must not keep; and signals, for which the master is. */
	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(channel_send(bed->master, &pipes[1], 1, "listen 0 0"), 0);
	say(bed, "stopping");
	say(bed, "reopen");
	close(pipes[1]);
	raise(SIGTERM);
	raise(SIGINT);
	raise(SIGHUP);
	raise(SIGQUIT);
	raise(SIGUSR1);
	until(bed, read(pipes[0], &byte, 1) == 0);
	close(pipes[0]);
	say(bed, "stop");
}

static void it_heeds_nothing_but_its_master_and_keeps_no_descriptor(void **state)
{
	run(*state, deaf_script);
}

static void beat_script(struct bed *bed)
{
	uint64_t first;

	until(bed, counter_get(bed->beat) > 0);
	first = counter_get(bed->beat);
	assert_in_range(first, sim_now_ms() - 5000, sim_now_ms());
	until(bed, counter_get(bed->beat) > first);
	say(bed, "stop");
}

static void it_beats_every_second(void **state)
{
	struct bed *bed = *state;
	_Atomic uint64_t cell = 0;

	bed->beat = &cell;
	run(bed, beat_script);
	assert_true(bed->waits_n >= 2);
	for (int i = 0; i < bed->waits_n; i++)
		assert_int_equal(bed->waits[i], 1000);
}

/* ---- names */

static void a_name_is_asked_for_once_however_often_it_is_written(void **state)
{
	struct bed *bed = *state;
	char one[] = "app.test.:80", two[] = "APP.test.:81", three[] = "app.test.:80";

	server(bed, 0, one);
	server(bed, 0, two);
	server(bed, 1, three);
	names_are(bed, DNS_ANSWERS, 300, "10.0.0.1");
	run(bed, until_ready_then_stop);
	assert_int_equal(bed->dns.asked, 2); /* A and AAAA */
	assert_int_equal(said(bed, "resolved app.test. 300 10.0.0.1"), 1);
}

static void change_script(struct bed *bed)
{
	unsigned asked;

	/* The TTL of 5 s is 50 ms here. */
	until(bed, said(bed, "ready") == 1);
	assert_int_equal(said(bed, "resolved app.test. 5 10.0.0.1 10.0.0.2"), 1);
	asked = bed->dns.asked;
	until(bed, bed->dns.asked >= asked + 4);
	assert_int_equal(bed->heard_n, 2); /* the same is no news */
	names_are(bed, DNS_ANSWERS, 5, "10.0.0.2 10.0.0.1");
	asked = bed->dns.asked;
	until(bed, bed->dns.asked >= asked + 4);
	assert_int_equal(bed->heard_n, 2); /* nor is another order */
	names_are(bed, DNS_ANSWERS, 7, "10.0.0.2 10.0.0.1");
	asked = bed->dns.asked;
	until(bed, bed->dns.asked >= asked + 4);
	assert_int_equal(bed->heard_n, 2); /* nor another TTL */
	names_are(bed, DNS_ANSWERS, 5, "10.0.0.2 2001:db8::1");
	until(bed, bed->heard_n == 3);
	assert_string_equal(bed->heard[2], "resolved app.test. 5 10.0.0.2 2001:db8::1");
	names_are(bed, DNS_ANSWERS, 5, "10.0.0.2");
	until(bed, bed->heard_n == 4);
	assert_string_equal(bed->heard[3], "resolved app.test. 5 10.0.0.2");
	say(bed, "stop");
}

static void only_a_change_of_addresses_is_news(void **state)
{
	struct bed *bed = *state;
	char one[] = "app.test.:80";

	server(bed, 0, one);
	names_are(bed, DNS_ANSWERS, 5, "10.0.0.1 10.0.0.2");
	run(bed, change_script);
}

static void ttl_case(struct bed *bed, uint32_t ttl, uint64_t seconds)
{
	char line[64];

	names_are(bed, DNS_ANSWERS, ttl, "10.0.0.1");
	run(bed, until_ready_then_stop);
	snprintf(line, sizeof line, "resolved app.test. %u 10.0.0.1", (unsigned)seconds);
	assert_int_equal(said(bed, line), 1);
	assert_int_equal(bed->waits_n, 1);
	assert_int_equal(bed->waits[0], seconds * 1000);
}

static void a_ttl_of_0_is_5_seconds(void **state)
{
	char one[] = "app.test.:80";

	server(*state, 0, one);
	ttl_case(*state, 0, 5);
}

static void a_ttl_within_bounds_is_kept(void **state)
{
	char one[] = "app.test.:80";

	server(*state, 0, one);
	ttl_case(*state, 123, 123);
}

static void a_ttl_of_a_day_is_an_hour(void **state)
{
	char one[] = "app.test.:80";

	server(*state, 0, one);
	ttl_case(*state, 86400, 3600);
}

static void many_script(struct bed *bed)
{
	until(bed, said(bed, "ready") == 1);
	assert_int_equal(bed->heard_n, 2);
	say(bed, "stop");
}

static void a_line_holds_as_many_addresses_as_its_readers_take(void **state)
{
	struct bed *bed = *state;
	struct resolved *r = malloc(sizeof *r);
	char one[] = "app.test.:80", many[512] = "";

	assert_non_null(r);
	for (int i = 0; i < DNS_ADDRESSES_MAX; i++) {
		char address[16];

		snprintf(address, sizeof address, "10.0.0.%d ", i + 1);
		strlcat(many, address, sizeof many);
	}
	server(bed, 0, one);
	names_are(bed, DNS_ANSWERS, 300, many);
	run(bed, many_script);
	assert_int_equal(strncmp(bed->heard[0], "resolved ", 9), 0);
	assert_int_equal(resolved_parse(bed->heard[0] + 9, r), 0);
	assert_int_equal(r->n, RESOLVED_ADDRESSES_MAX);
	free(r);
}

static void failing_script(struct bed *bed)
{
	static const uint64_t want[] = { 5000, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	int n = (int)(sizeof want / sizeof want[0]);

	until(bed, bed->waits_n == 1);
	names_are(bed, DNS_FAILS, 5, "10.0.0.1");
	until(bed, bed->waits_n >= n);
	for (int i = 0; i < n; i++)
		assert_int_equal(bed->waits[i], want[i]);
	/* Nothing was said: what was last good stays good. */
	assert_int_equal(bed->heard_n, 2);
	names_are(bed, DNS_ANSWERS, 5, "10.0.0.1");
	n = bed->waits_n;
	until(bed, bed->waits[bed->waits_n - 1] == 5000);
	assert_int_equal(bed->heard_n, 2); /* as before, so no news */
	/* And the next failure begins anew. */
	dns_set(&bed->dns, "app.test", DNS_FAILS, 5, NULL);
	n = bed->waits_n;
	until(bed, bed->waits_n > n);
	assert_int_equal(bed->waits[bed->waits_n - 1], 1000);
	say(bed, "stop");
}

static void failures_are_asked_again_less_and_less_often_and_say_nothing(void **state)
{
	struct bed *bed = *state;
	char one[] = "app.test.:80";

	server(bed, 0, one);
	names_are(bed, DNS_ANSWERS, 5, "10.0.0.1");
	run(bed, failing_script);
}

static void late_script(struct bed *bed)
{
	until(bed, said(bed, "ready") == 1);
	assert_int_equal(bed->heard_n, 1);
	names_are(bed, DNS_ANSWERS, 300, "10.0.0.1");
	until(bed, bed->heard_n == 2);
	assert_string_equal(bed->heard[1], "resolved app.test. 300 10.0.0.1");
	during(bed, 20, bed->heard_n == 2); /* it is ready once */
	say(bed, "stop");
}

static void a_name_that_comes_to_be_is_told_later(void **state)
{
	struct bed *bed = *state;
	char one[] = "app.test.:80";

	server(bed, 0, one);
	run(bed, late_script);
}

static void in_flight_script(struct bed *bed)
{
	until(bed, bed->dns.asked == 2);
	say(bed, "stop");
}

static void it_ends_while_it_asks(void **state)
{
	struct bed *bed = *state;
	char one[] = "app.test.:80";

	server(bed, 0, one);
	names_are(bed, DNS_SILENT, 300, "10.0.0.1");
	run(bed, in_flight_script);
}

int main(void)
{
#define MONITOR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		MONITOR_TEST(without_names_it_is_ready_at_once_and_asks_nothing),
		MONITOR_TEST(it_is_ready_when_each_name_has_an_answer_good_or_bad),
		MONITOR_TEST(it_is_ready_in_time_though_a_server_is_silent),
		MONITOR_TEST(it_ends_with_its_master),
		MONITOR_TEST(it_heeds_nothing_but_its_master_and_keeps_no_descriptor),
		MONITOR_TEST(it_beats_every_second),
		MONITOR_TEST(a_name_is_asked_for_once_however_often_it_is_written),
		MONITOR_TEST(only_a_change_of_addresses_is_news),
		MONITOR_TEST(a_ttl_of_0_is_5_seconds),
		MONITOR_TEST(a_ttl_within_bounds_is_kept),
		MONITOR_TEST(a_ttl_of_a_day_is_an_hour),
		MONITOR_TEST(a_line_holds_as_many_addresses_as_its_readers_take),
		MONITOR_TEST(failures_are_asked_again_less_and_less_often_and_say_nothing),
		MONITOR_TEST(a_name_that_comes_to_be_is_told_later),
		MONITOR_TEST(it_ends_while_it_asks),
	};

	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
