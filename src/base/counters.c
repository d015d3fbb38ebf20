/*
 * counters.c: the shared table. A row is claimed by one compare-and-swap of its name's hash, so no
 * process ever waits for another, not even for one that died in the middle. Cells lie by process,
 * not by row: each process writes cache lines of its own.
 *
 * Nothing read from the table is trusted: names are copied with a bound, and places are computed
 * here.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/counters.h"
#include "base/hash.h"

#include "base/poison.h"

struct row {
	_Atomic uint64_t key; /* hash of the name; 0: free */
	_Atomic uint64_t named; /* name is complete */
	char name[COUNTERS_NAME_MAX];
};

struct table {
	struct row rows[COUNTERS_ROWS];
	_Alignas(64) _Atomic uint64_t cells[COUNTERS_CELLS][COUNTERS_ROWS];
};

struct counters {
	struct table *table;
	unsigned cell;
	_Atomic uint64_t nowhere; /* for what fits no row */
};

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static struct counters *mapped(int fd, unsigned cell);
static int row_of(const struct counters *, const char *name, bool make);
static uint64_t row_sum(const struct table *, int row);

struct counters *counters_create(int *fd)
{
	struct counters *c = NULL;

	*fd = memfd_create("counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd == -1)
		return NULL;
	if (ftruncate(*fd, sizeof(struct table)) == 0 && fcntl(*fd, F_ADD_SEALS, SEALS) == 0)
		c = mapped(*fd, 0);
	if (c == NULL) {
		int error = errno;

		close(*fd);
		*fd = -1;
		errno = error;
	}
	return c;
}

struct counters *counters_attach(int fd, unsigned cell)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals == -1 || fstat(fd, &st) == -1)
		return NULL;
	/* Another size, or one that could still shrink under us, is not our table. */
	if (cell >= COUNTERS_CELLS || st.st_size != (off_t)sizeof(struct table) ||
	    (seals & F_SEAL_SHRINK) == 0) {
		errno = EINVAL;
		return NULL;
	}
	return mapped(fd, cell);
}

void counters_detach(struct counters *c)
{
	if (c == NULL)
		return;
	munmap(c->table, sizeof(*c->table));
	free(c);
}

_Atomic uint64_t *counters_cell(struct counters *c, const char *name)
{
	return counters_cell_of(c, name, c->cell);
}

_Atomic uint64_t *counters_cell_of(struct counters *c, const char *name, unsigned cell)
{
	int row = cell < COUNTERS_CELLS ? row_of(c, name, true) : -1;

	return row == -1 ? &c->nowhere : &c->table->cells[cell][row];
}

uint64_t counters_sum(const struct counters *c, const char *name)
{
	int row = row_of(c, name, false);

	return row == -1 ? 0 : row_sum(c->table, row);
}

void counters_each(
    const struct counters *c, void (*row)(void *arg, const char *name, uint64_t sum), void *arg)
{
	for (int i = 0; i < COUNTERS_ROWS; i++) {
		const struct row *r = &c->table->rows[i];
		char name[COUNTERS_NAME_MAX];

		if (atomic_load_explicit(&r->named, memory_order_acquire) == 0)
			continue;
		memcpy(name, r->name, sizeof(name));
		name[sizeof(name) - 1] = '\0';
		row(arg, name, row_sum(c->table, i));
	}
}

void counter_add(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

void counter_sub(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_fetch_sub_explicit(cell, n, memory_order_relaxed);
}

void counter_set(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_store_explicit(cell, n, memory_order_relaxed);
}

uint64_t counter_get(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

static struct counters *mapped(int fd, unsigned cell)
{
	struct counters *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->cell = cell;
	c->table = mmap(NULL, sizeof(*c->table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c->table == MAP_FAILED) {
		free(c);
		return NULL;
	}
	return c;
}

/* The row of that name, made if asked; -1: none, or no room. Open addressing, rows are never freed. */
static int row_of(const struct counters *c, const char *name, bool make)
{
	/* A fixed key: every process must come to the same place, and names are our own. */
	static const struct hash_key fixed = { { 0, 0 } };
	struct bytes b = bytes_str(name);
	uint64_t key = hash_bytes(&fixed, b);

	if (b.len == 0 || b.len >= COUNTERS_NAME_MAX)
		return -1;
	if (key == 0)
		key = 1;
	for (unsigned i = 0; i < COUNTERS_ROWS; i++) {
		unsigned at = (unsigned)(key + i) % COUNTERS_ROWS;
		struct row *r = &c->table->rows[at];
		uint64_t there = atomic_load_explicit(&r->key, memory_order_relaxed);

		if (there == 0 && make &&
		    atomic_compare_exchange_strong_explicit(
			&r->key, &there, key, memory_order_relaxed, memory_order_relaxed)) {
			memcpy(r->name, b.at, b.len);
			atomic_store_explicit(&r->named, 1, memory_order_release);
			return (int)at;
		}
		if (there == key)
			return (int)at;
		if (there == 0)
			return -1;
	}
	return -1;
}

static uint64_t row_sum(const struct table *t, int row)
{
	uint64_t sum = 0;

	for (unsigned cell = 0; cell < COUNTERS_CELLS; cell++)
		sum += atomic_load_explicit(&t->cells[cell][row], memory_order_relaxed);
	return sum;
}
