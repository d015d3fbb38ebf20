/*
 * embedded_conf.c: see embedded_conf.h.
 */
#include "gateway/master/embedded_conf.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/master/memfile.h"

#include "base/poison.h"

enum { EMBEDDED_PATH_MAX = 512 };

/* Keys that sites without TLS 1.3 use: these alone sign for TLS 1.2 as it was before it. */
static void write_any(FILE *f, const struct plan *plan)
{
	const char *before = "tls12_any = [ ";

	for (size_t i = 0; i < plan->key_files_n; i++) {
		if (!plan->key_any[i])
			continue;
		fputs(before, f);
		conf_write_string(f, plan->key_files[i]);
		before = ", ";
	}
	if (before[0] == ',')
		fputs(" ];\n", f);
}

/* What was named by a slip ("/var/lib") keeps its owner: nothing but our own files may lie in it. */
static bool is_own_folder(const char *dir)
{
	DIR *at = opendir(dir);
	const struct dirent *entry;
	bool own = at != NULL;

	while (own && (entry = readdir(at)) != NULL)
		own = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		      strncmp(entry->d_name, "epoch", 5) == 0;
	if (at != NULL)
		closedir(at);
	return own;
}

static int give_folder(const char *dir, const struct plan_user *user)
{
	struct stat st;

	if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
		return -1;
	if (st.st_uid == user->uid)
		return 0;
	if (!is_own_folder(dir)) {
		log_warnx("state_dir %s holds files of others and is not given to the key service: "
			  "session tickets end with its process; name a folder of its own",
		    dir);
		return -1;
	}
	return chown(dir, user->uid, user->gid);
}

/* The state folder is the key service's own. Where it cannot be had, keys of tickets live in memory: sessions then
 * end with the process. */
static const char *state_file(const struct plan *plan, char *buf, size_t size)
{
	const char *dir = plan->conf->state_dir != NULL ? plan->conf->state_dir : STATEDIR;

	if (plan->conf->selfsigned)
		return NULL;
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return NULL;
	if (geteuid() == 0 && give_folder(dir, &plan->key) != 0)
		return NULL;
	if (geteuid() != 0 && access(dir, W_OK | X_OK) != 0)
		return NULL;
	return (size_t)snprintf(buf, size, "%s/epoch", dir) < size ? buf : NULL;
}

/* What both have; the rest is written behind it. */
static FILE *begin(const struct plan *plan, const struct plan_user *user, char **text, size_t *len)
{
	FILE *f = open_memstream(text, len);

	if (f != NULL)
		fprintf(f, "user = \"%u\"; group = \"%u\"; caller_users = [ \"%u\", \"%u\" ];\n",
		    user->uid, user->gid, plan->gateway.uid, geteuid());
	return f;
}

static int end(FILE *f, const char *name, char *const *text, const size_t *len)
{
	int fd = fclose(f) == 0 ? memfile_of(name, *text, *len) : -1;

	free(*text);
	return fd;
}

int embedded_conf_keys(const struct plan *plan, bool check)
{
	char file[EMBEDDED_PATH_MAX], *text = NULL;
	size_t len = 0;
	FILE *f = begin(plan, &plan->key, &text, &len);

	if (f == NULL)
		return -1;
	fputs("threads = 0; tls12 = \"sentinel\";\n", f);
	write_any(f, plan);
	if (!check && state_file(plan, file, sizeof file) != NULL) {
		fputs("cluster_secret_file = ", f);
		conf_write_string(f, file);
		fputs(";\n", f);
	}
	return end(f, "sslgw-keysvc", &text, &len);
}

int embedded_conf_cache(const struct plan *plan)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = begin(plan, &plan->cache, &text, &len);

	if (f == NULL)
		return -1;
	fprintf(f, "max_memory = \"%lluK\";\n",
	    (unsigned long long)plan->conf->session_cache.max_memory / 1024);
	return end(f, "sslgw-cachesvc", &text, &len);
}
