/*
 * family.c: see family.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "family.h"

#include "base/poison.h"

static struct family *the_family; /* roles_spawn() and kill() have no context */

struct fake *family_newest(struct family *family)
{
	return &family->fakes[family->n - 1];
}

/* ---- in place of roles.c and kill(2) */

pid_t roles_spawn(const char *role, const struct roles_spawn *with)
{
	struct family *family = the_family;
	struct fake *f = &family->fakes[family->n];

	assert_string_equal(role, "worker");
	assert_in_range(family->n, 0, FAKES_MAX - 1);
	if (family->no_forks > 0) {
		family->no_forks--;
		errno = EAGAIN;
		return -1;
	}
	*f = (struct fake){ .fd = dup(with->channel), .slot = with->slot, .cell = with->cell };
	return FIRST_PID + family->n++;
}

int __real_kill(pid_t, int);
int __wrap_kill(pid_t, int);
int __wrap_kill(pid_t pid, int signo)
{
	if (pid < FIRST_PID)
		return __real_kill(pid, signo);
	assert_int_equal(signo, SIGKILL);
	the_family->fakes[pid - FIRST_PID].killed++;
	return 0;
}

/* ---- the family */

static void rolled(void *arg, int failed)
{
	struct family *family = arg;

	family->rolled++;
	family->failed = failed;
	if (failed && family->goes_back)
		workers_go_back(family->workers);
}

static void drained(void *arg)
{
	((struct family *)arg)->drained++;
}

void family_plan(struct family *family, int i, unsigned workers, int listeners)
{
	static struct listener_conf at[2] = {
		{ .address = (char *)(uintptr_t) "127.0.0.1:0", .mode = LISTENER_TLS },
		{ .address = (char *)(uintptr_t) "*:0", .mode = LISTENER_REDIRECT },
	};
	struct conf_errors *errors = conf_errors_new();

	if (family->sockets[i] != NULL)
		sockets_free(family->sockets[i]);
	family->conf[i].listeners.at = at;
	family->conf[i].listeners.n = (size_t)listeners;
	family->plans[i].conf = &family->conf[i];
	family->plans[i].workers = workers;
	if (family->plans[i].text == NULL)
		family->plans[i].text = conf_text_of("test", "workers = 1;\n", 13);
	family->sockets[i] = sockets_open(
	    &family->conf[i], workers, i > 0 ? family->sockets[i - 1] : NULL, errors);
	assert_non_null(family->sockets[i]);
	conf_errors_free(errors);
}

int family_setup(void **state)
{
	struct family *family = calloc(1, sizeof *family);
	struct workers_params params = { .rolled = rolled, .drained = drained, .arg = family };

	assert_non_null(family);
	the_family = family;
	family->loop = params.loop = loop_new();
	family->counters = params.counters = counters_create(&family->counters_fd);
	assert_non_null(family->counters);
	family->workers = workers_new(&params);
	assert_non_null(family->workers);
	family->goes_back = true;
	*state = family;
	return 0;
}

int family_teardown(void **state)
{
	struct family *family = *state;

	workers_free(family->workers);
	for (int i = 0; i < 3; i++) {
		sockets_free(family->sockets[i]);
		conf_text_free(family->plans[i].text);
	}
	for (int i = 0; i < family->n; i++)
		if (family->fakes[i].fd >= 0)
			close(family->fakes[i].fd);
	loop_free(family->loop);
	counters_detach(family->counters);
	close(family->counters_fd);
	free(family);
	return 0;
}

/* ---- a worker's part */

void family_listen(struct fake *f)
{
	char text[512], control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { text, sizeof text - 2 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	for (;;) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof control;
		n = f->fd >= 0 ? recvmsg(f->fd, &msg, MSG_DONTWAIT) : -1;
		if (n <= 0)
			return;
		text[n] = ';';
		text[n + 1] = '\0';
		strlcat(f->heard, text, sizeof f->heard);
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
			close(*(int *)(void *)CMSG_DATA(c));
	}
}

bool family_hears(struct fake *f, const char *text)
{
	family_listen(f);
	if (strcmp(f->heard, text) != 0)
		return false;
	f->heard[0] = '\0';
	return true;
}

void family_says(struct family *family, struct fake *f, const char *text)
{
	assert_int_equal(send(f->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	for (int i = 0; i < 3; i++)
		sim_turn(family->loop);
}

void family_ends(struct family *family, struct fake *f, int status)
{
	close(f->fd);
	f->fd = -1;
	sim_turn(family->loop);
	assert_true(workers_ended(family->workers, FIRST_PID + (pid_t)(f - family->fakes), status));
}

void family_use(struct family *family, int plan)
{
	assert_int_equal(
	    workers_use(family->workers, &family->plans[plan], family->sockets[plan], -1), 0);
}

void family_serving(struct family *family, unsigned workers)
{
	family_plan(family, 0, workers, 1);
	family_use(family, 0);
	workers_start(family->workers);
	for (unsigned i = 0; i < workers; i++)
		family_says(family, &family->fakes[i], "ready");
	assert_int_equal(family->rolled, 1);
	assert_int_equal(family->failed, 0);
	for (unsigned i = 0; i < workers; i++) {
		family_listen(&family->fakes[i]);
		family->fakes[i].heard[0] = '\0';
	}
}

void family_roll(struct family *family)
{
	int before = family->rolled, said = family->n;

	workers_roll(family->workers);
	while (family->rolled == before) {
		assert_int_equal(family->n, said + 1); /* one at a time */
		family_says(family, &family->fakes[said++], "ready");
	}
	assert_int_equal(family->failed, 0);
}
