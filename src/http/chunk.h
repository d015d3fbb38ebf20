/*
 * chunk.h: the chunked coding (RFC 9112 section 7.1), both ways. The decoder alone frames chunked
 * bodies; it is strict, takes all bytes that it is given, and keeps no more than this struct.
 *
 *	chunk    = 1*16HEXDIG [ chunk-ext ] CRLF data CRLF
 *	last     = 1*16"0" [ chunk-ext ] CRLF *( field-line CRLF ) CRLF
 *
 * Extensions (at most CHUNK_EXTENSION_MAX bytes a line) and trailers (at most CHUNK_TRAILERS_MAX bytes,
 * CHUNK_TRAILER_LINES lines, of a head's grammar) are checked and dropped. White space after the size,
 * with which old Apaches pad it, passes from a back-end only.
 */
#ifndef HTTP_CHUNK_H
#define HTTP_CHUNK_H

#include "base/bytes.h"
#include "http/verdict.h"

#define CHUNK_SIZE_DIGITS 16
#define CHUNK_EXTENSION_MAX 256
#define CHUNK_TRAILERS_MAX 4096
#define CHUNK_TRAILER_LINES 32
/*
 * What is not data may be this much, and this many times the data: chunks of one byte (5 bytes around
 * each) are odd but legal, bytes wrapped in extensions are an attack.
 */
#define CHUNK_OVERHEAD_BYTES (64 * 1024)
#define CHUNK_OVERHEAD_RATIO 8
#define CHUNK_HEAD_MAX (CHUNK_SIZE_DIGITS + 2) /* bytes that chunk_head_write() may write */

enum chunk_state {
	CHUNK_SIZE, /* hexadecimal digits */
	CHUNK_PAD, /* white space behind them */
	CHUNK_EXTENSION, /* until CR */
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_LINE, /* start of a trailer line, or of the last, empty one */
	CHUNK_NAME,
	CHUNK_VALUE,
	CHUNK_VALUE_LF,
	CHUNK_END_LF,
	CHUNK_DONE,
	CHUNK_FAILED
};

struct chunk {
	enum message message;
	enum chunk_state state;
	bool done; /* the whole body has been taken; what is left in `in` is not of it */
	uint8_t digits; /* of the size, so far */
	uint16_t extension; /* bytes of this line's, padding included */
	uint16_t trailers, trailer_lines;
	uint64_t left; /* data bytes of this chunk */
	uint64_t data, overhead, taken; /* bytes of the body, around it, and all of the input */
};

void chunk_init(struct chunk *, enum message);
/*
 * Takes bytes off *in. OK: *data is the next piece of the body, a slice of in, or, if it is empty,
 * chunk->done is true and *in is what follows the body. MORE: all is taken, none is data. BAD: see the
 * verdict, whose offset counts from the start of the body.
 */
enum parse chunk_next(struct chunk *, struct bytes *in, struct bytes *data, struct verdict *)
    __attribute__((warn_unused_result));

/* "size CRLF"; the data, CRLF and in the end CHUNK_LAST are the sender's. Returns the length. */
size_t chunk_head_write(char buf[static CHUNK_HEAD_MAX], uint64_t size);
#define CHUNK_LAST "0\r\n\r\n"

#endif
