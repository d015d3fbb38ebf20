/*
 * profiles.c: see profiles.h. A certificate is at hand as URL-encoded PEM: its base64 is taken out of
 * that, so nothing here needs to know what a certificate is.
 */
#include "config.h"

#include "gateway/exchange/profiles.h"

#include <string.h>

#include "gateway/exchange/fields.h"
#include "http/octet.h"
#include "http/write.h"

#include "base/poison.h"

enum { PROFILES_MAX_BYTES = 640 }; /* names, and what is of no variable length */

/* A quoted-string: the text holds no controls. */
static void write_quoted(struct writer *w, struct bytes text)
{
	writer_u8(w, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			writer_u8(w, '\\');
		writer_u8(w, text.at[i]);
	}
	writer_u8(w, '"');
}

/* What stands between the first line and the last: five dashes end the one and begin the other. */
static void write_base64(struct writer *w, const char *pem)
{
	const char *at = strstr(pem, "-----BEGIN"), *end = NULL;

	at = at != NULL ? strstr(at + 10, "-----") : NULL;
	if (at != NULL)
		end = strstr(at + 5, "-----");
	for (at = end != NULL ? at + 5 : NULL; at != NULL && at < end; at++) {
		int c = octet_escape((const uint8_t *)at, (size_t)(end - at));

		if (c == -1)
			c = (unsigned char)*at;
		else
			at += 2;
		if (c != '\n')
			writer_u8(w, (uint8_t)c);
	}
}

/* RFC 7239: an IPv6 address stands in brackets, and then in quotes. */
static void write_rfc7239(struct writer *w, const struct headers_facts *f)
{
	bool ip6 = f->peer.len > 0 && memchr(f->peer.at, ':', f->peer.len) != NULL;

	writer_str(w, "Forwarded: ");
	forwarded_write_hops(w, f->said);
	writer_str(w, "for=");
	if (ip6)
		writer_str(w, "\"[");
	else if (f->peer.len == 0)
		writer_str(w, "unknown");
	writer_bytes(w, f->peer);
	if (ip6)
		writer_str(w, "]\"");
	if (f->head->authority.at != NULL) {
		writer_str(w, ";host=");
		write_quoted(w, f->head->authority);
	}
	writer_str(w, f->client->version != NULL ? ";proto=https\r\n" : ";proto=http\r\n");
}

static void write_rfc9440(struct writer *w, const struct clientcert *cert)
{
	writer_str(w, "Client-Cert: :");
	write_base64(w, cert->pem_urlencoded);
	writer_str(w, ":\r\n");
	if (cert->chain == NULL)
		return;
	writer_str(w, "Client-Cert-Chain: ");
	writer_str(w, cert->chain);
	writer_str(w, "\r\n");
}

/* Of the server's own certificate, which ARR describes in X-ARR-SSL, only the cipher's size is told. */
static void write_iis(struct writer *w, const struct client *client)
{
	static const char *const names[] = { "X-ARR-ClientCert: ", "MS-ASPNETCORE-CLIENTCERT: " };

	writer_str(w, "Front-End-Https: on\r\nX-ARR-SSL: ");
	write_number(w, (uint64_t)client->alg_bits);
	writer_u8(w, '|');
	write_number(w, (uint64_t)client->cipher_bits);
	writer_str(w, "||\r\n");
	for (size_t i = 0; client->cert != NULL && i < 2; i++) {
		writer_str(w, names[i]);
		write_base64(w, client->cert->pem_urlencoded);
		writer_str(w, "\r\n");
	}
}

static void write_xfcc(struct writer *w, const struct clientcert *cert)
{
	writer_str(w, "X-Forwarded-Client-Cert: Hash=");
	writer_str(w, cert->hash);
	writer_str(w, ";Cert=");
	write_quoted(w, bytes_str(cert->pem_urlencoded));
	writer_str(w, ";Subject=");
	write_quoted(w, bytes_str(cert->subject));
	for (const char *san = cert->sans; san != NULL && *san != '\0'; san += strlen(san) + 1) {
		bool uri = strncmp(san, "URI:", 4) == 0;

		if (!uri && strncmp(san, "DNS:", 4) != 0)
			continue;
		writer_str(w, uri ? ";URI=" : ";DNS=");
		write_quoted(w, bytes_str(san + 4));
	}
	writer_str(w, "\r\n");
}

/* Behind the fields of that name that came, which pass: all of them are one list. */
static void write_via(struct writer *w, const struct head *head)
{
	writer_str(w, head->minor == 0 ? "Via: 1.0 sslgw\r\n" : "Via: 1.1 sslgw\r\n");
}

void profiles_write(struct writer *w, const struct headers_facts *f)
{
	unsigned profiles = f->site->conf->headers;
	const struct client *client = f->client;

	if ((profiles & HEADERS_RFC7239) != 0)
		write_rfc7239(w, f);
	if ((profiles & HEADERS_VIA) != 0)
		write_via(w, f->head);
	if (client->version == NULL)
		return;
	if ((profiles & HEADERS_RFC9440) != 0 && client->cert != NULL)
		write_rfc9440(w, client->cert);
	if ((profiles & HEADERS_IIS) != 0)
		write_iis(w, client);
	if ((profiles & HEADERS_XFCC) != 0 && client->cert != NULL)
		write_xfcc(w, client->cert);
}

size_t profiles_bound(const struct headers_facts *f)
{
	const struct clientcert *cert = f->client->cert;
	size_t n = PROFILES_MAX_BYTES + 2 * f->head->authority.len + f->peer.len;

	if (cert == NULL || (f->site->conf->headers & ~(HEADERS_FORWARDED | HEADERS_MOD_SSL)) == 0)
		return n;
	n += 4 * strlen(cert->pem_urlencoded) + 2 * strlen(cert->subject);
	n += cert->chain != NULL ? strlen(cert->chain) : 0;
	for (const char *san = cert->sans; san != NULL && *san != '\0'; san += strlen(san) + 1)
		n += 2 * strlen(san) + 8;
	return n;
}
