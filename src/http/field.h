/*
 * field.h: field names and the comma lists in some values.
 *
 * CGI, IIS and others cannot tell X-Forwarded-For, X_Forwarded_For and X.Forwarded.For apart (Apache
 * of old: nor X!Forwarded!For), so a name that matters is recognised in all these spellings: without
 * case, and with all that is no letter and no digit as one character. Only the exact spelling (case
 * aside) has the field's meaning; the others are never passed on.
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include "base/bytes.h"

enum field_id {
	FIELD_OTHER, /* end to end: may be passed on */
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_EXPECT,
	FIELD_CONNECTION, /* from here on hop by hop */
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_TE,
	FIELD_HOP, /* any other that ends at this hop */
	FIELD_ALIKE, /* spelled like one of the above, but not it: never passed on */
	FIELD_OWNED, /* a name that only sslgw writes, in any spelling */
};

/* All of these cost O(length of the name) and allocate nothing. */
enum field_id field_id(struct bytes name);
bool field_is_owned(struct bytes name); /* in a name of a header profile, or Proxy (httpoxy) */
bool field_is_hop_by_hop(struct bytes name); /* in any spelling */
bool field_name_like(struct bytes, struct bytes);

/* Takes the next element of a comma list off *list, trimmed; empty ones are skipped. False: no more. */
bool field_list_next(struct bytes *list, struct bytes *element);
/* Is this token (lower case) an element of the list? */
bool field_list_has(struct bytes list, const char *token);

#endif
