/*
 * client.h: the facts about who is at the other end of a connection. Filled once, at the end of the
 * handshake (or at accept, on a plain listener); then const; outlives its exchanges. All text in it
 * is safe to put into a field: no CR, LF, NUL or other control character.
 */
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H

#include "base/bytes.h"
#include "gateway/gateway_conf.h"
#include "net/endpoint.h"

struct site;

enum { CLIENT_PEER_TEXT_MAX = ENDPOINT_HOST_MAX };

enum client_resumed { CLIENT_FULL, CLIENT_BY_TICKET, CLIENT_BY_CACHE };

/* A client certificate's text, made once. Heap, owned by the clientcert. */
struct clientcert {
	char *subject, *issuer; /* RFC 2253, controls and non-ASCII escaped */
	char *serial; /* upper-case hex */
	char *not_before, *not_after; /* "Nov 24 06:00:00 2026 GMT" */
	char *pem_urlencoded; /* leaf, URL-encoded PEM */
	char *sans; /* "DNS:a", "URI:b", "email:c", each with its NUL, an empty one last */
	char *chain; /* ":BASE64:, :BASE64:", what the client sent beside it; NULL: none */
	char hash[65]; /* SHA-256 of its DER, lower-case hex; "": not wanted */
	char verify[96]; /* "SUCCESS", "FAILED:reason" */
};

/* What a PROXY header says of the connection to the proxy before us; "" where it says nothing. */
struct hearsay {
	const char *alpn, *authority; /* protocol; the name that was asked for, as a rule SNI */
	const char *unique_id; /* the proxy's own, as it is or in hex */
	const char *tls_version, *cipher;
	const char *common_name; /* of the client's certificate */
	const char *verify; /* "NONE", "SUCCESS", "FAILED"; "": no TLS */
	size_t len; /* of all, at most */
	char texts[];
};

struct client {
	/* What each request asks for lies together. */
	char peer_text[CLIENT_PEER_TEXT_MAX]; /* peer's host; "unix" */
	bool trusted; /* peer is a trusted proxy: what it says of its clients counts */
	const struct site *site; /* chosen by SNI; the default site without */
	const struct clientcert
	    *cert; /* verified leaf, owned by whoever owns the client; NULL: none */
	const char *version; /* "TLSv1.3"; NULL: plain HTTP. Static strings of libssl */
	const struct hearsay *hearsay; /* owned as cert is; NULL: nothing */
	int listener_mode; /* enum listener_mode */
	union endpoint_brief local, peer; /* of the socket, or as a PROXY header has them */

	const char *cipher; /* "TLS_AES_128_GCM_SHA256" */
	int cipher_bits, alg_bits;
	enum client_resumed resumed;
	/* Lower case, frozen from the first ClientHello; NULL: none. Heap, owned as cert is. */
	const char *sni;
	uint8_t session_id[32]; /* of TLS 1.2 id sessions only */
	uint8_t session_id_len;
	const char *verify; /* "NONE", or cert's */
};

#endif
