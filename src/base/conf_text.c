/*
 * conf_text.c: a configuration's whole text. Reads a file, puts what it includes in its place, and
 * writes a mark line before each piece, so that every line of the whole knows its file, line and
 * folder, here and in another process that gets the whole:
 *
 *	#@ "file" line "folder"
 *
 * The text begins with a mark, always. Line 0: the piece has no lines worth naming.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf_impl.h"

#include "base/poison.h"

enum { TEXT_MAX_BYTES = 16 << 20, INCLUDE_DEPTH_MAX = 8, INCLUDE_FILES_MAX = 20000 };

struct mark {
	unsigned text_line; /* its own; what it says is true of the next */
	unsigned line;
	char *file, *folder;
};

struct conf_text {
	char *bytes;
	size_t len;
	struct mark *marks; /* by text_line; at least one */
	size_t marks_n;
};

/* One reading of a file with all that it includes. */
struct reader {
	FILE *out;
	struct conf_errors *errors;
	unsigned depth, files;
	size_t total; /* bytes read */
};

/* The piece that is being copied. */
struct piece {
	struct conf_lex lex;
	const char *copied; /* up to here */
	char *file, *folder; /* as the last mark has it */
	unsigned line, text_line;
};

static int file_add(struct reader *, const char *file, const char *path, const struct conf_place *);
static int piece_add(struct reader *, const char *file, const char *folder, const char *, size_t);
static int piece_copy(struct reader *, struct piece *);
static int include_file(struct reader *, struct piece *);
static int include_dir(struct reader *, struct piece *);
static int folder_add(
    struct reader *, const char *shown, const char *path, const struct conf_place *);
static char *file_read(const char *path, size_t *len, const char **why);
static char *folder_of(const char *path);
static char *beside(const char *base, bool base_is_folder, const char *name);
static void mark_write(FILE *, const char *file, unsigned line, const char *folder);
static bool mark_parse(const struct conf_lex *, struct mark *);
static void mark_clear(struct mark *);
static struct conf_text *text_new(char *bytes, size_t len);

struct conf_text *conf_text_read(const char *file, struct conf_errors *errors)
{
	const struct conf_place nowhere = { file, "", 0 };
	struct reader r = { .errors = errors };
	char *bytes = NULL;
	size_t len = 0;
	int failed;

	r.out = open_memstream(&bytes, &len);
	if (r.out == NULL) {
		conf_errors_add(errors, &nowhere, "out of memory");
		return NULL;
	}
	failed = file_add(&r, file, file, &nowhere);
	if (fclose(r.out) != 0 && failed == 0) {
		conf_errors_add(errors, &nowhere, "out of memory");
		failed = -1;
	}
	if (failed == 0)
		return text_new(bytes, len);
	free(bytes);
	return NULL;
}

struct conf_text *conf_text_of(const char *name, const char *text, size_t len)
{
	char *bytes = NULL, folder[1024] = "";
	size_t whole = 0;
	FILE *out = open_memstream(&bytes, &whole);
	struct conf_lex lex;
	struct mark m;

	if (out == NULL)
		return NULL;
	conf_lex_init(&lex, text, len);
	if (conf_lex_next(&lex) == CONF_TOKEN_MARK && lex.start == text && mark_parse(&lex, &m)) {
		mark_clear(&m);
	} else {
		if (getcwd(folder, sizeof(folder)) == NULL)
			folder[0] = '\0';
		mark_write(out, name, 1, folder);
	}
	fwrite(text, 1, len, out);
	if (fclose(out) != 0) {
		free(bytes);
		return NULL;
	}
	return text_new(bytes, whole);
}

void conf_text_free(struct conf_text *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->marks_n; i++)
		mark_clear(&t->marks[i]);
	free(t->marks);
	free(t->bytes);
	free(t);
}

const char *conf_text_at(const struct conf_text *t, size_t *len)
{
	return conf_text_bytes(t, len);
}

const char *conf_text_bytes(const struct conf_text *t, size_t *len)
{
	*len = t->len;
	return t->bytes;
}

struct conf_place conf_text_place(const struct conf_text *t, unsigned line)
{
	size_t low = 0, high = t->marks_n;
	const struct mark *m;

	/* The last mark above the line; of a line above all marks, the first. */
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (t->marks[mid].text_line < line)
			low = mid;
		else
			high = mid;
	}
	m = &t->marks[low];
	if (m->line == 0 || line <= m->text_line)
		return (struct conf_place){ m->file, m->folder, m->line };
	return (struct conf_place){ m->file, m->folder, m->line + (line - m->text_line - 1) };
}

/* ---- reading */

/* The file shown as file and opened as path; from: who names it, for what is wrong with it. */
static int file_add(
    struct reader *r, const char *file, const char *path, const struct conf_place *from)
{
	const char *why = NULL;
	char *bytes, *folder;
	size_t len = 0;
	int status;

	if (r->depth == INCLUDE_DEPTH_MAX || ++r->files > INCLUDE_FILES_MAX) {
		conf_errors_add(r->errors, from,
		    "too many files include each other: does %s include itself?", file);
		return -1;
	}
	bytes = file_read(path, &len, &why);
	if (bytes != NULL && (r->total += len) > TEXT_MAX_BYTES)
		why = "this and the files before it are more than 16 MiB";
	if (why != NULL) {
		conf_errors_add(r->errors, from, "%s%scannot be read: %s",
		    from->line != 0 ? file : "", from->line != 0 ? " " : "", why);
		free(bytes);
		return -1;
	}
	folder = folder_of(path);
	r->depth++;
	status = piece_add(r, file, folder, bytes, len);
	r->depth--;
	free(folder);
	free(bytes);
	return status;
}

static int piece_add(
    struct reader *r, const char *file, const char *folder, const char *bytes, size_t len)
{
	struct piece p = { .line = 1 };
	int status;

	/* A byte order mark says nothing here, and libconfig stumbles over it. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): len is 0 then */
	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		bytes += 3, len -= 3;
	p.file = strdup(file);
	p.folder = strdup(folder);
	p.copied = bytes;
	conf_lex_init(&p.lex, bytes, len);
	mark_write(r->out, file, 1, folder);
	status = p.file != NULL && p.folder != NULL ? piece_copy(r, &p) : -1;
	fwrite(p.copied, 1, (size_t)(p.lex.end - p.copied), r->out);
	/* The next piece's mark must begin a line. */
	fputc('\n', r->out);
	free(p.file);
	free(p.folder);
	return status;
}

/* Looks for marks and includes only; what else is wrong, the scan says. */
static int piece_copy(struct reader *r, struct piece *p)
{
	int depth = 0, status = 0;

	while (conf_lex_next(&p->lex) != CONF_TOKEN_END && p->lex.token != CONF_TOKEN_BAD) {
		struct mark m;

		if (p->lex.token == CONF_TOKEN_INCLUDE) {
			status |= include_file(r, p);
		} else if (p->lex.token == CONF_TOKEN_MARK && mark_parse(&p->lex, &m)) {
			free(p->file);
			free(p->folder);
			p->file = m.file;
			p->folder = m.folder;
			p->line = m.line;
			p->text_line = m.text_line;
		} else if (p->lex.token == CONF_TOKEN_SIGN) {
			depth += strchr("({[", *p->lex.start) != NULL;
			depth -= strchr(")}]", *p->lex.start) != NULL;
		} else if (depth == 0 && p->lex.token == CONF_TOKEN_WORD &&
			   p->lex.len == strlen("include_dir") &&
			   memcmp(p->lex.start, "include_dir", p->lex.len) == 0) {
			status |= include_dir(r, p);
		}
	}
	return status;
}

static struct conf_place piece_place(const struct piece *p, unsigned text_line)
{
	return (struct conf_place){ p->file, p->folder,
		p->line == 0 ? 0 : p->line + (text_line - p->text_line - 1) };
}

/* Copies up to the statement that begins at start; what is included follows on lines of its own. */
static void piece_leave(struct reader *r, struct piece *p, const char *start)
{
	fwrite(p->copied, 1, (size_t)(start - p->copied), r->out);
	fputc('\n', r->out);
}

static void piece_return(struct reader *r, struct piece *p)
{
	struct conf_place here = piece_place(p, p->lex.line);

	mark_write(r->out, p->file, here.line, p->folder);
	p->copied = p->lex.at;
}

/* The statement's string, the end of which has been read; NULL: said. */
static char *include_name(struct reader *r, struct piece *p, const struct conf_place *place)
{
	const char *at = p->lex.start;
	char *name = NULL;

	if (p->lex.token == CONF_TOKEN_STRING)
		name = conf_lex_quoted(&at, p->lex.at);
	if (name == NULL || name[0] == '\0') {
		conf_errors_add(r->errors, place,
		    "a name in quotes is missing: write include_dir = \"sites.d\"; or @include "
		    "\"file\"");
		free(name);
		return NULL;
	}
	return name;
}

static int include_file(struct reader *r, struct piece *p)
{
	struct conf_place place = piece_place(p, p->lex.start_line);
	const char *start = p->lex.start;
	char *name, *shown, *path;
	int status = -1;

	conf_lex_next(&p->lex);
	name = include_name(r, p, &place);
	if (name == NULL)
		return -1;
	shown = beside(p->file, false, name);
	path = beside(p->folder, true, name);
	if (shown != NULL && path != NULL) {
		piece_leave(r, p, start);
		status = file_add(r, shown, path, &place);
		piece_return(r, p);
	}
	free(shown);
	free(path);
	free(name);
	return status;
}

static int include_dir(struct reader *r, struct piece *p)
{
	struct conf_place place = piece_place(p, p->lex.start_line);
	struct conf_lex after;
	const char *start = p->lex.start;
	char *name, *shown, *path;
	int status = -1;

	conf_lex_next(&p->lex);
	if (conf_lex_is(&p->lex, '=') || conf_lex_is(&p->lex, ':'))
		conf_lex_next(&p->lex);
	name = include_name(r, p, &place);
	if (name == NULL)
		return -1;
	after = p->lex;
	conf_lex_next(&after);
	if (conf_lex_is(&after, ';') || conf_lex_is(&after, ','))
		p->lex = after;
	shown = beside(p->file, false, name);
	path = beside(p->folder, true, name);
	if (shown != NULL && path != NULL) {
		piece_leave(r, p, start);
		status = folder_add(r, shown, path, &place);
		piece_return(r, p);
	}
	free(shown);
	free(path);
	free(name);
	return status;
}

static int is_conf(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 5 && strcmp(d->d_name + len - 5, ".conf") == 0;
}

/* Not alphasort(3): the order must not depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int folder_add(
    struct reader *r, const char *shown, const char *path, const struct conf_place *from)
{
	struct dirent **list;
	int n = scandir(path, &list, is_conf, by_name), status = 0;

	if (n == -1) {
		conf_errors_add(r->errors, from,
		    "include_dir \"%s\" cannot be read: %s: make the folder, or leave the line out",
		    shown, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char *file = beside(shown, true, list[i]->d_name);
		char *full = beside(path, true, list[i]->d_name);

		status |= file != NULL && full != NULL ? file_add(r, file, full, from) : -1;
		free(file);
		free(full);
		free(list[i]);
	}
	free(list);
	return status;
}

/* ---- files and paths */

static char *file_read(const char *path, size_t *len, const char **why)
{
	/* O_NONBLOCK: a FIFO must not keep us; then it is refused. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	size_t size = 0;
	char *bytes = NULL;
	ssize_t n = 1;

	*len = 0;
	if (fd == -1 || fstat(fd, &st) == -1)
		*why = strerror(errno);
	else if (S_ISDIR(st.st_mode))
		*why = "it is a folder: name a file";
	else if (!S_ISREG(st.st_mode))
		*why = "it is no regular file";
	while (*why == NULL && n > 0 && *len <= TEXT_MAX_BYTES) {
		if (*len == size) {
			char *more = realloc(bytes, size = size * 2 + 4096);

			if (more == NULL) {
				*why = "out of memory";
				break;
			}
			bytes = more;
		}
		n = read(fd, bytes + *len, size - *len);
		if (n > 0)
			*len += (size_t)n;
		else if (n == -1)
			*why = strerror(errno);
	}
	if (fd != -1)
		close(fd);
	return bytes;
}

/* Absolute where the system can say so: a process that changed its folder reads the same paths. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? strdup(".")
				     : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	char *full = folder != NULL ? realpath(folder, NULL) : NULL;

	if (full == NULL)
		return folder;
	free(folder);
	return full;
}

/* name as seen from the file or folder base. */
static char *beside(const char *base, bool base_is_folder, const char *name)
{
	const char *slash = strrchr(base, '/');
	size_t keep = base_is_folder  ? strlen(base)
		      : slash == NULL ? 0
				      : (size_t)(slash - base) + 1;
	char *path = NULL;

	if (name[0] == '/' || keep == 0)
		return strdup(name);
	if (asprintf(&path, "%.*s%s%s", (int)keep, base, base[keep - 1] == '/' ? "" : "/", name) ==
	    -1)
		return NULL;
	return path;
}

/* ---- marks */

static void quoted_write(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		/* A mark is one line, whatever a file's name is made of. */
		fputc((unsigned char)*s < 0x20 ? '?' : *s, f);
	}
	fputc('"', f);
}

static void mark_write(FILE *f, const char *file, unsigned line, const char *folder)
{
	fputs("#@ ", f);
	quoted_write(f, file);
	fprintf(f, " %u ", line);
	quoted_write(f, folder);
	fputc('\n', f);
}

static bool mark_parse(const struct conf_lex *lex, struct mark *m)
{
	const char *at = lex->start + 3, *end = lex->start + lex->len;

	m->text_line = lex->start_line;
	m->line = 0;
	m->file = conf_lex_quoted(&at, end);
	if (m->file == NULL)
		return false;
	while (at < end && *at == ' ')
		at++;
	for (; at < end && *at >= '0' && *at <= '9' && m->line < INT_MAX / 20; at++)
		m->line = m->line * 10 + (unsigned)(*at - '0');
	m->folder = conf_lex_quoted(&at, end);
	if (m->folder == NULL)
		m->folder = strdup("");
	if (m->folder != NULL)
		return true;
	free(m->file);
	return false;
}

static void mark_clear(struct mark *m)
{
	free(m->file);
	free(m->folder);
}

/* Takes bytes over. */
static struct conf_text *text_new(char *bytes, size_t len)
{
	struct conf_text *t = calloc(1, sizeof(*t));
	struct conf_lex lex;
	struct mark m;

	if (t == NULL) {
		free(bytes);
		return NULL;
	}
	t->bytes = bytes;
	t->len = len;
	conf_lex_init(&lex, bytes, len);
	while (conf_lex_next(&lex) != CONF_TOKEN_END && lex.token != CONF_TOKEN_BAD) {
		struct mark *more = t->marks;

		if (lex.token != CONF_TOKEN_MARK || !mark_parse(&lex, &m))
			continue;
		/* At each power of two: a text of marks alone must not cost their square. */
		if ((t->marks_n & (t->marks_n - 1)) == 0)
			more = reallocarray(more, t->marks_n * 2 + 1, sizeof(*more));
		if (more == NULL) {
			mark_clear(&m);
			break;
		}
		t->marks = more;
		t->marks[t->marks_n++] = m;
	}
	if (t->marks_n != 0)
		return t;
	conf_text_free(t); /* no memory, or a damaged first mark */
	return NULL;
}
