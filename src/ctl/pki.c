/*
 * pki.c: sslgwctl pki: the cluster's CA and the identities that it signs. The commands that make:
 * init and issue; those that keep are in pki_keep.c and pki_deny.c.
 */
#include "ctl/pki.h"

#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/authority.h"
#include "ctl/commands.h"

#include "base/poison.h"

enum { DEFAULT_HOURS = 24, DAYS_MAX = 398, HOUR_S = 3600 };
enum { OPT_ROLE = 256, OPT_DAYS, OPT_HOURS, OPT_OUT, OPT_FORCE, OPT_OWNER, OPT_NAME };

static const struct command commands[] = {
	{ "init", "DIR [--name NAME] [--force]", "make a cluster's CA in a folder",
	    "The folder is for the machine that signs, and for it alone: whoever has its ca.key "
	    "can\n"
	    "make gateways and key servers of this cluster. Machines get ca.pem and deny.\n\n"
	    "  --name NAME   what the CA is called [sslgw cluster CA]\n"
	    "  --force       even where there is one: what it signed is worth nothing then\n",
	    pki_init },
	{ "issue",
	    "DIR NAME --role ROLE [--hours N | --days N] [--out PREFIX] [--owner USER] [--force]",
	    "make a machine's identity, or a person's",
	    "Writes PREFIX.pem and PREFIX.key (mode 0600); what is written is on the list of "
	    "\"renew\".\n\n"
	    "  --role ROLE     " AUTHORITY_ROLES "\n"
	    "  --hours N       how long it is good [24]; a stolen one is good as long, if not "
	    "denied\n"
	    "  --days N        the same in days, 398 at most\n"
	    "  --out PREFIX    where to write it [DIR/NAME]\n"
	    "  --owner USER    who may read the key, where a service runs as a user of its own\n"
	    "  --force         even where there is one: it is not denied by that\n",
	    pki_issue },
	{ "renew", "DIR [NAME...] [--all] [--reload PIDFILE] [--exec COMMAND] [--quiet]",
	    "renew identities that have passed half of their life",
	    "For cron or a timer, several times in half a life. Each gets a new key and as long a "
	    "life as\n"
	    "before, in the place where it was written. Denied ones are left alone.\n\n"
	    "  --all             also those that are young\n"
	    "  --reload PIDFILE  if something was renewed: HUP to that process (may be repeated)\n"
	    "  --exec COMMAND    if something was renewed: run by sh, with the names in "
	    "$SSLGW_RENEWED,\n"
	    "                    to carry it to its machine or to reload a service\n"
	    "  --quiet           say only what is wrong\n",
	    pki_renew },
	{ "deny", "DIR NAME|CERTIFICATE|SPKI...", "shut a stolen identity out",
	    "Adds the public keys (all that are still valid, of a name; that of a certificate "
	    "file; or a\n"
	    "SHA-256 in hex) to DIR/deny, and says what that identity could reach and what to do "
	    "next.\n",
	    pki_deny },
	{ "forget", "DIR NAME...", "renew an identity no more",
	    "For a machine that is gone. What it has stays valid until it expires: a stolen one is "
	    "denied.\n",
	    pki_forget },
	{ "list", "DIR", "the identities, and how long they are good", NULL, pki_list },
};

int pki_command(const struct command *self, int argc, char **argv)
{
	(void)self;
	return command_run(
	    PKI_PROGRAM, commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}

int pki_init(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, OPT_NAME },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ NULL, 0, NULL, 0 },
	};
	const char *name = "sslgw cluster CA";
	bool force = false;
	int got;

	while ((got = command_option(self, PKI_PROGRAM, argc, argv, options)) != COMMAND_END) {
		if (got == OPT_NAME)
			name = optarg;
		else if (got == OPT_FORCE)
			force = true;
		else
			return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	}
	if (argc - optind != 1)
		return command_usage(self, PKI_PROGRAM, "name one folder: pki init /etc/sslgw/pki");
	if (name[0] == '\0')
		return command_usage(self, PKI_PROGRAM, "--name: a CA has a name");
	if (authority_make(argv[optind], name, force) != 0)
		return COMMAND_NO;
	printf("%s: ca.pem is for every machine of the cluster, ca.key for nobody else; next:\n"
	       "  sslgwctl pki issue %s gw1 --role gateway\n",
	    argv[optind], argv[optind]);
	return COMMAND_OK;
}

/* ---- issue */

struct issue {
	const char *role, *out, *owner;
	int64_t life_s;
	bool force;
};

static int parse_life(const char *text, int unit_s, int64_t *life_s)
{
	const char *wrong;
	long long n = strtonum(text, 1, (long long)DAYS_MAX * AUTHORITY_DAY_S / unit_s, &wrong);

	*life_s = n * unit_s;
	return wrong == NULL ? 0 : -1;
}

static int issue_options(const struct command *self, struct issue *issue, int argc, char **argv)
{
	static const struct option options[] = {
		{ "role", required_argument, NULL, OPT_ROLE },
		{ "days", required_argument, NULL, OPT_DAYS },
		{ "hours", required_argument, NULL, OPT_HOURS },
		{ "out", required_argument, NULL, OPT_OUT },
		{ "owner", required_argument, NULL, OPT_OWNER },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ NULL, 0, NULL, 0 },
	};
	int got;

	while ((got = command_option(self, PKI_PROGRAM, argc, argv, options)) >= 0) {
		if (got == OPT_ROLE)
			issue->role = optarg;
		else if (got == OPT_OUT)
			issue->out = optarg;
		else if (got == OPT_OWNER)
			issue->owner = optarg;
		else if (got == OPT_FORCE)
			issue->force = true;
		else if (parse_life(optarg, got == OPT_DAYS ? AUTHORITY_DAY_S : HOUR_S,
			     &issue->life_s) != 0) {
			command_usage(self, PKI_PROGRAM, "\"%s\" is no number of %s up to %d days",
			    optarg, got == OPT_DAYS ? "days" : "hours", DAYS_MAX);
			return COMMAND_WRONG;
		}
	}
	return got;
}

/* Prefixes of other folders are kept as absolute paths: a timer runs elsewhere. */
static char *prefix_of(const struct issue *issue, const char *name)
{
	char cwd[REPLACE_PATH_MAX];
	char *prefix = NULL;

	if (issue->out == NULL)
		return strdup(name);
	if (issue->out[0] == '/')
		return strdup(issue->out);
	if (getcwd(cwd, sizeof(cwd)) == NULL || asprintf(&prefix, "%s/%s", cwd, issue->out) < 0)
		return NULL;
	return prefix;
}

static bool is_there(const struct authority *a, const char *prefix, char path[REPLACE_PATH_MAX])
{
	if (authority_path(a, prefix, ".key", path) != 0 || access(path, F_OK) == 0)
		return true;
	return authority_path(a, prefix, ".pem", path) != 0 || access(path, F_OK) == 0;
}

static int find_owner(const char *name, struct replace_mode *mode)
{
	const struct passwd *user = getpwnam(name);

	if (user == NULL) {
		log_errorx("--owner %s: there is no such user", name);
		return -1;
	}
	mode->uid = user->pw_uid;
	mode->gid = user->pw_gid;
	return 0;
}

static int issue_in(
    struct authority *a, const struct issue *issue, const char *name, const char *prefix)
{
	struct replace_mode mode = { 0600, (uid_t)-1, (gid_t)-1 };
	char path[REPLACE_PATH_MAX];

	if (issue->owner != NULL && find_owner(issue->owner, &mode) != 0)
		return -1;
	if (!issue->force && is_there(a, prefix, path)) {
		log_errorx(
		    "%s is there already: sslgwctl pki renew %s %s --all gives it a new life; "
		    "--force writes over it",
		    path, a->dir, name);
		return -1;
	}
	return authority_issue(a, name, issue->role, issue->life_s, prefix, &mode);
}

int pki_issue(const struct command *self, int argc, char **argv)
{
	struct issue issue = { .life_s = (int64_t)DEFAULT_HOURS * HOUR_S };
	int got = issue_options(self, &issue, argc, argv), rc = -1;
	struct authority a;
	const char *name;
	char *prefix;

	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (argc - optind != 2)
		return command_usage(self, PKI_PROGRAM, "name the CA's folder and one machine");
	name = argv[optind + 1];
	if (authority_name_wrong(name) != NULL)
		return command_usage(
		    self, PKI_PROGRAM, "\"%s\": %s", name, authority_name_wrong(name));
	if (issue.role == NULL)
		return command_usage(self, PKI_PROGRAM, "which --role? " AUTHORITY_ROLES);
	if (!authority_role_valid(issue.role))
		return command_usage(
		    self, PKI_PROGRAM, "--role %s: there are " AUTHORITY_ROLES, issue.role);
	if (authority_open(&a, argv[optind], true) != 0)
		return COMMAND_NO;
	prefix = prefix_of(&issue, name);
	if (prefix != NULL)
		rc = issue_in(&a, &issue, name, prefix);
	if (rc == 0)
		printf("%s.pem, %s.key: %s, %s, good for %lld h\n",
		    issue.out != NULL ? issue.out : name, issue.out != NULL ? issue.out : name,
		    name, issue.role, (long long)issue.life_s / HOUR_S);
	free(prefix);
	authority_close(&a);
	return rc == 0 ? COMMAND_OK : COMMAND_NO;
}
