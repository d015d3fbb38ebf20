/*
 * descriptors.c: see descriptors.h. Called once, at a service's start.
 */
#include "proc/descriptors.h"

#include <sys/resource.h>

#include "base/log.h"

#include "base/poison.h"

uint32_t descriptors_for(uint32_t wanted, uint32_t own)
{
	uint64_t all = (uint64_t)wanted + own, fit;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return wanted;
	if (limit.rlim_cur < all) {
		limit.rlim_cur = all < limit.rlim_max ? all : limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= all)
		return wanted;
	if (limit.rlim_cur < DESCRIPTORS_MIN) {
		log_errorx(
		    "%llu descriptors are too few: raise the limit (ulimit -n, LimitNOFILE=)",
		    (unsigned long long)limit.rlim_cur);
		return 0;
	}
	fit = limit.rlim_cur - (own < limit.rlim_cur / 2 ? own : limit.rlim_cur / 2);
	if (fit >= wanted)
		return wanted;
	log_warnx("connections = %u, but %llu descriptors allow %llu: raise the limit (ulimit -n, "
		  "LimitNOFILE=)",
	    wanted, (unsigned long long)limit.rlim_cur, (unsigned long long)fit);
	return (uint32_t)fit;
}
