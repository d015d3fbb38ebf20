/*
 * conf_units.c: times, sizes and rates, written with their unit: "20ms", "512M", "5000/s". libconfig
 * knows no units and wraps what is too large; here it is refused.
 */
#include <stdio.h>
#include <string.h>

#include "base/conf_impl.h"

#include "base/poison.h"

struct unit {
	const char *name;
	uint64_t times;
};

/* From the largest: conf_units_text() takes the first that fits without a rest. */
static const struct unit time_units[] = {
	{ "d", 24 * 60 * 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "m", 60 * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "T", UINT64_C(1) << 40 },
	{ "G", UINT64_C(1) << 30 },
	{ "M", UINT64_C(1) << 20 },
	{ "K", UINT64_C(1) << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit rate_units[] = {
	/* times: seconds that one takes */
	{ "/s", 1 },
	{ "/min", 60 },
	{ "/h", 3600 },
	{ NULL, 0 },
};

static const char too_large[] = "the number is too large";

/* Far above any use; sums and products of a few of them do not wrap. */
static const uint64_t NUMBER_MAX = UINT64_C(1) << 53;

static const struct unit *unit_of(const struct unit *units, const char *name)
{
	while (units->name != NULL && strcmp(units->name, name) != 0)
		units++;
	return units->name != NULL ? units : NULL;
}

/* The digits at s; where they end. NULL: none. Too large is NUMBER_MAX + 1. */
static const char *digits(const char *s, uint64_t *n)
{
	const char *from = s;

	for (*n = 0; *s >= '0' && *s <= '9'; s++)
		*n = *n > NUMBER_MAX / 10 ? NUMBER_MAX + 1 : *n * 10 + (uint64_t)(*s - '0');
	return s == from ? NULL : s;
}

static const char *scaled(const char *s, const struct unit *units, uint64_t *out,
    const char *no_number, const char *no_unit)
{
	uint64_t n;
	const char *rest = digits(s, &n);
	const struct unit *unit;

	if (rest == NULL)
		return no_number;
	unit = n == 0 && *rest == '\0' ? units : unit_of(units, rest);
	if (unit == NULL)
		return no_unit;
	if (n > NUMBER_MAX / unit->times)
		return too_large;
	*out = n * unit->times;
	return NULL;
}

const char *conf_duration(const char *s, uint64_t *ms)
{
	return scaled(s, time_units, ms,
	    "a time is a whole number and a unit: \"20ms\", \"10s\", \"5m\", \"24h\", \"7d\"",
	    "the unit of a time is ms, s, m, h or d: \"20ms\", \"10s\", \"5m\", \"24h\", \"7d\"");
}

const char *conf_size(const char *s, uint64_t *bytes)
{
	return scaled(s, size_units, bytes,
	    "a size is a whole number and a unit: \"64K\", \"512M\", \"2G\"",
	    "the unit of a size is K, M, G or T, or none for bytes: \"64K\", \"512M\", \"2G\"");
}

const char *conf_rate(const char *s, uint64_t *per_second)
{
	uint64_t n;
	const char *rest = digits(s, &n);
	const struct unit *unit;

	if (rest == NULL)
		return "a rate is a whole number for a time: \"5000/s\", \"600/min\"";
	unit = n == 0 && *rest == '\0' ? rate_units : unit_of(rate_units, rest);
	if (unit == NULL)
		return "a rate is for /s, /min or /h: \"5000/s\", \"600/min\"";
	if (n > NUMBER_MAX)
		return too_large;
	*per_second = n / unit->times;
	if (n != 0 && *per_second == 0)
		return "this is less than one a second, the least that can be kept: \"1/s\"";
	return NULL;
}

void conf_units_text(enum conf_type type, uint64_t n, char text[static CONF_UNITS_TEXT_BYTES])
{
	const struct unit *unit = type == CONF_DURATION ? time_units : size_units;

	if (type == CONF_RATE) {
		snprintf(text, CONF_UNITS_TEXT_BYTES, "%llu/s", (unsigned long long)n);
		return;
	}
	if (n == 0) {
		snprintf(text, CONF_UNITS_TEXT_BYTES, "0");
		return;
	}
	while (n % unit->times != 0)
		unit++;
	snprintf(text, CONF_UNITS_TEXT_BYTES, "%llu%s", (unsigned long long)(n / unit->times),
	    unit->name);
}
