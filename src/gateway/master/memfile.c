/*
 * memfile.c: see memfile.h.
 */
#include "gateway/master/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/poison.h"

enum { MEMFILE_SECRET_MAX = 256 };

static int make(const char *name, const void *data, size_t len, mode_t mode)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), err;
	size_t done = 0;

	if (fd < 0)
		return -1;
	while (done < len) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n <= 0)
			goto fail;
		done += (size_t)n;
	}
	if (fchmod(fd, mode) != 0 || lseek(fd, 0, SEEK_SET) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
		goto fail;
	return fd;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* 0444: /proc/self/fd/N is opened anew by roles that have given up their rights. */
int memfile_of(const char *name, const void *data, size_t len)
{
	return make(name, data, len, 0444);
}

int memfile_secret(const char *name, size_t len)
{
	unsigned char secret[MEMFILE_SECRET_MAX];
	int fd = -1;

	if (len <= sizeof secret && getrandom(secret, len, 0) == (ssize_t)len)
		fd = make(name, secret, len, 0400);
	explicit_bzero(secret, sizeof secret);
	return fd;
}
