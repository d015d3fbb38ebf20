/*
 * file.c: answers from files, through an origin_file that lies in the exchange. What is no file becomes
 * a page of our own, or the redirect to a folder's name with its slash.
 */
#include "config.h"

#include "gateway/exchange/exchange_private.h"

#include "base/poison.h"

static struct bytes with_slash(const struct headers_facts *, uint8_t *buf, size_t size);

void exchange_file(struct exchange *x, const struct headers_facts *facts)
{
	struct origin_request request = { .head_request = x->head_request };
	struct folder *folder = folders_find(x->worker->folders, x->route->conf);
	enum reason reason;
	uint16_t status = origin_file_open(&x->file, folder, facts->head, facts->path,
	    x->worker->exchanges->own, &exchange_origin_events, x, &reason);

	x->of_files = true;
	if (status == 301) {
		exchange_redirect(x, status,
		    with_slash(facts, x->head + x->head_used, x->head_cap - x->head_used));
		return;
	}
	if (status != 0) {
		exchange_answer(x, status, reason);
		return;
	}
	x->origin = &x->file.origin;
	exchange_state_set(x, EXCHANGE_ASKING);
	x->origin->ops->start(x->origin, &request);
}

/* Two slashes at its begin would name another host. Empty: no room. */
static struct bytes with_slash(const struct headers_facts *facts, uint8_t *buf, size_t size)
{
	const struct head *head = facts->head;
	struct writer w = writer_of(buf, size);
	struct bytes path = facts->path;

	while (path.len > 0 && path.at[0] == '/')
		path = bytes_sub(path, 1, path.len);
	writer_u8(&w, '/');
	writer_bytes(&w, path);
	writer_u8(&w, '/');
	if (head->query.at != NULL) {
		writer_u8(&w, '?');
		writer_bytes(&w, head->query);
	}
	return w.ok ? bytes_of(buf, writer_len(&w)) : bytes_of(NULL, 0);
}
