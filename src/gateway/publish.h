/*
 * publish.h: what a worker tells of itself, once a second, in its cells (report.h): the services that
 * it asks, whether it has keys for sessions, and which servers of pools it spares.
 */
#ifndef GATEWAY_PUBLISH_H
#define GATEWAY_PUBLISH_H

#include "base/counters.h"

struct worker;

void publish(const struct worker *, struct counters *);

#endif
