/*
 * service_identity.c: who has called: from the socket, and from the certificate once the handshake is
 * done; and a word about whoever was refused.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/service_private.h"

#include "base/poison.h"

enum { SERVICE_TELL_REFUSED_MS = 10 * 1000 }; /* between two lines about refused callers */

/* SO_PEERCRED names who called connect(2); on TCP there is nobody to name before the handshake. */
void service_identify(struct service_conn *conn, int fd, const struct endpoint *peer)
{
	struct identity *identity = &conn->identity;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int domain = 0;
	socklen_t domain_len = sizeof(domain);

	*identity = (struct identity){
		.uid = (uid_t)-1, .gid = (gid_t)-1, .pid = -1, .name = "", .address = *peer
	};
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) != 0 || domain != AF_UNIX)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return;
	identity->local = true;
	identity->uid = cred.uid;
	identity->gid = cred.gid;
	identity->pid = cred.pid;
}

int service_identify_tls(struct service_conn *conn)
{
	/* The list may have changed since the chain was verified. */
	if (tlsctx_peer(stream_ssl(conn->stream), &conn->peer) != 0 ||
	    tlsctx_denied(conn->tls, conn->peer.spki))
		return -1;
	conn->identity.tls = true;
	conn->identity.name = conn->peer.name;
	conn->identity.role = conn->peer.role;
	memcpy(conn->identity.spki, conn->peer.spki, sizeof(conn->identity.spki));
	return 0;
}

/* Whoever is refused knows it by the alert; the operator by this, not once for each of a flood. */
void service_refused(struct service_conn *conn)
{
	struct service *service = conn->service;
	uint64_t now = loop_now_ms(service->loop);
	char text[ENDPOINT_TEXT_MAX];
	const char *why;

	service->refused_n++;
	if (service->refused_ms != 0 && now - service->refused_ms < SERVICE_TELL_REFUSED_MS)
		return;
	service->refused_ms = now;
	why = tlsctx_refusal(stream_ssl(conn->stream));
	if (why == NULL) /* before the peer could show a certificate, or without one */
		why = ERR_reason_error_string(ERR_peek_error());
	log_warnx("service: %s is refused (%u in all): %s",
	    endpoint_text(&conn->identity.address, text, sizeof(text)), service->refused_n,
	    why != NULL ? why : reason_text(REASON_TLS));
}
