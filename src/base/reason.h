/*
 * reason.h: the one list of why a connection, a request or a question ended. It feeds the log,
 * the counters and the tests; every exit names one of these.
 *
 * X(constant, counter name, text for the operator, whose fault)
 */
#ifndef BASE_REASON_H
#define BASE_REASON_H

enum fault { FAULT_NONE, FAULT_CLIENT, FAULT_BACKEND, FAULT_SERVICE, FAULT_OPERATOR, FAULT_OURS };

#define REASON_LIST(X)                                                                             \
	X(REASON_NONE, "none", "no error", FAULT_NONE)                                             \
	X(REASON_DONE, "done", "completed", FAULT_NONE)                                            \
	X(REASON_CLOSE, "close", "closed by the other side", FAULT_NONE)                           \
	X(REASON_IDLE, "idle", "idle for too long", FAULT_NONE)                                    \
	X(REASON_DRAIN, "drain", "this process is draining", FAULT_NONE)                           \
	X(REASON_RESET, "reset", "connection reset", FAULT_CLIENT)                                 \
	X(REASON_IO, "io", "read or write failed", FAULT_CLIENT)                                   \
	X(REASON_TRUNCATED, "truncated", "closed in the middle of a message", FAULT_CLIENT)        \
	X(REASON_MEMORY, "memory", "out of memory", FAULT_OURS)                                    \
	X(REASON_LIMIT, "limit", "a limit on connections was reached", FAULT_OPERATOR)             \
	X(REASON_CLIENT_LIMIT, "client_limit", "too many connections of one address",              \
	    FAULT_CLIENT)                                                                          \
	X(REASON_CLIENT_RATE, "client_rate", "too many new connections of one address",            \
	    FAULT_CLIENT)                                                                          \
	X(REASON_INTERNAL, "internal", "internal error", FAULT_OURS)                               \
	X(REASON_GLITCHES, "glitches", "too many oddities on one connection", FAULT_CLIENT)        \
	X(REASON_HANDSHAKE_TIMEOUT, "handshake_timeout", "TLS handshake took too long",            \
	    FAULT_CLIENT)                                                                          \
	X(REASON_TLS, "tls", "TLS protocol error", FAULT_CLIENT)                                   \
	X(REASON_TLS_ALERT, "tls_alert", "the client sent a TLS alert", FAULT_CLIENT)              \
	X(REASON_TLS_VERSION, "tls_version", "no common TLS version", FAULT_CLIENT)                \
	X(REASON_TLS_CIPHER, "tls_cipher", "no common cipher suite", FAULT_CLIENT)                 \
	X(REASON_TLS_ALPN, "tls_alpn", "no common application protocol", FAULT_CLIENT)             \
	X(REASON_TLS_HELLO_CHANGED, "tls_hello_changed",                                           \
	    "the second ClientHello differs in SNI or PSK", FAULT_CLIENT)                          \
	X(REASON_TLS_HELLO_SIZE, "tls_hello_size", "ClientHello above 16 KiB", FAULT_CLIENT)       \
	X(REASON_TLS_CLIENT_CERT, "tls_client_cert", "the client certificate does not verify",     \
	    FAULT_CLIENT)                                                                          \
	X(REASON_TLS_NO_CLIENT_CERT, "tls_no_client_cert", "no client certificate was given",      \
	    FAULT_CLIENT)                                                                          \
	X(REASON_TLS_RENEGOTIATION, "tls_renegotiation", "renegotiation or too many KeyUpdates",   \
	    FAULT_CLIENT)                                                                          \
	X(REASON_PROXY_HEADER, "proxy_header", "no PROXY header, or a broken one", FAULT_CLIENT)   \
	X(REASON_PROXY_UNTRUSTED, "proxy_untrusted", "no proxy of trusted_proxies", FAULT_CLIENT)  \
	X(REASON_PLAIN_ON_TLS, "plain_on_tls", "plain HTTP on the TLS port", FAULT_CLIENT)         \
	X(REASON_KEY_SERVICE, "key_service", "no key service answered", FAULT_SERVICE)             \
	X(REASON_KEY_REFUSED, "key_refused", "the key service refused to sign", FAULT_SERVICE)     \
	X(REASON_KEY_SHED, "key_shed", "too many handshakes wait for a signature", FAULT_OPERATOR) \
	X(REASON_SERVICE_DEADLINE, "service_deadline", "the service did not answer in time",       \
	    FAULT_SERVICE)                                                                         \
	X(REASON_SERVICE_LOST, "service_lost", "the connection to the service was lost",           \
	    FAULT_SERVICE)                                                                         \
	X(REASON_SERVICE_PROTOCOL, "service_protocol", "the service's answer makes no sense",      \
	    FAULT_SERVICE)                                                                         \
	X(REASON_SERVICE_BREAKER, "service_breaker",                                               \
	    "the service failed too often and is being spared", FAULT_SERVICE)                     \
	X(REASON_SERVICE_FULL, "service_full", "too many questions are in flight", FAULT_SERVICE)  \
	X(REASON_PEER_REFUSED, "peer_refused", "the caller is not allowed here", FAULT_CLIENT)     \
	X(REASON_HEAD_TIMEOUT, "head_timeout", "request head took too long", FAULT_CLIENT)         \
	X(REASON_BODY_TIMEOUT, "body_timeout", "request body took too long", FAULT_CLIENT)         \
	X(REASON_BODY_RATE, "body_rate", "request body came too slowly", FAULT_CLIENT)             \
	X(REASON_WRITE_TIMEOUT, "write_timeout", "the client stopped reading", FAULT_CLIENT)       \
	X(REASON_TUNNEL_TIMEOUT, "tunnel_timeout", "tunnel idle for too long", FAULT_NONE)         \
	X(REASON_REQUEST_LINE, "request_line", "malformed request line", FAULT_CLIENT)             \
	X(REASON_METHOD, "method", "method not allowed here", FAULT_CLIENT)                        \
	X(REASON_METHOD_UNKNOWN, "method_unknown", "unknown method", FAULT_CLIENT)                 \
	X(REASON_VERSION, "version", "unsupported HTTP version", FAULT_CLIENT)                     \
	X(REASON_TARGET, "target", "malformed request target", FAULT_CLIENT)                       \
	X(REASON_TARGET_SIZE, "target_size", "request line too long", FAULT_CLIENT)                \
	X(REASON_HEAD_SIZE, "head_size", "head too large", FAULT_CLIENT)                           \
	X(REASON_FIELDS, "fields", "too many fields", FAULT_CLIENT)                                \
	X(REASON_LINE_END, "line_end", "a line does not end with CRLF", FAULT_CLIENT)              \
	X(REASON_FIELD_NAME, "field_name", "malformed field name", FAULT_CLIENT)                   \
	X(REASON_FIELD_VALUE, "field_value", "control character in a field value", FAULT_CLIENT)   \
	X(REASON_FOLD, "fold", "folded field", FAULT_CLIENT)                                       \
	X(REASON_HOST, "host", "Host missing, doubled or malformed", FAULT_CLIENT)                 \
	X(REASON_HOST_MISMATCH, "host_mismatch", "Host and request target differ", FAULT_CLIENT)   \
	X(REASON_MISDIRECTED, "misdirected", "Host belongs to a site with other client rules",     \
	    FAULT_CLIENT)                                                                          \
	X(REASON_CONTENT_LENGTH, "content_length", "bad or doubled Content-Length", FAULT_CLIENT)  \
	X(REASON_TRANSFER_ENCODING, "transfer_encoding", "unsupported Transfer-Encoding",          \
	    FAULT_CLIENT)                                                                          \
	X(REASON_FRAMING, "framing", "Content-Length and Transfer-Encoding together",              \
	    FAULT_CLIENT)                                                                          \
	X(REASON_CHUNK, "chunk", "malformed chunk", FAULT_CLIENT)                                  \
	X(REASON_CHUNK_OVERHEAD, "chunk_overhead", "too much chunk overhead", FAULT_CLIENT)        \
	X(REASON_TRAILER, "trailer", "malformed or too large trailers", FAULT_CLIENT)              \
	X(REASON_BODY_SIZE, "body_size", "request body too large", FAULT_CLIENT)                   \
	X(REASON_EXPECT, "expect", "unknown expectation", FAULT_CLIENT)                            \
	X(REASON_PATH, "path", "a path that servers read in different ways", FAULT_CLIENT)         \
	X(REASON_FORBIDDEN, "forbidden", "the client may not ask for this", FAULT_CLIENT)          \
	X(REASON_NO_ROUTE, "no_route", "no route for this path", FAULT_OPERATOR)                   \
	X(REASON_NO_FILE, "no_file", "no file of that name is served", FAULT_CLIENT)               \
	X(REASON_FILE_ACCESS, "file_access", "the workers' user may not read the file",            \
	    FAULT_OPERATOR)                                                                        \
	X(REASON_FILE_IO, "file_io", "the file or its folder cannot be read", FAULT_OPERATOR)      \
	X(REASON_FILE_SHRANK, "file_shrank", "the file shrank while it was sent", FAULT_OPERATOR)  \
	X(REASON_NO_SERVER, "no_server", "no server of the pool can be used", FAULT_BACKEND)       \
	X(REASON_POOL_BUSY, "pool_busy", "all connections of the pool are in use", FAULT_BACKEND)  \
	X(REASON_QUEUE_FULL, "queue_full", "the pool's queue is full", FAULT_BACKEND)              \
	X(REASON_QUEUE_TIMEOUT, "queue_timeout", "waited too long in the pool's queue",            \
	    FAULT_BACKEND)                                                                         \
	X(REASON_CONNECT, "connect", "the back-end refused the connection", FAULT_BACKEND)         \
	X(REASON_CONNECT_TIMEOUT, "connect_timeout", "connecting to the back-end took too long",   \
	    FAULT_BACKEND)                                                                         \
	X(REASON_ANSWER_TIMEOUT, "answer_timeout", "the back-end did not answer in time",          \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_CLOSE, "backend_close", "the back-end closed before answering",           \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_RESET, "backend_reset", "the back-end reset the connection",              \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_TRUNCATED, "backend_truncated",                                           \
	    "the back-end closed in the middle of its answer", FAULT_BACKEND)                      \
	X(REASON_BACKEND_STATUS, "backend_status", "malformed status line from the back-end",      \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_HEAD, "backend_head", "malformed answer head from the back-end",          \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_HEAD_SIZE, "backend_head_size", "answer head too large", FAULT_BACKEND)   \
	X(REASON_BACKEND_FRAMING, "backend_framing", "ambiguous answer framing from the back-end", \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_CHUNK, "backend_chunk", "malformed chunk from the back-end",              \
	    FAULT_BACKEND)                                                                         \
	X(REASON_BACKEND_INTERIM, "backend_interim", "too many interim answers", FAULT_BACKEND)    \
	X(REASON_BACKEND_UPGRADE, "backend_upgrade", "101 that nobody asked for", FAULT_BACKEND)   \
	X(REASON_BACKEND_SURPLUS, "backend_surplus", "bytes of the back-end after its answer",     \
	    FAULT_BACKEND)                                                                         \
	X(REASON_EARLY_ANSWER, "early_answer", "answered before the request was complete",         \
	    FAULT_NONE)

enum reason {
#define X(id, name, text, fault) id,
	REASON_LIST(X)
#undef X
	    REASON_N
};

const char *reason_name(enum reason); /* counter name: lower case, digits, underscore */
const char *reason_text(enum reason); /* for the operator; a few words */
enum fault reason_fault(enum reason);

#endif
