/*
 * family.h: the master's worker processes with a fork and a kill(2) that the test plays: it reads what
 * each process is told, says what a worker says, and ends it.
 */
#ifndef T_SIM_FAMILY_H
#define T_SIM_FAMILY_H

#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "gateway/master/workers.h"
#include "gateway/roles.h"
#include "sim.h"

enum { FAKES_MAX = 40, FIRST_PID = 100000000, HEARD_MAX = 4096 };

/* One process that was started, as it sees itself. */
struct fake {
	int fd; /* its end of the channel; -1: ended */
	unsigned slot, cell;
	char heard[HEARD_MAX]; /* what it was told, each with ';' */
	int killed;
};

struct family {
	struct loop *loop;
	struct counters *counters;
	int counters_fd;
	struct workers *workers;
	struct gateway_conf conf[3];
	struct plan plans[3];
	struct sockets *sockets[3];
	int rolled, failed, drained;
	bool goes_back;
	struct fake fakes[FAKES_MAX];
	int n;
	int no_forks; /* so many fail */
};

int family_setup(void **state);
int family_teardown(void **state);
struct fake *family_newest(struct family *);
/* The plan and its sockets, which share those of the one before. */
void family_plan(struct family *, int i, unsigned workers, int listeners);
void family_use(struct family *, int plan);
/* So many workers of plan 0, all serving; what they heard is forgotten. */
void family_serving(struct family *, unsigned workers);
/* Each that is started says ready, until the roll is over. */
void family_roll(struct family *);

void family_listen(struct fake *); /* gathers what it is told */
/* Has it been told just this since the last time? */
bool family_hears(struct fake *, const char *text);
void family_says(struct family *, struct fake *, const char *text);
void family_ends(struct family *, struct fake *, int status);

#endif
