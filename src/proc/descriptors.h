/*
 * descriptors.h: how many connections a service may take by its limit of descriptors (RLIMIT_NOFILE).
 */
#ifndef PROC_DESCRIPTORS_H
#define PROC_DESCRIPTORS_H

#include <stdint.h>

enum { DESCRIPTORS_MIN = 48 };

/* Raises the limit as far as that goes, so that `wanted` connections fit beside `own` descriptors for other
 * things. Fewer than wanted are said in the log; under a small limit `own` gets half of it.
 * 0: fewer than DESCRIPTORS_MIN in all, said too. */
uint32_t descriptors_for(uint32_t wanted, uint32_t own);

#endif
