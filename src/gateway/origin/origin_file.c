/*
 * origin_file.c: see origin_file.h. The request's body, if there is one, is dropped.
 */
#include "config.h"

#include "gateway/origin/origin_file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "http/condition.h"
#include "http/range.h"

#include "base/poison.h"

static void start(struct origin *, const struct origin_request *);
static enum flow body(struct origin *, struct bytes);
static void end(struct origin *);
static void resume(struct origin *);
static void cancel(struct origin *, enum reason);
static void speak(struct later *);
static void read_on(struct later *);
static uint16_t find(struct origin_file *, struct bytes path, struct stat *, enum reason *);
static uint16_t choose(struct origin_file *, const struct head *, time_t modified, time_t now);
static void describe(struct origin_file *, const struct stat *, time_t modified, time_t now);

static const struct origin_ops ops = {
	.name = "file",
	.start = start,
	.body = body,
	.end = end,
	.resume = resume,
	.cancel = cancel,
};

static struct loop *loop_of(const struct origin_file *f)
{
	return f->folder->all->worker->loop;
}

static void file_close(struct origin_file *f)
{
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
}

static void field(struct origin_file *f, const char *name, const char *value)
{
	assert(f->fields_n < ORIGIN_FILE_FIELDS_MAX);
	f->fields[f->fields_n++] = (struct field){ bytes_str(name), bytes_str(value) };
}

uint16_t origin_file_open(struct origin_file *f, struct folder *folder, const struct head *request,
    struct bytes path, struct head *scratch, const struct origin_events *events, void *arg,
    enum reason *reason)
{
	time_t now = loop_wall(folder->all->worker->loop), modified;
	struct stat st;
	uint16_t status;

	f->origin = (struct origin){ .ops = &ops, .events = events, .arg = arg };
	f->folder = folder;
	f->scratch = scratch;
	f->later = (struct later){ 0 };
	f->fd = -1;
	f->paused = false;
	f->fields_n = 0;
	f->head_request = bytes_equal_str(request->method, "HEAD");
	if (!f->head_request && !bytes_equal_str(request->method, "GET")) {
		*reason = REASON_METHOD;
		return 405;
	}
	status = find(f, path, &st, reason);
	if (status != 0)
		return status;
	/* A time to come would be one that the client may not believe (RFC 9110, section 8.8.2.1). */
	modified = st.st_mtime > now ? now : st.st_mtime < 0 ? 0 : st.st_mtime;
	f->size = (uint64_t)st.st_size;
	describe(f, &st, modified, now);
	f->status = choose(f, request, modified, now);
	if (f->status == 412) {
		file_close(f);
		*reason = REASON_NONE;
		return 412;
	}
	return 0;
}

/* Opens it, or says why not. A name with a slash is a folder's: its index answers. */
static uint16_t find(
    struct origin_file *f, struct bytes asked, struct stat *st, enum reason *reason)
{
	const struct route_conf *conf = f->folder->conf;
	char *path = f->folder->all->path;
	const char *type;
	bool slash;

	*reason = REASON_NO_FILE;
	if (!filepath_read(asked, conf->path, f->folder->any_case, path, &slash))
		return 404;
	if (slash) {
		strlcat(path, "/", sizeof f->folder->all->path);
		strlcat(path, conf->files_index, sizeof f->folder->all->path);
	}
	f->fd = folder_open(f->folder, path, st);
	if (f->fd != -1) {
		type = filetypes_find(f->folder->all->types, path);
		snprintf(f->type, sizeof f->type, "%s", type);
		if (strncmp(type, "text/", 5) == 0 && strcmp(conf->files_charset, "none") != 0)
			snprintf(
			    f->type, sizeof f->type, "%s; charset=%s", type, conf->files_charset);
		return 0;
	}
	switch (errno) {
	case EISDIR:
		return slash ? 404 : 301;
	case ENOENT:
		return 404;
	case EACCES:
	case EPERM:
		*reason = REASON_FILE_ACCESS;
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		*reason = REASON_LIMIT;
		return 503;
	default:
		*reason = REASON_FILE_IO;
		return errno == ESTALE ? 503 : 500;
	}
}

/*
 * The tag is strong: another size, time (ns) or file is another tag. The number of the inode is
 * nobody's business, so it is mixed into a hash.
 */
static void describe(struct origin_file *f, const struct stat *st, time_t modified, time_t now)
{
	static const struct hash_key key = { { 0, 0 } };
	uint64_t facts[] = { (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_size, (uint64_t)st->st_ino };
	const char *cache = f->folder->conf->files_cache;

	snprintf(f->tag, sizeof f->tag, "\"%" PRIx64 "-%" PRIx64 "\"",
	    hash_bytes(&key, bytes_of(facts, sizeof facts)), f->size);
	write_date(modified, f->modified);
	write_date(now, f->date);
	field(f, "Date", f->date);
	field(f, "ETag", f->tag);
	field(f, "Last-Modified", f->modified);
	if (cache != NULL)
		field(f, "Cache-Control", cache);
}

/* The status, and what of the file is sent. What a 304 repeats is there already (RFC 9110, section 15.4.5). */
static uint16_t choose(
    struct origin_file *f, const struct head *request, time_t modified, time_t now)
{
	struct validators validators = { bytes_str(f->tag), modified };
	const struct field *asked = head_field(request, "range");
	struct range_bytes part = { 0, 0 };

	f->at = 0;
	f->left = 0;
	switch (condition_check(request, &validators, now)) {
	case CONDITION_FAILED:
		return 412;
	case CONDITION_NOT_MODIFIED:
		return 304;
	case CONDITION_GO:
		break;
	}
	f->left = f->size;
	field(f, "X-Content-Type-Options", "nosniff");
	field(f, "Accept-Ranges", "bytes");
	if (asked != NULL && !f->head_request && condition_range(request, &validators, now)) {
		switch (range_read(asked->value, f->size, &part)) {
		case RANGE_WHOLE:
			break;
		case RANGE_PART:
			f->at = part.first;
			f->left = part.len;
			field(f, "Content-Type", f->type);
			snprintf(f->range, sizeof f->range,
			    "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, f->at, f->at + f->left - 1,
			    f->size);
			field(f, "Content-Range", f->range);
			return 206;
		case RANGE_OUTSIDE:
			f->left = 0;
			snprintf(f->range, sizeof f->range, "bytes */%" PRIu64, f->size);
			field(f, "Content-Range", f->range);
			return 416;
		}
	}
	field(f, "Content-Type", f->type);
	return 200;
}

static void start(struct origin *origin, const struct origin_request *request)
{
	struct origin_file *f = CONTAINER_OF(origin, struct origin_file, origin);

	(void)request;
	loop_later(loop_of(f), &f->later, speak);
}

static enum flow body(struct origin *origin, struct bytes slice)
{
	(void)origin;
	(void)slice;
	return FLOW_GO;
}

static void end(struct origin *origin)
{
	(void)origin;
}

static void resume(struct origin *origin)
{
	struct origin_file *f = CONTAINER_OF(origin, struct origin_file, origin);

	if (!f->paused)
		return;
	f->paused = false;
	loop_ready(loop_of(f), &f->later, read_on);
}

static void cancel(struct origin *origin, enum reason reason)
{
	struct origin_file *f = CONTAINER_OF(origin, struct origin_file, origin);

	(void)reason;
	loop_later_cancel(&f->later);
	file_close(f);
	f->origin.events = NULL;
}

/* Each event may cancel this, which shows in events. */
static void speak(struct later *later)
{
	struct origin_file *f = CONTAINER_OF(later, struct origin_file, later);
	struct head *head = f->scratch;

	head_init(head);
	head->status = f->status;
	head->major = head->minor = 1;
	head->has_length = f->status != 304;
	head->length = f->left;
	head->body = f->left > 0 && !f->head_request ? BODY_LENGTH : BODY_NONE;
	for (size_t i = 0; i < f->fields_n; i++)
		if (!head_add(head, f->fields[i].name, f->fields[i].value))
			break;
	if (head->body == BODY_NONE) {
		f->left = 0;
		file_close(f);
	}
	/* cppcheck-suppress nullPointerRedundantCheck */
	f->origin.events->head(f->origin.arg, head);
	/* The first bytes go into the same record as the head. */
	if (f->origin.events != NULL)
		read_on(&f->later);
}

/* A piece. What the length announced must come: a file that has become shorter ends the connection. */
static void read_on(struct later *later)
{
	struct origin_file *f = CONTAINER_OF(later, struct origin_file, later);
	uint8_t *buffer = f->folder->all->buffer;
	void *arg = f->origin.arg;
	enum flow flow = FLOW_GO;

	if (f->left > 0) {
		size_t want = f->left < FOLDER_READ_BYTES ? (size_t)f->left : FOLDER_READ_BYTES;
		ssize_t n;

		do
			n = pread(f->fd, buffer, want, (off_t)f->at);
		while (n == -1 && errno == EINTR);
		if (n <= 0) {
			file_close(f);
			f->origin.events->failed(
			    arg, n == 0 ? REASON_FILE_SHRANK : REASON_FILE_IO, true, 0);
			return;
		}
		f->at += (uint64_t)n;
		f->left -= (uint64_t)n;
		/* cppcheck-suppress nullPointerRedundantCheck ; the call may close us */
		flow = f->origin.events->body(arg, bytes_of(buffer, (size_t)n));
		if (f->origin.events == NULL)
			return;
	}
	if (f->left == 0) {
		file_close(f);
		f->origin.events->end(arg, REASON_NONE);
	} else if (flow == FLOW_STOP) {
		f->paused = true;
	} else {
		loop_ready(loop_of(f), &f->later, read_on);
	}
}
