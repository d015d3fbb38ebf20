/*
 * adminconf.c: see adminconf.h.
 */
#include "proc/adminconf.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/listener.h"

#include "base/poison.h"

#define DEFAULT_NAME "admin.sock"

enum { ADMINCONF_WATCH_MS = 1000 };

static bool is_loopback(const struct endpoint *e)
{
	const struct sockaddr_in *in = (const void *)&e->addr;
	const struct sockaddr_in6 *in6 = (const void *)&e->addr;

	if (e->addr.ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int open_tcp(struct adminconf_sockets *s, const struct adminconf *conf)
{
	struct endpoint at;
	const char *where = conf_where(&conf->address);

	if (endpoint_parse(&at, conf->address) != 0)
		return -1; /* checked before */
	if ((s->tcp = listener_socket(&at, false)) < 0) {
		log_error("%s: admin.address %s cannot be listened on", where != NULL ? where : "",
		    conf->address);
		return -1;
	}
	if (!is_loopback(&at))
		log_warnx(
		    "%s: admin.address %s is open to the network, without TLS or password: let "
		    "only those reach it who may see names and figures",
		    where != NULL ? where : "", conf->address);
	at.len = sizeof at.addr;
	if (getsockname(s->tcp, (struct sockaddr *)&at.addr, &at.len) == 0)
		endpoint_text(&at, s->address, sizeof s->address);
	return 0;
}

/* A socket that nobody listens on any more is in the way of the next start. -1: somebody does. */
static int remove_stale(const struct endpoint *at, const char *path)
{
	struct stat st;
	int fd, rc = 0;

	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&at->addr, at->len) == 0 || errno == EAGAIN) {
		errno = EADDRINUSE;
		rc = -1;
	} else if (errno == ECONNREFUSED) {
		unlink(path);
	}
	close(fd);
	return rc;
}

static int open_local(struct adminconf_sockets *s, const char *path)
{
	struct endpoint at;
	char text[128];
	mode_t mask;

	if ((size_t)snprintf(text, sizeof text, "unix:%s", path) >= sizeof text ||
	    strlen(path) >= sizeof s->path || endpoint_parse(&at, text) != 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (remove_stale(&at, path) != 0)
		return -1;
	/* 0600 from its first moment on: who runs the daemon, and root. */
	mask = umask(0177);
	s->local = listener_socket(&at, false);
	umask(mask);
	if (s->local < 0)
		return -1;
	strlcpy(s->path, path, sizeof s->path);
	return 0;
}

int adminconf_open_local(struct adminconf_sockets *s, const char *path)
{
	*s = (struct adminconf_sockets){ .tcp = -1, .local = -1 };
	return open_local(s, path);
}

int adminconf_open(struct adminconf_sockets *s, const struct adminconf *conf, const char *folder)
{
	const char *where = conf_where(&conf->socket);
	char path[sizeof s->path];

	*s = (struct adminconf_sockets){ .tcp = -1, .local = -1 };
	if (conf->address != NULL && open_tcp(s, conf) != 0)
		return -1;
	if (conf->socket != NULL && open_local(s, conf->socket) != 0) {
		log_error("%s: admin.socket %s cannot be listened on", where != NULL ? where : "",
		    conf->socket);
		adminconf_close(s, false);
		return -1;
	}
	if (conf->socket == NULL && folder != NULL) {
		if ((size_t)snprintf(path, sizeof path, "%s/" DEFAULT_NAME, folder) >= sizeof path)
			log_warnx("%s/" DEFAULT_NAME
				  " is too long for a Unix socket: set admin.socket",
			    folder);
		else if (open_local(s, path) != 0)
			log_warn("%s cannot be listened on: no commands by sslgwctl; set "
				 "admin.socket to another path",
			    path);
	}
	return 0;
}

int adminconf_mend(struct adminconf_sockets *s)
{
	int former = s->local;
	char path[sizeof s->path];
	struct stat st;

	if (s->path[0] == '\0' || lstat(s->path, &st) == 0 || errno != ENOENT)
		return -1;
	memcpy(path, s->path, sizeof path);
	if (open_local(s, path) != 0) {
		s->local = former;
		if (!s->lost)
			log_warn("somebody removed %s, and it cannot be made again: no commands by "
				 "sslgwctl until a restart",
			    path);
		s->lost = true;
		return -1;
	}
	log_errorx("somebody removed %s: made again", path);
	s->lost = false;
	if (former >= 0)
		close(former);
	return 0;
}

static void watch_cb(struct deadline *deadline)
{
	struct adminconf_sockets *s = CONTAINER_OF(deadline, struct adminconf_sockets, watch);

	if (adminconf_mend(s) == 0) {
		if (admin_listen_instead(s->admin, s->local) != 0)
			log_errorx("no memory to serve %s", s->path);
		s->local = -1;
	}
	deadline_set(s->loop, &s->watch, ADMINCONF_WATCH_MS, watch_cb);
}

void adminconf_close(struct adminconf_sockets *s, bool remove)
{
	if (s->loop != NULL)
		deadline_clear(s->loop, &s->watch);
	if (s->tcp >= 0)
		close(s->tcp);
	if (s->local >= 0)
		close(s->local);
	if (remove && s->path[0] != '\0')
		unlink(s->path);
	*s = (struct adminconf_sockets){ .tcp = -1, .local = -1 };
}

const char *adminconf_runtime_folder(char *buf, size_t size)
{
	const char *folders = getenv("RUNTIME_DIRECTORY");
	size_t len = folders != NULL ? strcspn(folders, ":") : 0;

	if (len == 0 || len >= size || folders[0] != '/')
		return NULL;
	memcpy(buf, folders, len);
	buf[len] = '\0';
	return buf;
}

void adminconf_params(const struct adminconf *conf, struct admin_params *params)
{
	for (size_t i = 0; i < conf->names.n && params->names_n < ADMIN_NAMES_MAX; i++)
		params->names[params->names_n++] = conf->names.at[i];
}

int adminconf_serve(struct loop *loop, struct adminconf_sockets *s, struct admin *admin)
{
	int tcp = s->tcp, local = s->local, rc = 0;

	s->tcp = s->local = -1;
	if (tcp >= 0 && admin_listen(admin, tcp, false) != 0)
		rc = -1;
	if (local >= 0 && admin_listen(admin, local, true) != 0)
		rc = -1;
	if (rc == 0 && s->path[0] != '\0') {
		s->loop = loop;
		s->admin = admin;
		deadline_set(loop, &s->watch, ADMINCONF_WATCH_MS, watch_cb);
	}
	return rc;
}
