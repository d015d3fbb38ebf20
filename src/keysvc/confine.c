/*
 * confine.c: locked memory and the change of user. Called by main, before keys are read.
 */
#include "config.h"

#include "keysvc/confine.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/descriptors.h"
#include "proc/privileges.h"

#include "base/poison.h"

enum { OWN_FDS = 64 }; /* listeners, peers, files, the loop's */

void confine_lock(void)
{
#ifndef WITH_SANITIZERS /* their shadow memory is terabytes */
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	/* Under a finite limit MCL_FUTURE would make some later allocation fail. */
	if (setrlimit(RLIMIT_MEMLOCK, &limit) == -1 || mlockall(MCL_CURRENT | MCL_FUTURE) == -1)
		log_warn(
		    "memory cannot be locked, so keys may be swapped out: start as root, or with "
		    "LimitMEMLOCK=infinity");
#endif
}

uint32_t confine_connections(const struct keysvc_conf *conf)
{
	uint32_t n = descriptors_for((uint32_t)conf->connections, OWN_FDS);

	if (n == 0)
		exit(EXIT_RUNTIME);
	return n;
}

int confine_drop(const struct keysvc_conf *conf)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (conf->user == NULL && conf->group == NULL)
		return 0;
	/* conf was checked; -1 here: they went since. */
	if ((conf->user != NULL && privileges_user(conf->user, &uid, &gid) == -1) ||
	    (conf->group != NULL && privileges_group(conf->group, &gid) == -1) ||
	    privileges_drop(uid, gid) == -1) {
		log_error(
		    "cannot become user %u, group %u: start as root, or leave out user and group",
		    (unsigned)uid, (unsigned)gid);
		return -1;
	}
	return 0;
}
