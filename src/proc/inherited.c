/*
 * inherited.c: descriptors by name. Those of systemd and those of our own master look the same.
 */
#include "proc/inherited.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/poison.h"

enum { INHERITED_FIRST = 3 };

static long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (text == NULL || *text == '\0')
		return -1;
	n = strtol(text, &end, 10);
	return *end == '\0' ? n : -1;
}

void inherited_load(struct inherited *in)
{
	long pid = number_of("LISTEN_PID"), n = number_of("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");

	in->n = 0;
	if (pid == (long)getpid() && n > 0 && n <= INHERITED_MAX) {
		for (int i = 0; i < n; i++) {
			size_t len = names != NULL ? strcspn(names, ":") : 0;

			in->at[i].fd = INHERITED_FIRST + i;
			fcntl(in->at[i].fd, F_SETFD, FD_CLOEXEC);
			if (len >= sizeof in->at[i].name)
				len = sizeof in->at[i].name - 1;
			if (len > 0)
				memcpy(in->at[i].name, names, len);
			in->at[i].name[len] = '\0';
			if (names != NULL)
				names += strcspn(names, ":");
			if (names != NULL && *names == ':')
				names++;
		}
		in->n = (int)n;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int inherited_take(struct inherited *in, const char *name)
{
	for (int i = 0; i < in->n; i++) {
		int fd = in->at[i].fd;

		if (fd < 0 || strcmp(in->at[i].name, name) != 0)
			continue;
		in->at[i].fd = -1;
		return fd;
	}
	return -1;
}

int inherited_read_secret(int fd, void *buf, size_t len)
{
	uint8_t *at = buf;
	size_t got = 0;

	/* By pread: the descriptor's position is shared with every other process that has it. */
	while (got < len) {
		ssize_t n = pread(fd, at + got, len - got, (off_t)got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close(fd);
	return got == len ? 0 : -1;
}
