/*
 * cpus.c: see cpus.h.
 */
#include "base/cpus.h"

#include <sched.h>
#include <unistd.h>

#include "base/poison.h"

unsigned cpus_usable(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	n = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than the set has room for */
	return n < 1 ? 1 : (unsigned)n;
}
