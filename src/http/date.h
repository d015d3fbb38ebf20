/*
 * date.h: the three forms in which HTTP writes a time (RFC 9110, section 5.6.7), read without the
 * locale. Written is only the first: write_date().
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <time.h>

#include "base/bytes.h"

/* False: none of the three, or no time that exists. now: which century two digits of a year mean. */
bool date_read(struct bytes, time_t now, time_t *) __attribute__((warn_unused_result));

#endif
