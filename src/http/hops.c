/*
 * hops.c: see hops.h. White space is taken round each semicolon and comma: some write it.
 */
#include "http/hops.h"

#include "http/octet.h"

#include "base/poison.h"

enum { SAID_FOR = 1, SAID_HOST = 2, SAID_PROTO = 4, SAID_BY = 8 };

static void skip_blanks(struct bytes *in)
{
	while (in->len > 0 && (in->at[0] == ' ' || in->at[0] == '\t'))
		*in = bytes_sub(*in, 1, in->len);
}

static bool take_octet(struct bytes *in, uint8_t octet)
{
	if (in->len == 0 || in->at[0] != octet)
		return false;
	*in = bytes_sub(*in, 1, in->len);
	return true;
}

static bool take_token(struct bytes *in, struct bytes *token)
{
	*token = bytes_sub(*in, 0, octet_run(in->at, in->len, OCTET_TOKEN));
	*in = bytes_sub(*in, token->len, in->len);
	return token->len > 0;
}

/* What is between the quotes; of one that needs a backslash, nothing. False: it does not end. */
static bool take_quoted(struct bytes *in, struct bytes *text)
{
	bool escaped = false;
	size_t i = 1;

	for (; i < in->len && in->at[i] != '"'; i++) {
		if (in->at[i] == '\\') {
			escaped = true;
			i++;
		}
	}
	if (i >= in->len)
		return false;
	*text = escaped ? bytes_of(NULL, 0) : bytes_sub(*in, 1, i - 1);
	*in = bytes_sub(*in, i + 1, in->len);
	return true;
}

/* name=value; *said has the names that were there before. */
static bool take_pair(struct bytes *in, struct hop *hop, unsigned *said)
{
	struct bytes name, value, nobody;
	const struct {
		const char *name;
		unsigned bit;
		struct bytes *to;
	} known[] = { { "for", SAID_FOR, &hop->node }, { "host", SAID_HOST, &hop->host },
		{ "proto", SAID_PROTO, &hop->proto }, { "by", SAID_BY, &nobody } };

	if (!take_token(in, &name) || !take_octet(in, '='))
		return false;
	if (in->len > 0 && in->at[0] == '"' ? !take_quoted(in, &value) : !take_token(in, &value))
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!bytes_case_equal_str(name, known[i].name))
			continue;
		if ((*said & known[i].bit) != 0)
			return false;
		*said |= known[i].bit;
		*known[i].to = value;
	}
	return true;
}

enum parse hops_next(struct bytes *list, struct hop *hop)
{
	struct bytes in = *list;
	unsigned said = 0;

	*hop = (struct hop){ 0 };
	do
		skip_blanks(&in);
	while (take_octet(&in, ','));
	if (in.len == 0) {
		*list = in;
		return PARSE_MORE;
	}
	do {
		skip_blanks(&in);
		if (in.len > 0 && in.at[0] != ';' && in.at[0] != ',' && !take_pair(&in, hop, &said))
			return PARSE_BAD;
		skip_blanks(&in);
	} while (take_octet(&in, ';'));
	if (in.len > 0 && !take_octet(&in, ','))
		return PARSE_BAD;
	*list = in;
	return PARSE_OK;
}
