/*
 * sockets.c: see sockets.h. Descriptors are duplicated from the former set on a reload, so that each
 * set owns its own and the order of their ends does not matter; the socket lives as long as one does.
 */
#include "gateway/master/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/endpoint.h"
#include "net/listener.h"

#include "base/poison.h"

struct address {
	char *text; /* as configured */
	int mode; /* with LISTENER_PROXIED */
	struct endpoint at; /* with the port that was picked */
	int *fds; /* one a slot; a Unix socket is the same for all */
};

struct sockets {
	struct address *addresses;
	size_t n;
	unsigned slots;
};

static const struct address *find(const struct sockets *set, const char *text)
{
	for (size_t i = 0; set != NULL && i < set->n; i++)
		if (strcmp(set->addresses[i].text, text) == 0)
			return &set->addresses[i];
	return NULL;
}

/* A Unix socket that nobody listens on any more is in the way of the next start. */
static void remove_stale(const struct endpoint *at)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&at->addr;
	struct stat st;
	int fd;

	if (at->addr.ss_family != AF_UNIX || un->sun_path[0] == '\0' ||
	    lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&at->addr, at->len) != 0 &&
	    errno == ECONNREFUSED)
		unlink(un->sun_path);
	if (fd >= 0)
		close(fd);
}

/* The first slot's socket picks the port, where it is 0. */
static int open_slot(struct address *a, unsigned slot, bool served)
{
	int fd;

	if (slot > 0 && a->at.addr.ss_family == AF_UNIX)
		return fcntl(a->fds[0], F_DUPFD_CLOEXEC, 0);
	if (slot == 0)
		remove_stale(&a->at);
	fd = listener_bind(&a->at, true);
	if (fd < 0 && errno == EAFNOSUPPORT && a->text[0] == '*' &&
	    endpoint_of_ip(&a->at, "0.0.0.0", endpoint_port(&a->at)) == 0)
		fd = listener_bind(&a->at, true); /* a machine without IPv6 */
	if (fd >= 0 && !served && listener_listen(fd) != 0) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	if (fd >= 0 && slot == 0) {
		a->at.len = sizeof a->at.addr;
		getsockname(fd, (struct sockaddr *)&a->at.addr, &a->at.len);
	}
	return fd;
}

/* SO_REUSEPORT would let a second gateway in beside a first one of the same user, and each would get
 * half of the connections: a plain bind tells whether somebody is there. */
static int in_use(const struct endpoint *at)
{
	int one = 1, zero = 0, rc = 0, fd;

	if (at->addr.ss_family == AF_UNIX || endpoint_port(at) == 0)
		return 0;
	fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (at->addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
	if (bind(fd, (const struct sockaddr *)&at->addr, at->len) != 0)
		rc = errno == EADDRINUSE;
	close(fd);
	if (rc)
		errno = EADDRINUSE;
	return rc;
}

/* A port of our own, under another address: "*:443" becomes "10.0.0.1:443". */
static bool port_is_ours(const struct sockets *old, const struct endpoint *at)
{
	for (size_t i = 0; old != NULL && i < old->n; i++)
		if (endpoint_port(&old->addresses[i].at) == endpoint_port(at))
			return true;
	return false;
}

static int open_address(struct address *a, unsigned slots, const struct sockets *old)
{
	const struct address *before = find(old, a->text);
	unsigned had = old != NULL && before != NULL ? old->slots : 0;

	if (before != NULL)
		a->at = before->at;
	else if (endpoint_parse(&a->at, a->text) != 0 ||
		 (!port_is_ours(old, &a->at) && in_use(&a->at)))
		return -1;
	for (unsigned slot = 0; slot < slots; slot++) {
		a->fds[slot] = slot < had ? fcntl(before->fds[slot], F_DUPFD_CLOEXEC, 0)
					  : open_slot(a, slot, had > 0);
		if (a->fds[slot] < 0)
			return -1;
	}
	return 0;
}

static const char *advice(int err)
{
	switch (err) {
	case EADDRINUSE:
		return ": stop the program that has it (ss -ltnp), or choose another port";
	case EACCES:
		return ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL:
		return ": no interface has this address (ip addr)";
	default:
		return "";
	}
}

struct sockets *sockets_open(const struct gateway_conf *conf, unsigned slots,
    const struct sockets *old, struct conf_errors *errors)
{
	struct sockets *set = calloc(1, sizeof *set);
	bool failed = false;

	if (set == NULL)
		return NULL;
	/* Slots never become fewer: closing one would reset the connections that wait in it. */
	if (old != NULL && old->slots > slots)
		slots = old->slots;
	set->slots = slots;
	set->n = conf->listeners.n;
	set->addresses = calloc(set->n, sizeof *set->addresses);
	for (size_t i = 0; set->addresses != NULL && i < set->n; i++) {
		struct address *a = &set->addresses[i];

		a->text = strdup(conf->listeners.at[i].address);
		a->mode = conf->listeners.at[i].mode |
			  (conf->listeners.at[i].proxy_protocol ? LISTENER_PROXIED : 0);
		a->fds = malloc(slots * sizeof *a->fds);
		if (a->text == NULL || a->fds == NULL) {
			failed = true;
			continue;
		}
		for (unsigned slot = 0; slot < slots; slot++)
			a->fds[slot] = -1;
		if (open_address(a, slots, old) != 0) {
			conf_reject(errors, &conf->listeners.at[i].address,
			    "cannot listen on %s: %s%s", a->text, strerror(errno), advice(errno));
			failed = true;
		}
	}
	if (failed || set->addresses == NULL) {
		if (set->addresses != NULL)
			sockets_unlink(set, old);
		sockets_free(set);
		return NULL;
	}
	return set;
}

void sockets_free(struct sockets *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; set->addresses != NULL && i < set->n; i++) {
		struct address *a = &set->addresses[i];

		for (unsigned slot = 0; a->fds != NULL && slot < set->slots; slot++)
			if (a->fds[slot] >= 0)
				close(a->fds[slot]);
		free(a->fds);
		free(a->text);
	}
	free(set->addresses);
	free(set);
}

size_t sockets_listeners(const struct sockets *set)
{
	return set->n;
}

unsigned sockets_slots(const struct sockets *set)
{
	return set->slots;
}

int sockets_fd(const struct sockets *set, size_t listener, unsigned slot)
{
	return set->addresses[listener].fds[slot];
}

int sockets_mode(const struct sockets *set, size_t listener)
{
	return set->addresses[listener].mode;
}

int sockets_listen(const struct sockets *set, size_t listener, unsigned slot)
{
	return listener_listen(sockets_fd(set, listener, slot));
}

void sockets_unlink(const struct sockets *set, const struct sockets *kept)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct address *a = &set->addresses[i];
		const struct sockaddr_un *un = (const struct sockaddr_un *)&a->at.addr;

		/* Without a descriptor it was not opened: the file is somebody else's. */
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): all were set */
		if (a->fds != NULL && a->fds[0] >= 0 && un->sun_family == AF_UNIX &&
		    un->sun_path[0] != '\0' && find(kept, a->text) == NULL)
			unlink(un->sun_path);
	}
}

void sockets_print(const struct sockets *set, FILE *out)
{
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < set->n; i++)
		fprintf(out, " %s%s",
		    (set->addresses[i].mode & LISTENER_MODE) == LISTENER_TLS ? "https://"
									     : "http://",
		    endpoint_text(&set->addresses[i].at, text, sizeof text));
}
