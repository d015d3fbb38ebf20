/*
 * reason.c: the tables behind reason.h. Out-of-range values read as REASON_INTERNAL.
 */
#include "base/reason.h"

#include "base/poison.h"

static const struct {
	const char *name, *text;
	enum fault fault;
} table[REASON_N] = {
#define X(id, name, text, fault) [id] = { name, text, fault },
	REASON_LIST(X)
#undef X
};

static enum reason known(enum reason r)
{
	return r < REASON_N ? r : REASON_INTERNAL;
}

const char *reason_name(enum reason r)
{
	return table[known(r)].name;
}

const char *reason_text(enum reason r)
{
	return table[known(r)].text;
}

enum fault reason_fault(enum reason r)
{
	return table[known(r)].fault;
}
