/*
 * test_ownsecrets.c: ticket keys of two gateways' own: the same for both at any time, void a day later,
 * and right again after a clock was set. Clocks are moved by hand; timers run a thousand times as fast.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "gateway/cluster/secrets.h"
#include "crypto/ticketsecret.h"

#include "base/poison.h"

enum { HOUR = 3600, DAY = 24 * HOUR, PATIENCE = 5000 };

static struct fake {
	struct loop *loop;
	struct secrets *one, *other;
	unsigned changes;
	int64_t boot, wall; /* s */
} f;

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);
time_t __wrap_time(time_t *);
void __real_deadline_set(
    struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));
void __wrap_deadline_set(
    struct loop *, struct deadline *, uint64_t ms, void (*passed)(struct deadline *));

int __wrap_clock_gettime(clockid_t which, struct timespec *ts)
{
	if (which != CLOCK_BOOTTIME)
		return __real_clock_gettime(which, ts);
	*ts = (struct timespec){ .tv_sec = f.boot };
	return 0;
}

time_t __wrap_time(time_t *at)
{
	(void)at;
	return (time_t)f.wall;
}

void __wrap_deadline_set(
    struct loop *loop, struct deadline *d, uint64_t ms, void (*passed)(struct deadline *))
{
	__real_deadline_set(loop, d, ms / 1000 + 1, passed);
}

static void count_cb(void *arg)
{
	++*(unsigned *)arg;
}

static struct secrets *gateway(uint8_t first, uint8_t second)
{
	static struct site_conf sites[3] = { { .group = (char *)(uintptr_t) "shop" },
		{ .group = (char *)(uintptr_t) "bank" }, { .group = (char *)(uintptr_t) "shop" } };
	static struct gateway_conf conf = { .sites = { sites, 3 } };
	struct ticketsecrets own = { .n = second != 0 ? 2 : 1 };
	struct secrets *s;

	memset(own.at[0], first, TICKETSECRET_LEN);
	memset(own.at[1], second, TICKETSECRET_LEN);
	s = secrets_new(f.loop, NULL, &conf, &own);
	assert_non_null(s);
	assert_true(secrets_ready(s));
	return s;
}

static void begin(void)
{
	f = (struct fake){
		.loop = loop_new(), .boot = 100000, .wall = 487654 * (int64_t)HOUR + 100
	};
	f.one = gateway('a', 0);
	f.other = gateway('a', 0);
	secrets_on_change(f.one, count_cb, &f.changes);
}

static void end(void)
{
	secrets_free(f.one);
	secrets_free(f.other);
	loop_free(f.loop);
}

static void changed(unsigned n)
{
	for (int i = 0; f.changes < n && i < PATIENCE; i++)
		assert_int_equal(loop_turn(f.loop), 0);
	assert_int_equal(f.changes, n);
}

static const struct epoch_record *find(struct secrets *s, const char *group, struct epoch_record r)
{
	return secrets_find(s, secrets_group(s, group), epoch_tag(&r), epoch_e24(&r));
}

static void both_have_the_same_keys(void **state)
{
	struct epoch_record shop, bank;

	(void)state;
	begin();
	shop = *secrets_current(f.one, secrets_group(f.one, "shop"));
	bank = *secrets_current(f.one, secrets_group(f.one, "bank"));
	assert_int_equal(shop.e, 487654);
	assert_int_equal(secrets_left_s(&shop), DAY + HOUR - 100);
	assert_memory_not_equal(shop.group_key, bank.group_key, EPOCH_KEY_LEN);
	assert_memory_equal(find(f.other, "shop", shop)->group_key, shop.group_key, EPOCH_KEY_LEN);
	assert_memory_equal(find(f.other, "bank", bank)->group_key, bank.group_key, EPOCH_KEY_LEN);
	end();
}

static void an_hour_later_there_is_another_and_a_day_later_the_first_is_void(void **state)
{
	struct epoch_record first, second;

	(void)state;
	begin();
	first = *secrets_current(f.one, 0);
	f.boot += HOUR;
	f.wall += HOUR;
	changed(1);
	second = *secrets_current(f.one, 0);
	assert_int_equal(second.e, first.e + 1);
	assert_memory_not_equal(second.group_key, first.group_key, EPOCH_KEY_LEN);
	assert_memory_equal(find(f.one, "shop", first)->group_key, first.group_key, EPOCH_KEY_LEN);
	f.boot += DAY - 101;
	f.wall += DAY - 101;
	changed(2);
	assert_non_null(find(f.one, "shop", first));
	f.boot += 2;
	f.wall += 2;
	assert_null(find(f.one, "shop", first)); /* by time alone, before it is looked at again */
	assert_non_null(find(f.one, "shop", second));
	end();
}

static void a_clock_that_was_wrong_and_is_set_is_followed(void **state)
{
	struct epoch_record late;
	struct secrets *early;

	(void)state;
	begin();
	f.wall += 90 * (int64_t)DAY;
	changed(1);
	late = *secrets_current(f.one, 0);
	assert_int_equal(late.e, 487654 + 90 * 24);
	f.wall = 1000; /* as after a start without a clock */
	changed(2);
	assert_null(secrets_current(f.one, 0));
	assert_null(find(f.one, "shop", late));
	early = gateway('a', 0);
	assert_null(secrets_current(early, 0));
	secrets_free(early);
	f.wall = 487654 * (int64_t)HOUR;
	changed(3);
	assert_int_equal(secrets_current(f.one, 0)->e, 487654);
	end();
}

static void a_gateway_whose_clock_is_ahead_is_understood(void **state)
{
	struct epoch_record ahead;

	(void)state;
	begin();
	f.wall += HOUR;
	changed(1);
	ahead = *secrets_current(f.one, 0);
	f.wall -= HOUR; /* other's: it has not looked again */
	secrets_free(f.other);
	f.other = gateway('a', 0);
	assert_non_null(find(f.other, "shop", ahead));
	end();
}

static void the_second_secret_is_accepted_and_not_used(void **state)
{
	struct epoch_record old;
	struct secrets *both, *new;

	(void)state;
	begin();
	old = *secrets_current(f.one, 0);
	both = gateway('b', 'a');
	new = gateway('b', 0);
	assert_memory_equal(find(both, "shop", old)->group_key, old.group_key, EPOCH_KEY_LEN);
	assert_memory_equal(
	    secrets_current(both, 0)->group_key, secrets_current(new, 0)->group_key, EPOCH_KEY_LEN);
	assert_null(find(new, "shop", old));
	secrets_free(both);
	secrets_free(new);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_have_the_same_keys),
		cmocka_unit_test(an_hour_later_there_is_another_and_a_day_later_the_first_is_void),
		cmocka_unit_test(a_clock_that_was_wrong_and_is_set_is_followed),
		cmocka_unit_test(a_gateway_whose_clock_is_ahead_is_understood),
		cmocka_unit_test(the_second_secret_is_accepted_and_not_used),
	};

	log_init("test_ownsecrets");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
