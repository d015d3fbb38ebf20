/*
 * selftest_verdict.c: from the results of a selftest to what is likely wrong, gateway by gateway. A
 * gateway is held against the one that most others agree with. Clocks are no cause: gateways count the
 * life of ticket keys by what the key service tells, not by their own.
 */
#include "ctl/selftest.h"

#include <string.h>

#include "base/poison.h"

enum { BITS_TICKETS = 1 << KIND_TLS12_TICKET | 1 << KIND_TLS13, BIT_ID = 1 << KIND_TLS12_ID };

/* Of one gateway; bits are 1 << enum kind. */
struct finding {
	bool dead; /* no handshake by any kind */
	unsigned failed; /* no handshake by that kind, though it is spoken */
	unsigned missing; /* not offered, though others do */
	unsigned alone; /* does not even resume what it made itself */
	unsigned refuses, refused; /* what the reference made; the reference, what it made */
	size_t reference;
};

static bool offers(const struct selftest *test, enum kind kind, size_t i)
{
	enum result own = selftest_result(test, kind, i, i);

	return own == RESULT_RESUMED || own == RESULT_FULL;
}

static bool resumes(const struct selftest *test, enum kind kind, size_t from, size_t to)
{
	return selftest_result(test, kind, from, to) == RESULT_RESUMED;
}

static bool is_dead(const struct selftest *test, size_t i)
{
	for (enum kind kind = 0; kind < KINDS_N; kind++)
		if (selftest_result(test, kind, i, i) != RESULT_FAILED)
			return false;
	return true;
}

/* The gateway that most others agree with both ways; n: none offers this kind. */
static size_t reference_of(const struct selftest *test, enum kind kind)
{
	size_t best = test->n, best_agree = 0, agree;

	for (size_t i = 0; i < test->n; i++) {
		if (!offers(test, kind, i))
			continue;
		agree = 1;
		for (size_t j = 0; j < test->n; j++)
			agree += resumes(test, kind, i, j) && resumes(test, kind, j, i);
		if (agree > best_agree) {
			best = i;
			best_agree = agree;
		}
	}
	return best;
}

static void find_kind(
    const struct selftest *test, enum kind kind, size_t reference, size_t i, struct finding *f)
{
	unsigned bit = 1U << kind;

	if (selftest_result(test, kind, i, i) == RESULT_FAILED)
		f->failed |= bit;
	else if (!offers(test, kind, i))
		f->missing |= bit;
	else if (!resumes(test, kind, i, i))
		f->alone |= bit;
	else {
		/* With a reference that is alone itself there is nothing to agree on. */
		if (!resumes(test, kind, reference, reference))
			return;
		if (!resumes(test, kind, reference, i))
			f->refuses |= bit;
		if (!resumes(test, kind, i, reference))
			f->refused |= bit;
		if ((f->refuses | f->refused) & bit)
			f->reference = reference;
	}
}

static struct finding find(const struct selftest *test, size_t i)
{
	struct finding f = { .dead = is_dead(test, i) };
	size_t reference;

	for (enum kind kind = 0; !f.dead && kind < KINDS_N; kind++) {
		reference = reference_of(test, kind);
		if (reference < test->n)
			find_kind(test, kind, reference, i, &f);
		else if (selftest_result(test, kind, i, i) == RESULT_FAILED)
			f.failed |= 1U << kind;
	}
	return f;
}

/* ---- in words */

static void print_kinds(unsigned bits, FILE *out)
{
	const char *between = "";

	for (enum kind kind = 0; kind < KINDS_N; kind++) {
		if ((bits & 1U << kind) == 0)
			continue;
		fprintf(out, "%s%s", between, selftest_kind_name(kind));
		between = ", ";
	}
}

static const struct gateway *at(const struct selftest *test, size_t i)
{
	return &test->gateways[i];
}

static const char *why_of(const struct selftest *test, size_t i, unsigned bits)
{
	for (enum kind kind = 0; kind < KINDS_N; kind++)
		if ((bits & 1U << kind) != 0 && at(test, i)->why[kind][0] != '\0')
			return at(test, i)->why[kind];
	return "it is not known why";
}

/* A kind by which a full handshake was seen of both; KINDS_N: none. */
static enum kind seen_both(const struct gateway *a, const struct gateway *b)
{
	enum kind kind = 0;

	while (kind < KINDS_N && !(a->seen[kind].any && b->seen[kind].any))
		kind++;
	return kind;
}

/* What full handshakes show: a difference there is the likeliest cause. */
static bool print_difference(const struct gateway *a, const struct gateway *b, FILE *out)
{
	enum kind kind = seen_both(a, b);
	const struct seen *x, *y;

	if (kind == KINDS_N)
		return false;
	x = &a->seen[kind];
	y = &b->seen[kind];
	if (x->asks != y->asks)
		fprintf(out,
		    "It %s for a client's certificate, and %s %s: client_certificate.verify "
		    "differs, so "
		    "their\n   sessions do not mix.",
		    x->asks ? "asks" : "does not ask", b->text, y->asks ? "does" : "does not");
	else if (memcmp(x->cas, y->cas, sizeof(x->cas)) != 0)
		fprintf(out,
		    "It asks for client certificates of other CAs than %s: "
		    "client_certificate.ca_file "
		    "differs,\n   so their sessions do not mix.",
		    b->text);
	else
		return false;
	return true;
}

/* No cause by itself: a renewed certificate resumes what the former began. */
static void print_other_leaf(const struct gateway *a, const struct gateway *b, FILE *out)
{
	enum kind kind = seen_both(a, b);

	if (kind < KINDS_N && memcmp(a->seen[kind].leaf, b->seen[kind].leaf, SELFTEST_DIGEST) != 0)
		fprintf(out,
		    "It shows another certificate than %s: does another site answer there (names, "
		    "--sni)?\n   ",
		    b->text);
}

static void print_cause(const struct gateway *a, const struct gateway *b, unsigned bits, FILE *out)
{
	fprintf(out, "   ");
	if (!print_difference(a, b, out)) {
		print_other_leaf(a, b, out);
		if ((bits & BITS_TICKETS) == 0)
			fprintf(out,
			    "Its session cache is another one, or out of its reach: compare "
			    "session_cache.servers with those of\n   %s, and see sslgwctl status "
			    "there.",
			    b->text);
		else
			fprintf(out,
			    "Its ticket keys are others: compare key_service.servers, and the "
			    "site's name, "
			    "group and\n   client_certificate (depth and CRL too) with those of "
			    "%s, and "
			    "sslgwctl epoch show on each key\n   server. After a change of keys, "
			    "half a "
			    "minute may pass until all gateways have them.",
			    b->text);
	}
	fputc('\n', out);
}

static void print_alone(const struct selftest *test, size_t i, unsigned bits, FILE *out)
{
	fprintf(out, "\n%s does not resume its own sessions (", at(test, i)->text);
	print_kinds(bits, out);
	fprintf(out, ").\n   ");
	if ((bits & BITS_TICKETS) == 0)
		fprintf(out,
		    "Its session cache does not keep or find them: look for session_cache in "
		    "its log, and whether the\n   servers can be reached.");
	else
		fprintf(out, "Its sessions are in a cache that it does not reach (resumption = "
			     "\"stateful\"), or "
			     "its workers have\n   no keys in common: look for key_service and "
			     "session_cache in its "
			     "log.");
	fputc('\n', out);
}

static void print_odd(const struct selftest *test, size_t i, const struct finding *f, FILE *out)
{
	const struct gateway *reference = at(test, f->reference);
	unsigned both = f->refuses & f->refused;

	if (both != 0) {
		fprintf(out, "\n%s and %s do not resume each other's sessions (", at(test, i)->text,
		    reference->text);
		print_kinds(both, out);
		fprintf(out, ").\n");
	}
	if (f->refuses & ~both) {
		fprintf(
		    out, "\n%s does not resume what %s made (", at(test, i)->text, reference->text);
		print_kinds(f->refuses & ~both, out);
		fprintf(out, ").\n");
	}
	if (f->refused & ~both) {
		fprintf(
		    out, "\n%s does not resume what %s made (", reference->text, at(test, i)->text);
		print_kinds(f->refused & ~both, out);
		fprintf(out, ").\n");
	}
	print_cause(at(test, i), reference, f->refuses | f->refused, out);
}

static size_t print_finding(
    const struct selftest *test, size_t i, const struct finding *f, FILE *out)
{
	size_t n = 0;

	if (f->dead) {
		fprintf(out, "\n%s makes no handshake.\n   %s.\n", at(test, i)->text,
		    why_of(test, i, ~0U));
		return 1;
	}
	if (f->failed != 0 && ++n) {
		fprintf(out, "\n%s fails in handshakes (", at(test, i)->text);
		print_kinds(f->failed, out);
		fprintf(out, ").\n   %s.\n", why_of(test, i, f->failed));
	}
	if (f->missing != 0 && ++n) {
		fprintf(out, "\n%s does not offer what others do (", at(test, i)->text);
		print_kinds(f->missing, out);
		fprintf(out,
		    "): %s.\n   Compare the site's tls_profile, versions, tls12_tickets and "
		    "resumption; "
		    "without current keys of the\n   key service there are no tickets, without a "
		    "session "
		    "cache no ids.\n",
		    why_of(test, i, f->missing));
	}
	if (f->alone != 0 && ++n)
		print_alone(test, i, f->alone, out);
	if ((f->refuses | f->refused) != 0 && ++n)
		print_odd(test, i, f, out);
	return n;
}

size_t selftest_verdict(const struct selftest *test, FILE *out)
{
	struct finding finding;
	bool any = false;
	size_t n = 0;

	for (enum kind kind = 0; kind < KINDS_N; kind++)
		any = any || reference_of(test, kind) < test->n;
	for (size_t i = 0; i < test->n; i++) {
		finding = find(test, i);
		n += print_finding(test, i, &finding, out);
	}
	if (n == 0 && !any) {
		fprintf(out,
		    "\nNo gateway gives sessions that can be resumed.\n   Is the site's resumption "
		    "\"off\"? Without current keys of the key service there are no tickets, "
		    "without\n   a "
		    "session cache no ids: look at the log of a gateway.\n");
		n = 1;
	}
	return n;
}
