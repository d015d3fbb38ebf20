/*
 * fuzz_request.c: any bytes as a request's head. Invariants: pieces make no difference; what passes has
 * no octet that ends a line or a head early, its slices lie within it, and, built anew by http/write as
 * for a back-end, it passes again and means the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/target.h"
#include "http/write.h"

#include "base/poison.h"

#define REBUILT_MAX (4 * HEAD_BYTES_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct head_limits limits = { 4096, 1024, 16 };
static const struct head_limits wide = { HEAD_BYTES_MAX, HEAD_BYTES_MAX, HEAD_FIELDS_MAX };

struct reading {
	enum parse result;
	struct verdict verdict;
	size_t used;
	struct head head;
	uint8_t *copy; /* the bytes that have come, in a block of just that size */
};

static void read_pieces(struct bytes in, size_t piece, struct reading *r)
{
	struct head_scan scan = { 0 };
	size_t come = 0;

	do {
		come = piece < in.len - come ? come + piece : in.len;
		free(r->copy);
		r->copy = malloc(come + 1);
		assert(r->copy != NULL);
		memcpy(r->copy, in.at, come);
		r->result = head_request(
		    bytes_of(r->copy, come), &limits, &scan, &r->head, &r->used, &r->verdict);
		assert(r->result != PARSE_MORE || scan.at == come);
	} while (r->result == PARSE_MORE && come < in.len);
}

static void slice_within(struct bytes in, size_t used, struct bytes slice)
{
	if (slice.len > 0)
		assert(slice.at >= in.at && slice.at + slice.len <= in.at + used);
}

static void octets_are_clean(struct bytes in, size_t used)
{
	size_t ends = 0;

	for (size_t i = 0; i < used; i++) {
		assert(in.at[i] >= ' ' || in.at[i] == '\t' || in.at[i] == '\r' || in.at[i] == '\n');
		assert((in.at[i] == '\r') == (i + 1 < used && in.at[i + 1] == '\n'));
		if (i >= 4 && memcmp(in.at + i - 3, "\r\n\r\n", 4) == 0)
			ends++;
	}
	assert(ends == 1 && memcmp(in.at + used - 4, "\r\n\r\n", 4) == 0);
}

static size_t rebuild(const struct head *h, uint8_t *buf)
{
	struct writer w = writer_of(buf, REBUILT_MAX);

	if (!write_request_line(&w, h->method, h->path, h->query))
		abort();
	if (h->authority.at != NULL && !write_field(&w, bytes_str("Host"), h->authority))
		abort();
	for (size_t i = 0; i < h->fields_n; i++)
		if (h->ids[i] == FIELD_OTHER || h->ids[i] == FIELD_OWNED)
			if (!write_field(&w, h->fields[i].name, h->fields[i].value))
				abort();
	if (h->body == BODY_LENGTH)
		write_field_number(&w, "Content-Length", h->length);
	if (h->body == BODY_CHUNKED)
		write_field_str(&w, "Transfer-Encoding", "chunked");
	if (h->expect_100)
		write_field_str(&w, "Expect", "100-continue");
	if (h->authority.at == NULL) /* HTTP/1.0 may come without one; we never send so */
		write_field_str(&w, "Host", "none");
	write_end(&w);
	assert(w.ok);
	return writer_len(&w);
}

static size_t passed_on(const struct head *h, size_t from)
{
	while (from < h->fields_n && h->ids[from] != FIELD_OTHER && h->ids[from] != FIELD_OWNED)
		from++;
	return from;
}

static void means_the_same(const struct head *a, const struct head *b)
{
	size_t i = passed_on(a, 0), j = passed_on(b, 0);

	assert(bytes_equal(a->method, b->method) && bytes_equal(a->path, b->path));
	assert(bytes_equal(a->query, b->query) && (a->query.at == NULL) == (b->query.at == NULL));
	assert(a->body == b->body && a->length == b->length && a->expect_100 == b->expect_100);
	assert(a->target_flags == b->target_flags);
	if (a->authority.at != NULL)
		assert(bytes_equal(a->host, b->host) && a->port == b->port);
	for (; i < a->fields_n; i = passed_on(a, i + 1), j = passed_on(b, j + 1)) {
		assert(j < b->fields_n);
		assert(bytes_equal(a->fields[i].name, b->fields[j].name));
		assert(bytes_equal(a->fields[i].value, b->fields[j].value));
	}
	assert(j >= b->fields_n);
}

static void check_passed(struct bytes in, const struct reading *r)
{
	static uint8_t built[REBUILT_MAX];
	static struct head again;
	const struct head *h = &r->head;
	struct head_scan scan = { 0 };
	struct verdict verdict;
	size_t used, len;

	assert(r->used <= in.len && h->path.len > 0 && h->minor <= 1);
	octets_are_clean(in, r->used);
	slice_within(in, r->used, h->target);
	slice_within(in, r->used, h->authority);
	slice_within(in, r->used, h->query);
	for (size_t i = 0; i < h->fields_n; i++) {
		assert(h->fields[i].name.len > 0);
		slice_within(in, r->used, h->fields[i].name);
		slice_within(in, r->used, h->fields[i].value);
	}
	len = rebuild(h, built);
	if (head_request(bytes_of(built, len), &wide, &scan, &again, &used, &verdict) != PARSE_OK)
		abort();
	assert(used == len);
	means_the_same(h, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reading whole, part;
	const size_t pieces[] = { 1, 1 + size % 61, 1 + size / 2 };
	struct bytes in = bytes_of(data, size);

	read_pieces(in, size + 1, &whole);
	if (whole.result == PARSE_BAD) {
		assert(whole.verdict.status >= 400 && whole.verdict.reason != REASON_INTERNAL);
		assert(whole.verdict.offset <= size);
		assert(reason_fault(whole.verdict.reason) == FAULT_CLIENT);
	}
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		read_pieces(in, pieces[i], &part);
		assert(part.result == whole.result);
		if (whole.result == PARSE_BAD) {
			assert(part.verdict.reason == whole.verdict.reason);
			assert(part.verdict.status == whole.verdict.status);
			assert(part.verdict.offset == whole.verdict.offset);
		} else if (whole.result == PARSE_OK) {
			assert(part.used == whole.used);
			means_the_same(&part.head, &whole.head);
		}
	}
	if (whole.result == PARSE_OK)
		check_passed(bytes_of(whole.copy, size), &whole);
	return 0;
}
