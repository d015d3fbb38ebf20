/*
 * format.h: a line of the access log: Apache's "combined",
 *
 *	host - - [time] "request line" status bytes "Referer" "User-Agent"
 *
 * or "json", an object of all that is known, or a text in which "%{status}" and the like stand for it
 * ("%%{" for "%{" itself; what is not known is "-").
 *
 * Text from strangers is written as Apache writes it: \" and \\ and \xNN for what is not printable
 * ASCII; in JSON \u00NN, \uNNNN, and \ufffd for what is no UTF-8. So a line cannot be forged, nor a
 * terminal be talked to.
 */
#ifndef GATEWAY_EXCHANGE_FORMAT_H
#define GATEWAY_EXCHANGE_FORMAT_H

#include "base/bytes.h"
#include "gateway/client.h"

enum {
	FORMAT_TEXT_MAX = 4096, /* bytes of one text as written; what is longer is cut, */
	FORMAT_TEXT_SHORT = 256, /* and to this, should the line not fit */
	FORMAT_LINE_MAX = 48 * 1024,
	FORMAT_PARTS_MAX = 64,
	FORMAT_TIME_SIZE = 32,
};

#define FORMAT_NONE UINT64_MAX /* a number that is not known */

/* In the order in which they stand in JSON. X(constant, name, what it is) */
#define FORMAT_VARIABLES(X)                                                                        \
	X(FORMAT_TIME, "time", "local, as Apache writes it; in JSON UTC, as ISO 8601 has it")      \
	X(FORMAT_CLIENT, "client", "address of the client")                                        \
	X(FORMAT_PEER, "peer", "address of the connection, or of its PROXY header")                \
	X(FORMAT_PEER_PORT, "peer_port", "its port")                                               \
	X(FORMAT_PORT, "port", "ours")                                                             \
	X(FORMAT_METHOD, "method", "of the request")                                               \
	X(FORMAT_TARGET, "target", "path and query, as the server gets it")                        \
	X(FORMAT_PROTOCOL, "protocol", "HTTP/1.0 or HTTP/1.1")                                     \
	X(FORMAT_HOST, "host", "that was asked for")                                               \
	X(FORMAT_STATUS, "status", "of the answer")                                                \
	X(FORMAT_BYTES_IN, "bytes_in", "of the request's body")                                    \
	X(FORMAT_BYTES_OUT, "bytes_out", "of the answer's body")                                   \
	X(FORMAT_REFERER, "referer", "Referer")                                                    \
	X(FORMAT_USER_AGENT, "user_agent", "User-Agent")                                           \
	X(FORMAT_REQUEST_ID, "request_id", "X-Request-ID")                                         \
	X(FORMAT_SITE, "site", "its name")                                                         \
	X(FORMAT_SERVER, "server", "that answered, or was asked last")                             \
	X(FORMAT_TRIES, "tries", "servers that were asked")                                        \
	X(FORMAT_MS, "ms", "in all, from the request's head to the answer's end")                  \
	X(FORMAT_MS_HEAD, "ms_head", "until the answer's head")                                    \
	X(FORMAT_MS_QUEUED, "ms_queued", "in line for a server")                                   \
	X(FORMAT_REASON, "reason", "why it went wrong; also a counter's name")                     \
	X(FORMAT_TLS_VERSION, "tls_version", "TLSv1.3; none without TLS, like the next")           \
	X(FORMAT_CIPHER, "cipher", "its name")                                                     \
	X(FORMAT_RESUMED, "resumed", "no, ticket, cache")                                          \
	X(FORMAT_SNI, "sni", "the name in the ClientHello")                                        \
	X(FORMAT_CLIENT_VERIFY, "client_verify", "NONE, SUCCESS, FAILED:reason")                   \
	X(FORMAT_CLIENT_SUBJECT, "client_subject", "of the client's certificate")                  \
	X(FORMAT_PROXY_ALPN, "proxy_alpn", "this and the rest: by the PROXY header")               \
	X(FORMAT_PROXY_AUTHORITY, "proxy_authority", "name that was asked for there")              \
	X(FORMAT_PROXY_ID, "proxy_id", "the proxy's own, in hex if it is no text")                 \
	X(FORMAT_PROXY_TLS_VERSION, "proxy_tls_version", "between client and proxy")               \
	X(FORMAT_PROXY_CIPHER, "proxy_cipher", "likewise")                                         \
	X(FORMAT_PROXY_CLIENT_CN, "proxy_client_cn", "of the client's certificate there")          \
	X(FORMAT_PROXY_CLIENT_VERIFY, "proxy_client_verify", "NONE, SUCCESS, FAILED")

enum format_variable {
#define X(id, name, what) id,
	FORMAT_VARIABLES(X)
#undef X
	    FORMAT_VARIABLES_N
};

struct format_facts {
	const struct client *client;
	int64_t wall; /* unix seconds */
	struct bytes peer; /* the client's address */
	struct bytes time; /* as format_time() makes it */
	struct bytes method, target; /* empty: none was understood */
	struct bytes host, referer, agent, id, site, server;
	uint8_t minor;
	uint16_t status; /* 0: none was sent */
	uint64_t length; /* of the answer's body */
	uint64_t asked; /* of the request's */
	uint64_t tries, ms, ms_head, ms_queued; /* FORMAT_NONE */
	const char *reason; /* NULL: none */
};

struct format {
	enum { FORMAT_COMBINED, FORMAT_JSON, FORMAT_TEXT } kind;
	size_t n;
	struct format_part {
		int variable; /* enum format_variable, or -1: text */
		struct bytes text; /* of the string that was parsed */
	} parts[FORMAT_PARTS_MAX];
};

/* "combined", "json", or a text, which stays borrowed. NULL, or what is wrong with it, in why. */
const char *format_parse(struct format *, const char *, char *why, size_t size);
/* With its newline. FORMAT_LINE_MAX bytes always suffice; 0: size does not. */
size_t format_write(const struct format *, const struct format_facts *, char *line, size_t size);
size_t format_combined(const struct format_facts *, char *line, size_t size);
size_t format_time(
    int64_t wall, char buf[static FORMAT_TIME_SIZE]); /* 24/Nov/2026:08:21:47 +0000 */
size_t format_time_syslog(
    int64_t wall, char buf[static FORMAT_TIME_SIZE]); /* Nov 24 08:21:47, by RFC 3164 */

/* format_text.c: one text; what is written is at most max bytes long. */
void format_write_text(struct writer *, struct bytes, size_t max);
void format_write_json(struct writer *, struct bytes, size_t max); /* in its quotes */

#endif
