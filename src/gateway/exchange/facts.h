/*
 * facts.h: what is known of a request, by name, and texts that such names stand in: "%{tls_version}".
 * "%%{" stands for "%{" itself. What has no value (the subject of a client without a certificate) is
 * empty. All of it is safe in a field: the facts are checked where they come from (http/head,
 * tls/clientcert), the text around them by template_check().
 */
#ifndef GATEWAY_EXCHANGE_FACTS_H
#define GATEWAY_EXCHANGE_FACTS_H

#include "base/bytes.h"
#include "gateway/client.h"

/* All borrowed; empty where there is none. */
struct facts {
	const struct client *client;
	struct bytes peer; /* the client's address as text */
	struct bytes id; /* of the request */
	struct bytes method, host; /* host: the authority that was asked for */
	struct bytes path, query; /* query.at NULL: no '?' */
	struct bytes server; /* the last that was asked; as configured */
};

enum facts_where { FACTS_REQUEST = 1, FACTS_ANSWER = 2 }; /* what is known there */

struct template;

/* NULL, or what is wrong and how to mend it, in buf. */
const char *template_check(const char *text, enum facts_where, char *buf, size_t size);
struct template *template_new(const char *text); /* text is borrowed; it has passed the check */
void template_free(struct template *);
void template_write(const struct template *, const struct facts *, struct writer *);
size_t template_bound(const struct template *, const struct facts *); /* bytes that it takes */

#endif
