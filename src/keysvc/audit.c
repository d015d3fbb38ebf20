/*
 * audit.c: counts and lines. Called by keysvc on the loop.
 */
#include "keysvc/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#include "base/poison.h"

void audit_count(struct audit *audit, enum audit_event event)
{
	audit->n[event]++;
}

static void who_text(const struct identity *who, char *buf, size_t size)
{
	char address[ENDPOINT_TEXT_MAX];

	if (who->local)
		snprintf(buf, size, "uid %u (process %d)", (unsigned)who->uid, (int)who->pid);
	else
		snprintf(buf, size, "\"%s\" at %s", who->name,
		    endpoint_text(&who->address, address, sizeof(address)));
}

void audit_refuse(struct audit *audit, enum audit_event event, uint64_t now_ms,
    const struct identity *who, const char *what, const char *why)
{
	char text[512];

	audit->n[event]++;
	if (audit->line_at != 0 && now_ms - audit->line_at < AUDIT_LINE_MS) {
		audit->suppressed++;
		return;
	}
	who_text(who, text, sizeof(text));
	log_warnx("refused %s to %s: %s (%" PRIu64 " more since the last such line)", what, text,
	    why, audit->suppressed);
	audit->line_at = now_ms == 0 ? 1 : now_ms;
	audit->suppressed = 0;
}

const char *audit_name(enum audit_event event)
{
	static const char *const names[] = {
#define X(id, name) name,
		AUDIT_LIST(X)
#undef X
	};

	return event < AUDIT_N ? names[event] : "?";
}

void audit_log(const struct audit *audit)
{
	char line[1024];
	size_t n = 0;

	for (int i = 0; i < AUDIT_N && n < sizeof(line); i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s=%" PRIu64,
		    i == 0 ? "" : " ", audit_name((enum audit_event)i), audit->n[i]);
	log_info("counts: %s", line);
}
