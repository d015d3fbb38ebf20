/*
 * commands_private.h: what the files of commands share. commands.c: the table, and what is asked
 * before any verb runs; commands_entries.c: the verbs of entries; commands_connection.c: the others.
 */
#ifndef CACHESVC_COMMANDS_PRIVATE_H
#define CACHESVC_COMMANDS_PRIVATE_H

#include "cachesvc/commands.h"
#include "wire/resp.h"

/* One request in work. */
struct run {
	struct commands *commands;
	struct commands_caller *caller;
	const struct verb *verb;
	const struct resp_command *cmd;
	uint64_t now_ms;
	struct writer w; /* into the reply's buf */
	struct bytes value; /* follows what w holds, with CRLF behind it */
	bool has_value, close;
};

struct verb {
	const char *name;
	uint8_t min, max; /* words, the verb included */
	bool open; /* also before AUTH */
	void (*run)(struct run *);
};

enum { COMMANDS_QUOTE_MAX = 128 };

/* commands.c */
struct bytes run_arg(const struct run *, uint32_t i);
bool run_arg_is(const struct run *, uint32_t i, const char *word); /* in any case */
void run_error(struct run *, const char *text);
void run_value(struct run *, struct bytes value); /* borrowed until the answer has left */
bool run_integer(
    struct bytes, int64_t *out); /* as Redis reads one: no blank, plus or leading zero */
void run_write_quoted(struct writer *, struct bytes, size_t max); /* between ''; only what prints */
int64_t commands_count(void); /* verbs in the table */
void commands_new_run_id(struct commands *);

/* commands_entries.c */
void run_get(struct run *);
void run_getdel(struct run *);
void run_set(struct run *);
void run_setex(struct run *);
void run_del(struct run *);
void run_exists(struct run *);
void run_ttl(struct run *);
void run_pttl(struct run *);
void run_expire(struct run *);
void run_pexpire(struct run *);
void run_dbsize(struct run *);
void run_flushall(struct run *);

/* commands_connection.c */
void run_auth(struct run *);
void run_hello(struct run *);
void run_client(struct run *);
void run_command(struct run *);
void run_ping(struct run *);
void run_echo(struct run *);
void run_select(struct run *);
void run_info(struct run *);
void run_quit(struct run *);

#endif
