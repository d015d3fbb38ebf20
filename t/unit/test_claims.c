/* test_claims.c: signatures asked for, as the service and as the gateway count them: what is an alarm, and above all what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keysvc/claims.h"

#include "base/poison.h"

enum { A = 0xa1, B = 0xb2, C = 0xc3, TICKS_MANY = 60 };

/* A gateway that asks, and the service that is asked. */
struct world {
	struct claims claims;
	uint64_t asked, given, now, alarms; /* by the gateway's count, by the service's */
};

static void begin(struct world *w)
{
	*w = (struct world){ .now = 1000000 };
}

static void ask(struct world *w, unsigned n)
{
	w->asked += n;
	w->given += n;
}

static void claim(struct world *w, uint64_t instance)
{
	w->alarms += claims_take(&w->claims, instance, w->asked, w->given, w->now);
}

static void tick(struct world *w)
{
	w->now += CLAIMS_TICK_MS;
	w->alarms += claims_tick(&w->claims, w->given, w->now);
}

static void an_honest_gateway_is_never_an_alarm(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		ask(&w, i * 7 % 5 * 100);
		if (i % 11 != 0)
			claim(&w, A);
		ask(&w, i % 3); /* of other workers, on their way */
		tick(&w);
	}
	assert_int_equal(w.alarms, 0);
	assert_int_equal(w.claims.unclaimed, 0);
}

/* Each claim lacks what was asked in the half second that it took. */
static void claims_that_take_long_are_no_alarm(void **state)
{
	struct world w;

	(void)state;
	for (unsigned rate = 1; rate < 10000; rate = rate * 3 + 1) {
		begin(&w);
		for (unsigned i = 0; i < TICKS_MANY; i++) {
			ask(&w, 10 * rate);
			w.given += rate / 2;
			claim(&w, A);
			w.asked += rate / 2;
			tick(&w);
		}
		assert_int_equal(w.alarms, 0);
		w.asked = w.given; /* then it rests: nothing is held against it */
		for (unsigned i = 0; i < TICKS_MANY; i++) {
			claim(&w, A);
			tick(&w);
		}
		assert_int_equal(w.alarms, 0);
	}
}

static void what_a_thief_asked_is_found_to_the_number(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	claim(&w, A);
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		ask(&w, 50);
		w.given += i == 20 ? 27 : 0;
		claim(&w, A);
		tick(&w);
		if (i < 20 + CLAIMS_ROWS - 1)
			assert_int_equal(w.alarms, 0);
	}
	assert_int_equal(w.alarms, 27);
	assert_int_equal(w.claims.unclaimed, 27);
	w.given += 1;
	for (unsigned i = 0; i < 2 * CLAIMS_ROWS; i++) {
		ask(&w, 1);
		claim(&w, A);
		tick(&w);
	}
	assert_int_equal(w.claims.unclaimed, 28);
}

/* One a tick, at a busy gateway: they add up. */
static void a_patient_thief_is_found(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	claim(&w, A);
	for (unsigned i = 0; i < 4 * TICKS_MANY; i++) {
		ask(&w, 1000);
		w.given++;
		claim(&w, A);
		tick(&w);
	}
	assert_in_range(w.claims.unclaimed, 100, 4 * TICKS_MANY);
}

static void one_question_too_many_of_an_idle_gateway_is_found(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	ask(&w, 50);
	claim(&w, A);
	w.given++;
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		if (i % 6 == 0) /* once a minute */
			claim(&w, A);
		tick(&w);
	}
	assert_int_equal(w.alarms, 1);
}

static void a_gateway_that_dies_is_no_alarm_nor_is_its_next_start(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	ask(&w, 50);
	claim(&w, A);
	ask(&w, 40); /* then kill -9, of all of it */
	for (unsigned i = 0; i < TICKS_MANY; i++)
		tick(&w);
	assert_int_equal(w.alarms, 0);
	w.asked = 0;
	ask(&w, 3);
	claim(&w, B);
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		ask(&w, 5);
		claim(&w, B);
		tick(&w);
	}
	assert_int_equal(w.alarms, 0);
	assert_false(w.claims.doubled);
}

static void a_thief_alone_is_found_while_he_goes_on(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	ask(&w, 50);
	claim(&w, A); /* and the gateway is switched off */
	for (unsigned i = 0; i < 6; i++) {
		w.given += 10;
		tick(&w);
	}
	assert_in_range(w.alarms, 30, 60);
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		w.given += 10;
		tick(&w);
	}
	assert_in_range(w.claims.unclaimed, 620, 660);
}

static void one_that_never_claims_is_an_alarm(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 3; i++) {
		w.given += 10;
		tick(&w);
	}
	assert_int_equal(w.alarms, 0); /* after the service's start, claims are on their way */
	for (unsigned i = 0; i < 3; i++) {
		w.given += 10;
		tick(&w);
	}
	assert_true(w.alarms > 0);
}

static void a_service_that_starts_again_counts_from_the_first_claim_on(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.asked = 1000000;
	ask(&w, 30);
	tick(&w);
	claim(&w, A);
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		ask(&w, 9);
		claim(&w, A);
		tick(&w);
	}
	assert_int_equal(w.alarms, 0);
}

static void two_gateways_of_one_name_are_told(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	claim(&w, A);
	claim(&w, B);
	claim(&w, B);
	assert_false(w.claims.doubled); /* it was started again */
	claim(&w, C);
	assert_false(w.claims.doubled);
	claim(&w, B);
	assert_true(w.claims.doubled);
}

static void a_claim_that_was_overtaken_takes_nothing_back(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	claim(&w, A);
	for (unsigned i = 0; i < TICKS_MANY; i++) {
		ask(&w, 10);
		claim(&w, A);
		claims_take(&w.claims, A, w.asked - 10, w.given, w.now);
		tick(&w);
	}
	assert_int_equal(w.claims.unclaimed, 0);
}

static void no_number_overflows(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	claim(&w, A);
	assert_int_equal(claims_take(&w.claims, A, UINT64_MAX, 5, w.now), 0);
	assert_int_equal(claims_take(&w.claims, A, UINT64_MAX, 5, w.now), 0);
	w.given = 100;
	for (unsigned i = 0; i < TICKS_MANY; i++)
		tick(&w);
	assert_int_equal(w.alarms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_honest_gateway_is_never_an_alarm),
		cmocka_unit_test(claims_that_take_long_are_no_alarm),
		cmocka_unit_test(what_a_thief_asked_is_found_to_the_number),
		cmocka_unit_test(a_patient_thief_is_found),
		cmocka_unit_test(one_question_too_many_of_an_idle_gateway_is_found),
		cmocka_unit_test(a_gateway_that_dies_is_no_alarm_nor_is_its_next_start),
		cmocka_unit_test(a_thief_alone_is_found_while_he_goes_on),
		cmocka_unit_test(one_that_never_claims_is_an_alarm),
		cmocka_unit_test(a_service_that_starts_again_counts_from_the_first_claim_on),
		cmocka_unit_test(two_gateways_of_one_name_are_told),
		cmocka_unit_test(a_claim_that_was_overtaken_takes_nothing_back),
		cmocka_unit_test(no_number_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
