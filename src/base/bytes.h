/*
 * bytes.h: borrowed memory, the three results of every codec, and a reading cursor that cannot
 * run past its end. A callee that wants to keep bytes past its return copies them.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *at; /* borrowed; may be NULL when len is 0 */
	size_t len;
};

/* Every codec's three results. BAD comes with an enum reason where the codec can name one. */
enum parse { PARSE_OK, PARSE_MORE, PARSE_BAD };

/* "I took it all." STOP: offer no more until I call resume. */
enum flow { FLOW_GO, FLOW_STOP };

struct bytes bytes_of(const void *at, size_t len);
struct bytes bytes_str(const char *s); /* without the NUL; s may be NULL */
struct bytes bytes_sub(struct bytes, size_t from, size_t len); /* clamped to what there is */
bool bytes_equal(struct bytes, struct bytes);
bool bytes_equal_str(struct bytes, const char *);
bool bytes_case_equal(struct bytes, struct bytes); /* ASCII case only, no locale */
bool bytes_case_equal_str(struct bytes, const char *);
bool bytes_equal_consttime(struct bytes, struct bytes); /* lengths are public */
char *bytes_dup_str(struct bytes); /* heap, NUL-terminated; NULL: no memory */

/* Reads big-endian integers and slices; after the first short read ok is false and all reads give 0. */
struct cursor {
	const uint8_t *at, *end;
	bool ok;
};

struct cursor cursor_of(struct bytes);
uint8_t cursor_u8(struct cursor *);
uint16_t cursor_u16(struct cursor *);
uint32_t cursor_u32(struct cursor *);
uint64_t cursor_u64(struct cursor *);
struct bytes cursor_take(struct cursor *, size_t len);
size_t cursor_left(const struct cursor *);

/* Writes into a caller's buffer; after the first overflow ok is false and nothing more is written. */
struct writer {
	uint8_t *base, *at, *end;
	bool ok;
};

struct writer writer_of(void *buf, size_t size);
void writer_u8(struct writer *, uint8_t);
void writer_u16(struct writer *, uint16_t);
void writer_u32(struct writer *, uint32_t);
void writer_u64(struct writer *, uint64_t);
void writer_put(struct writer *, const void *, size_t);
void writer_bytes(struct writer *, struct bytes);
void writer_str(struct writer *, const char *);
size_t writer_len(const struct writer *);

#endif
