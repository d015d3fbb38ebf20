/*
 * test_plan.c: what the key service said of the files against the certificates of a plan, and where the
 * services' programs are looked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/master/plan.h"

#include "base/poison.h"

#define NAMED "/keys/named.key"
#define FOUND "/keys/folder/found.key"

struct bed {
	struct gateway_conf conf;
	struct site_conf site;
	char *named[2];
	struct plan plan;
	struct plan_cert certs[2];
	struct plan_key keys[3];
	struct conf_errors *errors;
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	bed->errors = conf_errors_new();
	bed->named[0] = (char *)(uintptr_t)NAMED;
	bed->named[1] = (char *)(uintptr_t) "/keys/folder";
	bed->conf.private_keys.at = bed->named;
	bed->conf.private_keys.n = 2;
	bed->plan.conf = &bed->conf;
	bed->plan.certs = bed->certs;
	bed->plan.certs_n = 2;
	for (int i = 0; i < 2; i++) {
		bed->certs[i].site = &bed->site;
		bed->certs[i].path = i == 0 ? "/certs/a.pem" : "/certs/b.pem";
		memset(bed->certs[i].ski, 'a' + i, CERT_SKI_LEN);
	}
	for (int i = 0; i < 3; i++) {
		bed->keys[i].name = (char *)(uintptr_t)(i == 0 ? NAMED : FOUND);
		memset(bed->keys[i].ski, 'a' + i, CERT_SKI_LEN);
	}
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	conf_errors_free(bed->errors);
	free(bed);
	return 0;
}

static void matched(struct bed *bed, size_t keys, const char *error)
{
	plan_match(&bed->plan, bed->keys, keys, bed->errors);
	if (error == NULL) {
		assert_int_equal(conf_errors_n(bed->errors), 0);
		return;
	}
	assert_int_equal(conf_errors_n(bed->errors), 1);
	if (strstr(conf_errors_at(bed->errors, 0), error) == NULL)
		fail_msg("not \"%s\": %s", error, conf_errors_at(bed->errors, 0));
}

static void each_certificate_has_its_key_in_any_order(void **state)
{
	struct bed *bed = *state;

	memset(bed->keys[0].ski, 'z', CERT_SKI_LEN);
	memset(bed->keys[2].ski, 'a', CERT_SKI_LEN);
	matched(bed, 3, NULL);
}

static void a_certificate_without_a_key_is_named(void **state)
{
	matched(*state, 1, "/certs/b.pem and the private key " NAMED " do not belong together");
}

static void among_many_keys_the_certificate_is_named_alone(void **state)
{
	struct bed *bed = *state;

	bed->keys[1].ski[CERT_SKI_LEN - 1] ^= 1; /* the last byte counts too */
	matched(bed, 3, "/certs/b.pem has no private key among the 3");
}

static void a_key_that_was_not_read_is_no_key(void **state)
{
	struct bed *bed = *state;

	bed->plan.certs_n = 1;
	bed->keys[0].error = (char *)(uintptr_t) "it needs a pass phrase";
	bed->keys[2] = (struct plan_key){ .name = (char *)(uintptr_t)FOUND };
	memset(bed->keys[2].ski, 'a', CERT_SKI_LEN);
	matched(bed, 3, NAMED ": it needs a pass phrase");
}

/* Certificates and notes may lie in a folder of keys; a file that was named is meant to be one. */
static void what_is_no_key_is_an_error_only_where_it_was_named(void **state)
{
	struct bed *bed = *state;

	bed->plan.certs_n = 1;
	bed->keys[1].error = (char *)(uintptr_t)PLAN_KEY_NONE;
	matched(bed, 2, NULL);
	bed->plan.certs_n = 0;
	bed->keys[0].error = (char *)(uintptr_t)PLAN_KEY_NONE;
	matched(bed, 2, NAMED);
}

static void programs_are_looked_for_in_services_dir_alone_where_it_is_set(void **state)
{
	struct bed *bed = *state;
	char dir[] = "/tmp/plan-XXXXXX", buf[PLAN_PATH_MAX], path[64];
	FILE *f;

	assert_non_null(mkdtemp(dir));
	bed->conf.services_dir = dir;
	snprintf(path, sizeof path, "%s/test_plan", dir);
	assert_null(plan_program(&bed->plan, "test_plan", buf, sizeof buf));
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	if (geteuid() != 0) /* not executable; root's access(2) asks for one x at least, too */
		assert_null(plan_program(&bed->plan, "test_plan", buf, sizeof buf));
	assert_int_equal(chmod(path, 0755), 0);
	assert_string_equal(plan_program(&bed->plan, "test_plan", buf, sizeof buf), path);
	/* Beside the program itself, where it is not. */
	bed->conf.services_dir = NULL;
	assert_non_null(plan_program(&bed->plan, "test_plan", buf, sizeof buf));
	assert_non_null(strstr(buf, "/unit/test_plan"));
	assert_null(plan_program(&bed->plan, "no-such-program-anywhere", buf, sizeof buf));
	unlink(path);
	rmdir(dir);
}

int main(void)
{
#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		PLAN_TEST(each_certificate_has_its_key_in_any_order),
		PLAN_TEST(a_certificate_without_a_key_is_named),
		PLAN_TEST(among_many_keys_the_certificate_is_named_alone),
		PLAN_TEST(a_key_that_was_not_read_is_no_key),
		PLAN_TEST(what_is_no_key_is_an_error_only_where_it_was_named),
		PLAN_TEST(programs_are_looked_for_in_services_dir_alone_where_it_is_set),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
