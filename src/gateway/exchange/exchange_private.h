/*
 * exchange_private.h: one request and its answer, as the files of exchange share it. exchange.c: its
 * begin and the request's way; relay.c: the answer's way; finish.c: its one exit; ask.c: where it
 * is sent, and sent again; own.c: answers of our own; file.c: answers from files.
 */
#ifndef GATEWAY_EXCHANGE_EXCHANGE_PRIVATE_H
#define GATEWAY_EXCHANGE_EXCHANGE_PRIVATE_H

#include "gateway/exchange/exchange.h"
#include "gateway/exchange/headers.h"
#include "gateway/exchange/route.h"
#include "gateway/exchange/retry.h"
#include "gateway/origin/origin_answer.h"
#include "gateway/origin/origin_file.h"
#include "gateway/origin/pool.h"
#include "gateway/sites.h"
#include "gateway/worker.h"
#include "http/write.h"
#include "base/bucket.h"
#include "base/hash.h"

enum {
	EXCHANGE_HEAD_BYTES = 4096, /* the built request's first place */
	EXCHANGE_HEAD_KEPT = 64 * 1024, /* a grown one stays with a free exchange up to this */
	EXCHANGE_HELD_BYTES = 16 *
			      1024, /* of a body, to be sent again; above request_buffer: a slice */
	EXCHANGES_FREE_MAX = 512, /* free ones kept */
	EXCHANGES_HELD_FREE_MAX = 64,
	EXCHANGES_COMPLAINTS_RATE = 10, /* log lines a second, a worker */
	EXCHANGES_COMPLAINTS_BURST = 50,
	EXCHANGE_FIELDS_MAX = HEAD_FIELDS_MAX +
			      64, /* of an answer: what passes, and what is added */
	EXCHANGE_VALUES_BYTES = 64 * 1024,
};

#define EXCHANGE_STATES(X)                                                                         \
	X(EXCHANGE_BEGUN, "begun")                                                                 \
	X(EXCHANGE_ASKING, "asking") /* an origin has the request; no final answer's head yet */   \
	X(EXCHANGE_ANSWERING, "answering") /* the front has the answer's head */                   \
	X(EXCHANGE_OVER, "over")

enum exchange_state {
#define X(id, name) id,
	EXCHANGE_STATES(X)
#undef X
	    EXCHANGE_STATE_N
};

struct exchange {
	/* What the answer asks for lies together: at a busy worker it comes when all else of the exchange
	 * has left the caches. */
	struct worker *worker;
	struct front *front;
	const struct client *client;
	const struct site *site;
	const struct site_route *route; /* NULL: none was chosen */
	struct pool *pool; /* NULL: answered by ourselves */
	struct origin *origin; /* who has the request now; NULL: nobody */
	struct upstream *upstream; /* of origin, until it is gone */

	enum exchange_state state;
	enum reason reason; /* why it went wrong; REASON_NONE: it did not */
	enum reason lost; /* why the client's connection ended before it did */
	uint16_t status; /* of the answer; 0: none yet */
	uint8_t minor;
	bool head_request, idempotent;
	bool of_files; /* its route is a folder */
	bool body_follows, chunked;
	bool expects; /* the client waits for a 100, and the server is asked for it */
	bool tunnel; /* a 101 was passed on: bytes of another protocol go both ways */
	bool asked; /* the request is complete */
	bool front_stopped; /* exchange_body() said STOP: ops->resume is owed */
	bool held_all; /* held has all of the body that has come */
	bool gathering; /* no back-end is asked yet: held takes the body first */
	bool close; /* the client's connection ends with this answer */
	uint64_t answer_len; /* of its body, so far */
	uint64_t head_ms; /* its head was there; 0: not yet */
	const char *peer; /* the client's address, as far as it is known: its peer_text, or real */
	const char *server; /* of the last try, as configured; NULL: none */

	uint8_t *held; /* exchanges' held_max, from the free ones; NULL: nothing held */
	size_t held_len;
	struct later gone;
	struct exchange *next; /* in the free list */
	uint8_t *head; /* the built request: first, or heap */
	size_t head_cap;

	/* The request. */
	struct pool_waiter waiter; /* in line for a connection */
	struct bytes method; /* with the next, for the log: in memory of ours */
	struct headers_marks marks;
	uint64_t body_len; /* of the body, so far */
	size_t head_len;
	size_t head_used; /* head_len, and what is kept behind the head */

	/* Where it was sent. */
	uint64_t tried; /* servers, by bit */
	unsigned sticky; /* 1 + index of the server that the client's cookie names; 0: none */
	unsigned tries;
	uint64_t start_ms; /* the request's head was there */
	uint64_t began_ms; /* the first try */
	uint64_t queued_ms, queued_from; /* in line: so long, and since when */

	struct origin_answer answer;
	struct origin_file file;
	char date[WRITE_DATE_SIZE]; /* of the answer */

	char id[FORWARDED_ID_MAX];
	size_t id_len;
	char real[CLIENT_PEER_TEXT_MAX]; /* of the client, as a trusted proxy has it */
	uint8_t first[EXCHANGE_HEAD_BYTES];
};

struct exchanges {
	struct worker *worker;
	struct exchange *free;
	size_t free_n;
	void *held_free; /* each begins with the pointer to the next */
	size_t held_free_n;
	size_t held_max; /* bytes of each */
	size_t held_n, held_n_max; /* in use; limits.request_buffers */
	size_t gather_max; /* limits.request_buffer */
	struct retry_budget budget;
	struct bucket complaints;
	uint64_t complaints_kept; /* since the last one that was said */
	struct hash_key id_key;
	char id_prefix[HEADERS_ID_LEN / 2];
	uint64_t id_next;
	struct head_limits limits; /* of requests' heads */
	struct head *request; /* scratch: the request head that a front reads */
	struct head *own; /* scratch: an origin_answer's head */
	struct field *
	    fields; /* scratch: an answer's fields; EXCHANGE_FIELDS_MAX, Date, and the sticky cookie */
	uint8_t *values; /* scratch: of those that we write; EXCHANGE_VALUES_BYTES */
	struct route_scratch *paths; /* scratch */
	char *cookie; /* scratch: STICKY_COOKIE_MAX */
	time_t date_of; /* what date says */
	char date[WRITE_DATE_SIZE]; /* for answers that have none */
	uint8_t *out; /* scratch: an answer's head as a front writes it */
};

void exchange_state_set(struct exchange *, enum exchange_state);
extern const struct origin_events exchange_origin_events;

/* ask.c */
void exchange_ask(struct exchange *, enum pool_want); /* takes an upstream, sends what there is */
void exchange_failed(void *arg, enum reason, bool answer_begun, uint64_t sent);

/* own.c: a page; a redirect to location (borrowed until the end). In a later turn. */
void exchange_answer(struct exchange *, uint16_t status, enum reason);
void exchange_redirect(struct exchange *, uint16_t status, struct bytes location);
void exchange_respond(struct exchange *, const struct route_conf *); /* its fixed answer */
void exchange_options(struct exchange *); /* to an OPTIONS that goes no further */

/* file.c: a file of the route's folder. */
void exchange_file(struct exchange *, const struct headers_facts *);

/* relay.c */
void exchange_relay_head(void *arg, const struct head *);
enum flow exchange_relay_body(void *arg, struct bytes);
void exchange_relay_half(void *arg);
void exchange_relay_end(void *arg, enum reason odd);
void exchange_relay_drained(void *arg);

/* finish.c */
void exchange_finish(struct exchange *); /* logs, counts, front's done */
void exchange_over(struct exchange *); /* the same without done */
struct exchange *exchange_alloc(struct exchanges *);
uint8_t *exchange_held_alloc(struct exchanges *);
void exchange_held_free(struct exchange *);

#endif
