/*
 * worker.h: the context of a worker process: what its rooms share, owned here and passed to each.
 * All of it is made before the first connection and const for the process's life, but for the
 * counts of what is going on now.
 */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/reason.h"
#include "gateway/gateway_conf.h"
#include "net/loop.h"

/* Counter cells, looked up once; X(field, row name). */
#define WORKER_COUNTERS(X)                                                                         \
	X(connections, "sslgw_connections_total")                                                  \
	X(connections_open, "sslgw_connections_open")                                              \
	X(handshakes_full, "sslgw_handshakes_full_total")                                          \
	X(handshakes_resumed_ticket, "sslgw_handshakes_resumed_ticket_total")                      \
	X(handshakes_resumed_cache, "sslgw_handshakes_resumed_cache_total")                        \
	X(handshakes_failed, "sslgw_handshakes_failed_total")                                      \
	X(handshakes_open, "sslgw_handshakes_open")                                                \
	X(handshakes_paused, "sslgw_handshakes_paused")                                            \
	X(signatures, "sslgw_signatures_total")                                                    \
	X(signatures_failed, "sslgw_signatures_failed_total")                                      \
	X(signatures_shed, "sslgw_signatures_shed_total")                                          \
	X(cache_found, "sslgw_sessions_delivered_total")                                           \
	X(cache_hits, "sslgw_session_cache_hits_total")                                            \
	X(cache_misses, "sslgw_session_cache_misses_total")                                        \
	X(cache_errors, "sslgw_session_cache_errors_total")                                        \
	X(cache_stores, "sslgw_session_cache_stores_total")                                        \
	X(cache_stores_limited, "sslgw_session_cache_stores_limited_total")                        \
	X(cache_repairs, "sslgw_session_cache_repairs_total")                                      \
	X(claims, "sslgw_session_claims_total")                                                    \
	X(claims_refused, "sslgw_session_claims_refused_total")                                    \
	X(claims_failed, "sslgw_session_claims_failed_total")                                      \
	X(requests, "sslgw_requests_total")                                                        \
	X(requests_open, "sslgw_requests_open")                                                    \
	X(retries, "sslgw_retries_total")                                                          \
	X(bodies_not_kept, "sslgw_request_buffers_full_total")                                     \
	X(upstreams_opened, "sslgw_upstream_connections_total")                                    \
	X(upstreams_reused, "sslgw_upstream_reused_total")                                         \
	X(upstreams_open, "sslgw_upstream_connections_open")                                       \
	X(log_dropped, "sslgw_access_log_dropped_total")                                           \
	X(asks_open, "sslgw_service_asks_open")                                                    \
	X(fibres_open, "sslgw_fibres_open")

struct worker_counters {
#define X(field, name) _Atomic uint64_t *field;
	WORKER_COUNTERS(X)
#undef X
	_Atomic uint64_t *reasons[REASON_N]; /* "sslgw_ended_total_" + reason_name */
};

struct worker {
	struct loop *loop;
	const struct gateway_conf *conf;
	unsigned slot; /* 0 .. workers-1 */
	struct worker_counters counters;
	_Atomic uint64_t
	    *beat; /* ms: the master sees by it that this process goes on; NULL: nobody looks */
	struct sites *sites; /* names to site */
	struct sitectxs *tls; /* SSL_CTX of each site; gateway/tls */
	struct keyclient *keys; /* gateway/cluster */
	struct sessioncache *sessions;
	struct secrets *secrets;
	struct handshake *handshaking; /* the one whose SSL_do_handshake is on the stack, or NULL */
	struct pools *pools; /* gateway/origin */
	struct folders *folders; /* gateway/origin: of routes with files */
	struct exchanges *exchanges; /* gateway/exchange: free list, scratch, budget of retries */
	struct accesslog *log;
	struct trusted *trusted; /* proxies */
	struct conns *conns; /* gateway/front */
	bool draining;
};

#endif
