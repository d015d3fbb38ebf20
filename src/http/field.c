/*
 * field.c: the one table of field names that mean something to this program: the framing ones, those
 * that end at this hop (RFC 9110 section 7.6.1), and the owned ones, of all header profiles, switched
 * on or not. It is indexed by length, so a name is compared with six others at most.
 */
#include "http/field.h"

#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

#define NAME_MAX_LEN 24
#define NAMES_PER_LENGTH 7

struct known {
	const char *name; /* folded: lower case, with - only */
	enum field_id id;
};

/* The last row of each length stays empty and ends the search. */
static const struct known known[NAME_MAX_LEN + 1][NAMES_PER_LENGTH] = {
	[2] = { { "te", FIELD_TE } },
	[4] = { { "host", FIELD_HOST } },
	[5] = { { "proxy", FIELD_OWNED } }, /* CGI makes HTTP_PROXY of it: httpoxy */
	[6] = { { "expect", FIELD_EXPECT } },
	[7] = { { "upgrade", FIELD_UPGRADE }, { "trailer", FIELD_HOP } },
	[9] = { { "forwarded", FIELD_OWNED }, { "x-real-ip", FIELD_OWNED },
	    { "x-arr-ssl", FIELD_OWNED } },
	[10] = { { "connection", FIELD_CONNECTION }, { "keep-alive", FIELD_HOP } },
	[11] = { { "client-cert", FIELD_OWNED } },
	[12] = { { "x-request-id", FIELD_OWNED }, { "x-ssl-cipher", FIELD_OWNED } },
	[13] = { { "x-ssl-tls-sni", FIELD_OWNED } },
	[14] = { { "content-length", FIELD_CONTENT_LENGTH }, { "http2-settings", FIELD_HOP },
	    { "x-ssl-protocol", FIELD_OWNED } },
	[15] = { { "x-forwarded-for", FIELD_OWNED }, { "front-end-https", FIELD_OWNED } },
	[16] = { { "x-forwarded-host", FIELD_OWNED }, { "x-forwarded-port", FIELD_OWNED },
	    { "x-ssl-session-id", FIELD_OWNED }, { "x-arr-clientcert", FIELD_OWNED },
	    { "proxy-connection", FIELD_HOP } },
	[17] = { { "transfer-encoding", FIELD_TRANSFER_ENCODING },
	    { "x-forwarded-proto", FIELD_OWNED }, { "client-cert-chain", FIELD_OWNED },
	    { "x-ssl-client-cert", FIELD_OWNED }, { "x-ssl-client-s-dn", FIELD_OWNED },
	    { "x-ssl-client-i-dn", FIELD_OWNED } },
	[18] = { { "x-ssl-client-v-end", FIELD_OWNED }, { "proxy-authenticate", FIELD_HOP } },
	[19] = { { "x-ssl-client-verify", FIELD_OWNED }, { "proxy-authorization", FIELD_HOP } },
	[20] = { { "x-ssl-client-v-start", FIELD_OWNED } },
	[21] = { { "x-ssl-session-resumed", FIELD_OWNED },
	    { "x-ssl-client-m-serial", FIELD_OWNED } },
	[23] = { { "x-ssl-cipher-usekeysize", FIELD_OWNED },
	    { "x-ssl-cipher-algkeysize", FIELD_OWNED },
	    { "x-forwarded-client-cert", FIELD_OWNED } },
	[24] = { { "ms-aspnetcore-clientcert", FIELD_OWNED } },
};

/* CGI makes '_' of every octet that is no letter and no digit. */
static uint8_t fold(uint8_t c)
{
	uint8_t lower = c | 0x20;

	if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9'))
		return lower;
	return '-';
}

static bool folds_to(struct bytes name, const char *folded)
{
	for (size_t i = 0; i < name.len; i++)
		if (fold(name.at[i]) != (uint8_t)folded[i])
			return false;
	return true;
}

static enum field_id look_up(struct bytes name)
{
	if (name.len > NAME_MAX_LEN)
		return FIELD_OTHER;
	for (const struct known *k = known[name.len]; k->name != NULL; k++)
		if (folds_to(name, k->name))
			return k->id;
	return FIELD_OTHER;
}

enum field_id field_id(struct bytes name)
{
	enum field_id id = look_up(name);

	if (id == FIELD_OTHER || id == FIELD_OWNED)
		return id;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] != '-' && fold(name.at[i]) == '-')
			return FIELD_ALIKE;
	return id;
}

bool field_is_owned(struct bytes name)
{
	return look_up(name) == FIELD_OWNED;
}

bool field_is_hop_by_hop(struct bytes name)
{
	enum field_id id = look_up(name);

	return id >= FIELD_CONNECTION && id <= FIELD_HOP;
}

bool field_name_like(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (fold(a.at[i]) != fold(b.at[i]))
			return false;
	return true;
}

bool field_list_next(struct bytes *list, struct bytes *element)
{
	while (list->len > 0) {
		const uint8_t *comma = memchr(list->at, ',', list->len);
		size_t len = comma != NULL ? (size_t)(comma - list->at) : list->len;

		*element = octet_trim(bytes_of(list->at, len));
		*list = bytes_sub(*list, comma != NULL ? len + 1 : len, SIZE_MAX);
		if (element->len > 0)
			return true;
	}
	return false;
}

bool field_list_has(struct bytes list, const char *token)
{
	struct bytes element;

	while (field_list_next(&list, &element))
		if (bytes_case_equal_str(element, token))
			return true;
	return false;
}
