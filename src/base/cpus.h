/*
 * cpus.h: how many CPUs this process may run on.
 */
#ifndef BASE_CPUS_H
#define BASE_CPUS_H

unsigned cpus_usable(void); /* by its affinity (cpusets, taskset), at least 1 */

#endif
