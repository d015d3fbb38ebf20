/* test_epochs.c: the state file, the clock's hold, and the secrets over a restart. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "keysvc/epochclock.h"
#include "keysvc/epochfile.h"
#include "keysvc/epochs.h"

#include "base/poison.h"

enum { HOUR = 3600, DAY = 86400 };

struct fixture {
	char dir[64], path[80];
	struct loop *loop;
	struct generations g, back;
	struct epoch_set a, b;
	uint8_t buf[EPOCH_ANSWER_MAX];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/sslgw-epoch-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/epoch", f->dir);
	f->loop = loop_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char aside[100];

	snprintf(aside, sizeof(aside), "%s.damaged", f->path);
	unlink(aside);
	unlink(f->path);
	rmdir(f->dir); /* fails, and is seen below, if anything else is left */
	assert_int_equal(access(f->dir, F_OK), -1);
	loop_free(f->loop);
	free(f);
	return 0;
}

static struct epochs *begin(struct fixture *f)
{
	struct epochs_params params = { .path = f->path, .period = HOUR, .lifetime_s = 7 * DAY };
	struct epochs *e = epochs_new(f->loop, &params);

	assert_non_null(e);
	return e;
}

static void ask(struct fixture *f, struct epochs *e, const char *group, struct epoch_set *set)
{
	struct writer w = writer_of(f->buf, sizeof(f->buf));
	uint64_t server;

	assert_int_equal(epochs_answer(e, bytes_str(group), &w), 0);
	assert_int_equal(
	    epoch_answer_parse(bytes_of(f->buf, writer_len(&w)), 0, set, &server), PARSE_OK);
}

static void file_is_private_and_whole(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	FILE *file;

	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_NONE);
	generations_init(&f->g, HOUR);
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, 1800000000, false), 0);
	umask(0);
	assert_int_equal(epochfile_write(f->path, &f->g), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
	assert_memory_equal(&f->g, &f->back, sizeof(f->g));
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, 1800000000, false), 0);
	assert_int_equal(epochfile_write(f->path, &f->g), 0); /* over the old one */
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
	assert_int_equal(f->back.n, 2);
	file = fopen(f->path, "a");
	fputc('x', file);
	fclose(file);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_DAMAGED);
	assert_int_equal(epochfile_write("/nowhere/epoch", &f->g), -1);
	assert_int_equal(epochfile_read("/", &f->back), EPOCHFILE_FAILED);
}

static void failed_write_leaves_the_old_file(void **state)
{
	struct fixture *f = *state;
	char beside[100];

	generations_init(&f->g, HOUR);
	f->g.written = 5;
	assert_int_equal(epochfile_write(f->path, &f->g), 0);
	snprintf(beside, sizeof(beside), "%s.new", f->path);
	assert_int_equal(mkdir(beside, 0700), 0); /* in the way */
	f->g.written = 6;
	assert_int_equal(epochfile_write(f->path, &f->g), -1);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
	assert_int_equal(f->back.written, 5);
	rmdir(beside);
}

static void secrets_outlive_a_restart(void **state)
{
	struct fixture *f = *state;
	struct epochs *e = begin(f);

	ask(f, e, "shop", &f->a);
	assert_non_null(epoch_set_current(&f->a, 0));
	assert_true(epochs_lasting(e));
	assert_false(epochs_held(e));
	epochs_free(e);
	e = begin(f);
	ask(f, e, "shop", &f->b);
	assert_memory_equal(
	    epoch_set_current(&f->a, 0)->group_key, epoch_set_current(&f->b, 0)->group_key, 32);
	ask(f, e, "other", &f->b);
	assert_memory_not_equal(
	    epoch_set_current(&f->a, 0)->group_key, epoch_set_current(&f->b, 0)->group_key, 32);
	epochs_free(e);
}

static void memory_only_forgets(void **state)
{
	struct fixture *f = *state;
	struct epochs_params params = { .path = NULL, .period = HOUR, .lifetime_s = 7 * DAY };
	struct epochs *e = epochs_new(f->loop, &params);

	ask(f, e, "shop", &f->a);
	assert_false(epochs_lasting(e));
	epochs_free(e);
	e = epochs_new(f->loop, &params);
	ask(f, e, "shop", &f->b);
	assert_memory_not_equal(
	    epoch_set_current(&f->a, 0)->group_key, epoch_set_current(&f->b, 0)->group_key, 32);
	epochs_free(e);
}

static void damaged_file_is_put_aside(void **state)
{
	struct fixture *f = *state;
	char aside[100];
	FILE *file = fopen(f->path, "w");
	struct epochs *e;

	fputs("rubbish", file);
	fclose(file);
	e = begin(f);
	ask(f, e, "shop", &f->a);
	assert_non_null(epoch_set_current(&f->a, 0));
	epochs_free(e);
	snprintf(aside, sizeof(aside), "%s.damaged", f->path);
	assert_int_equal(access(aside, F_OK), 0);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
}

static void file_that_cannot_be_read_is_put_aside(void **state)
{
	struct fixture *f = *state;
	char aside[100], where[100];
	struct epochs *e;

	/* As a link is, or what belongs to somebody else. */
	assert_int_equal(symlink("/somewhere/else", f->path), 0);
	e = begin(f);
	ask(f, e, "shop", &f->a);
	assert_non_null(epoch_set_current(&f->a, 0));
	epochs_free(e);
	snprintf(aside, sizeof(aside), "%s.unread", f->path);
	assert_int_equal(readlink(aside, where, sizeof(where)), 15);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
	unlink(aside);
}

static void file_of_the_future_holds_the_clock(void **state)
{
	struct fixture *f = *state;
	uint64_t now = (uint64_t)time(NULL);
	struct epochs *e;

	generations_init(&f->g, HOUR);
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, now - 3 * DAY, true), 0);
	f->g.written = now + 2 * HOUR;
	assert_int_equal(epochfile_write(f->path, &f->g), 0);
	e = begin(f);
	assert_true(epochs_held(e));
	ask(f, e, "shop", &f->a); /* what there is goes on being served */
	assert_int_equal(epoch_set_current(&f->a, 0)->kind, EPOCH_MADE);
	epochs_free(e);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
	assert_memory_equal(&f->g, &f->back, sizeof(f->g)); /* nothing made, nothing forgotten */
}

static void old_file_is_ratcheted_before_it_is_used(void **state)
{
	struct fixture *f = *state;
	uint64_t now = (uint64_t)time(NULL);
	struct epochs *e;

	generations_init(&f->g, HOUR);
	assert_int_equal(generations_make(&f->g, EPOCH_MADE, now - 20 * DAY, true), 0);
	f->g.written = now - 20 * DAY;
	assert_int_equal(epochfile_write(f->path, &f->g), 0);
	e = begin(f);
	assert_false(epochs_held(e));
	epochs_free(e);
	assert_int_equal(epochfile_read(f->path, &f->back), EPOCHFILE_OK);
	assert_int_equal(f->back.at[0].base, now / HOUR - 24);
	assert_memory_not_equal(f->back.at[0].secret, f->g.at[0].secret, 32);
	assert_true(f->back.written >= now);
}

static void clock_is_held_when_it_leaps(void **state)
{
	struct epochclock c;

	(void)state;
	epochclock_start(&c, HOUR, 0, 1000000, 500);
	assert_false(c.held);
	assert_false(epochclock_check(&c, 1000000 + 5000, 500 + 5000));
	assert_false(
	    epochclock_check(&c, 1000000 + 5000 + HOUR, 500 + 5000)); /* an epoch off is bearable */
	assert_true(epochclock_check(&c, 1000000 + 5000 + HOUR + 1, 500 + 5000));
	assert_true(c.held);
	assert_true(epochclock_check(&c, 1000000 + 6000, 500 + 6000)); /* set right again */
	assert_false(c.held);
	assert_true(epochclock_check(&c, 1000000 + 6000 - HOUR - 1, 500 + 6000)); /* backwards */
	assert_true(c.held);
	epochclock_accept(&c, 1000000 + 6000 - HOUR - 1, 500 + 6000);
	assert_false(epochclock_check(&c, 1000000 + 6001 - HOUR - 1, 500 + 6001));
	assert_false(c.held);
}

static void clock_is_held_against_the_file(void **state)
{
	static const struct {
		int64_t off;
		bool held;
	} cases[] = { { 0, false }, { -HOUR, false }, { -HOUR - 1, true }, { 30 * DAY, false },
		{ 30 * DAY + 1, true } };
	uint64_t written = 1800000000;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct epochclock c;
		uint64_t wall = written + (uint64_t)cases[i].off;

		epochclock_start(&c, HOUR, written, wall, 7);
		assert_int_equal(c.held, cases[i].held);
		/* It ends when the clock fits the file, from wherever it comes. */
		assert_int_equal(epochclock_check(&c, written + 10, 17),
		    cases[i].held || cases[i].off == 30 * DAY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_is_private_and_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(failed_write_leaves_the_old_file, setup, teardown),
		cmocka_unit_test_setup_teardown(secrets_outlive_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_only_forgets, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_file_is_put_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    file_that_cannot_be_read_is_put_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    file_of_the_future_holds_the_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    old_file_is_ratcheted_before_it_is_used, setup, teardown),
		cmocka_unit_test(clock_is_held_when_it_leaps),
		cmocka_unit_test(clock_is_held_against_the_file),
	};

	log_init("test_epochs");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
