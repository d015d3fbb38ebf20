/*
 * test_log.c: lines on stderr, with stderr being a pipe or a socket that the test reads: one write
 * a line, nothing forged, nothing waited for.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

#include "base/poison.h"

struct capture {
	int saved, reader;
	char text[8192];
};

static void capture_start(struct capture *c, int reader, int writer)
{
	c->saved = dup(STDERR_FILENO);
	c->reader = reader;
	fcntl(reader, F_SETFL, O_NONBLOCK);
	dup2(writer, STDERR_FILENO);
	close(writer);
}

static const char *capture_end(struct capture *c)
{
	ssize_t n = read(c->reader, c->text, sizeof(c->text) - 1);

	c->text[n > 0 ? n : 0] = '\0';
	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	close(c->reader);
	return c->text;
}

static void capture_pipe(struct capture *c)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	capture_start(c, ends[0], ends[1]);
}

static void the_tag_opens_the_line(void **state)
{
	static struct capture c;

	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_init("sslgw[worker 0]");
	capture_pipe(&c);
	log_info("%d sites", 3);
	assert_string_equal(capture_end(&c), "sslgw[worker 0]: 3 sites\n");
}

static void a_line_in_pieces_is_one_write(void **state)
{
	static struct capture c;
	int ends[2];

	(void)state;
	log_init("t");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	capture_start(&c, ends[0], ends[1]);
	fputs("ready:", stderr);
	fprintf(stderr, " https://%s", "127.0.0.1:8443");
	fputc('\n', stderr);
	assert_string_equal(capture_end(&c), "ready: https://127.0.0.1:8443\n");
}

static void systemd_gets_priorities(void **state)
{
	static struct capture c;

	(void)state;
	setenv("JOURNAL_STREAM", "8:123", 1);
	log_init("t");
	capture_pipe(&c);
	log_errorx("a");
	log_warnx("b");
	log_info("c");
	unsetenv("JOURNAL_STREAM");
	log_init("t");
	assert_string_equal(capture_end(&c), "<3>t: a\n<4>t: b\n<6>t: c\n");
}

static void errno_is_added_and_kept(void **state)
{
	static struct capture c;

	(void)state;
	log_init("t");
	capture_pipe(&c);
	errno = ENOENT;
	log_warn("cannot open %s", "x.pem");
	assert_int_equal(errno, ENOENT);
	log_error("again");
	assert_string_equal(capture_end(&c),
	    "t: cannot open x.pem: No such file or directory\nt: again: No such file or "
	    "directory\n");
}

static void levels_above_the_maximum_are_silent(void **state)
{
	static struct capture c;

	(void)state;
	log_init("t");
	capture_pipe(&c);
	log_debug("no");
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	log_debug("yes");
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	log_warnx("no");
	log_set(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	assert_string_equal(capture_end(&c), "t: yes\n");
}

static void control_characters_forge_nothing(void **state)
{
	static struct capture c;

	(void)state;
	log_init("t");
	capture_pipe(&c);
	log_info("%s", "a\nt: forged\r\x1b[2J\x7f\t");
	log_info("%s", "caf\xc3\xa9 \xc2\x9b\x33\x31m \xc2\xa0.");
	assert_string_equal(capture_end(&c), "t: a\\x0at: forged\\x0d\\x1b[2J\\x7f\\x09\n"
					     "t: caf\xc3\xa9 \\xc2\\x9b31m \xc2\xa0.\n");
}

static void a_long_line_is_cut_and_still_one_line(void **state)
{
	static struct capture c;
	static char big[5000];
	const char *got;

	(void)state;
	memset(big, 1, sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_init("t");
	capture_pipe(&c);
	log_info("%s", big);
	got = capture_end(&c);
	assert_true(strlen(got) > 100);
	assert_true(strlen(got) <= 4096);
	assert_int_equal(got[strlen(got) - 1], '\n');
}

static void a_full_pipe_drops_and_counts_and_does_not_wait(void **state)
{
	static struct capture c;
	uint64_t before = log_dropped();
	int written = 0;

	(void)state;
	log_init("t");
	capture_pipe(&c);
	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096);
	while (log_dropped() == before && written < 10000) {
		log_info("a line that fills the pipe");
		written++;
	}
	capture_end(&c);
	assert_true(written > 1 && written < 10000);
	assert_int_equal(log_dropped(), before + 1);
}

static void a_full_socket_drops_and_counts_and_does_not_wait(void **state)
{
	static struct capture c;
	uint64_t before = log_dropped();
	int ends[2], written = 0;

	(void)state;
	log_init("t");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	capture_start(&c, ends[0], ends[1]);
	while (log_dropped() == before && written < 100000) {
		log_info("a line that fills the socket");
		written++;
	}
	assert_true(strncmp(capture_end(&c), "t: a line", 9) == 0);
	assert_true(written > 1 && written < 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tag_opens_the_line),
		cmocka_unit_test(a_line_in_pieces_is_one_write),
		cmocka_unit_test(systemd_gets_priorities),
		cmocka_unit_test(errno_is_added_and_kept),
		cmocka_unit_test(levels_above_the_maximum_are_silent),
		cmocka_unit_test(control_characters_forge_nothing),
		cmocka_unit_test(a_long_line_is_cut_and_still_one_line),
		cmocka_unit_test(a_full_pipe_drops_and_counts_and_does_not_wait),
		cmocka_unit_test(a_full_socket_drops_and_counts_and_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
