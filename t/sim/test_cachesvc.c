/*
 * test_cachesvc.c: the cache service over real sockets: within this process, asked by peers as a
 * gateway asks it, and the program as a gateway's master starts it.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cachesvc/cachesvc.h"
#include "net/listener.h"
#include "net/peers.h"
#include "proc/channel.h"
#include "proc/child.h"
#include "wire/resp.h"

#include "sim.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum { ASKS_MAX = 400 };

struct asked {
	struct bed *bed;
	enum peers_result result;
	int done_n;
	char answer[512];
};

struct bed {
	struct loop *loop;
	struct cachesvc *cachesvc;
	struct cachesvc_params params;
	struct peers *peers;
	struct sim_server at; /* for its path alone */
	struct asked asked[ASKS_MAX];
	const char *secret;
	int drained_n, learnt_n;
	bool knows; /* peers ask what run it is */
	char in[4096];
	size_t in_len;
	/* the program */
	pid_t pid;
	int channel;
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->loop = loop_new();
	assert_non_null(bed->loop);
	sim_server_init(&bed->at);
	bed->params = (struct cachesvc_params){
		.max_memory = STORE_MEMORY_MIN,
		.connections = 8,
		.secret = bytes_str(SECRET),
		.callers = { getuid() },
		.callers_n = 1,
	};
	bed->secret = SECRET;
	bed->channel = -1;
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	peers_free(bed->peers);
	cachesvc_free(bed->cachesvc);
	loop_free(bed->loop);
	if (bed->pid > 0) {
		kill(bed->pid, SIGKILL);
		waitpid(bed->pid, NULL, 0);
	}
	if (bed->channel >= 0)
		close(bed->channel);
	sim_server_clear(&bed->at);
	free(bed);
	return 0;
}

static void start(struct bed *bed)
{
	sim_server_listen(&bed->at);
	bed->cachesvc = cachesvc_new(bed->loop, &bed->params);
	assert_non_null(bed->cachesvc);
	assert_int_equal(cachesvc_listen(bed->cachesvc, bed->at.listen_fd, NULL), 0);
	bed->at.listen_fd = -1;
}

/* ---- as a gateway asks it */

static size_t auth(void *arg, uint8_t *buf, size_t max)
{
	struct bed *bed = arg;
	struct writer w = writer_of(buf, max);

	resp_write_array(&w, 2);
	resp_write_bulk_str(&w, "AUTH");
	resp_write_bulk_str(&w, bed->secret);
	assert_true(w.ok);
	return writer_len(&w);
}

static enum parse welcome(void *arg, struct bytes answer)
{
	(void)arg;
	return bytes_equal_str(answer, "+OK\r\n") ? PARSE_OK : PARSE_BAD;
}

static size_t inquire(void *arg, uint8_t *buf, size_t max)
{
	(void)arg;
	assert_true(max >= 6);
	memcpy(buf, "INFO\r\n", 6);
	return 6;
}

static uint64_t learn(void *arg, const struct endpoint *at, struct bytes answer)
{
	struct bed *bed = arg;
	const uint8_t *at_run;

	(void)at;
	bed->learnt_n++;
	at_run = memmem(answer.at, answer.len, "run_id:", 7);
	assert_non_null(at_run);
	return hash_bytes(&(struct hash_key){ { 0, 0 } }, bytes_of(at_run + 7, 40));
}

static const struct frame_codec replies = { "resp", resp_reply_next, true, RESP_REPLY_MAX };

static void connect_peers(struct bed *bed)
{
	struct peers_params params = {
		.name = "session cache",
		.codec = &replies,
		.deadline_ms = 5000,
		.in_flight_max = 1000,
		.connect_ms = 5000,
		.owner = getuid(),
		.hello = auth,
		.welcome = welcome,
		.inquire = bed->knows ? inquire : NULL,
		.learn = learn,
		.arg = bed,
	};

	bed->peers = peers_new(bed->loop, &params);
	assert_non_null(bed->peers);
	assert_int_equal(peers_set(bed->peers, &bed->at.endpoint, 1), 0);
}

static void done(void *arg, enum peers_result result, struct bytes answer)
{
	struct asked *asked = arg;

	asked->done_n++;
	asked->result = result;
	assert_true(answer.len < sizeof(asked->answer));
	memcpy(asked->answer, answer.at != NULL ? answer.at : (const uint8_t *)"", answer.len);
	asked->answer[answer.len] = '\0';
}

static void ask(struct bed *bed, int i, const char *words)
{
	enum peers_why why;
	char line[256];

	snprintf(line, sizeof(line), "%s\r\n", words);
	assert_non_null(peers_ask(bed->peers, bytes_str(line), (struct peers_choice){ 0 }, 0, done,
	    &bed->asked[i], &why));
}

static void a_gateway_is_served(void **state)
{
	struct bed *bed = *state;
	char words[128];

	start(bed);
	connect_peers(bed);
	for (int i = 0; i < 200; i++) {
		snprintf(words, sizeof(words), "SET session:%d value-%d PX 60000", i, i * i);
		ask(bed, i, words);
	}
	for (int i = 0; i < 200; i++) {
		snprintf(words, sizeof(words), "GET session:%d", i);
		ask(bed, 200 + i, words);
	}
	sim_until(bed->loop, bed->asked[399].done_n == 1);
	for (int i = 0; i < 200; i++) {
		char value[32], want[64];

		snprintf(value, sizeof(value), "value-%d", i * i);
		snprintf(want, sizeof(want), "$%zu\r\n%s\r\n", strlen(value), value);
		assert_string_equal(bed->asked[i].answer, "+OK\r\n");
		assert_string_equal(bed->asked[200 + i].answer, want);
	}
}

static void a_wrong_token_is_served_nothing(void **state)
{
	struct bed *bed = *state;
	struct store_stats stats;

	start(bed);
	bed->secret = "0123456789abcdef0123456789abcdeF";
	connect_peers(bed);
	ask(bed, 0, "SET k v");
	sim_until(bed->loop, bed->asked[0].done_n == 1);
	assert_int_equal(bed->asked[0].result, PEERS_PROTOCOL);
	cachesvc_stats(bed->cachesvc, &stats);
	assert_int_equal(stats.stored, 0);
}

static void another_user_is_served_nothing(void **state)
{
	struct bed *bed = *state;
	int fd;

	bed->params.callers[0] = getuid() + 1;
	bed->params.secret = bytes_of(NULL, 0);
	start(bed);
	fd = sim_connect(&bed->at.endpoint);
	assert_int_equal(send(fd, "PING\r\n", 6, 0), 6);
	sim_until(
	    bed->loop, (sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len, ""), sim_ended(fd)));
	assert_int_equal(bed->in_len, 0);
	close(fd);
}

/* A claim's name must not be granted again to one who does not know that all claims are gone. */
static void a_flush_sends_away_who_knows_the_former_run(void **state)
{
	static const char flush[] = "AUTH 0123456789abcdef0123456789abcdef\r\nFLUSHALL\r\n";
	struct bed *bed = *state;
	struct peers_choice first = { .by = PEERS_RANK };
	uint64_t mark;
	int fd, ignorant;

	if (getuid() != 0)
		skip();
	bed->knows = true;
	start(bed);
	connect_peers(bed);
	ask(bed, 0, "SET claim:a 1 NX PX 60000");
	sim_until(bed->loop, bed->asked[0].done_n == 1);
	assert_string_equal(bed->asked[0].answer, "+OK\r\n");
	mark = peers_mark(bed->peers, first);
	assert_int_not_equal(mark, 0);
	ignorant = sim_connect(&bed->at.endpoint);
	assert_int_equal(send(ignorant, flush, 39, 0), 39);
	sim_until(bed->loop, sim_got(ignorant, bed->in, sizeof(bed->in), &bed->in_len, "+OK\r\n"));
	bed->in_len = 0;
	fd = sim_connect(&bed->at.endpoint);
	assert_int_equal(send(fd, flush, strlen(flush), 0), strlen(flush));
	sim_until(bed->loop, sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len, "+OK\r\n+OK\r\n"));
	sim_until(bed->loop, bed->learnt_n == 2);
	sim_until(bed->loop, peers_mark(bed->peers, first) != 0);
	assert_int_not_equal(peers_mark(bed->peers, first), mark);
	/* Those who rely on nothing stay. */
	assert_int_equal(send(ignorant, "PING\r\n", 6, 0), 6);
	bed->in_len = 0;
	sim_until(
	    bed->loop, sim_got(ignorant, bed->in, sizeof(bed->in), &bed->in_len, "+PONG\r\n"));
	close(ignorant);
	close(fd);
}

static void on_drained(void *arg)
{
	((struct bed *)arg)->drained_n++;
}

static void hands_and_http_are_told_apart(void **state)
{
	struct bed *bed = *state;
	const char *http = "POST / HTTP/1.1\r\nHost: cache\r\n\r\nSET k v\r\n";
	int fd;

	bed->params.secret = bytes_of(NULL, 0);
	start(bed);
	fd = sim_connect(&bed->at.endpoint);
	assert_int_equal(send(fd, "ping\r\nset a 1\r\nget a\r\nquit\r\n", 30 - 1, 0), 29);
	sim_until(bed->loop, sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len,
				 "+PONG\r\n+OK\r\n$1\r\n1\r\n+OK\r\n"));
	sim_until(bed->loop, sim_ended(fd));
	close(fd);
	fd = sim_connect(&bed->at.endpoint);
	bed->in_len = 0;
	assert_int_equal(send(fd, http, strlen(http), 0), strlen(http));
	sim_until(
	    bed->loop, (sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len, ""), sim_ended(fd)));
	assert_int_equal(bed->in_len, 0);
	close(fd);
	fd = sim_connect(&bed->at.endpoint);
	bed->in_len = 0;
	assert_int_equal(send(fd, "*1\r\n$4\r\nPING\r\n*1\r\n$-7\r\n", 24, 0), 24);
	sim_until(bed->loop, sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len,
				 "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"));
	sim_until(bed->loop, sim_ended(fd));
	close(fd);
	cachesvc_drain(bed->cachesvc, on_drained, bed);
	sim_until(bed->loop, bed->drained_n == 1);
}

static void what_has_expired_goes_while_nobody_asks(void **state)
{
	struct bed *bed = *state;
	struct store_stats stats = { 0 };

	bed->params.secret = bytes_of(NULL, 0);
	bed->secret = NULL;
	start(bed);
	bed->secret = SECRET;
	{
		int fd = sim_connect(&bed->at.endpoint);

		assert_int_equal(send(fd, "SET k v PX 10\r\n", 15, 0), 15);
		sim_until(
		    bed->loop, sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len, "+OK\r\n"));
		close(fd);
	}
	sim_until(bed->loop, (cachesvc_stats(bed->cachesvc, &stats), stats.expired == 1));
	assert_int_equal(stats.entries, 0);
}

/* ---- the program, embedded */

static int memfd_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The next message of the channel; "" at its end. */
static const char *channel_says(struct bed *bed)
{
	struct pollfd p = { .fd = bed->channel, .events = POLLIN };
	ssize_t n;

	assert_int_equal(poll(&p, 1, SIM_PATIENCE_MS), 1);
	n = recv(bed->channel, bed->in, sizeof(bed->in) - 1, 0);
	bed->in[n > 0 ? n : 0] = '\0';
	return bed->in;
}

static void start_program(struct bed *bed, const char *conf)
{
	static const uint8_t token[32] = { 0xde, 0xad, 0xbe, 0xef, [31] = 0x7f };
	char path[64], *argv[] = { (char *)(uintptr_t) "sslgw-cachesvc", (char *)(uintptr_t) "-c",
		path, NULL };
	struct child_fd fds[4];
	int pair[2];

	assert_int_equal(access("./sslgw-cachesvc", X_OK), 0);
	sim_server_listen(&bed->at);
	assert_int_equal(channel_pair(pair), 0);
	fds[0] = (struct child_fd){ bed->at.listen_fd, "service" };
	fds[1] = (struct child_fd){ memfd_of(token, sizeof(token)), "token" };
	fds[2] = (struct child_fd){ pair[1], "channel" };
	fds[3] = (struct child_fd){ memfd_of(conf, strlen(conf)), "config" };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", 3 + 3); /* named descriptors from 3 on */
	bed->pid = child_spawn("./sslgw-cachesvc", argv, NULL, fds, 4);
	assert_true(bed->pid > 0);
	bed->channel = pair[0];
	close(fds[1].fd);
	close(pair[1]);
	close(fds[3].fd);
	close(bed->at.listen_fd);
	bed->at.listen_fd = -1;
}

static int exit_status(struct bed *bed)
{
	uint64_t end = sim_now_ms() + SIM_PATIENCE_MS;
	int status = 0;
	pid_t got = 0;

	while (got == 0 && sim_now_ms() < end) {
		got = waitpid(bed->pid, &status, WNOHANG);
		poll(NULL, 0, 5);
	}
	assert_int_equal(got, bed->pid);
	bed->pid = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static const char *proc_file(struct bed *bed, const char *name)
{
	char path[64];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)bed->pid, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(bed->in, 1, sizeof(bed->in) - 1, f);
	bed->in[n] = '\0';
	fclose(f);
	return bed->in;
}

static void talk(struct bed *bed, const char *say, const char *want)
{
	int fd = sim_connect(&bed->at.endpoint);

	bed->in_len = 0;
	assert_int_equal(send(fd, say, strlen(say), 0), strlen(say));
	sim_until(bed->loop, sim_got(fd, bed->in, sizeof(bed->in), &bed->in_len, want));
	close(fd);
}

static void the_program_serves_who_has_the_token(void **state)
{
	struct bed *bed = *state;
	char conf[256];

	snprintf(conf, sizeof(conf), "max_memory = \"8M\";\n%scaller_users = [ \"%d\" ];\n",
	    getuid() == 0 ? "user = \"54321\"; group = \"54322\";\n" : "", (int)getuid());
	start_program(bed, conf);
	assert_string_equal(channel_says(bed), "ready");
	assert_string_equal(proc_file(bed, "cmdline"), "sslgw-cachesvc: embedded");
	assert_non_null(strstr(proc_file(bed, "limits"), "Max core file size        0 "));
	if (getuid() == 0) {
		assert_non_null(
		    strstr(proc_file(bed, "status"), "Uid:\t54321\t54321\t54321\t54321\n"));
		assert_non_null(strstr(bed->in, "Gid:\t54322\t54322\t54322\t54322\n"));
		assert_non_null(strstr(bed->in, "Groups:\t \n"));
	}
	talk(bed, "PING\r\n", "-NOAUTH Authentication required.\r\n");
	talk(bed,
	    "AUTH deadbeef0000000000000000000000000000000000000000000000000000007f\r\nPING\r\n",
	    "+OK\r\n+PONG\r\n");
	talk(bed, "AUTH DEADBEEF0000000000000000000000000000000000000000000000000000007F\r\n",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	/* The master dies: so does the cache. */
	close(bed->channel);
	bed->channel = -1;
	assert_int_equal(exit_status(bed), 0);
}

static void the_program_leaves_its_end_to_the_master(void **state)
{
	struct bed *bed = *state;

	start_program(bed, "");
	assert_string_equal(channel_says(bed), "ready");
	kill(bed->pid, SIGHUP);
	kill(bed->pid, SIGTERM);
	kill(bed->pid, SIGINT);
	talk(bed, "AUTH deadbeef0000000000000000000000000000000000000000000000000000007f\r\n",
	    "+OK\r\n");
	assert_int_equal(waitpid(bed->pid, NULL, WNOHANG), 0);
}

static bool can_connect(struct bed *bed)
{
	const struct endpoint *to = &bed->at.endpoint;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = connect(fd, (const struct sockaddr *)&to->addr, to->len) == 0;

	close(fd);
	return yes;
}

/* Without a master: a file, and a socket of its own. */
static void start_alone(struct bed *bed)
{
	char file[96], *argv[] = { (char *)(uintptr_t) "sslgw-cachesvc", (char *)(uintptr_t) "-c",
		file, NULL };
	FILE *f;

	snprintf(file, sizeof(file), "%s/conf", bed->at.dir);
	f = fopen(file, "w");
	assert_non_null(f);
	fprintf(f, "listen = [ \"%s\" ];\npassword_file = \"password\";\n", bed->at.path);
	fclose(f);
	snprintf(bed->in, sizeof(bed->in), "%s/password", bed->at.dir);
	f = fopen(bed->in, "w");
	assert_non_null(f);
	fputs("correct horse\n", f);
	fclose(f);
	bed->pid = child_spawn("./sslgw-cachesvc", argv, NULL, NULL, 0);
	assert_true(bed->pid > 0);
	sim_until(bed->loop, can_connect(bed));
}

static void alone_it_serves_who_knows_the_password_and_drains_on_a_signal(void **state)
{
	struct bed *bed = *state;

	start_alone(bed);
	talk(bed, "PING\r\n", "-NOAUTH Authentication required.\r\n");
	talk(bed, "AUTH 'correct horse'\r\nPING\r\n", "+OK\r\n+PONG\r\n");
	kill(bed->pid, SIGHUP); /* says that all is well */
	kill(bed->pid, SIGKILL);
	waitpid(bed->pid, NULL, 0);
	/* The socket it left behind is no hindrance; and it is gone after a good end. */
	assert_int_equal(access(bed->at.path + strlen("unix:"), F_OK), 0);
	start_alone(bed);
	talk(bed, "AUTH 'correct horse'\r\nPING\r\n", "+OK\r\n+PONG\r\n");
	kill(bed->pid, SIGTERM);
	assert_int_equal(exit_status(bed), 0);
	assert_int_not_equal(access(bed->at.path + strlen("unix:"), F_OK), 0);
	snprintf(bed->in, sizeof(bed->in), "%s/password", bed->at.dir);
	unlink(bed->in);
	snprintf(bed->in, sizeof(bed->in), "%s/conf", bed->at.dir);
	unlink(bed->in);
}

static void the_program_drains_when_the_master_says_so(void **state)
{
	struct bed *bed = *state;

	start_program(bed, "");
	assert_string_equal(channel_says(bed), "ready");
	assert_int_equal(send(bed->channel, "drain", 5, 0), 5);
	assert_string_equal(channel_says(bed), "drained");
	assert_int_equal(exit_status(bed), 0);
}

static void the_program_refuses_a_wrong_configuration(void **state)
{
	struct bed *bed = *state;

	start_program(bed, "max_memory = 512;\nuser = \"nobody-of-that-name\";\n");
	assert_int_equal(exit_status(bed), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_gateway_is_served),
		T(a_wrong_token_is_served_nothing),
		T(a_flush_sends_away_who_knows_the_former_run),
		T(another_user_is_served_nothing),
		T(hands_and_http_are_told_apart),
		T(what_has_expired_goes_while_nobody_asks),
		T(the_program_serves_who_has_the_token),
		T(the_program_leaves_its_end_to_the_master),
		T(alone_it_serves_who_knows_the_password_and_drains_on_a_signal),
		T(the_program_drains_when_the_master_says_so),
		T(the_program_refuses_a_wrong_configuration),
	};
#undef T

	return cmocka_run_group_tests_name("cachesvc", tests, NULL, NULL);
}
