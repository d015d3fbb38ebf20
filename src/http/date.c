/*
 * date.c: see date.h. Called for conditional requests only.
 */
#include "http/date.h"

#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

enum { DAY_S = 86400, NAME_LEN = 3 };

/* Reads along a text; after the first mistake ok is false and nothing more is read. */
struct reader {
	struct bytes left;
	bool ok;
};

struct civil {
	unsigned year, month, day, hour, minute, second; /* month from 1 */
};

static void text(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	r->ok = r->ok && bytes_equal_str(bytes_sub(r->left, 0, len), word);
	if (r->ok)
		r->left = bytes_sub(r->left, len, SIZE_MAX);
}

static unsigned number(struct reader *r, size_t digits)
{
	unsigned n = 0;

	r->ok = r->ok && r->left.len >= digits &&
		octet_run(r->left.at, digits, OCTET_DIGIT) == digits;
	for (size_t i = 0; r->ok && i < digits; i++)
		n = n * 10 + (unsigned)(r->left.at[i] - '0');
	if (r->ok)
		r->left = bytes_sub(r->left, digits, SIZE_MAX);
	return n;
}

/* The first of names, each of NAME_LEN letters, that stands here; from 1. */
static unsigned name(struct reader *r, const char *names)
{
	for (unsigned n = 1; r->ok && *names != '\0'; n++, names += NAME_LEN) {
		if (!bytes_equal(bytes_sub(r->left, 0, NAME_LEN), bytes_of(names, NAME_LEN)))
			continue;
		r->left = bytes_sub(r->left, NAME_LEN, SIZE_MAX);
		return n;
	}
	r->ok = false;
	return 0;
}

static void clock_of(struct reader *r, struct civil *c)
{
	c->hour = number(r, 2);
	text(r, ":");
	c->minute = number(r, 2);
	text(r, ":");
	c->second = number(r, 2);
}

static unsigned month(struct reader *r)
{
	return name(r, "JanFebMarAprMayJunJulAugSepOctNovDec");
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static void read_imf(struct reader *r, struct civil *c)
{
	text(r, ", ");
	c->day = number(r, 2);
	text(r, " ");
	c->month = month(r);
	text(r, " ");
	c->year = number(r, 4);
	text(r, " ");
	clock_of(r, c);
	text(r, " GMT");
}

/* Sunday, 06-Nov-94 08:49:37 GMT. A year of more than fifty from now is of the last century. */
static void read_rfc850(struct reader *r, struct civil *c, unsigned year_now)
{
	const uint8_t *comma = memchr(r->left.at, ',', r->left.len);

	r->ok = comma != NULL;
	if (r->ok)
		r->left = bytes_sub(r->left, (size_t)(comma - r->left.at), SIZE_MAX);
	text(r, ", ");
	c->day = number(r, 2);
	text(r, "-");
	c->month = month(r);
	text(r, "-");
	c->year = year_now / 100 * 100 + number(r, 2);
	if (c->year > year_now + 50)
		c->year -= 100;
	text(r, " ");
	clock_of(r, c);
	text(r, " GMT");
}

/* Sun Nov  6 08:49:37 1994 */
static void read_asctime(struct reader *r, struct civil *c)
{
	text(r, " ");
	c->month = month(r);
	text(r, " ");
	if (r->left.len > 0 && r->left.at[0] == ' ') {
		text(r, " ");
		c->day = number(r, 1);
	} else {
		c->day = number(r, 2);
	}
	text(r, " ");
	clock_of(r, c);
	text(r, " ");
	c->year = number(r, 4);
}

static bool leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned month_days(const struct civil *c)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return c->month == 2 && leap(c->year) ? 29 : days[c->month - 1];
}

/* Seconds since 1970, of years from then on. A leap second is the one before it. */
static bool seconds(struct civil *c, time_t *out)
{
	unsigned before = c->year - 1;
	time_t days;

	if (c->year < 1970 || c->day < 1 || c->day > month_days(c) || c->hour > 23 ||
	    c->minute > 59 || c->second > 60)
		return false;
	if (c->second == 60)
		c->second = 59;
	days = (time_t)(c->year - 1970) * 365 + (before / 4 - before / 100 + before / 400) -
	       (1969 / 4 - 1969 / 100 + 1969 / 400);
	for (struct civil m = { .year = c->year, .month = 1 }; m.month < c->month; m.month++)
		days += month_days(&m);
	days += (time_t)c->day - 1;
	*out = days * DAY_S + (time_t)c->hour * 3600 + (time_t)c->minute * 60 + (time_t)c->second;
	return true;
}

bool date_read(struct bytes value, time_t now, time_t *out)
{
	struct reader r = { value, true };
	struct civil c = { 0 };

	(void)name(&r, "SunMonTueWedThuFriSat");
	if (!r.ok || r.left.len == 0)
		return false;
	if (r.left.at[0] == ',')
		read_imf(&r, &c);
	else if (r.left.at[0] == ' ')
		read_asctime(&r, &c);
	else
		read_rfc850(&r, &c, 1970 + (unsigned)((now > 0 ? now : 0) / 31556952));
	return r.ok && r.left.len == 0 && seconds(&c, out);
}
