/*
 * hearsay.c: see hearsay.h. One block: the struct, and its texts behind it.
 */
#include "config.h"

#include "base/hex.h"
#include "gateway/front/hearsay.h"

#include <stdlib.h>

#include "base/poison.h"

static bool printable(struct bytes in)
{
	for (size_t i = 0; i < in.len; i++)
		if (in.at[i] < ' ' || in.at[i] > '~')
			return false;
	return true;
}

/* Its NUL included. */
static const char *keep(char **at, struct bytes in)
{
	const char *text = *at;

	for (size_t i = 0; i < in.len; i++)
		*(*at)++ = in.at[i] < ' ' || in.at[i] > '~' ? '?' : (char)in.at[i];
	*(*at)++ = '\0';
	return text;
}

/* Any bytes that are the proxy's own: text if they are, else hexadecimal. */
static const char *keep_id(char **at, struct bytes in)
{
	const char *text = *at;

	if (printable(in))
		return keep(at, in);
	hex_write(*at, in.at, in.len);
	*at += 2 * in.len + 1;
	return text;
}

struct hearsay *hearsay_new(const struct proxied_tlvs *said)
{
	size_t len = said->alpn.len + said->authority.len + 2 * said->unique_id.len +
		     said->tls_version.len + said->cipher.len + said->common_name.len + 6;
	struct hearsay *h = malloc(sizeof(*h) + len);
	char *at;

	if (h == NULL)
		return NULL;
	at = h->texts;
	h->len = len;
	h->alpn = keep(&at, said->alpn);
	h->authority = keep(&at, said->authority);
	h->unique_id = keep_id(&at, said->unique_id);
	h->tls_version = keep(&at, said->tls_version);
	h->cipher = keep(&at, said->cipher);
	h->common_name = keep(&at, said->common_name);
	h->verify = !said->tls           ? ""
		    : !said->certificate ? "NONE"
		    : said->verified     ? "SUCCESS"
					 : "FAILED";
	return h;
}

void hearsay_free(const struct hearsay *h)
{
	free((void *)(uintptr_t)h);
}
