/*
 * epochfile.c: reading and replacing the state file. Called by epochs at start and once an epoch.
 */
#include "config.h"

#include "keysvc/epochfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/poison.h"

static int read_all(int fd, uint8_t *buf, size_t max, size_t *len)
{
	*len = 0;
	while (*len < max) {
		ssize_t got = read(fd, buf + *len, max - *len);

		if (got == 0)
			return 0;
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		*len += (size_t)got;
	}
	return 0;
}

enum epochfile_result epochfile_read(const char *path, struct generations *out)
{
	enum epochfile_result result = EPOCHFILE_FAILED;
	size_t len, max = GENERATIONS_FILE_MAX + 1; /* one more, to see that it is too long */
	uint8_t *buf;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err;

	if (fd == -1)
		return errno == ENOENT ? EPOCHFILE_NONE : EPOCHFILE_FAILED;
	if ((buf = malloc(max)) == NULL) {
		close(fd);
		return EPOCHFILE_FAILED;
	}
	if (read_all(fd, buf, max, &len) == 0)
		result = generations_decode(bytes_of(buf, len), out) == PARSE_OK
			     ? EPOCHFILE_OK
			     : EPOCHFILE_DAMAGED;
	err = errno;
	OPENSSL_cleanse(buf, max);
	free(buf);
	close(fd);
	errno = err;
	return result;
}

static int write_all(int fd, const uint8_t *at, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, at, len);

		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1)
			return -1;
		at += put;
		len -= (size_t)put;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd, rc;

	if (copy == NULL)
		return -1;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd == -1)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static int write_beside(const char *beside, const uint8_t *at, size_t len)
{
	int fd, rc, err;

	unlink(beside); /* of a write that a crash cut short; O_EXCL: nobody's link is followed */
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	rc = write_all(fd, at, len) == 0 && fsync(fd) == 0 ? 0 : -1;
	err = errno;
	if (close(fd) == -1 && rc == 0)
		return -1;
	errno = err;
	return rc;
}

static int replace(const char *path, const uint8_t *at, size_t len)
{
	char *beside;
	int rc = -1, err;

	if (asprintf(&beside, "%s.new", path) == -1)
		return -1;
	if (write_beside(beside, at, len) == 0 && rename(beside, path) == 0) {
		rc = sync_folder(path);
	} else {
		err = errno;
		unlink(beside);
		errno = err;
	}
	err = errno;
	free(beside);
	errno = err;
	return rc;
}

int epochfile_write(const char *path, const struct generations *g)
{
	uint8_t *buf = malloc(GENERATIONS_FILE_MAX);
	size_t len;
	int rc = -1, err;

	if (buf == NULL)
		return -1;
	if (generations_encode(g, buf, GENERATIONS_FILE_MAX, &len) == 0)
		rc = replace(path, buf, len);
	else
		errno = EOVERFLOW;
	err = errno;
	OPENSSL_cleanse(buf, GENERATIONS_FILE_MAX);
	free(buf);
	errno = err;
	return rc;
}
