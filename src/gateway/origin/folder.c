/*
 * folder.c: see folder.h. What a path is, is seen before it is opened to be read: opening alone does
 * something to a FIFO or a tape.
 */
#include "config.h"

#include "gateway/origin/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

static void look(struct folder *);
static int open_below(const struct folder *, const char *path, uint64_t flags);
static int by_conf(const void *, const void *);

struct folders *folders_new(struct worker *worker)
{
	const struct gateway_conf *conf = worker->conf;
	struct folders *all = calloc(1, sizeof(*all));
	size_t n = 0;

	if (all == NULL)
		return NULL;
	all->worker = worker;
	for (size_t i = 0; i < conf->sites.n; i++)
		for (size_t j = 0; j < conf->sites.at[i].routes.n; j++)
			n += conf->sites.at[i].routes.at[j].files != NULL;
	if (n == 0)
		return all;
	all->at = calloc(n, sizeof(*all->at));
	all->types = filetypes_new(FILETYPES_FILE);
	if (all->at == NULL || all->types == NULL) {
		folders_free(all);
		return NULL;
	}
	for (size_t i = 0; i < conf->sites.n; i++) {
		for (size_t j = 0; j < conf->sites.at[i].routes.n; j++) {
			const struct route_conf *route = &conf->sites.at[i].routes.at[j];

			if (route->files != NULL)
				all->at[all->n++] = (struct folder){ .all = all,
					.conf = route,
					.any_case = conf->sites.at[i].ignore_case,
					.fd = -1 };
		}
	}
	qsort(all->at, all->n, sizeof(*all->at), by_conf);
	for (size_t i = 0; i < all->n; i++) {
		look(&all->at[i]);
		if (all->at[i].fd == -1)
			log_warn("%s cannot be opened: its route answers 503 (make the folder, or "
				 "let the workers' user into it)",
			    all->at[i].conf->files);
	}
	return all;
}

void folders_free(struct folders *all)
{
	if (all == NULL)
		return;
	for (size_t i = 0; i < all->n; i++)
		if (all->at[i].fd != -1)
			close(all->at[i].fd);
	filetypes_free(all->types);
	free(all->at);
	free(all);
}

struct folder *folders_find(struct folders *all, const struct route_conf *conf)
{
	struct folder key = { .conf = conf };

	return bsearch(&key, all->at, all->n, sizeof(key), by_conf);
}

int folder_open(struct folder *folder, const char *path, struct stat *st)
{
	uint64_t now = loop_now_ms(folder->all->worker->loop);
	int fd;

	if (folder->fd == -1 || now - folder->looked_ms >= FOLDER_LOOK_MS)
		look(folder);
	if (folder->fd == -1) {
		errno = ESTALE;
		return -1;
	}
	fd = open_below(folder, path, O_PATH);
	if (fd == -1)
		return -1;
	*st = (struct stat){ 0 };
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) {
		close(fd);
		fd = open_below(folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
		if (fd == -1)
			return -1;
		/* By now it may be something else. */
		if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
			return fd;
	}
	close(fd);
	errno = S_ISDIR(st->st_mode) ? EISDIR : ENOENT;
	return -1;
}

/* Another folder may lie under its name by now: releases are often put in place by renaming a link. */
static void look(struct folder *folder)
{
	struct stat st;
	int fd;

	if (folder->all->worker->loop != NULL)
		folder->looked_ms = loop_now_ms(folder->all->worker->loop);
	if (folder->fd != -1 && (stat(folder->conf->files, &st) != 0 ||
				    (st.st_dev == folder->dev && st.st_ino == folder->ino)))
		return;
	fd = open(folder->conf->files, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return;
	if (fstat(fd, &st) != 0) {
		close(fd);
		return;
	}
	if (folder->fd != -1)
		close(folder->fd);
	folder->fd = fd;
	folder->dev = st.st_dev;
	folder->ino = st.st_ino;
}

/* That a link leads outside, or that there is one, is nobody's business: it is as if nothing were there. */
static int open_below(const struct folder *folder, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (folder->conf->files_symlinks ? 0 : RESOLVE_NO_SYMLINKS),
	};
	int fd = -1;

	for (int i = 0; i < FOLDER_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, folder->fd, path, &how, sizeof(how));
		if (fd != -1 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	if (fd == -1 && (errno == ENOTDIR || errno == ELOOP || errno == EXDEV ||
			    errno == ENAMETOOLONG || errno == ENXIO || errno == ENODEV))
		errno = ENOENT;
	return fd;
}

static int by_conf(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct folder *)a)->conf;
	uintptr_t y = (uintptr_t)((const struct folder *)b)->conf;

	return (x > y) - (x < y);
}
