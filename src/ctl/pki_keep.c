/*
 * pki_keep.c: sslgwctl pki renew, forget and list: what is done with identities that are there.
 */
#include "ctl/pki.h"

#include <openssl/x509.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/mkcert.h"
#include "ctl/authority.h"

#include "base/poison.h"

enum { RELOADS_MAX = 16, CA_WARN_DAYS = 30, LEFT_TEXT = 32, NAME_COLUMN_MAX = 40 };
enum { OPT_ALL = 256, OPT_RELOAD, OPT_EXEC, OPT_QUIET };

enum state { GOOD, DUE, EXPIRED, DENIED, MISSING, OTHER };

static const char *const state_names[] = {
	[GOOD] = "good",
	[DUE] = "to be renewed",
	[EXPIRED] = "expired",
	[DENIED] = "denied",
	[MISSING] = "no file",
	[OTHER] = "files do not fit",
};

/* Does the certificate that lies there have the key that was recorded, and a key file beside it? What an
 * interrupted writing left behind is seen here, and mended by the next renewal. */
static enum state state_of_files(const struct authority *a, const struct issued *it)
{
	char path[REPLACE_PATH_MAX], spki[AUTHORITY_SPKI_TEXT];
	X509 *cert;
	enum state state = GOOD;

	if (authority_path(a, it->prefix, ".key", path) != 0 || access(path, F_OK) != 0)
		return MISSING;
	if (authority_path(a, it->prefix, ".pem", path) != 0)
		return MISSING;
	cert = authority_load(path);
	if (cert == NULL)
		return errno == ENOENT ? MISSING : OTHER;
	if (authority_spki(cert, spki) != 0 || strcmp(spki, it->spki) != 0)
		state = OTHER;
	X509_free(cert);
	return state;
}

/* As it was asked for: a certificate is valid from before its making. */
static int64_t life_of(const struct issued *it)
{
	int64_t life_s = it->not_after - it->not_before - MKCERT_BACKDATE_S;

	return life_s > 0 ? life_s : 1;
}

static enum state state_of(const struct authority *a, const struct issued *it, int64_t now)
{
	enum state files;

	if (authority_denied(a, it->spki))
		return DENIED;
	files = state_of_files(a, it);
	if (files != GOOD)
		return files;
	if (now >= it->not_after)
		return EXPIRED;
	return it->not_after - now <= life_of(it) / 2 ? DUE : GOOD;
}

/* ---- renew */

struct renew {
	bool all, quiet;
	const char *reload[RELOADS_MAX], *exec;
	size_t reload_n;
	char *renewed; /* names, with spaces between them */
	bool failed;
};

static int renew_options(const struct command *self, struct renew *renew, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, OPT_ALL },
		{ "reload", required_argument, NULL, OPT_RELOAD },
		{ "exec", required_argument, NULL, OPT_EXEC },
		{ "quiet", no_argument, NULL, OPT_QUIET },
		{ NULL, 0, NULL, 0 },
	};
	int got;

	while ((got = command_option(self, PKI_PROGRAM, argc, argv, options)) >= 0) {
		if (got == OPT_ALL)
			renew->all = true;
		else if (got == OPT_QUIET)
			renew->quiet = true;
		else if (got == OPT_EXEC)
			renew->exec = optarg;
		else if (renew->reload_n < RELOADS_MAX)
			renew->reload[renew->reload_n++] = optarg;
		else {
			command_usage(self, PKI_PROGRAM, "--reload: %d at most", RELOADS_MAX);
			return COMMAND_WRONG;
		}
	}
	return got;
}

static bool named(const char *name, int argc, char *const argv[])
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc == 0;
}

/* All that were named must be there, before anything is done. */
static int check_names(const struct authority *a, int argc, char *const argv[])
{
	bool found;

	for (int i = 0; i < argc; i++) {
		found = false;
		for (size_t j = 0; j < a->issued_n; j++)
			found = found ||
				(a->issued[j].current && strcmp(a->issued[j].name, argv[i]) == 0);
		if (!found) {
			log_errorx("%s has no identity %s: sslgwctl pki list %s tells them", a->dir,
			    argv[i], a->dir);
			return -1;
		}
	}
	return 0;
}

/* A copy, for the list moves while it grows. */
static int renew_one(struct authority *a, const struct issued *it)
{
	const struct replace_mode mode = { 0600, (uid_t)-1, (gid_t)-1 };
	int64_t life_s = life_of(it);
	char *name = strdup(it->name), *role = strdup(it->role), *prefix = strdup(it->prefix);
	int rc = -1;

	if (name == NULL || role == NULL || prefix == NULL)
		log_errorx("no memory");
	else
		rc = authority_issue(a, name, role, life_s, prefix, &mode);
	free(name);
	free(role);
	free(prefix);
	return rc;
}

/* Once, though a machine may have several. */
static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (; words != NULL; words = strchr(words, ' ')) {
		words += *words == ' ';
		if (strncmp(words, word, len) == 0 && strchr(" ", words[len]) != NULL)
			return true;
	}
	return false;
}

static void add_renewed(struct renew *renew, const char *name)
{
	char *more = NULL;

	if (has_word(renew->renewed, name))
		return;

	if (asprintf(&more, "%s%s%s", renew->renewed != NULL ? renew->renewed : "",
		renew->renewed != NULL ? " " : "", name) < 0)
		return;
	free(renew->renewed);
	renew->renewed = more;
}

static void renew_all(struct authority *a, struct renew *renew, int argc, char *const argv[])
{
	size_t n = a->issued_n;
	int64_t now = time(NULL);
	enum state state;

	for (size_t i = 0; i < n; i++) {
		if (!a->issued[i].current || !named(a->issued[i].name, argc, argv))
			continue;
		state = state_of(a, &a->issued[i], now);
		if (state == DENIED) {
			if (!renew->quiet || argc > 0)
				log_warnx(
				    "%s is denied and not renewed: sslgwctl pki issue --force "
				    "makes a new one, pki forget ends this",
				    a->issued[i].name);
			continue;
		}
		if (state == GOOD && !renew->all)
			continue;
		if (renew_one(a, &a->issued[i]) != 0) {
			renew->failed = true;
			continue;
		}
		if (!renew->quiet)
			printf("%s: renewed (was: %s)\n", a->issued[i].name, state_names[state]);
		add_renewed(renew, a->issued[i].name);
	}
}

static int hang_up(const char *pid_file)
{
	char *text = replace_read(pid_file);
	const char *wrong = NULL;
	long long pid;

	if (text == NULL) {
		log_error("--reload %s", pid_file);
		return -1;
	}
	text[strcspn(text, "\r\n ")] = '\0';
	pid = strtonum(text, 2, INT32_MAX, &wrong);
	free(text);
	if (wrong != NULL) {
		log_errorx("--reload %s: holds no process id", pid_file);
		return -1;
	}
	if (kill((pid_t)pid, SIGHUP) == 0)
		return 0;
	log_error("--reload %s: process %lld", pid_file, pid);
	return -1;
}

static int run_exec(const struct renew *renew)
{
	int status;

	if (setenv("SSLGW_RENEWED", renew->renewed, 1) != 0)
		return -1;
	fflush(stdout);
	/* NOLINTNEXTLINE(cert-env33-c): a command line of the operator's */
	status = system(renew->exec);
	if (status == 0)
		return 0;
	if (status == -1)
		log_error("--exec: no shell");
	else if (WIFEXITED(status))
		log_errorx("--exec \"%s\" ended with %d", renew->exec, WEXITSTATUS(status));
	else
		log_errorx("--exec \"%s\" ended by a signal", renew->exec);
	return -1;
}

static void tell(struct renew *renew)
{
	if (renew->renewed == NULL)
		return;
	if (renew->exec != NULL && run_exec(renew) != 0)
		renew->failed = true;
	for (size_t i = 0; i < renew->reload_n; i++)
		if (hang_up(renew->reload[i]) != 0)
			renew->failed = true;
}

static void warn_of_ca(const struct authority *a, int64_t now)
{
	int64_t left = authority_time(X509_get0_notAfter(a->ca)) - now;

	if (left < (int64_t)CA_WARN_DAYS * AUTHORITY_DAY_S)
		log_warnx("%s/ca.pem expires in %lld days: make a new CA in another folder, give "
			  "machines both ca.pem in one file, then identities of the new one",
		    a->dir, (long long)left / AUTHORITY_DAY_S);
}

int pki_renew(const struct command *self, int argc, char **argv)
{
	struct renew renew = { 0 };
	int got = renew_options(self, &renew, argc, argv);
	struct authority a;

	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (argc - optind < 1)
		return command_usage(self, PKI_PROGRAM, "name the CA's folder");
	if (authority_open(&a, argv[optind], true) != 0)
		return COMMAND_NO;
	if (check_names(&a, argc - optind - 1, argv + optind + 1) != 0) {
		authority_close(&a);
		return COMMAND_NO;
	}
	warn_of_ca(&a, time(NULL));
	renew_all(&a, &renew, argc - optind - 1, argv + optind + 1);
	/* Unlocked first: what --exec runs may use the folder. */
	authority_close(&a);
	tell(&renew);
	free(renew.renewed);
	return renew.failed ? COMMAND_NO : COMMAND_OK;
}

/* ---- forget */

int pki_forget(const struct command *self, int argc, char **argv)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	int got = command_option(self, PKI_PROGRAM, argc, argv, none), rc;
	struct authority a;

	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (argc - optind < 2)
		return command_usage(self, PKI_PROGRAM, "name the CA's folder and identities");
	if (authority_open(&a, argv[optind], false) != 0)
		return COMMAND_NO;
	rc = check_names(&a, argc - optind - 1, argv + optind + 1);
	for (int i = optind + 1; rc == 0 && i < argc; i++)
		rc = authority_forget(&a, argv[i]);
	authority_close(&a);
	return rc == 0 ? COMMAND_OK : COMMAND_NO;
}

/* ---- list */

static const char *left_text(int64_t left, char text[static LEFT_TEXT])
{
	if (left <= 0)
		return "-";
	if (left < 2 * AUTHORITY_DAY_S)
		snprintf(text, LEFT_TEXT, "%lld h %02lld min", (long long)left / 3600,
		    (long long)left % 3600 / 60);
	else
		snprintf(text, LEFT_TEXT, "%lld d", (long long)left / AUTHORITY_DAY_S);
	return text;
}

static void list(const struct authority *a, int64_t now)
{
	int64_t ca_left = authority_time(X509_get0_notAfter(a->ca)) - now;
	char left[LEFT_TEXT], path[REPLACE_PATH_MAX];
	size_t width = sizeof("NAME") - 1;

	for (size_t i = 0; i < a->issued_n; i++)
		if (a->issued[i].current && strlen(a->issued[i].name) > width)
			width = strlen(a->issued[i].name);
	if (width > NAME_COLUMN_MAX)
		width = NAME_COLUMN_MAX;
	printf("%-*s  %-9s %-17s %-12s %s\n", (int)width, "NAME", "ROLE", "STATE", "LEFT", "FILE");
	printf("%-*s  %-9s %-17s %-12s %s/ca.pem\n", (int)width, "ca", "ca",
	    ca_left > 0 ? "good" : "expired", left_text(ca_left, left), a->dir);
	for (size_t i = 0; i < a->issued_n; i++) {
		const struct issued *it = &a->issued[i];

		if (it->current && authority_path(a, it->prefix, ".pem", path) == 0)
			printf("%-*s  %-9s %-17s %-12s %s\n", (int)width, it->name, it->role,
			    state_names[state_of(a, it, now)], left_text(it->not_after - now, left),
			    path);
	}
}

int pki_list(const struct command *self, int argc, char **argv)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	int got = command_option(self, PKI_PROGRAM, argc, argv, none);
	struct authority a;

	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (argc - optind != 1)
		return command_usage(self, PKI_PROGRAM, "name the CA's folder");
	if (authority_open(&a, argv[optind], false) != 0)
		return COMMAND_NO;
	list(&a, time(NULL));
	authority_close(&a);
	return COMMAND_OK;
}
