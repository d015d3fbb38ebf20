/*
 * test_listener.c: accepting: in batches, with pauses, without descriptors, and while it is freed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/listener.h"
#include "sim.h"

#include "base/poison.h"

enum { CLIENTS_MAX = 80, REST_MS = 100 };

struct bed {
	struct loop *loop;
	struct listener *listener;
	int clients[CLIENTS_MAX], clients_n;
	int accepted[CLIENTS_MAX], accepted_n;
	struct endpoint peer; /* of the last */
	int pause_at, free_at; /* when so many are accepted; 0: never */
	int failed_n, err;
};

static void accepted(void *arg, struct listener *l, int fd, const struct endpoint *peer)
{
	struct bed *bed = arg;

	assert_ptr_equal(l, bed->listener);
	bed->accepted[bed->accepted_n++] = fd;
	bed->peer = *peer;
	if (bed->accepted_n == bed->pause_at)
		listener_pause(l);
	if (bed->accepted_n == bed->free_at) {
		listener_free(l);
		bed->listener = NULL;
	}
}

static void failed(void *arg, int err)
{
	struct bed *bed = arg;

	bed->failed_n++;
	bed->err = err;
}

static void bed_listen(struct bed *bed, const char *text)
{
	struct endpoint at;
	int fd;

	assert_int_equal(endpoint_parse(&at, text), 0);
	fd = listener_socket(&at, false);
	assert_true(fd >= 0);
	bed->listener = listener_new(bed->loop, fd, accepted, failed, bed);
	assert_non_null(bed->listener);
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	bed_listen(bed, "127.0.0.1:0");
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	for (int i = 0; i < bed->clients_n; i++)
		close(bed->clients[i]);
	for (int i = 0; i < bed->accepted_n; i++)
		close(bed->accepted[i]);
	listener_free(bed->listener);
	loop_free(bed->loop);
	free(bed);
	return 0;
}

/* Over loopback a connection is in the queue once connect(2) is back. */
static void bed_connect(struct bed *bed, int n)
{
	for (int i = 0; i < n; i++) {
		const struct endpoint *to = listener_local(bed->listener);
		int fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		bed->clients[bed->clients_n++] = fd;
		assert_int_equal(connect(fd, (const struct sockaddr *)&to->addr, to->len), 0);
	}
}

static void a_turn_takes_a_batch_and_no_more(void **state)
{
	struct bed *bed = *state;

	bed_connect(bed, 2 * LISTENER_BATCH + 5);
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_int_equal(bed->accepted_n, LISTENER_BATCH);
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_int_equal(bed->accepted_n, 2 * LISTENER_BATCH);
	assert_int_equal(loop_turn(bed->loop), 0);
	assert_int_equal(bed->accepted_n, 2 * LISTENER_BATCH + 5);
	assert_int_equal(bed->failed_n, 0);
}

static void what_is_accepted_does_not_block_and_knows_its_ends(void **state)
{
	struct bed *bed = *state;
	struct endpoint mine = { .len = sizeof mine.addr };
	int nodelay = 0;
	socklen_t len = sizeof nodelay;

	bed_connect(bed, 1);
	sim_until(bed->loop, bed->accepted_n == 1);
	assert_true(fcntl(bed->accepted[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(getsockopt(bed->accepted[0], IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
	assert_true(nodelay);
	assert_true(fcntl(bed->accepted[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockname(bed->clients[0], (struct sockaddr *)&mine.addr, &mine.len), 0);
	assert_true(endpoint_equal(&mine, &bed->peer));
	assert_int_not_equal(endpoint_port(listener_local(bed->listener)), 0);
	assert_true(fcntl(listener_fd(bed->listener), F_GETFD) & FD_CLOEXEC);
}

static void a_unix_socket_is_listened_on_too(void **state)
{
	struct bed *bed = *state;
	char name[64];

	listener_free(bed->listener);
	snprintf(name, sizeof name, "unix:@sslgw-test-%d", (int)getpid());
	bed_listen(bed, name);
	bed_connect(bed, 3);
	sim_until(bed->loop, bed->accepted_n == 3);
	assert_int_equal(bed->peer.addr.ss_family, AF_UNIX);
}

static void a_star_takes_both_families(void **state)
{
	struct bed *bed = *state;
	struct sockaddr_in v4 = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char host[ENDPOINT_TEXT_MAX];
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (fd < 0)
		skip(); /* a machine without IPv6 */
	close(fd);
	listener_free(bed->listener);
	bed_listen(bed, "*:0");
	v4.sin_port = htons(endpoint_port(listener_local(bed->listener)));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bed->clients[bed->clients_n++] = fd;
	assert_int_equal(connect(fd, (struct sockaddr *)&v4, sizeof v4), 0);
	sim_until(bed->loop, bed->accepted_n == 1);
	assert_string_equal(endpoint_host_text(&bed->peer, host, sizeof host), "127.0.0.1");
}

static void a_pause_leaves_connections_in_the_queue(void **state)
{
	struct bed *bed = *state;

	listener_pause(bed->listener);
	bed_connect(bed, 3);
	sim_while(bed->loop, 30, bed->accepted_n == 0);
	listener_resume(bed->listener);
	sim_until(bed->loop, bed->accepted_n == 3);
}

static void a_pause_from_within_ends_the_batch(void **state)
{
	struct bed *bed = *state;

	bed->pause_at = 2;
	bed_connect(bed, 5);
	sim_until(bed->loop, bed->accepted_n == 2);
	sim_while(bed->loop, 30, bed->accepted_n == 2);
	listener_resume(bed->listener);
	sim_until(bed->loop, bed->accepted_n == 5);
}

static void freeing_from_within_ends_it_and_closes_the_socket(void **state)
{
	struct bed *bed = *state;
	int fd = listener_fd(bed->listener);
	struct endpoint at = *listener_local(bed->listener);

	bed->free_at = 2;
	bed_connect(bed, 5);
	sim_until(bed->loop, bed->accepted_n == 2);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	sim_while(bed->loop, 30, bed->accepted_n == 2);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&at.addr, at.len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

/* ---- no descriptors: in a process of its own, since the limit is the process's */

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void limit_descriptors(rlim_t n)
{
	struct rlimit limit;

	check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = n;
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static int first_free_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void run_out_of_descriptors(struct bed *bed)
{
	uint64_t start;
	struct rlimit before;
	int turns = 0;

	check(getrlimit(RLIMIT_NOFILE, &before) == 0);
	limit_descriptors((rlim_t)first_free_descriptor());
	while (bed->failed_n == 0)
		check(loop_turn(bed->loop) == 0);
	check(bed->err == EMFILE && bed->accepted_n == 0);
	/* It rests: the queue is full all the time, and the loop does not spin. */
	start = sim_now_ms();
	while (bed->failed_n < 3) {
		check(loop_turn(bed->loop) == 0);
		turns++;
	}
	check(sim_now_ms() - start >= 2 * REST_MS - 2);
	check(turns <= 20);
	/* A pause and its end do not cut the rest short. */
	listener_pause(bed->listener);
	listener_resume(bed->listener);
	start = sim_now_ms();
	while (bed->failed_n < 4)
		check(loop_turn(bed->loop) == 0);
	check(sim_now_ms() - start >= REST_MS / 2);
	limit_descriptors(before.rlim_cur);
	while (bed->accepted_n < 3)
		check(loop_turn(bed->loop) == 0);
	check(bed->failed_n <= 5);
}

static void without_descriptors_it_rests_and_goes_on(void **state)
{
	struct bed *bed = *state;
	pid_t pid;
	int status;

	bed_connect(bed, 3);
	/* The child's loop is its own: an epoll descriptor is shared over a fork. */
	listener_pause(bed->listener);
	pid = fork();
	if (pid == 0) {
		int fd = dup(listener_fd(bed->listener));

		alarm(20);
		bed->loop = loop_new();
		check(bed->loop != NULL);
		bed->listener = listener_new(bed->loop, fd, accepted, failed, bed);
		check(bed->listener != NULL);
		run_out_of_descriptors(bed);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the socket itself */

static void a_taken_port_is_told_and_reuseport_shares_it(void **state)
{
	struct bed *bed = *state;
	struct endpoint at = *listener_local(bed->listener), any, shared = { 0 };
	int one, two;

	assert_int_equal(listener_socket(&at, false), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(endpoint_parse(&any, "127.0.0.1:0"), 0);
	one = listener_socket(&any, true);
	assert_true(one >= 0);
	shared.len = sizeof shared.addr;
	assert_int_equal(getsockname(one, (struct sockaddr *)&shared.addr, &shared.len), 0);
	two = listener_socket(&shared, true);
	assert_true(two >= 0);
	assert_int_equal(listener_socket(&shared, false), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(one);
	close(two);
}

static void an_address_of_others_is_told(void **state)
{
	struct endpoint at;

	(void)state;
	assert_int_equal(endpoint_parse(&at, "192.0.2.1:0"), 0); /* for documentation: RFC 5737 */
	assert_int_equal(listener_socket(&at, false), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(endpoint_parse(&at, "unix:/nonexistent/folder/socket"), 0);
	assert_int_equal(listener_socket(&at, false), -1);
	assert_int_equal(errno, ENOENT);
}

/* A socket that was opened for nothing resets nobody, if it never listened. */
static void a_bound_socket_has_its_port_and_takes_nobody_until_it_listens(void **state)
{
	struct endpoint at;
	int fd, one, two;

	(void)state;
	assert_int_equal(endpoint_parse(&at, "127.0.0.1:0"), 0);
	fd = listener_bind(&at, true);
	assert_true(fd >= 0);
	at.len = sizeof at.addr;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at.addr, &at.len), 0);
	one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(one, (const struct sockaddr *)&at.addr, at.len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(listener_listen(fd), 0);
	assert_int_equal(listener_listen(fd), 0); /* once more does no harm */
	two = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(two, (const struct sockaddr *)&at.addr, at.len), 0);
	close(one);
	close(two);
	close(fd);
}

static void a_port_is_taken_again_at_once(void **state)
{
	struct bed *bed = *state;
	struct endpoint at = *listener_local(bed->listener);
	int fd;

	/* The server closes first, so its end lies in TIME_WAIT. */
	bed_connect(bed, 1);
	sim_until(bed->loop, bed->accepted_n == 1);
	close(bed->accepted[--bed->accepted_n]);
	close(bed->clients[--bed->clients_n]);
	listener_free(bed->listener);
	bed->listener = NULL;
	fd = listener_socket(&at, false);
	assert_true(fd >= 0);
	close(fd);
}

int main(void)
{
#define LISTENER_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(a_turn_takes_a_batch_and_no_more),
		LISTENER_TEST(what_is_accepted_does_not_block_and_knows_its_ends),
		LISTENER_TEST(a_unix_socket_is_listened_on_too),
		LISTENER_TEST(a_star_takes_both_families),
		LISTENER_TEST(a_pause_leaves_connections_in_the_queue),
		LISTENER_TEST(a_pause_from_within_ends_the_batch),
		LISTENER_TEST(freeing_from_within_ends_it_and_closes_the_socket),
		LISTENER_TEST(without_descriptors_it_rests_and_goes_on),
		LISTENER_TEST(a_taken_port_is_told_and_reuseport_shares_it),
		LISTENER_TEST(an_address_of_others_is_told),
		LISTENER_TEST(a_bound_socket_has_its_port_and_takes_nobody_until_it_listens),
		LISTENER_TEST(a_port_is_taken_again_at_once),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
