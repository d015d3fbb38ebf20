/*
 * standalone.c: addresses to sockets, files to secrets. Called by main at start and on SIGHUP.
 */
#include "cachesvc/standalone.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "proc/privileges.h"

#include "base/poison.h"

/* A socket that an earlier run left behind is in nobody's use: connecting to it is refused. */
static void remove_stale(const struct endpoint *e)
{
	const struct sockaddr_un *un = (const void *)&e->addr;
	struct stat st;
	int fd;

	if (un->sun_path[0] == '\0' || lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&e->addr, e->len) != 0 &&
	    errno == ECONNREFUSED)
		unlink(un->sun_path);
	if (fd >= 0)
		close(fd);
}

int standalone_listen(const char *address)
{
	const struct sockaddr_un *un;
	struct endpoint e;
	int fd;

	if (endpoint_parse(&e, address) != 0) {
		log_errorx("%s: no address", address); /* checked before: not reached */
		return -1;
	}
	un = (const void *)&e.addr;
	if (e.addr.ss_family == AF_UNIX)
		remove_stale(&e);
	fd = listener_socket(&e, false);
	if (fd < 0) {
		log_error("cannot listen on %s", address);
		return -1;
	}
	/* Who may ask is decided by the caller's uid, not by the socket's mode. */
	if (e.addr.ss_family == AF_UNIX && un->sun_path[0] != '\0' &&
	    chmod(un->sun_path, 0666) != 0)
		log_warn("%s: chmod", address);
	return fd;
}

void standalone_unlink(const struct conf_strings *listen)
{
	for (size_t i = 0; i < listen->n; i++)
		if (strncmp(listen->at[i], "unix:/", strlen("unix:/")) == 0)
			unlink(listen->at[i] + strlen("unix:"));
}

static void warn_of(
    const struct cachesvc_conf *conf, const struct conf_strings *list, const char *address)
{
	struct endpoint e;

	if (endpoint_parse(&e, address) == 0 && !cachesvc_conf_is_loopback(&e))
		log_warnx(
		    "%s: %s is open to the network without TLS (allow_plain_network): sessions "
		    "can be read on their way%s",
		    conf_where(list), address,
		    conf->password_file == NULL
			? ", and anybody who reaches it reads, writes and deletes them: add "
			  "password_file, or a packet filter"
			: "");
}

void standalone_warn(const struct cachesvc_conf *conf)
{
	for (size_t i = 0; i < conf->listen.n; i++)
		if (!cachesvc_conf_is_tls(conf, conf->listen.at[i]))
			warn_of(conf, &conf->listen, conf->listen.at[i]);
	for (size_t i = 0; i < conf->listen_plain.n; i++)
		warn_of(conf, &conf->listen_plain, conf->listen_plain.at[i]);
}

int standalone_secret(const struct cachesvc_conf *conf, struct standalone_secret *secret)
{
	const char *file = conf->password_file;
	FILE *in;

	*secret = (struct standalone_secret){ 0 };
	if (file == NULL)
		return 0;
	in = fopen(file, "re");
	if (in == NULL) {
		log_error("%s: password_file %s", conf_where(&conf->password_file), file);
		return -1;
	}
	setvbuf(in, NULL, _IONBF, 0); /* no copy of it in a buffer that nobody wipes */
	if (fgets(secret->text, sizeof(secret->text), in) == NULL)
		secret->text[0] = '\0';
	fclose(in);
	secret->len = strcspn(secret->text, "\r\n");
	secret->text[secret->len] = '\0';
	if (secret->len >= STANDALONE_PASSWORD_MIN && secret->len <= STANDALONE_PASSWORD_MAX)
		return 0;
	log_errorx("%s: password_file %s: the first line has to have %d to %d bytes",
	    conf_where(&conf->password_file), file, STANDALONE_PASSWORD_MIN,
	    STANDALONE_PASSWORD_MAX);
	explicit_bzero(secret->text, sizeof(secret->text));
	return -1;
}

int standalone_tls(const struct cachesvc_conf *conf, struct tlsctx **tls)
{
	const struct tlsctx_params params = {
		.server = true,
		.identity_file = conf->identity,
		.key_file = conf->identity_key,
		.ca_file = conf->ca_file,
		.deny_file = conf->deny_file,
		.roles = ROLE_GATEWAY | ROLE_OPERATOR,
	};
	char error[512];

	*tls = NULL;
	if (conf->identity == NULL)
		return 0;
	*tls = tlsctx_new(&params, error, sizeof(error));
	if (*tls != NULL)
		return 0;
	log_errorx("%s: %s", conf_where(&conf->identity), error);
	return -1;
}

size_t standalone_callers(
    const struct cachesvc_conf *conf, uid_t callers[static CACHESVC_CALLERS_MAX])
{
	size_t n = 0;

	if (conf->caller_users.n == 0) {
		callers[0] = getuid();
		callers[1] = 0;
		return 2;
	}
	for (size_t i = 0; i < conf->caller_users.n; i++)
		if (privileges_user(conf->caller_users.at[i], &callers[n], NULL) == 0)
			n++;
	return n;
}

static bool is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool are_same(const struct conf_strings *a, const struct conf_strings *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->at[i], b->at[i]) != 0)
			return false;
	return true;
}

const char *standalone_fixed(const struct cachesvc_conf *now, const struct cachesvc_conf *started)
{
	if (!are_same(&now->listen, &started->listen))
		return "listen";
	if (!are_same(&now->listen_plain, &started->listen_plain))
		return "listen_plain";
	if (!is_same(now->identity, started->identity))
		return "the path of identity";
	if (!is_same(now->identity_key, started->identity_key))
		return "the path of identity_key";
	if (!is_same(now->ca_file, started->ca_file))
		return "the path of ca_file";
	if (!is_same(now->deny_file, started->deny_file))
		return "the path of deny_file";
	if (!is_same(now->user, started->user) || !is_same(now->group, started->group))
		return "user, group";
	if (now->max_memory != started->max_memory)
		return "max_memory";
	if (now->connections != started->connections)
		return "connections";
	if (now->idle_timeout != started->idle_timeout)
		return "idle_timeout";
	return NULL;
}
