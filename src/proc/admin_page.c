/*
 * admin_page.c: the pages that every daemon has. The page for a person is the status as tables: made
 * of the JSON that the same daemon has just written, without a script.
 */
#include "config.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proc/admin_private.h"

#include "base/poison.h"

enum { PAGE_DEPTH_MAX = 16 };

static void status_page(const struct admin_params *p, struct admin_out *out)
{
	time_t now = time(NULL);

	admin_json_open(out, NULL, '{');
	admin_json_text(out, "program", p->program);
	admin_json_text(out, "version", PACKAGE_VERSION);
	admin_json_number(out, "pid", p->pid != 0 ? p->pid : getpid());
	admin_json_number(
	    out, "uptime_s", now > (time_t)p->started ? (double)(now - (time_t)p->started) : 0);
	admin_json_bool(out, "ready", p->ready == NULL || p->ready(p->arg));
	if (p->status != NULL)
		p->status(p->arg, out);
	admin_json_close(out, '}');
	admin_printf(out, "\n");
}

/* "sslgw-keysvc" as the beginning of a metric's name. */
static void metric_name(char *buf, size_t size, const char *program, const char *end)
{
	strlcpy(buf, program, size);
	for (char *c = buf; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	strlcat(buf, end, size);
}

static void metrics_page(const struct admin_params *p, struct admin_out *out)
{
	char name[ADMIN_METRIC_NAME_MAX], label[64];

	metric_name(name, sizeof name, p->program, "_build_info");
	admin_metric(out, name, "gauge", "Always 1; its label is the version of the program.",
	    admin_label(label, sizeof label, "version", PACKAGE_VERSION), 1);
	metric_name(name, sizeof name, p->program, "_start_time_seconds");
	admin_metric(
	    out, name, "gauge", "When it was started, in unix seconds.", NULL, (double)p->started);
	metric_name(name, sizeof name, p->program, "_ready");
	admin_metric(out, name, "gauge", "1 while it serves; 0 while it starts or drains.", NULL,
	    p->ready == NULL || p->ready(p->arg));
	if (p->metrics != NULL)
		p->metrics(p->arg, out);
}

/* ---- for a person */

/* One string of the JSON, quotes and all, as HTML. It has no character of HTML's: they are \u escapes there. */
static const char *html_string(struct admin_out *out, const char *c)
{
	for (c++; *c != '\0' && *c != '"'; c++) {
		if (*c != '\\') {
			admin_printf(out, "%c", *c);
		} else if (c[1] == 'u' && strlen(c) >= 6) {
			admin_printf(out, "&#x%.4s;", c + 2);
			c += 5;
		} else if (*++c == '"') {
			admin_printf(out, "&quot;");
		} else if (*c != '\0') {
			admin_printf(out, "%c", *c);
		} else {
			break;
		}
	}
	return *c == '"' ? c + 1 : c;
}

struct html {
	char stack[PAGE_DEPTH_MAX]; /* '{' or '[' */
	int depth;
	bool key; /* the next string is a member's name */
};

static void html_open(struct html *h, struct admin_out *out, char bracket)
{
	if (h->depth > 0 && h->stack[h->depth - 1] == '[')
		admin_printf(out, "<li>");
	h->stack[h->depth++] = bracket;
	h->key = bracket == '{';
	admin_printf(out, bracket == '{' ? "<table>" : "<ul>");
}

static void html_close(struct html *h, struct admin_out *out, char bracket)
{
	if (h->depth > 0)
		h->depth--;
	admin_printf(out, bracket == '}' ? "</table>" : "</ul>");
	h->key = false;
}

/* What the JSON, which is our own and well-formed, says; deeper than PAGE_DEPTH_MAX it is cut. */
static void html_of(struct admin_out *out, const char *c)
{
	struct html h = { .depth = 0 };

	while (*c != '\0' && h.depth < PAGE_DEPTH_MAX) {
		bool listed = h.depth > 0 && h.stack[h.depth - 1] == '[';

		if (*c == '{' || *c == '[') {
			html_open(&h, out, *c++);
		} else if (*c == '}' || *c == ']') {
			html_close(&h, out, *c++);
		} else if (*c == ',') {
			h.key = h.depth > 0 && h.stack[h.depth - 1] == '{';
			c++;
		} else if (*c == ':') {
			admin_printf(out, "<td>");
			h.key = false;
			c++;
		} else if (*c == '"') {
			admin_printf(out, h.key ? "<tr><th>" : listed ? "<li>" : "");
			c = html_string(out, c);
		} else if (*c == '\n') {
			c++;
		} else {
			size_t n = strcspn(c, ",]}\n");

			admin_printf(out, "%s%.*s", listed ? "<li>" : "", (int)n, c);
			c += n;
		}
	}
}

static void person_page(const struct admin_params *p, struct admin_out *out)
{
	struct admin_out json = { .to = evbuffer_new() };
	char *text = NULL;

	if (json.to != NULL) {
		status_page(p, &json);
		evbuffer_add(json.to, "", 1);
		text = (char *)evbuffer_pullup(json.to, -1);
	}
	if (text == NULL || json.full) {
		out->full = true;
	} else {
		admin_printf(out,
		    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		    "<meta http-equiv=\"refresh\" content=\"10\"><title>%s</title>\n"
		    "<style>body{font:14px sans-serif;margin:2em}"
		    "table{border-collapse:collapse}th{text-align:left;vertical-align:top;"
		    "font-weight:normal;color:#555;padding:1px 1em 1px 0}"
		    "td{padding:1px 0}ul{margin:0;padding-left:1.2em}</style></head>\n"
		    "<body><h1>%s</h1>\n",
		    p->program, p->program);
		html_of(out, text);
		admin_printf(out,
		    "\n<p><a href=\"/status.json\">status.json</a> <a "
		    "href=\"/metrics\">metrics</a> "
		    "<a href=\"/healthz\">healthz</a> <a href=\"/ready\">ready</a></p>\n"
		    "</body></html>\n");
	}
	if (json.to != NULL)
		evbuffer_free(json.to);
}

const char *admin_page(
    const struct admin_params *p, const char *path, struct admin_out *out, int *status)
{
	bool ready;

	*status = 200;
	if (strcmp(path, "/healthz") == 0) {
		admin_printf(out, "ok\n");
	} else if (strcmp(path, "/ready") == 0) {
		ready = p->ready == NULL || p->ready(p->arg);
		*status = ready ? 200 : 503;
		admin_printf(out, ready ? "ready\n" : "not ready: it starts or drains\n");
	} else if (strcmp(path, "/metrics") == 0) {
		metrics_page(p, out);
		return "text/plain; version=0.0.4; charset=utf-8";
	} else if (strcmp(path, "/status.json") == 0) {
		status_page(p, out);
		return "application/json";
	} else if (strcmp(path, "/") == 0) {
		person_page(p, out);
		return "text/html; charset=utf-8";
	} else {
		*status = 404;
		admin_printf(
		    out, "no such page; there are / /healthz /ready /metrics /status.json\n");
	}
	return "text/plain; charset=utf-8";
}
