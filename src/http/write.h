/*
 * write.h: heads, built anew: requests for back-ends, answers for clients, and our own error page. All
 * of it goes through base/bytes.h's bounded writer, whose ok says at the end whether everything fitted.
 * Nothing that could end a line early ever gets in: a name, value or target that is not exactly what
 * RFC 9110 allows there is refused (false) and not written.
 */
#ifndef HTTP_WRITE_H
#define HTTP_WRITE_H

#include <time.h>

#include "base/bytes.h"
#include "http/head.h"

#define WRITE_DATE_SIZE 30 /* IMF-fixdate and a NUL */

/* METHOD SP path[?query] SP HTTP/1.1 CRLF. query.at NULL: no '?'. */
bool write_request_line(struct writer *, struct bytes method, struct bytes path, struct bytes query)
    __attribute__((warn_unused_result));
/* HTTP/1.1 SP status SP phrase CRLF, with our own phrase; or, if it has one, the back-end's. */
void write_status_line(struct writer *, unsigned status);
bool write_status_phrase(struct writer *, unsigned status, struct bytes phrase)
    __attribute__((warn_unused_result));
/* name: value CRLF */
bool write_field(struct writer *, struct bytes name, struct bytes value)
    __attribute__((warn_unused_result));
void write_field_str(
    struct writer *, const char *name, const char *value); /* constants: asserted */
void write_field_number(struct writer *, const char *name, uint64_t value);
void write_end(struct writer *); /* the empty line */

/* "Not Found"; of an unknown status, its class's. Never NULL. */
const char *write_phrase(unsigned status);
/* Tue, 24 Nov 2026 08:21:47 GMT, whatever the locale. The caller keeps it for a second. */
void write_date(time_t, char buf[static WRITE_DATE_SIZE]);

/* A small HTML page: status, phrase, and the request's id for who reports it. Reflects nothing else. */
void write_error_page(struct writer *, unsigned status, struct bytes request_id);
void write_html(struct writer *, struct bytes text); /* escaped, for text and attributes */
void write_number(struct writer *, uint64_t);

#endif
