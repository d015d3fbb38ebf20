/*
 * admin.c: the admin address from the master's side: it opens the sockets while it has the rights, and
 * hands them to each monitor, which speaks HTTP on them. What an operator asks there comes back as one
 * of three words on the monitor's channel.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/master/master_private.h"

#include "base/poison.h"

#define KEY_ADMIN "key-admin.sock" /* ctl/epoch.c knows it, too */

/* Where admin.sock lies by default; NULL: nowhere: a folder that others may write to is no place for it. */
static const char *folder_of(const struct plan *plan, char *buf, size_t size)
{
	if (plan->conf->runtime_dir != NULL) {
		if (mkdir(plan->conf->runtime_dir, 0755) == 0)
			(void)!chmod(plan->conf->runtime_dir, 0755);
		return plan->conf->runtime_dir;
	}
	if (adminconf_runtime_folder(buf, size) != NULL)
		return buf;
	if (geteuid() != 0 || plan->conf->selfsigned)
		return NULL;
	return mkdir(RUNDIR, 0755) == 0 || errno == EEXIST ? RUNDIR : NULL;
}

/* sslgwctl epoch's way to the key service of this machine: 0600, so root's, or who started us. Without it all
 * else goes on. */
static void open_key_admin(struct master *m, const char *folder)
{
	char path[sizeof m->key_admin.path];

	if (folder == NULL || m->plan->conf->key_service.servers.n > 0)
		return;
	if ((size_t)snprintf(path, sizeof path, "%s/" KEY_ADMIN, folder) >= sizeof path)
		log_warnx("%s/" KEY_ADMIN " is too long for a Unix socket: no sslgwctl epoch here",
		    folder);
	else if (adminconf_open_local(&m->key_admin, path) != 0)
		log_warn("%s cannot be listened on: no sslgwctl epoch here", path);
}

int master_admin_open(struct master *m)
{
	char buf[256];
	const char *folder = folder_of(m->plan, buf, sizeof buf);

	open_key_admin(m, folder);
	return adminconf_open(&m->admin, &m->plan->conf->admin, folder);
}

/* Monitor and key service have the former sockets, which nobody reaches any more: others take their places. */
void master_admin_watch(struct master *m)
{
	if (m->phase != MASTER_SERVING)
		return;
	if (adminconf_mend(&m->admin) == 0)
		watcher_replace(m->watcher);
	if (adminconf_mend(&m->key_admin) == 0) {
		embedded_admin(m->embedded, m->key_admin.local);
		embedded_restart_key(m->embedded);
	}
}

void master_admin_print(const struct master *m, FILE *f)
{
	if (m->admin.address[0] != '\0')
		fprintf(f, " admin http://%s", m->admin.address);
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

void master_admin_changed(const struct master *m, const struct plan *former)
{
	const struct adminconf *now = &m->plan->conf->admin, *was = &former->conf->admin;

	if (!same(now->address, was->address) || !same(now->socket, was->socket))
		log_warnx("another admin.address or admin.socket takes a restart, not a reload");
}

void master_asked(void *arg, const char *what)
{
	struct master *m = arg;

	log_info("%s: asked for by the admin socket", what);
	if (strcmp(what, "reload") == 0) {
		reload_ask(m);
	} else if (strcmp(what, "reopen") == 0) {
		workers_reopen(m->workers);
		embedded_reopen(m->embedded);
	} else if (strcmp(what, "drain") == 0 && m->phase == MASTER_SERVING) {
		master_stop(m); /* once: a second time would end what is open */
	}
}
