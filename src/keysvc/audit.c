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

void audit_refuse(struct audit *audit, enum audit_event event, uint64_t now_ms, uid_t uid,
    pid_t pid, const char *what, const char *why)
{
	audit->n[event]++;
	if (audit->line_at != 0 && now_ms - audit->line_at < AUDIT_LINE_MS) {
		audit->suppressed++;
		return;
	}
	log_warnx("refused %s to uid %u (process %d): %s (%" PRIu64
		  " more since the last such line)",
	    what, (unsigned)uid, (int)pid, why, audit->suppressed);
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
