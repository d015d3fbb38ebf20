/*
 * peercert.c: the role and the name in a certificate. Strict: what could be read in two ways is refused.
 */
#include "net/peercert.h"

#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "crypto/cert.h"

#include "base/poison.h"

static const struct {
	const char *uri;
	enum role role;
} roles[] = {
	{ "sslgw:gateway", ROLE_GATEWAY },
	{ "sslgw:keysvc", ROLE_KEYSVC },
	{ "sslgw:cachesvc", ROLE_CACHESVC },
	{ "sslgw:operator", ROLE_OPERATOR },
};

enum { ROLE_PREFIX_LEN = sizeof("sslgw:") - 1 };

const char *role_name(unsigned role)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (roles[i].role == role)
			return roles[i].uri + ROLE_PREFIX_LEN;
	return "none";
}

static struct bytes bytes_of_string(const ASN1_STRING *s)
{
	return bytes_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* 0: taken or not ours, -1: an unknown role, or a second one. The prefix counts in any case of letters,
 * so that what looks like a role to others is not taken for none. */
static int take_uri(struct bytes uri, unsigned *role)
{
	if (!bytes_case_equal_str(bytes_sub(uri, 0, ROLE_PREFIX_LEN), "sslgw:"))
		return 0;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (bytes_equal_str(uri, roles[i].uri) && *role == 0) {
			*role = roles[i].role;
			return 0;
		}
	return -1;
}

/* A name goes to logs and is compared with policies: printable ASCII alone. */
static int take_name(struct bytes name, char *to)
{
	if (name.len == 0 || name.len >= TLSCTX_NAME_MAX)
		return -1;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= ' ' || name.at[i] > '~')
			return -1;
	memcpy(to, name.at, name.len);
	to[name.len] = '\0';
	return 0;
}

static int read_alt_names(X509 *cert, struct tlsctx_peer *peer, const char **why)
{
	int critical = -1, r = 0;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);

	if (names == NULL && critical == -1) /* there is none */
		return 0;
	if (names == NULL) {
		*why = "its subjectAltName is malformed or doubled";
		return -1;
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && r == 0; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_URI) {
			r = take_uri(
			    bytes_of_string(name->d.uniformResourceIdentifier), &peer->role);
			*why = "it has two roles, or an unknown one";
		} else if (name->type == GEN_DNS && peer->name[0] == '\0') {
			r = take_name(bytes_of_string(name->d.dNSName), peer->name);
			*why = "its DNS name is malformed";
		}
	}
	GENERAL_NAMES_free(names);
	return r;
}

static void read_common_name(X509 *cert, struct tlsctx_peer *peer)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len;
	unsigned char *text = NULL;

	if (at < 0)
		return;
	len = ASN1_STRING_to_UTF8(
	    &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len > 0)
		(void)take_name(bytes_of(text, (size_t)len), peer->name);
	OPENSSL_free(text);
}

static int64_t unix_time(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int peercert_read(X509 *cert, bool foreign, struct tlsctx_peer *peer, const char **why)
{
	*peer = (struct tlsctx_peer){ .not_after = unix_time(X509_get0_notAfter(cert)) };
	if (key_spki_sha256(X509_get0_pubkey(cert), peer->spki) != 0) {
		*why = "its public key cannot be read";
		return -1;
	}
	if (read_alt_names(cert, peer, why) != 0) {
		if (!foreign)
			return -1;
		peer->role = 0;
	}
	if (peer->role == 0) {
		peer->role = ROLE_NONE;
		if (peer->name[0] == '\0')
			read_common_name(cert, peer);
	}
	if (peer->name[0] == '\0' && !foreign) {
		*why = "it has no name (a DNS name in subjectAltName)";
		return -1;
	}
	return 0;
}
