/*
 * fields.h: writes fields of a head that was received. Those that lie side by side in it, written as
 * we write them ourselves ("Name: value" CRLF), are copied in one piece.
 */
#ifndef GATEWAY_EXCHANGE_FIELDS_H
#define GATEWAY_EXCHANGE_FIELDS_H

#include "base/bytes.h"
#include "http/head.h"

void fields_write(struct writer *, const struct field *, size_t n);
/* One of our own; prefix is its name, ": " included. */
void fields_write_one(struct writer *, struct bytes prefix, struct bytes value);
void fields_write_number(struct writer *, struct bytes prefix, uint64_t value);
#define FIELDS_WRITE_NUMBER(w, name, value)                                                        \
	fields_write_number(                                                                       \
	    w, (struct bytes){ (const uint8_t *)name ": ", sizeof(name ": ") - 1 }, value)
#define FIELDS_WRITE_ONE(w, name, value)                                                           \
	fields_write_one(                                                                          \
	    w, (struct bytes){ (const uint8_t *)name ": ", sizeof(name ": ") - 1 }, value)

#endif
