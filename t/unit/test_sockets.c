/*
 * test_sockets.c: sets of listening sockets over reloads: what is shared, what is new, what is refused,
 * and that nobody's connection is lost by one that was opened for nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/master/sockets.h"
#include "net/endpoint.h"

#include "base/poison.h"

enum { SETS_MAX = 4 };

struct bed {
	struct gateway_conf conf;
	struct listener_conf at[4];
	struct sockets *sets[SETS_MAX];
	int sets_n;
	char dir[32], path[64], address[80]; /* of a Unix socket */
	int descriptors; /* open before */
	char error[512]; /* the first of the last opening */
};

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	for (const struct dirent *d; (d = readdir(dir)) != NULL;)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof *bed);

	assert_non_null(bed);
	strlcpy(bed->dir, "/tmp/sockets-XXXXXX", sizeof bed->dir);
	assert_non_null(mkdtemp(bed->dir));
	snprintf(bed->path, sizeof bed->path, "%s/s", bed->dir);
	snprintf(bed->address, sizeof bed->address, "unix:%s", bed->path);
	bed->conf.listeners.at = bed->at;
	bed->descriptors = open_descriptors();
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	for (int i = 0; i < bed->sets_n; i++)
		sockets_free(bed->sets[i]);
	assert_int_equal(open_descriptors(), bed->descriptors);
	unlink(bed->path);
	assert_int_equal(rmdir(bed->dir), 0);
	free(bed);
	return 0;
}

static void listen_to(struct bed *bed, const char *one, const char *two)
{
	const char *both[] = { one, two };

	bed->conf.listeners.n = two != NULL ? 2 : 1;
	for (size_t i = 0; i < bed->conf.listeners.n; i++) {
		bed->at[i].address = (char *)(uintptr_t)both[i];
		bed->at[i].mode = i == 0 ? LISTENER_TLS : LISTENER_REDIRECT;
	}
}

static struct sockets *open_set(struct bed *bed, unsigned slots, const struct sockets *old)
{
	struct conf_errors *errors = conf_errors_new();
	struct sockets *set = sockets_open(&bed->conf, slots, old, errors);

	bed->error[0] = '\0';
	if (conf_errors_n(errors) > 0)
		strlcpy(bed->error, conf_errors_at(errors, 0), sizeof bed->error);
	conf_errors_free(errors);
	assert_true((set == NULL) == (bed->error[0] != '\0'));
	if (set != NULL)
		bed->sets[bed->sets_n++] = set;
	return set;
}

static uint16_t port_of(const struct sockets *set, size_t listener, unsigned slot)
{
	struct endpoint at = { .len = sizeof at.addr };

	assert_int_equal(
	    getsockname(sockets_fd(set, listener, slot), (struct sockaddr *)&at.addr, &at.len), 0);
	return endpoint_port(&at);
}

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static bool listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof on;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len), 0);
	return on != 0;
}

static void each_slot_has_its_own_socket_on_the_port_that_was_picked(void **state)
{
	struct bed *bed = *state;
	const struct sockets *set;

	listen_to(bed, "127.0.0.1:0", "*:0");
	set = open_set(bed, 3, NULL);
	assert_int_equal(sockets_listeners(set), 2);
	assert_int_equal(sockets_slots(set), 3);
	assert_int_equal(sockets_mode(set, 0), LISTENER_TLS);
	assert_int_equal(sockets_mode(set, 1), LISTENER_REDIRECT);
	for (size_t i = 0; i < 2; i++) {
		assert_int_not_equal(port_of(set, i, 0), 0);
		for (unsigned slot = 1; slot < 3; slot++) {
			assert_int_equal(port_of(set, i, slot), port_of(set, i, 0));
			assert_int_not_equal(inode_of(sockets_fd(set, i, slot)),
			    inode_of(sockets_fd(set, i, slot - 1)));
			assert_true(listens(sockets_fd(set, i, slot)));
		}
	}
}

static void a_reload_shares_what_stays_and_slots_never_become_fewer(void **state)
{
	struct bed *bed = *state;
	const struct sockets *one, *two;
	ino_t was[2];

	listen_to(bed, "127.0.0.1:0", NULL);
	one = open_set(bed, 2, NULL);
	was[0] = inode_of(sockets_fd(one, 0, 0));
	was[1] = inode_of(sockets_fd(one, 0, 1));
	listen_to(bed, "127.0.0.1:0", "*:0");
	two = open_set(bed, 1, one);
	assert_int_equal(sockets_slots(two), 2);
	for (unsigned slot = 0; slot < 2; slot++)
		assert_int_equal(inode_of(sockets_fd(two, 0, slot)), was[slot]);
	/* Each set has descriptors of its own. */
	sockets_free(bed->sets[0]);
	bed->sets[0] = NULL;
	assert_int_equal(inode_of(sockets_fd(two, 0, 1)), was[1]);
}

static void further_slots_wait_until_somebody_is_there_to_accept(void **state)
{
	struct bed *bed = *state;
	const struct sockets *one, *two;

	listen_to(bed, "127.0.0.1:0", NULL);
	one = open_set(bed, 1, NULL);
	two = open_set(bed, 3, one);
	assert_true(listens(sockets_fd(two, 0, 0)));
	assert_int_equal(port_of(two, 0, 2), port_of(one, 0, 0));
	assert_false(listens(sockets_fd(two, 0, 1)));
	assert_int_equal(sockets_listen(two, 0, 1), 0);
	assert_true(listens(sockets_fd(two, 0, 1)));
	assert_false(listens(sockets_fd(two, 0, 2)));
}

static void a_port_of_others_is_refused_and_nothing_stays_open(void **state)
{
	struct bed *bed = *state;
	struct endpoint at;
	char taken[64];
	struct stat st;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), before;

	/* Even one that shares its port: it would take half of the connections. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	assert_int_equal(endpoint_parse(&at, "127.0.0.1:0"), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at.addr, at.len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at.addr, &at.len), 0);
	endpoint_text(&at, taken, sizeof taken);
	listen_to(bed, bed->address, taken);
	before = open_descriptors();
	assert_null(open_set(bed, 2, NULL));
	assert_non_null(strstr(bed->error, "cannot listen on"));
	assert_non_null(strstr(bed->error, taken));
	assert_int_equal(open_descriptors(), before);
	/* Nor does the other's file. */
	assert_int_equal(stat(bed->path, &st), -1);
	close(fd);
}

static void a_port_of_our_own_may_change_its_address(void **state)
{
	struct bed *bed = *state;
	const struct sockets *one, *two;
	char text[64];

	listen_to(bed, "127.0.0.1:0", NULL);
	one = open_set(bed, 2, NULL);
	snprintf(text, sizeof text, "*:%u", port_of(one, 0, 0));
	listen_to(bed, text, NULL);
	two = open_set(bed, 2, one);
	assert_non_null(two);
	assert_int_equal(port_of(two, 0, 1), port_of(one, 0, 0));
	assert_int_not_equal(inode_of(sockets_fd(two, 0, 0)), inode_of(sockets_fd(one, 0, 0)));
}

static void a_unix_socket_is_one_for_all_slots_and_a_stale_file_no_hindrance(void **state)
{
	struct bed *bed = *state;
	struct endpoint at;
	const struct sockets *set;
	struct stat st;
	int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(endpoint_parse(&at, bed->address), 0);
	assert_int_equal(bind(stale, (struct sockaddr *)&at.addr, at.len), 0);
	close(stale);
	listen_to(bed, bed->address, NULL);
	set = open_set(bed, 2, NULL);
	assert_non_null(set);
	assert_int_equal(inode_of(sockets_fd(set, 0, 0)), inode_of(sockets_fd(set, 0, 1)));
	/* One that lives is somebody's. */
	assert_null(open_set(bed, 1, NULL));
	assert_int_equal(stat(bed->path, &st), 0);
	sockets_unlink(set, NULL);
	assert_int_equal(stat(bed->path, &st), -1);
}

static void a_file_that_is_no_socket_stays(void **state)
{
	struct bed *bed = *state;
	FILE *f = fopen(bed->path, "w");

	assert_non_null(f);
	fclose(f);
	listen_to(bed, bed->address, NULL);
	assert_null(open_set(bed, 1, NULL));
	assert_int_equal(access(bed->path, F_OK), 0);
}

static void only_files_that_the_other_set_has_not_are_removed(void **state)
{
	struct bed *bed = *state;
	const struct sockets *one, *two, *three;

	listen_to(bed, bed->address, NULL);
	one = open_set(bed, 1, NULL);
	listen_to(bed, bed->address, "127.0.0.1:0");
	two = open_set(bed, 1, one);
	sockets_unlink(one, two);
	assert_int_equal(access(bed->path, F_OK), 0);
	listen_to(bed, "127.0.0.1:0", NULL);
	three = open_set(bed, 1, two);
	sockets_unlink(two, three);
	assert_int_equal(access(bed->path, F_OK), -1);
}

static void the_ready_line_names_what_was_picked(void **state)
{
	struct bed *bed = *state;
	const struct sockets *set;
	char *text = NULL, want[128];
	size_t len;
	FILE *out = open_memstream(&text, &len);

	listen_to(bed, "127.0.0.1:0", bed->address);
	set = open_set(bed, 1, NULL);
	sockets_print(set, out);
	fclose(out);
	snprintf(
	    want, sizeof want, " https://127.0.0.1:%u http://%s", port_of(set, 0, 0), bed->address);
	assert_string_equal(text, want);
	free(text);
}

int main(void)
{
#define SOCKETS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		SOCKETS_TEST(each_slot_has_its_own_socket_on_the_port_that_was_picked),
		SOCKETS_TEST(a_reload_shares_what_stays_and_slots_never_become_fewer),
		SOCKETS_TEST(further_slots_wait_until_somebody_is_there_to_accept),
		SOCKETS_TEST(a_port_of_others_is_refused_and_nothing_stays_open),
		SOCKETS_TEST(a_port_of_our_own_may_change_its_address),
		SOCKETS_TEST(a_unix_socket_is_one_for_all_slots_and_a_stale_file_no_hindrance),
		SOCKETS_TEST(a_file_that_is_no_socket_stays),
		SOCKETS_TEST(only_files_that_the_other_set_has_not_are_removed),
		SOCKETS_TEST(the_ready_line_names_what_was_picked),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
