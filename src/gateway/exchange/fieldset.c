/*
 * fieldset.c: see fieldset.h. Rules are few: they lie in a row, and a name is compared with each.
 */
#include "config.h"

#include "gateway/exchange/fieldset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/octet.h"

#include "base/poison.h"

enum { HSTS_MAX_BYTES = 64 };

struct rule {
	struct bytes name;
	struct template *value; /* NULL: only taken out */
	bool keeps; /* what is there stays: Set-Cookie */
	bool tls; /* only over TLS */
};

struct fieldset {
	size_t n;
	char hsts[HSTS_MAX_BYTES];
	struct rule rules[];
};

static bool known(const struct fieldset *set, struct bytes name, size_t from)
{
	for (size_t i = from; i < set->n; i++)
		if (field_name_like(set->rules[i].name, name))
			return true;
	return false;
}

/* The rules of one place that are not there yet. 0, -1: no memory. */
static int take(
    struct fieldset *set, const struct conf_strings *add, const struct conf_strings *remove)
{
	size_t before = set->n;

	for (size_t i = 0; i + 1 < add->n; i += 2) {
		struct bytes name = bytes_str(add->at[i]);
		bool cookie = bytes_case_equal_str(name, "set-cookie");
		struct rule *rule = &set->rules[set->n];

		/* Of those before, that is, of the route. */
		for (size_t k = 0; k < before && !cookie; k++)
			if (field_name_like(set->rules[k].name, name))
				goto next;
		*rule = (struct rule){ .name = name, .keeps = cookie };
		rule->value = template_new(add->at[i + 1]);
		if (rule->value == NULL)
			return -1;
		set->n++;
	next:
		continue;
	}
	for (size_t i = 0; i < remove->n; i++) {
		struct bytes name = bytes_str(remove->at[i]);

		if (!known(set, name, 0) || bytes_case_equal_str(name, "set-cookie"))
			set->rules[set->n++] = (struct rule){ .name = name };
	}
	return 0;
}

static int take_hsts(struct fieldset *set, const struct site_conf *site)
{
	struct bytes name = bytes_str("Strict-Transport-Security");
	struct rule *rule = &set->rules[set->n];

	if (site->hsts == 0 || known(set, name, 0))
		return 0;
	snprintf(set->hsts, sizeof(set->hsts), "max-age=%" PRIu64 "%s", site->hsts / 1000,
	    site->hsts_subdomains ? "; includeSubDomains" : "");
	*rule = (struct rule){ .name = name, .tls = true };
	rule->value = template_new(set->hsts);
	set->n += rule->value != NULL;
	return rule->value != NULL ? 0 : -1;
}

struct fieldset *fieldset_new(const struct site_conf *site, const struct route_conf *route,
    enum facts_where where, bool *none)
{
	static const struct fields_conf nothing;
	const struct fields_conf *of[2] = { route != NULL ? &route->fields : &nothing,
		&site->fields };
	struct fieldset *set;
	size_t room = 1;

	for (int i = 0; i < 2; i++)
		room += of[i]->add.n + of[i]->remove.n + of[i]->answer_add.n +
			of[i]->answer_remove.n;
	set = calloc(1, sizeof(*set) + room * sizeof(set->rules[0]));
	*none = false;
	for (int i = 0; set != NULL && i < 2; i++) {
		const struct fields_conf *f = of[i];
		bool request = where == FACTS_REQUEST;

		if (take(set, request ? &f->add : &f->answer_add,
			request ? &f->remove : &f->answer_remove) == -1)
			goto fail;
	}
	if (set == NULL || (where == FACTS_ANSWER && take_hsts(set, site) == -1))
		goto fail;
	if (set->n > 0)
		return set;
	*none = true;
fail:
	fieldset_free(set);
	return NULL;
}

void fieldset_free(struct fieldset *set)
{
	for (size_t i = 0; set != NULL && i < set->n; i++)
		template_free(set->rules[i].value);
	free(set);
}

bool fieldset_takes_out(const struct fieldset *set, struct bytes name)
{
	for (size_t i = 0; set != NULL && i < set->n; i++)
		if (!set->rules[i].keeps && field_name_like(set->rules[i].name, name))
			return true;
	return false;
}

/* Writes the rule's value. False: it has none now, and nothing is written. */
static bool value_write(
    const struct rule *rule, const struct facts *facts, struct writer *w, struct bytes *value)
{
	uint8_t *at = w->at;

	if (rule->value == NULL || (rule->tls && facts->client->version == NULL))
		return false;
	template_write(rule->value, facts, w);
	*value = bytes_of(at, (size_t)(w->at - at));
	/* All of it was checked where it came from; that a line ends here must not depend on it. */
	if (w->ok && value->len > 0 && octet_text_run(value->at, value->len) == value->len)
		return true;
	w->at = at;
	return false;
}

void fieldset_write(const struct fieldset *set, const struct facts *facts, struct writer *w)
{
	for (size_t i = 0; set != NULL && i < set->n; i++) {
		uint8_t *line = w->at;
		struct bytes value;

		writer_bytes(w, set->rules[i].name);
		writer_put(w, ": ", 2);
		if (value_write(&set->rules[i], facts, w, &value))
			writer_put(w, "\r\n", 2);
		else
			w->at = line;
	}
}

size_t fieldset_add(const struct fieldset *set, const struct facts *facts, struct writer *w,
    struct field *to, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; set != NULL && i < set->n && n < room; i++) {
		struct bytes value;

		if (value_write(&set->rules[i], facts, w, &value))
			to[n++] = (struct field){ set->rules[i].name, value };
	}
	return n;
}

size_t fieldset_bound(const struct fieldset *set, const struct facts *facts)
{
	size_t n = 0;

	for (size_t i = 0; set != NULL && i < set->n; i++)
		n += set->rules[i].name.len + 4 +
		     (set->rules[i].value != NULL ? template_bound(set->rules[i].value, facts) : 0);
	return n;
}
