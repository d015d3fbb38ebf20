/*
 * pki_deny.c: sslgwctl pki deny: shuts identities out, and says what they could reach: what was theirs
 * is not made safe by the denial alone.
 */
#include "ctl/pki.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/authority.h"

#include "base/poison.h"

enum reached {
	REACHED_GATEWAY = 1,
	REACHED_KEYSVC = 2,
	REACHED_CACHESVC = 4,
	REACHED_OPERATOR = 8
};

struct denial {
	unsigned reached; /* bits */
};

static unsigned reached_by(const char *role)
{
	if (strcmp(role, "gateway") == 0)
		return REACHED_GATEWAY;
	if (strcmp(role, "keysvc") == 0)
		return REACHED_KEYSVC;
	return strcmp(role, "cachesvc") == 0 ? REACHED_CACHESVC : REACHED_OPERATOR;
}

static int deny_key(struct authority *a, struct denial *denial, const char *spki, const char *name,
    const char *role)
{
	char comment[AUTHORITY_NAME_MAX + 64], when[32];
	time_t now = time(NULL);
	struct tm tm;
	int rc;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	snprintf(comment, sizeof(comment), "%s, %s, denied %s", name, role, when);
	rc = authority_deny(a, spki, comment);
	if (rc < 0)
		return -1;
	denial->reached |= reached_by(role);
	printf("%s %s (%s, %s)\n", rc == 0 ? "denied:" : "was denied already:", spki, name, role);
	return 0;
}

/* All that are on record by this test: a key that was renewed is as good to a thief until it expires. */
static int deny_recorded(struct authority *a, struct denial *denial, const char *what, bool spki)
{
	size_t found = 0;

	for (size_t i = 0; i < a->issued_n; i++) {
		const struct issued *it = &a->issued[i];

		if (strcasecmp(spki ? it->spki : it->name, what) != 0)
			continue;
		found++;
		if (deny_key(a, denial, it->spki, it->name, it->role) != 0)
			return -1;
	}
	return found > 0 ? 0 : 1;
}

static bool is_spki(const char *text)
{
	return strlen(text) == AUTHORITY_SPKI_TEXT - 1 &&
	       strspn(text, "0123456789abcdefABCDEF") == AUTHORITY_SPKI_TEXT - 1;
}

static int deny_one(struct authority *a, struct denial *denial, const char *what)
{
	char spki[AUTHORITY_SPKI_TEXT];
	X509 *cert;
	int rc = deny_recorded(a, denial, what, false);

	if (rc <= 0)
		return rc;
	if (is_spki(what))
		strlcpy(spki, what, sizeof(spki));
	else {
		cert = authority_load(what);
		if (cert == NULL) {
			if (errno == ENOENT)
				log_errorx(
				    "%s is no identity of %s and no file: sslgwctl pki list %s "
				    "tells the identities",
				    what, a->dir, a->dir);
			return -1;
		}
		rc = authority_spki(cert, spki);
		X509_free(cert);
		if (rc != 0) {
			log_errorx("%s: its public key cannot be read", what);
			return -1;
		}
	}
	rc = deny_recorded(a, denial, spki, true);
	/* Not on record: what it could reach is not known, so take the commonest. */
	return rc <= 0 ? rc : deny_key(a, denial, spki, what, "gateway");
}

static void say_what_next(const struct authority *a, const struct denial *denial)
{
	int step = 1;

	printf("\nNext:\n");
	printf("%d. Copy %s/deny to the deny_file of every machine. The services read it within "
	       "seconds and\n   close what is connected under a denied key.\n",
	    step++, a->dir);
	if (denial->reached & REACHED_GATEWAY)
		printf(
		    "%d. A gateway could have handshakes signed for the keys that \"callers\" of "
		    "keysvc.conf gives it\n   (until it was denied; the keys themselves it never "
		    "had), "
		    "and it knew the ticket keys of the\n   groups named there: sessions of these "
		    "groups "
		    "could be opened and forged, with any client's\n   certificate. Only after the "
		    "copy, "
		    "or it fetches the new secret too, end all sessions:\n"
		    "     sslgwctl epoch new --now --revoke-old        # on one key server\n",
		    step++);
	if (denial->reached & REACHED_KEYSVC)
		printf("%d. A key server holds the private keys of the sites and every secret of "
		       "the cluster: "
		       "have the\n   sites' certificates revoked and issued anew with new keys, "
		       "then on another "
		       "key server:\n     sslgwctl epoch new --now --revoke-old\n",
		    step++);
	if (denial->reached & REACHED_CACHESVC)
		printf(
		    "%d. A cache server has sealed sessions only: it could drop them, not read or "
		    "forge them.\n",
		    step++);
	if (denial->reached & REACHED_OPERATOR)
		printf("%d. An operator's identity can do what \"callers\" of keysvc.conf gives to "
		       "role "
		       "operator: look there.\n",
		    step++);
	printf(
	    "%d. Set the machine up anew, and give it a new identity: sslgwctl pki issue %s NAME "
	    "--role ROLE --force\n   (one that is gone for good: sslgwctl pki forget %s NAME)\n",
	    step, a->dir, a->dir);
}

int pki_deny(const struct command *self, int argc, char **argv)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	int got = command_option(self, PKI_PROGRAM, argc, argv, none), rc = 0;
	struct denial denial = { 0 };
	struct authority a;

	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (argc - optind < 2)
		return command_usage(
		    self, PKI_PROGRAM, "name the CA's folder, and whom to shut out");
	if (authority_open(&a, argv[optind], false) != 0)
		return COMMAND_NO;
	for (int i = optind + 1; i < argc; i++)
		if (deny_one(&a, &denial, argv[i]) != 0)
			rc = -1;
	if (denial.reached != 0)
		say_what_next(&a, &denial);
	authority_close(&a);
	return rc == 0 ? COMMAND_OK : COMMAND_NO;
}
