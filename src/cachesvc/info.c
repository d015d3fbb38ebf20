/*
 * info.c: see info.h.
 */
#include "cachesvc/info.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/poison.h"

struct section {
	const char *name, *title;
	void (*write)(const struct info *, const struct store_stats *, struct writer *);
};

static void line(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(struct writer *w, const char *fmt, ...)
{
	char text[160];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 2, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text) - 2)
		return;
	text[n] = '\r';
	text[n + 1] = '\n';
	writer_put(w, text, (size_t)n + 2);
}

static void write_server(const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)stats;
	line(w, "server_name:sslgw-cachesvc");
	line(w, "redis_version:%s", INFO_REDIS_VERSION);
	line(w, "redis_mode:standalone");
	line(w, "arch_bits:%zu", sizeof(void *) * 8);
	line(w, "process_id:%ld", (long)getpid());
	line(w, "run_id:%s", info->commands->run_id);
	line(w, "uptime_in_seconds:%" PRIu64, (info->now_ms - info->commands->started_ms) / 1000);
}

static void write_clients(
    const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)stats;
	line(w, "connected_clients:%" PRIu64, info->commands->connections);
}

static void write_memory(const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)info;
	line(w, "used_memory:%" PRIu64, stats->used_memory);
	line(w, "used_memory_index:%" PRIu64, stats->index_memory);
	line(w, "maxmemory:%" PRIu64, stats->max_memory);
	line(w, "maxmemory_policy:segmented-lru");
}

static void write_stats(const struct info *info, const struct store_stats *stats, struct writer *w)
{
	line(w, "total_commands_processed:%" PRIu64, info->commands->run);
	line(w, "refused_commands:%" PRIu64, info->commands->refused);
	line(w, "auth_failures:%" PRIu64, info->commands->auth_failures);
	line(w, "keyspace_hits:%" PRIu64, stats->hits);
	line(w, "keyspace_misses:%" PRIu64, stats->misses);
	line(w, "stored_keys:%" PRIu64, stats->stored);
	line(w, "deleted_keys:%" PRIu64, stats->deleted);
	line(w, "expired_keys:%" PRIu64, stats->expired);
	line(w, "evicted_keys:%" PRIu64, stats->evicted);
	line(w, "evicted_keys_in_use:%" PRIu64, stats->evicted_read);
	line(w, "evicted_age_last_seconds:%" PRIu64, stats->evicted_age_last_s);
	line(w, "evicted_age_mean_seconds:%" PRIu64,
	    stats->evicted > 0 ? stats->evicted_age_s / stats->evicted : 0);
	line(w, "pages_moved:%" PRIu64, stats->pages_moved);
}

/* A tenth of maxmemory; nothing evicts them: full is full. */
static void write_claims(const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)info;
	line(w, "claims:%" PRIu64, stats->claims);
	line(w, "claims_max:%" PRIu64, stats->claims_max);
	line(w, "claims_memory:%" PRIu64, stats->claims_memory);
	line(w, "claims_refused:%" PRIu64, stats->claims_refused);
	line(w, "claims_policy:noeviction");
}

/* Some clients wait until nothing is being loaded. */
static void write_persistence(
    const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)info;
	(void)stats;
	line(w, "loading:0");
}

static void write_replication(
    const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)info;
	(void)stats;
	line(w, "role:master");
	line(w, "connected_slaves:0");
}

static void write_keyspace(
    const struct info *info, const struct store_stats *stats, struct writer *w)
{
	(void)info;
	if (stats->entries > 0)
		line(w, "db0:keys=%" PRIu64 ",in_use=%" PRIu64, stats->entries,
		    stats->protected_entries);
}

static const struct section sections[] = {
	{ "server", "# Server", write_server },
	{ "clients", "# Clients", write_clients },
	{ "memory", "# Memory", write_memory },
	{ "persistence", "# Persistence", write_persistence },
	{ "stats", "# Stats", write_stats },
	{ "claims", "# Claims", write_claims },
	{ "replication", "# Replication", write_replication },
	{ "keyspace", "# Keyspace", write_keyspace },
};

static bool is_wanted(const struct info *info, const char *name)
{
	for (uint32_t i = 0; i < info->sections_n; i++)
		if (bytes_case_equal_str(info->sections[i], name) ||
		    bytes_case_equal_str(info->sections[i], "all") ||
		    bytes_case_equal_str(info->sections[i], "default") ||
		    bytes_case_equal_str(info->sections[i], "everything"))
			return true;
	return info->sections_n == 0;
}

size_t info_write(const struct info *info, uint8_t *buf, size_t max)
{
	struct writer w = writer_of(buf, max);
	struct store_stats stats;

	store_stats(info->commands->store, &stats);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!is_wanted(info, sections[i].name))
			continue;
		if (writer_len(&w) > 0)
			writer_str(&w, "\r\n");
		line(&w, "%s", sections[i].title);
		sections[i].write(info, &stats, &w);
	}
	return writer_len(&w);
}
