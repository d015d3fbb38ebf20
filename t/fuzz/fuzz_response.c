/*
 * fuzz_response.c: any bytes as an answer's head, to a GET, a HEAD and a request to switch. Invariants:
 * pieces make no difference; a fault is a 502 with a reason of the back-end's; what passes, built anew
 * as for a client, passes again and means the same; a 101 passes only where it was asked for.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

static void read_pieces(
    struct bytes in, const struct head *request, size_t piece, struct reading *r)
{
	struct head_scan scan = { 0 };
	size_t come = 0;

	do {
		come = piece < in.len - come ? come + piece : in.len;
		free(r->copy);
		r->copy = malloc(come + 1);
		assert(r->copy != NULL);
		memcpy(r->copy, in.at, come);
		r->result = head_response(bytes_of(r->copy, come), request, &limits, &scan,
		    &r->head, &r->used, &r->verdict);
		assert(r->result != PARSE_MORE || scan.at == come);
	} while (r->result == PARSE_MORE && come < in.len);
}

static size_t rebuild(const struct head *h, uint8_t *buf)
{
	struct writer w = writer_of(buf, REBUILT_MAX);

	if (!write_status_phrase(&w, h->status, h->phrase))
		abort();
	for (size_t i = 0; i < h->fields_n; i++)
		if (h->ids[i] == FIELD_OTHER || h->ids[i] == FIELD_OWNED)
			if (!write_field(&w, h->fields[i].name, h->fields[i].value))
				abort();
	if (h->has_length)
		write_field_number(&w, "Content-Length", h->length);
	if (h->body == BODY_CHUNKED)
		write_field_str(&w, "Transfer-Encoding", "chunked");
	if (!h->keep_alive)
		write_field_str(&w, "Connection", "close");
	if (h->upgrade) {
		write_field_str(&w, "Connection", "upgrade");
		if (!write_field(&w, bytes_str("Upgrade"), h->upgrade_to))
			abort();
	}
	write_end(&w);
	assert(w.ok);
	return writer_len(&w);
}

static void means_the_same(const struct head *a, const struct head *b)
{
	assert(a->status == b->status && a->body == b->body && a->length == b->length);
	assert(a->has_length == b->has_length && a->keep_alive == b->keep_alive);
	assert(a->upgrade == b->upgrade && bytes_equal(a->upgrade_to, b->upgrade_to));
}

static void check_passed(const struct head *request, const struct reading *r)
{
	static uint8_t built[REBUILT_MAX];
	static struct head again;
	const struct head *h = &r->head;
	struct head_scan scan = { 0 };
	struct verdict verdict;
	size_t used, len;

	assert(h->status >= 100 && h->status <= 599);
	assert(h->status != 101 || (request->upgrade && h->upgrade));
	assert(h->body == BODY_NONE || !bytes_equal_str(request->method, "HEAD"));
	len = rebuild(h, built);
	if (head_response(bytes_of(built, len), request, &wide, &scan, &again, &used, &verdict) !=
	    PARSE_OK)
		abort();
	assert(used == len);
	means_the_same(h, &again);
}

static void check_answer(struct bytes in, const struct head *request)
{
	static struct reading whole, part;
	const size_t pieces[] = { 1, 1 + in.len % 61, 1 + in.len / 2 };

	read_pieces(in, request, in.len + 1, &whole);
	if (whole.result == PARSE_BAD) {
		assert(whole.verdict.status == 502 && whole.verdict.offset <= in.len);
		assert(reason_fault(whole.verdict.reason) == FAULT_BACKEND);
	}
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		read_pieces(in, request, pieces[i], &part);
		assert(part.result == whole.result);
		if (whole.result == PARSE_BAD) {
			assert(part.verdict.reason == whole.verdict.reason);
			assert(part.verdict.offset == whole.verdict.offset);
		} else if (whole.result == PARSE_OK) {
			assert(part.used == whole.used);
			means_the_same(&part.head, &whole.head);
		}
	}
	if (whole.result == PARSE_OK)
		check_passed(request, &whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct head get, head, upgrade;
	struct bytes in = bytes_of(data, size);

	get.method = upgrade.method = bytes_str("GET");
	head.method = bytes_str("HEAD");
	upgrade.upgrade_to = bytes_str("websocket");
	upgrade.upgrade = 1;
	check_answer(in, &get);
	check_answer(in, &head);
	check_answer(in, &upgrade);
	return 0;
}
