/*
 * test_status_metrics.c: each row of the table of counters that a worker makes has a line of help.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/monitor/status.h"
#include "gateway/roles.h"
#include "gateway/worker.h"

#include "base/poison.h"

static void every_counter_of_a_worker_has_help(void **state)
{
	static const char *const rows[] = {
#define X(field, name) name,
		WORKER_COUNTERS(X)
#undef X
		    ROLES_BEAT,
		"sslgw_reloads_total",
		"sslgw_reloads_refused_total",
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (!status_metric_known(rows[i]))
			fail_msg("%s has no line in gateway/monitor/status_metrics.c", rows[i]);
	assert_false(status_metric_known("sslgw_of_tomorrow_total"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_counter_of_a_worker_has_help) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
