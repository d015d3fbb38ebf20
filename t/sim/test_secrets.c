/*
 * test_secrets.c: a worker's epoch keys from two key servers. The key client below is a fake, each
 * question is answered by hand; CLOCK_BOOTTIME is moved by hand, and timers run a thousand times as fast.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/cluster/secrets.h"

#include "base/poison.h"

enum { ASKS_MAX = 64, HOUR = 3600, PATIENCE = 5000 };

struct keyclient_ask {
	bool open, ids;
	uint64_t avoid;
	char group[EPOCH_GROUP_MAX + 1];
	keyclient_cb done;
	void *arg;
};

static struct fake {
	struct loop *loop;
	struct secrets *secrets;
	struct keyclient_ask asks[ASKS_MAX];
	unsigned n, slot, changes, disagreed;
	size_t servers;
	bool down;
	uint64_t boot; /* s */
	uint8_t buf[EPOCH_ANSWER_MAX];
	struct epoch_set revoked;
} f;

/* ---- in place of the clock, the timers and the key client */

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);
void __real_deadline_set(
    struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));
void __wrap_deadline_set(
    struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));
void __wrap_log_errorx(const char *fmt, ...);

int __wrap_clock_gettime(clockid_t which, struct timespec *ts)
{
	if (which != CLOCK_BOOTTIME)
		return __real_clock_gettime(which, ts);
	*ts = (struct timespec){ .tv_sec = (time_t)f.boot };
	return 0;
}

void __wrap_deadline_set(
    struct loop *loop, struct deadline *d, uint64_t ms, void (*passed)(struct deadline *))
{
	__real_deadline_set(loop, d, ms / 1000 + 1, passed);
}

void __wrap_log_errorx(const char *fmt, ...)
{
	if (strstr(fmt, "different ticket keys") != NULL)
		f.disagreed++;
}

static struct keyclient_ask *ask(
    bool ids, struct bytes group, uint64_t avoid, keyclient_cb done, void *arg, enum reason *why)
{
	struct keyclient_ask *a = &f.asks[f.n];

	*why = REASON_SERVICE_BREAKER;
	if (f.down)
		return NULL;
	assert_true(f.n++ < ASKS_MAX);
	*a = (struct keyclient_ask){
		.open = true, .ids = ids, .avoid = avoid, .done = done, .arg = arg
	};
	if (group.len > 0)
		memcpy(a->group, group.at, group.len);
	return a;
}

struct keyclient_ask *keyclient_epoch_keys(struct keyclient *kc, struct bytes group, uint64_t avoid,
    keyclient_cb done, void *arg, enum reason *why)
{
	(void)kc;
	return ask(false, group, avoid, done, arg, why);
}

struct keyclient_ask *keyclient_epoch_ids(
    struct keyclient *kc, uint64_t avoid, keyclient_cb done, void *arg, enum reason *why)
{
	(void)kc;
	return ask(true, bytes_of(NULL, 0), avoid, done, arg, why);
}

unsigned keyclient_slot(const struct keyclient *kc)
{
	(void)kc;
	return f.slot;
}

size_t keyclient_servers_n(const struct keyclient *kc)
{
	(void)kc;
	return f.servers;
}

void keyclient_cancel(struct keyclient_ask *a)
{
	assert_true(a->open);
	a->open = false;
}

/* ---- helpers */

static void count_cb(void *arg)
{
	++*(unsigned *)arg;
}

static void begin(size_t servers)
{
	static struct site_conf sites[1] = { { .group = (char *)(uintptr_t) "shop" } };
	static struct gateway_conf conf = { .sites = { sites, 1 } };

	memset(&f, 0, sizeof(f));
	f.loop = loop_new();
	f.servers = servers;
	f.boot = 100000;
	f.secrets = secrets_new(f.loop, NULL, &conf, NULL);
	assert_non_null(f.secrets);
	secrets_on_change(f.secrets, count_cb, &f.changes);
}

static void end(void)
{
	secrets_free(f.secrets);
	for (unsigned i = 0; i < f.n; i++)
		assert_false(f.asks[i].open); /* answered, or cancelled */
	loop_free(f.loop);
}

/* What an answer has of one generation: its epochs e and e + 1; e ends in `left` seconds. */
struct had {
	uint8_t tag;
	uint64_t start, e;
	uint32_t left;
};

static void reply(unsigned i, unsigned slot, enum reason reason, struct bytes answer)
{
	assert_true(i < f.n && f.asks[i].open);
	f.asks[i].open = false;
	f.slot = slot;
	f.asks[i].done(f.asks[i].arg, reason, answer);
}

static void reply_keys(unsigned i, unsigned slot, const struct had *had, size_t n)
{
	struct writer w = writer_of(f.buf, sizeof(f.buf));

	assert_false(f.asks[i].ids);
	assert_string_equal(f.asks[i].group, "shop");
	epoch_answer_begin(&w, 1, &f.revoked);
	for (size_t k = 0; k < n; k++) {
		for (uint32_t next = 0; next < 2; next++) {
			struct epoch_record r = { .id = { had[k].tag },
				.kind = EPOCH_MADE,
				.start = had[k].start,
				.e = had[k].e + next };

			epoch_answer_add(
			    &w, &r, next * had[k].left, had[k].left + next * HOUR + EPOCH_ACCEPT_S);
		}
	}
	reply(i, slot, REASON_NONE, bytes_of(f.buf, writer_len(&w)));
}

static void reply_ids(unsigned i, unsigned slot, const char *tags)
{
	struct writer w = writer_of(f.buf, sizeof(f.buf));

	assert_true(f.asks[i].ids);
	epoch_answer_begin(&w, 1, &f.revoked);
	for (; *tags != '\0'; tags++) {
		uint8_t id[EPOCH_ID_LEN] = { (uint8_t)*tags };

		writer_put(&w, id, sizeof(id));
		writer_u8(&w, EPOCH_MADE);
		writer_u64(&w, 1);
	}
	reply(i, slot, REASON_NONE, bytes_of(f.buf, writer_len(&w)));
}

static void until_asked(unsigned n)
{
	for (int i = 0; i < PATIENCE && f.n < n; i++)
		assert_int_equal(loop_turn(f.loop), 0);
	assert_int_equal(f.n, n);
}

static uint8_t current(void)
{
	const struct epoch_record *r = secrets_current(f.secrets, 0);

	return r == NULL ? 0 : r->id[0];
}

/* Both servers have A: the usual start. Two questions. */
static void start_with_a(void)
{
	static const struct had a = { 'A', 1, 50, HOUR };

	begin(2);
	reply_keys(0, 0, &a, 1);
	assert_int_equal(f.n, 2);
	assert_true((f.asks[1].avoid & 1) != 0); /* not of the same again */
	reply_keys(1, 1, &a, 1);
	assert_int_equal(f.n, 2);
	assert_int_equal(current(), 'A');
}

/* ---- tests */

static void rule_is_applied_to_what_both_have(void **state)
{
	static const struct had a = { 'A', 1, 50, HOUR };

	(void)state;
	begin(2);
	assert_false(secrets_ready(f.secrets));
	reply_keys(0, 3, &a, 1);
	assert_true(secrets_ready(f.secrets)); /* one answer is enough to work with */
	assert_int_equal(f.asks[1].avoid, 1 << 3);
	reply_keys(1, 5, &(struct had){ 'B', 49, 50, HOUR }, 1);
	assert_int_equal(current(), 'A'); /* it was first, until the epoch ends */
	f.boot += HOUR;
	assert_int_equal(current(), 'B'); /* though the first server knows nothing of it */
	end();
}

static void second_server_is_not_missed_where_there_is_none(void **state)
{
	static const struct had a = { 'A', 1, 50, HOUR };

	(void)state;
	begin(1);
	reply_keys(0, 0, &a, 1);
	assert_int_equal(f.n, 1);
	until_asked(2);
	reply_ids(1, 0, "A");
	until_asked(3); /* the next poll, not a second server */
	assert_int_equal(f.asks[2].avoid, 0);
	assert_true(f.asks[2].ids);
	end();
}

static void ids_are_polled_and_keys_once_an_epoch(void **state)
{
	static const struct had next = { 'A', 1, 51, HOUR };

	(void)state;
	start_with_a();
	for (unsigned i = 2; i < 10; i += 2) {
		until_asked(i + 1);
		reply_ids(i, 0, "A");
		assert_int_equal(f.asks[i + 1].avoid, 1);
		reply_ids(i + 1, 1, "A");
	}
	f.boot += HOUR; /* 51 is current and 52 is missing */
	until_asked(11);
	reply_ids(10, 0, "A");
	reply_ids(11, 1, "A");
	assert_int_equal(f.n, 13);
	reply_keys(12, 0, &next, 1);
	reply_keys(13, 1, &next, 1);
	assert_int_equal(secrets_current(f.secrets, 0)->e, 51);
	until_asked(15);
	assert_true(f.asks[14].ids);
	end();
}

static void new_generation_is_fetched_and_used_from_the_next_epoch(void **state)
{
	const struct had both[] = { { 'A', 1, 50, HOUR }, { 'B', 50, 50, HOUR } };

	(void)state;
	start_with_a();
	until_asked(3);
	reply_ids(2, 0, "A");
	reply_ids(3, 1, "BA");
	assert_int_equal(f.n, 5);
	reply_keys(4, 1, both, 2);
	reply_keys(5, 0, both, 1);
	assert_int_equal(current(), 'A');
	assert_non_null(secrets_find(f.secrets, 0, 'A' << 8, 50));
	f.boot += HOUR;
	assert_int_equal(current(), 'B');
	assert_null(secrets_find(f.secrets, 0, 'A' << 8, 50)); /* 50 is B's */
	assert_non_null(secrets_find(f.secrets, 0, 'B' << 8, 50));
	end();
}

static void revocation_is_at_once(void **state)
{
	const struct had b = { 'B', 50, 50, HOUR };
	unsigned changes;

	(void)state;
	start_with_a();
	until_asked(3);
	changes = f.changes;
	f.revoked.revoked[0][0] = 'A';
	f.revoked.revoked_n = 1;
	reply_ids(2, 0, "B");
	assert_int_equal(f.changes, changes + 1);
	assert_int_equal(current(), 0);
	assert_null(secrets_find(f.secrets, 0, 'A' << 8, 50));
	f.revoked.revoked_n = 0; /* the other has not heard of it, and goes on giving A */
	reply_ids(3, 1, "A");
	reply_keys(4, 1, &(struct had){ 'A', 1, 50, HOUR }, 1);
	assert_int_equal(current(), 0);
	reply_keys(5, 0, &b, 1);
	assert_int_equal(current(), 'B');
	end();
}

static void servers_that_differ_for_two_minutes_are_told_of(void **state)
{
	const struct had both[] = { { 'A', 1, 50, HOUR }, { 'B', 50, 50, HOUR } };
	unsigned i = 2;

	(void)state;
	start_with_a();
	for (unsigned round = 0; round < 6; round++) {
		until_asked(i + 1);
		reply_ids(i++, 0, "A");
		reply_ids(i++, 1, "B");
		if (round == 0) {
			reply_keys(i++, 1, both, 2);
			reply_keys(i++, 0, both, 1);
		}
		assert_int_equal(f.disagreed, round >= 4);
		f.boot += 30;
	}
	until_asked(i + 1);
	reply_ids(i++, 0, "AB"); /* the order is nothing */
	reply_ids(i++, 1, "BA");
	for (unsigned round = 0; round < 2; round++) {
		until_asked(i + 1);
		reply_ids(i++, 0, "A");
		reply_ids(i++, 1, "B");
		f.boot += 60;
	}
	assert_int_equal(f.disagreed, 1);
	end();
}

static void service_without_ids_is_asked_for_keys(void **state)
{
	static const struct had a = { 'A', 1, 50, HOUR };

	(void)state;
	start_with_a();
	until_asked(3);
	reply(2, 0, REASON_KEY_REFUSED, bytes_of(NULL, 0));
	assert_int_equal(f.n, 4);
	reply_keys(3, 0, &a, 1);
	reply(4, 1, REASON_SERVICE_LOST, bytes_of(NULL, 0));
	until_asked(6);
	reply(5, 0, REASON_NONE, bytes_str("rubbish"));
	until_asked(7);
	assert_true(f.asks[6].ids);
	end();
}

static void without_a_current_epoch_there_are_no_tickets(void **state)
{
	(void)state;
	start_with_a();
	f.down = true;
	f.boot += 2 * HOUR + 3; /* 50 and 51 are over */
	assert_int_equal(current(), 0);
	assert_non_null(secrets_find(f.secrets, 0, 'A' << 8, 51)); /* old ones are taken */
	f.boot += 22 * HOUR;
	assert_null(secrets_find(f.secrets, 0, 'A' << 8, 49));
	assert_non_null(secrets_find(f.secrets, 0, 'A' << 8, 51));
	f.boot += 2 * HOUR;
	assert_null(secrets_find(f.secrets, 0, 'A' << 8, 51)); /* a day after its end */
	f.down = false;
	until_asked(3);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_is_applied_to_what_both_have),
		cmocka_unit_test(second_server_is_not_missed_where_there_is_none),
		cmocka_unit_test(ids_are_polled_and_keys_once_an_epoch),
		cmocka_unit_test(new_generation_is_fetched_and_used_from_the_next_epoch),
		cmocka_unit_test(revocation_is_at_once),
		cmocka_unit_test(servers_that_differ_for_two_minutes_are_told_of),
		cmocka_unit_test(service_without_ids_is_asked_for_keys),
		cmocka_unit_test(without_a_current_epoch_there_are_no_tickets),
	};

	log_init("test_secrets");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
