/*
 * own.c: answers of our own: error pages and redirects, through an origin_answer that lies in the
 * exchange, so that they take the same way as any other.
 */
#include "config.h"

#include "gateway/exchange/exchange_private.h"
#include "http/write.h"

#include "base/poison.h"

#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

static void answer_start(struct exchange *);

void exchange_answer(struct exchange *x, uint16_t status, enum reason reason)
{
	struct origin_answer *a = &x->answer;
	struct writer page = writer_of(a->body, sizeof(a->body));

	x->reason = reason;
	origin_answer_init(
	    a, x->worker->loop, x->worker->exchanges->own, status, &exchange_origin_events, x);
	write_error_page(&page, status, bytes_of(x->id, x->id_len));
	a->body_len = page.ok ? writer_len(&page) : 0;
	origin_answer_field(a, "Content-Type", bytes_str("text/html; charset=utf-8"));
	origin_answer_field(a, "Cache-Control", bytes_str("no-store"));
	if (status == 503)
		origin_answer_field(a, "Retry-After", bytes_str("1"));
	if (status == 405)
		origin_answer_field(a, "Allow", bytes_str(x->of_files ? "GET, HEAD" : METHODS));
	answer_start(x);
}

void exchange_redirect(struct exchange *x, uint16_t status, struct bytes location)
{
	struct origin_answer *a = &x->answer;

	if (location.len == 0) {
		exchange_answer(x, 414, REASON_TARGET_SIZE);
		return;
	}
	origin_answer_init(
	    a, x->worker->loop, x->worker->exchanges->own, status, &exchange_origin_events, x);
	origin_answer_field(a, "Location", location);
	answer_start(x);
}

void exchange_respond(struct exchange *x, const struct route_conf *conf)
{
	struct origin_answer *a = &x->answer;
	uint16_t status = conf->respond.status != 0 ? (uint16_t)conf->respond.status : 200;

	origin_answer_init(
	    a, x->worker->loop, x->worker->exchanges->own, status, &exchange_origin_events, x);
	if (conf->respond.body != NULL) {
		a->text = bytes_str(conf->respond.body);
		origin_answer_field(a, "Content-Type", bytes_str(conf->respond.type));
	}
	answer_start(x);
}

void exchange_options(struct exchange *x)
{
	origin_answer_init(&x->answer, x->worker->loop, x->worker->exchanges->own, 200,
	    &exchange_origin_events, x);
	origin_answer_field(&x->answer, "Allow", bytes_str(METHODS));
	answer_start(x);
}

static void answer_start(struct exchange *x)
{
	struct origin_request request = { .head_request = x->head_request };

	write_date(loop_wall(x->worker->loop), x->date);
	origin_answer_field(&x->answer, "Date", bytes_of(x->date, WRITE_DATE_SIZE - 1));
	x->pool = NULL;
	x->origin = &x->answer.origin;
	exchange_state_set(x, EXCHANGE_ASKING);
	x->origin->ops->start(x->origin, &request);
}
