/*
 * choice.h: which of several servers? Pure. By load: the less loaded of two that chance names, which
 * keeps the longest queue short without all choosing the same one. By rendezvous: each name ranks
 * the servers in an order of its own, so adding or removing one of N moves 1/N of the names.
 */
#ifndef NET_CHOICE_H
#define NET_CHOICE_H

#include <stddef.h>
#include <stdint.h>

#define CHOICE_NONE SIZE_MAX

/* load[i] is CHOICE_LOAD_OUT for a server that may not be chosen. */
#define CHOICE_LOAD_OUT UINT32_MAX

size_t choice_by_load(const uint32_t *load, size_t n, uint64_t chance);
/* The server of that rank (0: first) for the name; ids are hashes of the servers' own names. */
size_t choice_by_rank(const uint64_t *ids, size_t n, uint64_t name, size_t rank);

#endif
