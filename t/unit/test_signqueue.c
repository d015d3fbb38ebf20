/*
 * test_signqueue.c: who may ask for a signature, who waits, who is given up; and what that does to a
 * service that is asked for three times what it can do.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/tls/signqueue.h"

#include "base/poison.h"

enum { BOUND = SIGNQUEUE_ASKED_MAX + 8 };

static struct signwait *enter(struct signqueue *q, struct signwait *w, uint64_t now)
{
	struct signwait *shed;

	(void)signqueue_enter(q, w, now, &shed);
	return shed;
}

static void fill(struct signqueue *q, struct signwait *waits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_null(enter(q, &waits[i], i));
}

static void test_some_ask_at_once_and_the_others_in_the_order_of_their_coming(void **state)
{
	struct signwait waits[BOUND];
	struct signqueue q;

	(void)state;
	signqueue_init(&q, BOUND);
	fill(&q, waits, BOUND);
	for (size_t i = 0; i < BOUND; i++)
		assert_int_equal(
		    waits[i].state, i < SIGNQUEUE_ASKED_MAX ? SIGNWAIT_ASKED : SIGNWAIT_WAITING);
	assert_null(signqueue_next(&q));
	for (size_t i = SIGNQUEUE_ASKED_MAX; i < BOUND; i++) {
		signqueue_leave(&q, &waits[i - SIGNQUEUE_ASKED_MAX]);
		assert_ptr_equal(signqueue_next(&q), &waits[i]);
	}
	assert_null(signqueue_next(&q));
	assert_int_equal(q.asked_n, SIGNQUEUE_ASKED_MAX);
}

static void test_at_the_bound_the_oldest_that_waits_goes_and_the_newest_is_next(void **state)
{
	struct signwait waits[BOUND], late[3];
	struct signqueue q;

	(void)state;
	signqueue_init(&q, BOUND);
	fill(&q, waits, BOUND);
	for (size_t i = 0; i < 3; i++) {
		assert_ptr_equal(enter(&q, &late[i], 100), &waits[SIGNQUEUE_ASKED_MAX + i]);
		assert_int_equal(waits[SIGNQUEUE_ASKED_MAX + i].state, SIGNWAIT_NOT);
		assert_int_equal(q.waiting_n + q.asked_n, BOUND);
	}
	signqueue_leave(&q, &waits[0]);
	assert_ptr_equal(signqueue_next(&q), &late[2]);
	assert_null(signqueue_next(&q));
	signqueue_leave(&q, &waits[1]);
	assert_ptr_equal(signqueue_next(&q), &late[1]);
}

static void test_what_is_with_the_service_is_not_given_up_for_another(void **state)
{
	struct signwait waits[4], more;
	struct signqueue q;

	(void)state;
	signqueue_init(&q, 4);
	fill(&q, waits, 4);
	assert_null(enter(&q, &more, 9));
	assert_int_equal(more.state, SIGNWAIT_NOT);
	signqueue_leave(&q, &waits[2]);
	assert_null(enter(&q, &more, 9));
	assert_int_equal(more.state, SIGNWAIT_ASKED);
}

static void test_nobody_waits_longer_than_the_limit(void **state)
{
	struct signwait waits[BOUND];
	struct signqueue q;

	(void)state;
	signqueue_init(&q, BOUND);
	fill(&q, waits, BOUND);
	assert_null(signqueue_late(&q, SIGNQUEUE_ASKED_MAX + SIGNQUEUE_WAIT_MS - 1));
	assert_ptr_equal(signqueue_late(&q, SIGNQUEUE_ASKED_MAX + SIGNQUEUE_WAIT_MS),
	    &waits[SIGNQUEUE_ASKED_MAX]);
	assert_null(signqueue_late(&q, SIGNQUEUE_ASKED_MAX + SIGNQUEUE_WAIT_MS));
}

static void test_those_who_leave_make_room(void **state)
{
	struct signwait waits[BOUND], more;
	struct signqueue q;

	(void)state;
	signqueue_init(&q, BOUND);
	fill(&q, waits, BOUND);
	signqueue_leave(&q, &waits[BOUND - 1]); /* of those that wait */
	signqueue_leave(&q, &waits[0]); /* of those that have asked */
	signqueue_leave(&q, &waits[0]); /* once more is no harm */
	assert_int_equal(q.waiting_n + q.asked_n, BOUND - 2);
	assert_null(enter(&q, &more, 7));
	assert_int_equal(more.state, SIGNWAIT_WAITING); /* not before those that wait already */
}

/*
 * A service that answers in order, one question each 10 ms, is asked three times as often for 60 s:
 * it goes on doing what it can, and what it does is in time.
 */
static void test_past_its_capacity_a_service_does_what_it_can_and_in_time(void **state)
{
	enum { EACH_MS = 10, BETWEEN_MS = 3, ALL_MS = 60000, N = ALL_MS / BETWEEN_MS };
	struct signwait *waits = calloc(N, sizeof(*waits)), *fifo[SIGNQUEUE_ASKED_MAX], *w, *shed;
	struct signqueue q;
	size_t fifo_n = 0, n = 0, done = 0;
	uint64_t slowest = 0, *came = calloc(N, sizeof(*came));

	(void)state;
	assert_non_null(waits);
	assert_non_null(came);
	signqueue_init(&q, 512);
	for (uint64_t now = 1; now < ALL_MS; now++) {
		if (now % BETWEEN_MS == 0) {
			came[n] = now;
			if (signqueue_enter(&q, &waits[n], now, &shed))
				fifo[fifo_n++] = &waits[n];
			n++;
		}
		if (now % EACH_MS == 0 && fifo_n > 0) {
			uint64_t took = now - came[fifo[0] - waits];

			done++;
			slowest = took > slowest && now > 10000 ? took : slowest;
			signqueue_leave(&q, fifo[0]);
			memmove(fifo, fifo + 1, --fifo_n * sizeof(*fifo));
		}
		while (signqueue_late(&q, now) != NULL)
			;
		while ((w = signqueue_next(&q)) != NULL)
			fifo[fifo_n++] = w;
		assert_true(fifo_n <= SIGNQUEUE_ASKED_MAX && q.waiting_n + q.asked_n <= 512);
	}
	assert_true(done >= ALL_MS / EACH_MS * 99 / 100);
	assert_true(slowest <= (SIGNQUEUE_ASKED_MAX + 2) * EACH_MS);
	free(waits);
	free(came);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some_ask_at_once_and_the_others_in_the_order_of_their_coming),
		cmocka_unit_test(
		    test_at_the_bound_the_oldest_that_waits_goes_and_the_newest_is_next),
		cmocka_unit_test(test_what_is_with_the_service_is_not_given_up_for_another),
		cmocka_unit_test(test_nobody_waits_longer_than_the_limit),
		cmocka_unit_test(test_those_who_leave_make_room),
		cmocka_unit_test(test_past_its_capacity_a_service_does_what_it_can_and_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
