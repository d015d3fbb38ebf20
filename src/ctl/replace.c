/*
 * replace.c: a temporary file beside the one to be replaced, synced, then renamed over it. Called by
 * the commands that write.
 */
#include "ctl/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

enum { TEXT_MAX = 16 << 20 };

static int write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	for (size_t at = 0; at < len; at += (size_t)n) {
		n = write(fd, text + at, len - at);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return fsync(fd);
}

/* The rename itself must outlive a loss of power. */
static void sync_folder_of(const char *path)
{
	char folder[REPLACE_PATH_MAX];
	char *slash;
	int fd;

	if (strlcpy(folder, path, sizeof(folder)) >= sizeof(folder))
		return;
	slash = strrchr(folder, '/');
	if (slash == NULL)
		strlcpy(folder, ".", sizeof(folder));
	else
		slash[slash == folder ? 1 : 0] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

/* What the new file is like: as the one that it replaces, else as asked for. */
static int take_mode(int fd, const char *path, const struct replace_mode *want)
{
	struct stat st;
	mode_t mode = want->mode;
	uid_t uid = want->uid;
	gid_t gid = want->gid;

	if (stat(path, &st) == 0) {
		mode = st.st_mode & ((want->mode & 07) != 0 ? 0777 : 0770);
		if (uid == (uid_t)-1) {
			uid = st.st_uid;
			gid = st.st_gid;
		}
	}
	if (fchown(fd, uid, gid) != 0 && (uid != geteuid() || errno != EPERM))
		return -1;
	return fchmod(fd, mode);
}

int replace_file(const char *path, const char *text, const struct replace_mode *mode)
{
	char temporary[REPLACE_PATH_MAX];
	int fd, wrong;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >=
	    sizeof(temporary)) {
		log_errorx("%s: the path is too long", path);
		return -1;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		log_error("cannot write %s", path);
		return -1;
	}
	if (take_mode(fd, path, mode) != 0 || write_all(fd, text, strlen(text)) != 0 ||
	    rename(temporary, path) != 0) {
		wrong = errno;
		unlink(temporary);
		close(fd);
		errno = wrong;
		log_error("cannot write %s", path);
		return -1;
	}
	close(fd);
	sync_folder_of(path);
	return 0;
}

int replace_folder(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno == EEXIST && stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
	}
	log_error("cannot make the folder %s", path);
	return -1;
}

char *replace_read(const char *path)
{
	FILE *in = fopen(path, "re");
	char *text = NULL;
	size_t size = 0, n = 0;
	FILE *out;
	char block[1024];

	if (in == NULL)
		return NULL;
	out = open_memstream(&text, &size);
	while (out != NULL && size <= TEXT_MAX && (n = fread(block, 1, sizeof(block), in)) > 0) {
		fwrite(block, 1, n, out);
		fflush(out);
	}
	if (out == NULL || fclose(out) != 0 || ferror(in) || size > TEXT_MAX) {
		free(text);
		text = NULL;
		errno = size > TEXT_MAX ? EFBIG : EIO;
	}
	fclose(in);
	return text;
}
