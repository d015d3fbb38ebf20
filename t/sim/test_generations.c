/*
 * test_generations.c: key services that exchange their generations: a hand-moved clock for each, and in
 * place of keysvc/exchange a wire that the test cuts and joins. Every order of answers is the list's.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "keysvc/epochfile.h"
#include "keysvc/epochs_private.h"

#include "base/poison.h"

enum { HOUR = 3600, DAY = 86400, N_MAX = 10, T0 = 487654 * HOUR };

struct exchange {
	struct exchange_params params;
	bool asked;
};

struct server {
	struct world *world;
	unsigned number;
	char path[96];
	struct epochs *epochs; /* NULL: down */
	struct exchange *exchange;
	int64_t wall_off; /* of its wall clock, s */
	bool cut[N_MAX]; /* hears nothing of that one */
};

static struct world {
	char dir[64];
	struct loop *loop;
	uint64_t boot; /* s; the right time is T0 + boot */
	unsigned n;
	uint32_t period;
	struct server at[N_MAX];
	struct server *starting; /* whose exchange_new it is */
	struct epoch_set set, other;
	uint8_t buf[EPOCH_ANSWER_MAX], offer[GENERATIONS_EXCHANGE_MAX];
	char said[EPOCHS_TEXT_MAX];
} w;

/* In place of libc's: a year of files is written in a second. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

/* ---- the wire: linked in place of exchange.c. Peers are all servers, oneself too, in their order. */

struct exchange *exchange_new(struct loop *loop, const struct exchange_params *params)
{
	struct exchange *x = calloc(1, sizeof(*x));

	(void)loop;
	assert_non_null(x);
	x->params = *params;
	w.starting->exchange = x;
	return x;
}

void exchange_free(struct exchange *x)
{
	free(x);
}

bool exchange_ask(struct exchange *x)
{
	bool begins = !x->asked;

	x->asked = true;
	return begins;
}

static void answer_round(struct server *s)
{
	if (s->epochs == NULL || s->exchange == NULL || !s->exchange->asked)
		return;
	for (unsigned i = 0; i < w.n; i++) {
		struct writer out = writer_of(w.offer, sizeof(w.offer));

		if (w.at[i].epochs == NULL || s->cut[i])
			continue;
		assert_int_equal(epochs_generations(w.at[i].epochs, &out), 0);
		assert_true(s->exchange->params.answered(
		    s->exchange->params.arg, i, bytes_of(w.offer, writer_len(&out))));
	}
	s->exchange->asked = false;
	s->exchange->params.done(s->exchange->params.arg);
}

/* ---- the world */

static void clock_of(void *arg, uint64_t *wall, uint64_t *boot)
{
	struct server *s = arg;

	*boot = w.boot;
	*wall = (uint64_t)((int64_t)(T0 + w.boot) + s->wall_off);
}

static void up(unsigned i)
{
	static struct endpoint endpoints[N_MAX];
	struct server *s = &w.at[i];
	struct epochs_params params = { .path = s->path,
		.period = w.period,
		.lifetime_s = 7 * DAY,
		.peers = endpoints,
		.peers_n = w.n,
		.clock = clock_of,
		.clock_arg = s };

	for (unsigned k = 0; k < w.n; k++) {
		char text[32];

		snprintf(text, sizeof(text), "127.0.0.1:%u", 2407 + k);
		assert_int_equal(endpoint_parse(&endpoints[k], text), 0);
	}
	w.starting = s;
	s->epochs = epochs_new(w.loop, &params);
	assert_non_null(s->epochs);
}

static void down(unsigned i)
{
	epochs_free(w.at[i].epochs);
	w.at[i].epochs = NULL;
	w.at[i].exchange = NULL;
}

static void begin(unsigned n)
{
	memset(&w, 0, sizeof(w));
	snprintf(w.dir, sizeof(w.dir), "/tmp/sslgw-generations-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.loop = loop_new();
	w.n = n;
	w.period = HOUR;
	w.boot = 1000;
	for (unsigned i = 0; i < n; i++) {
		w.at[i].number = i;
		snprintf(w.at[i].path, sizeof(w.at[i].path), "%s/%u", w.dir, i);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < w.n; i++) {
		down(i);
		unlink(w.at[i].path);
	}
	rmdir(w.dir);
	loop_free(w.loop);
}

/* Lets time pass in steps: timers, then answers. */
static void pass(uint64_t seconds, uint64_t step)
{
	for (uint64_t until = w.boot + seconds; w.boot < until;) {
		w.boot += step;
		for (unsigned i = 0; i < w.n; i++) {
			if (w.at[i].epochs != NULL)
				epochs_work(w.at[i].epochs);
		}
		for (unsigned i = 0; i < w.n; i++)
			answer_round(&w.at[i]);
	}
}

static void cut(unsigned a, unsigned b, bool apart)
{
	w.at[a].cut[b] = w.at[b].cut[a] = apart;
}

static uint64_t epoch_now(void)
{
	return (T0 + w.boot) / w.period;
}

static const struct generation *ruler(unsigned i, uint64_t e)
{
	return generations_ruler(&w.at[i].epochs->g, e);
}

/* Who rules e, on every server that is up; they must agree. */
static const struct generation *the_ruler(uint64_t e)
{
	const struct generation *first = NULL;

	for (unsigned i = 0; i < w.n; i++) {
		const struct generation *x;

		if (w.at[i].epochs == NULL)
			continue;
		x = ruler(i, e);
		assert_non_null(x);
		if (first == NULL)
			first = x;
		assert_memory_equal(x->id, first->id, EPOCH_ID_LEN);
	}
	return first;
}

/* A gateway's key of an epoch, from one server. */
static const struct epoch_record *key_of(unsigned i, uint64_t e, struct epoch_set *set)
{
	struct writer out = writer_of(w.buf, sizeof(w.buf));
	uint64_t unix_now;

	assert_int_equal(epochs_answer(w.at[i].epochs, bytes_str("shop"), &out), 0);
	assert_int_equal(
	    epoch_answer_parse(bytes_of(w.buf, writer_len(&out)), 0, set, &unix_now), PARSE_OK);
	for (size_t k = 0; k < set->n; k++) {
		if (set->at[k].e == e)
			return &set->at[k];
	}
	return NULL;
}

static void same_keys(unsigned a, unsigned b, uint64_t e)
{
	const struct epoch_record *x = key_of(a, e, &w.set), *y = key_of(b, e, &w.other);

	assert_non_null(x);
	assert_non_null(y);
	assert_memory_equal(x->id, y->id, EPOCH_ID_LEN);
	assert_memory_equal(x->group_key, y->group_key, EPOCH_KEY_LEN);
}

static bool command(unsigned i, const char *a, const char *b, const char *c)
{
	char *words[] = { (char *)(uintptr_t) "epoch", (char *)(uintptr_t)a, (char *)(uintptr_t)b,
		(char *)(uintptr_t)c };

	return epochs_command(w.at[i].epochs,
	    b == NULL   ? 2
	    : c == NULL ? 3
			: 4,
	    words, w.said, sizeof(w.said));
}

/* ---- tests */

static void three_that_boot_together_make_one(void **state)
{
	(void)state;
	begin(3);
	for (unsigned i = 0; i < 3; i++) {
		struct writer out = writer_of(w.buf, sizeof(w.buf));

		up(i);
		assert_false(epochs_ready(w.at[i].epochs));
		assert_int_equal(epochs_answer(w.at[i].epochs, bytes_str("shop"), &out), -1);
	}
	pass(5, 1);
	pass(40, 10);
	assert_int_equal(the_ruler(epoch_now())->kind, EPOCH_MADE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(w.at[i].epochs->g.n, 1);
	same_keys(0, 1, epoch_now());
	same_keys(0, 2, epoch_now() + 1);
	end();
}

static void one_alone_makes_an_orphan_that_gives_way(void **state)
{
	uint8_t orphan[EPOCH_ID_LEN];

	(void)state;
	begin(3);
	up(0);
	up(1);
	pass(40, 10); /* the cluster: two of three, and one is silent */
	assert_int_equal(the_ruler(epoch_now())->kind, EPOCH_ORPHAN);
	pass(HOUR, 10);
	assert_true(command(0, "new", NULL, NULL));
	pass(3 * HOUR, 10);
	assert_int_equal(the_ruler(epoch_now())->kind, EPOCH_MADE);
	cut(2, 0, true);
	cut(2, 1, true);
	up(2);
	pass(40, 10);
	memcpy(orphan, ruler(2, epoch_now())->id, sizeof(orphan));
	assert_int_equal(ruler(2, epoch_now())->kind, EPOCH_ORPHAN);
	cut(2, 0, false);
	cut(2, 1, false);
	pass(40, 10);
	assert_int_equal(the_ruler(epoch_now())->kind, EPOCH_MADE);
	assert_memory_not_equal(the_ruler(epoch_now())->id, orphan, EPOCH_ID_LEN);
	same_keys(0, 2, epoch_now());
	for (unsigned i = 0; i < 3; i++)
		assert_false(
		    generations_is_dropped(&w.at[i].epochs->g, the_ruler(epoch_now())->id));
	assert_true(generations_is_dropped(&w.at[2].epochs->g, orphan));
	end();
}

static void partition_with_new_on_both_sides_heals_to_one_ruler(void **state)
{
	uint8_t old[EPOCH_ID_LEN];

	(void)state;
	begin(2);
	up(0);
	up(1);
	pass(40, 1);
	pass(3 * HOUR, 10);
	memcpy(old, the_ruler(epoch_now())->id, sizeof(old));
	cut(0, 1, true);
	assert_true(command(0, "new", NULL, NULL));
	pass(HOUR, 10);
	assert_true(command(1, "new", NULL, NULL)); /* starts an epoch later: it wins from there */
	pass(4 * HOUR, 10);
	assert_memory_not_equal(ruler(0, epoch_now())->id, ruler(1, epoch_now())->id, EPOCH_ID_LEN);
	cut(0, 1, false);
	pass(40, 10);
	assert_memory_equal(the_ruler(epoch_now())->id, ruler(1, epoch_now())->id, EPOCH_ID_LEN);
	for (uint64_t e = epoch_now() - 24; e <= epoch_now() + 1; e++) {
		if (ruler(0, e) == NULL)
			continue;
		the_ruler(e);
		same_keys(0, 1, e);
	}
	assert_memory_equal(the_ruler(epoch_now() - 6)->id, old, EPOCH_ID_LEN);
	/* In the same epoch: the lowest id. */
	cut(0, 1, true);
	assert_true(command(0, "new", "--now", NULL));
	assert_true(command(1, "new", "--now", NULL));
	cut(0, 1, false);
	pass(40, 10);
	the_ruler(epoch_now());
	same_keys(0, 1, epoch_now());
	end();
}

static void old_backup_joins_and_changes_nothing(void **state)
{
	struct generations *backup = calloc(1, sizeof(*backup));
	uint8_t before[EPOCH_ID_LEN];

	(void)state;
	begin(3);
	for (unsigned i = 0; i < 3; i++)
		up(i);
	pass(40, 1);
	*backup = w.at[2].epochs->g;
	down(2);
	pass(30 * DAY - HOUR, 600);
	memcpy(before, the_ruler(epoch_now())->id, sizeof(before));
	assert_memory_not_equal(before, backup->at[0].id, EPOCH_ID_LEN);
	assert_int_equal(epochfile_write(w.at[2].path, backup), 0);
	up(2);
	assert_false(epochs_held(w.at[2].epochs));
	pass(40, 10);
	assert_memory_equal(the_ruler(epoch_now())->id, before, EPOCH_ID_LEN);
	same_keys(0, 2, epoch_now());
	for (unsigned i = 0; i < 3; i++) {
		for (size_t k = 0; k < w.at[i].epochs->g.n; k++) {
			const struct generation *x = &w.at[i].epochs->g.at[k];

			assert_memory_not_equal(x->id, backup->at[0].id, EPOCH_ID_LEN);
			assert_true(x->base >= epoch_now() - 24);
		}
	}
	generations_clear(backup);
	free(backup);
	end();
}

static void revoked_ids_survive_a_restored_backup(void **state)
{
	struct generations *backup = calloc(1, sizeof(*backup));
	uint8_t stolen[EPOCH_ID_LEN];

	(void)state;
	begin(2);
	up(0);
	up(1);
	pass(40, 1);
	pass(HOUR, 10);
	*backup = w.at[1].epochs->g;
	memcpy(stolen, backup->at[0].id, sizeof(stolen));
	assert_false(command(0, "new", "--revoke-old", NULL)); /* needs --now */
	assert_true(command(0, "new", "--now", "--revoke-old"));
	pass(40, 10);
	assert_memory_not_equal(the_ruler(epoch_now())->id, stolen, EPOCH_ID_LEN);
	assert_null(ruler(0, epoch_now() - 1)); /* nothing of before is accepted */
	assert_null(ruler(1, epoch_now() - 1));
	down(1);
	pass(10 * DAY, 600);
	assert_int_equal(epochfile_write(w.at[1].path, backup), 0);
	up(1);
	assert_memory_equal(
	    ruler(1, epoch_now())->id, stolen, EPOCH_ID_LEN); /* it knows no better */
	pass(40, 10);
	assert_memory_not_equal(the_ruler(epoch_now())->id, stolen, EPOCH_ID_LEN);
	for (unsigned i = 0; i < 2; i++)
		assert_true(generations_is_revoked(&w.at[i].epochs->g, stolen));
	key_of(1, epoch_now(), &w.set);
	assert_int_equal(w.set.revoked_n, w.at[1].epochs->g.revoked_n);
	/* A year on they are forgotten: no file is that old. */
	pass(30 * DAY, 600);
	assert_true(generations_is_revoked(&w.at[0].epochs->g, stolen));
	pass(330 * DAY, 6 * HOUR);
	assert_false(generations_is_revoked(&w.at[0].epochs->g, stolen));
	assert_false(generations_is_revoked(&w.at[1].epochs->g, stolen));
	free(backup);
	end();
}

static void ten_that_rotate_at_once_make_few(void **state)
{
	unsigned ahead = 0;
	uint64_t due;

	(void)state;
	begin(10);
	for (unsigned i = 0; i < 10; i++)
		up(i);
	pass(60, 1);
	assert_int_equal(w.at[0].epochs->g.n, 1);
	due = (the_ruler(epoch_now())->start + 7 * 24) * HOUR - T0;
	pass(due - 100 - w.boot, 100);
	assert_int_equal(w.at[0].epochs->g.n, 1);
	pass(100 + EPOCHS_WAIT_S + 60, 10);
	for (size_t k = 0; k < w.at[0].epochs->g.n; k++)
		ahead += w.at[0].epochs->g.at[k].start > epoch_now();
	assert_in_range(ahead, 1, 2);
	for (unsigned i = 0; i < 10; i++) { /* how many were ever made of each that there was */
		assert_true(w.at[i].epochs->g.n + w.at[i].epochs->g.dropped_n <= 3);
	}
	pass(3 * HOUR, 30);
	assert_int_equal(the_ruler(epoch_now())->start, the_ruler(epoch_now() + 1)->start);
	assert_in_range(the_ruler(epoch_now())->start, epoch_now() - 3, epoch_now());
	end();
}

static void two_ids_with_one_tag_are_both_taken(void **state)
{
	struct generation *x;

	(void)state;
	begin(2);
	up(0);
	up(1);
	pass(40, 1);
	cut(0, 1, true);
	assert_true(command(1, "new", NULL, NULL));
	x = &w.at[1].epochs->g.at[1];
	memcpy(x->id, w.at[0].epochs->g.at[0].id, 2); /* drawn where the other was not known */
	x->id[2] ^= 1;
	cut(0, 1, false);
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->g.n, 2);
	pass(3 * HOUR, 10);
	assert_int_equal(the_ruler(epoch_now())->id[2], x->id[2]);
	same_keys(0, 1, epoch_now());
	same_keys(0, 1, epoch_now() - 3);
	/* A name's tag is the same for both; the epoch says which is meant. */
	key_of(0, epoch_now(), &w.set);
	assert_memory_equal(epoch_set_find(&w.set, 0, (uint16_t)(x->id[0] << 8 | x->id[1]),
				(uint32_t)epoch_now() & 0xffffff)
				->id,
	    x->id, EPOCH_ID_LEN);
	end();
}

static void what_cannot_be_is_not_taken(void **state)
{
	struct generation *x;
	uint8_t id[EPOCH_ID_LEN];

	(void)state;
	begin(2);
	up(0);
	up(1);
	pass(40, 1);
	/* The same id with another secret: each keeps its own, and says so. */
	w.at[1].epochs->g.at[0].secret[5] ^= 1;
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_CONFLICT);
	assert_int_equal(w.at[1].epochs->peers[0].trouble, TROUBLE_CONFLICT);
	assert_int_equal(w.at[0].epochs->g.n, 1);
	w.at[1].epochs->g.at[0].secret[5] ^= 1;
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_NONE);
	/* Another start, another kind. */
	w.at[1].epochs->g.at[0].start--;
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_CONFLICT);
	w.at[1].epochs->g.at[0].start++;
	w.at[1].epochs->g.at[0].kind = EPOCH_ORPHAN;
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_CONFLICT);
	w.at[1].epochs->g.at[0].kind = EPOCH_MADE;
	/* A start more than 7 days ahead. */
	assert_true(command(1, "new", NULL, NULL));
	x = &w.at[1].epochs->g.at[1];
	x->start = x->base = epoch_now() + 7 * 24 + 1;
	memcpy(id, x->id, sizeof(id));
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_AHEAD);
	assert_int_equal(w.at[0].epochs->g.n, 1);
	pass(HOUR, 10);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_NONE);
	assert_int_equal(w.at[0].epochs->g.n, 2);
	end();
}

static void other_period_is_refused(void **state)
{
	(void)state;
	begin(2);
	up(0);
	pass(5, 1);
	w.period = 1800;
	up(1);
	pass(40, 10);
	assert_int_equal(w.at[1].epochs->peers[0].trouble, TROUBLE_PERIOD);
	assert_int_equal(w.at[1].epochs->g.n, 0); /* and makes no rival */
	assert_int_equal(w.at[0].epochs->g.n, 1);
	assert_true(command(1, "show", NULL, NULL));
	assert_non_null(strstr(w.said, "epoch_period"));
	end();
}

static void clock_that_is_off_is_not_believed(void **state)
{
	(void)state;
	begin(2);
	up(0);
	pass(5, 1);
	w.at[1].wall_off = 2 * HOUR;
	up(1);
	pass(40, 10);
	assert_int_equal(w.at[1].epochs->peers[0].trouble, TROUBLE_CLOCK);
	assert_int_equal(w.at[0].epochs->peers[1].trouble, TROUBLE_CLOCK);
	assert_int_equal(w.at[1].epochs->g.n, 0); /* makes no rival at a wrong time */
	w.at[1].wall_off = HOUR; /* an epoch off is bearable; but the leap is seen */
	pass(40, 10);
	end();
}

static void held_clock_serves_what_there_is_and_ends_with_the_others(void **state)
{
	const uint64_t far = 10 * DAY;
	uint64_t base, made;

	(void)state;
	begin(4);
	for (unsigned i = 0; i < 4; i++)
		up(i);
	pass(40, 1);
	pass(2 * HOUR, 60);
	base = w.at[0].epochs->g.at[0].base;
	made = w.at[0].epochs->g.n;
	w.at[0].wall_off = (int64_t)far;
	pass(2 * HOUR, 10);
	assert_true(epochs_held(w.at[0].epochs));
	assert_int_equal(w.at[0].epochs->g.at[0].base, base); /* nothing forgotten */
	assert_int_equal(w.at[0].epochs->g.n, made);
	same_keys(0, 1, epoch_now()); /* and served by the time that was believed */
	assert_false(command(0, "new", NULL, NULL));
	assert_non_null(strstr(w.said, "accept-clock"));
	/* A revocation is heard of all the same. */
	assert_true(command(1, "new", "--now", "--revoke-old"));
	pass(40, 10);
	assert_int_equal(w.at[0].epochs->g.revoked_n, w.at[1].epochs->g.revoked_n);
	assert_true(w.at[0].epochs->g.revoked_n > 0);
	/* One other with the same wrong time is not most of three. */
	w.at[1].wall_off = (int64_t)far;
	pass(60, 10);
	assert_true(epochs_held(w.at[0].epochs));
	w.at[0].wall_off = 0;
	w.at[1].wall_off = 0;
	pass(60, 10);
	assert_false(epochs_held(w.at[0].epochs));
	the_ruler(epoch_now());
	end();
}

static void hold_against_the_file_ends_by_most_peers_or_the_operator(void **state)
{
	struct generations *file = calloc(1, sizeof(*file));

	(void)state;
	begin(4);
	for (unsigned i = 0; i < 4; i++)
		up(i);
	pass(40, 1);
	*file = w.at[0].epochs->g;
	down(0);
	file->written = T0 + w.boot + 5 * HOUR; /* the machine's clock was wrong then */
	assert_int_equal(epochfile_write(w.at[0].path, file), 0);
	cut(0, 1, true), cut(0, 2, true), cut(0, 3, true);
	up(0);
	pass(40, 10);
	assert_true(epochs_held(w.at[0].epochs));
	cut(0, 1, false);
	pass(40, 10);
	assert_true(epochs_held(w.at[0].epochs)); /* one of three */
	cut(0, 2, false);
	pass(40, 10);
	assert_false(epochs_held(w.at[0].epochs));
	down(0);
	assert_int_equal(epochfile_write(w.at[0].path, file), 0);
	cut(0, 1, true), cut(0, 2, true);
	up(0);
	assert_true(epochs_held(w.at[0].epochs));
	assert_true(command(0, "accept-clock", NULL, NULL));
	assert_false(epochs_held(w.at[0].epochs));
	generations_clear(file);
	free(file);
	end();
}

static void all_held_after_a_long_outage_wait_for_the_operator(void **state)
{
	(void)state;
	begin(3);
	for (unsigned i = 0; i < 3; i++)
		up(i);
	pass(40, 1);
	for (unsigned i = 0; i < 3; i++)
		down(i);
	w.boot += 31 * DAY;
	for (unsigned i = 0; i < 3; i++)
		up(i);
	pass(60, 10);
	for (unsigned i = 0; i < 3; i++)
		assert_true(epochs_held(w.at[i].epochs));
	assert_true(command(0, "accept-clock", NULL, NULL));
	assert_true(command(1, "accept-clock", NULL, NULL));
	pass(60, 10);
	assert_false(epochs_held(w.at[2].epochs)); /* most of its peers show the time */
	pass(30, 10);
	the_ruler(epoch_now());
	same_keys(0, 2, epoch_now());
	end();
}

static void words_of_the_command_are_checked(void **state)
{
	(void)state;
	begin(1);
	up(0); /* the only peer is itself */
	pass(5, 1);
	assert_int_equal(ruler(0, epoch_now())->kind, EPOCH_MADE);
	assert_true(command(0, "show", NULL, NULL));
	assert_non_null(strstr(w.said, "made    rules"));
	assert_non_null(strstr(w.said, "this server"));
	assert_true(command(0, "show", "--json", NULL));
	assert_non_null(strstr(w.said, "\"state\":\"rules\""));
	assert_true(command(0, "new", "--revoke-old", "--now"));
	assert_true(command(0, "accept-clock", NULL, NULL));
	assert_non_null(strstr(w.said, "already"));
	assert_false(command(0, "show", "--now", NULL));
	assert_false(command(0, "new", "--now", "--then"));
	assert_false(command(0, "gone", NULL, NULL));
	assert_non_null(strstr(w.said, "usage"));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_that_boot_together_make_one),
		cmocka_unit_test(one_alone_makes_an_orphan_that_gives_way),
		cmocka_unit_test(partition_with_new_on_both_sides_heals_to_one_ruler),
		cmocka_unit_test(old_backup_joins_and_changes_nothing),
		cmocka_unit_test(revoked_ids_survive_a_restored_backup),
		cmocka_unit_test(ten_that_rotate_at_once_make_few),
		cmocka_unit_test(two_ids_with_one_tag_are_both_taken),
		cmocka_unit_test(what_cannot_be_is_not_taken),
		cmocka_unit_test(other_period_is_refused),
		cmocka_unit_test(clock_that_is_off_is_not_believed),
		cmocka_unit_test(held_clock_serves_what_there_is_and_ends_with_the_others),
		cmocka_unit_test(hold_against_the_file_ends_by_most_peers_or_the_operator),
		cmocka_unit_test(all_held_after_a_long_outage_wait_for_the_operator),
		cmocka_unit_test(words_of_the_command_are_checked),
	};

	log_init("test_generations");
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
