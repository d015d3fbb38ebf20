/*
 * fields.h: writes fields of a head that was received. Those that lie side by side in it, written as
 * we write them ourselves ("Name: value" CRLF), are copied in one piece.
 */
#ifndef GATEWAY_EXCHANGE_FIELDS_H
#define GATEWAY_EXCHANGE_FIELDS_H

#include "base/bytes.h"
#include "http/head.h"

void fields_write(struct writer *, const struct field *, size_t n);
void fields_write_one(struct writer *, const char *name, struct bytes value);

#endif
