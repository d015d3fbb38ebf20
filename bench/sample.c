/*
 * sample.c: latencies.
 */
#include <err.h>
#include <stdlib.h>

#include "load.h"

void samples_add(struct samples *s, double seconds)
{
	if (s->n == s->size) {
		s->size = s->size == 0 ? 65536 : s->size * 2;
		s->at = reallocarray(s->at, s->size, sizeof(*s->at));
		if (s->at == NULL)
			err(2, "samples");
	}
	s->at[s->n++] = (float)(seconds * 1e6);
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

void samples_sort(struct samples *s)
{
	if (s->n > 0)
		qsort(s->at, s->n, sizeof(*s->at), compare);
}

double samples_at(const struct samples *s, double share)
{
	if (s->n == 0)
		return 0;
	return (double)s->at[(size_t)(share * (double)(s->n - 1) + 0.5)];
}
