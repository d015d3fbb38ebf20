/*
 * test_files.c: answers from files over the real loop: pieces a turn, clients that go at each point, and
 * files that change while they are sent.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "t/sim/gateway.h"

#include "base/poison.h"

enum { LARGE = 8 << 20 };

struct bed {
	struct sim_gateway *g;
	char folder[64], file[96];
};

static void bed_init(struct bed *b)
{
	int fd;

	b->g = sim_gateway_new(1);
	snprintf(b->folder, sizeof b->folder, "/tmp/sslgw-files.XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->file, sizeof b->file, "%s/large", b->folder);
	fd = open(b->file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, LARGE), 0);
	close(fd);
	b->g->route.files = b->folder;
	b->g->route.pool = NULL;
	b->g->route.files_index = (char *)(uintptr_t) "index.html";
	b->g->route.files_charset = (char *)(uintptr_t) "utf-8";
	sim_gateway_start(b->g);
}

static void bed_clear(struct bed *b)
{
	sim_gateway_stop(b->g);
	unlink(b->file);
	assert_int_equal(rmdir(b->folder), 0);
}

/* Is the file open in this process? */
static bool is_open(const struct bed *b)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	bool found = false;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char to[128];
		ssize_t n = readlinkat(dirfd(d), e->d_name, to, sizeof to - 1);

		if (n > 0) {
			to[n] = '\0';
			found |= strcmp(to, b->file) == 0;
		}
	}
	closedir(d);
	return found;
}

static bool is_closed_now(void *arg)
{
	return !is_open(arg);
}

#define GET_LARGE "GET /large HTTP/1.1\r\nHost: shop.example\r\n\r\n"

static size_t read_all(struct bed *b, int fd, size_t max)
{
	static const int tries = 100000;
	char *buf = malloc(1 << 16);
	size_t got = 0;

	assert_non_null(buf);
	for (int i = 0; i < tries && got < max; i++) {
		ssize_t n = recv(fd, buf, 1 << 16, 0);

		if (n == 0)
			break;
		if (n > 0)
			got += (size_t)n;
		else
			sim_turns(b->g, 1);
	}
	free(buf);
	return got;
}

static void a_large_file_comes_whole_and_is_closed(void **state)
{
	struct bed b;
	char head[1024];
	int fd;

	(void)state;
	bed_init(&b);
	fd = sim_client(b.g, NULL);
	sim_send(fd, GET_LARGE);
	sim_read_head(b.g, fd, head, sizeof head);
	assert_non_null(strstr(head, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(head, "\r\nContent-Length: 8388608\r\n"));
	assert_int_equal(read_all(&b, fd, LARGE), LARGE);
	sim_until(b.g, is_closed_now, &b);
	/* and the connection lives on */
	sim_send(fd, "HEAD /large HTTP/1.1\r\nHost: shop.example\r\n\r\n");
	sim_read_head(b.g, fd, head, sizeof head);
	assert_non_null(strstr(head, "HTTP/1.1 200 OK\r\n"));
	assert_false(is_open(&b));
	close(fd);
	bed_clear(&b);
}

static void a_client_that_reads_nothing_stops_the_reading(void **state)
{
	struct bed b;
	struct conn *c;
	int fd, other;

	(void)state;
	bed_init(&b);
	fd = sim_client(b.g, &c);
	sim_send(fd, GET_LARGE);
	sim_turns(b.g, 50);
	assert_true(is_open(&b));
	assert_true(stream_queued(c->stream) <= STREAM_HIGH_WATER + (64 << 10) + 1024);
	/* Meanwhile others are answered. */
	other = sim_client(b.g, NULL);
	sim_send(other, "GET /nothing HTTP/1.1\r\nHost: shop.example\r\n\r\n");
	sim_expect_page(b.g, other, "HTTP/1.1 404 Not Found\r\n", false);
	assert_int_equal(sim_count(b.g, REASON_NO_FILE), 1);
	close(other);
	close(fd);
	sim_until(b.g, is_closed_now, &b);
	bed_clear(&b);
}

static void the_client_may_go_at_any_time(void **state)
{
	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		struct bed b;
		struct conn *c;
		int fd;

		bed_init(&b);
		fd = sim_client(b.g, &c);
		sim_turns(b.g, 1);
		sim_send(fd, GET_LARGE);
		sim_turns(b.g, turns);
		if (turns % 2 == 0) {
			conn_close(c, REASON_RESET);
			assert_false(is_open(&b));
		}
		close(fd);
		sim_turns(b.g, 3);
		sim_until(b.g, is_closed_now, &b);
		bed_clear(&b);
	}
}

static void a_file_that_shrinks_ends_the_connection(void **state)
{
	struct bed b;
	char head[1024];
	int fd;

	(void)state;
	bed_init(&b);
	fd = sim_client(b.g, NULL);
	sim_send(fd, GET_LARGE);
	sim_read_head(b.g, fd, head, sizeof head);
	assert_int_equal(truncate(b.file, 100), 0);
	assert_true(read_all(&b, fd, LARGE) < LARGE);
	assert_int_equal(sim_count(b.g, REASON_FILE_SHRANK), 1);
	assert_false(is_open(&b));
	close(fd);
	bed_clear(&b);
}

static void a_file_that_is_removed_is_gone(void **state)
{
	struct bed b;
	char head[1024];
	int fd;

	(void)state;
	bed_init(&b);
	fd = sim_client(b.g, NULL);
	sim_send(fd, "HEAD /large HTTP/1.1\r\nHost: shop.example\r\n\r\n");
	sim_read_head(b.g, fd, head, sizeof head);
	assert_non_null(strstr(head, "HTTP/1.1 200 OK\r\n"));
	unlink(b.file);
	sim_send(fd, "HEAD /large HTTP/1.1\r\nHost: shop.example\r\n\r\n");
	sim_read_head(b.g, fd, head, sizeof head);
	assert_non_null(strstr(head, "HTTP/1.1 404 Not Found\r\n"));
	close(fd);
	bed_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_file_comes_whole_and_is_closed),
		cmocka_unit_test(a_client_that_reads_nothing_stops_the_reading),
		cmocka_unit_test(the_client_may_go_at_any_time),
		cmocka_unit_test(a_file_that_shrinks_ends_the_connection),
		cmocka_unit_test(a_file_that_is_removed_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
