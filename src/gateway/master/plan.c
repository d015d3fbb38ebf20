/*
 * plan.c: checks that need the file system. All errors of a configuration are found in one pass, each
 * named by the line of the option that is to be changed.
 */
#include "gateway/master/plan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/roles.h"
#include "gateway/tls/sitecheck.h"
#include "proc/privileges.h"

#include "base/poison.h"

enum { PLAN_KEY_FILES_MAX = 10000, PLAN_WHY_MAX = 512, PLAN_UNUSED_ID = 64900 };

static void add_cert(
    struct plan *plan, const struct site_conf *site, char **path, struct conf_errors *errors)
{
	char why[PLAN_WHY_MAX];
	struct cert_chain *chain = cert_chain_load(*path, why, sizeof why);
	struct plan_cert *grown;

	if (chain == NULL) {
		conf_reject(errors, &site->certificates, "%s", why);
		return;
	}
	for (size_t i = 0; i < plan->certs_n; i++)
		if (plan->certs[i].site == site && plan->certs[i].type == chain->type)
			conf_reject(errors, &site->certificates,
			    "certificates: %s and %s both have a key of type %s: one of each type "
			    "is used",
			    plan->certs[i].path, *path, key_type_name(chain->type));
	grown = reallocarray(plan->certs, plan->certs_n + 1, sizeof *grown);
	if (grown != NULL) {
		plan->certs = grown;
		grown[plan->certs_n] = (struct plan_cert){
			.site = site, .path = *path, .type = chain->type
		};
		memcpy(grown[plan->certs_n].ski, chain->ski, CERT_SKI_LEN);
		plan->certs_n++;
	}
	cert_chain_free(chain);
}

static int keep_key_file(struct plan *plan, const char *path)
{
	char **grown = reallocarray(plan->key_files, plan->key_files_n + 1, sizeof *grown);

	if (grown == NULL)
		return -1;
	plan->key_files = grown;
	grown[plan->key_files_n] = strdup(path);
	return grown[plan->key_files_n++] != NULL ? 0 : -1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void add_key_folder(struct plan *plan, const char *folder, struct conf_errors *errors)
{
	struct dirent **entries;
	size_t found = 0;
	int n = scandir(folder, &entries, not_hidden, by_name);

	if (n < 0) {
		conf_reject(errors, &plan->conf->private_keys,
		    "private_keys: cannot read the folder %s: %s", folder, strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		char path[PLAN_PATH_MAX];
		struct stat st;

		snprintf(path, sizeof path, "%s%s%s", folder,
		    folder[strlen(folder) - 1] == '/' ? "" : "/", entries[i]->d_name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    plan->key_files_n < PLAN_KEY_FILES_MAX && keep_key_file(plan, path) == 0)
			found++;
		free(entries[i]);
	}
	free(entries);
	if (found == 0)
		conf_reject(errors, &plan->conf->private_keys,
		    "private_keys: the folder %s holds no file: put the sites' private keys (PEM) "
		    "into it",
		    folder);
}

static void add_keys(struct plan *plan, struct conf_errors *errors)
{
	const struct conf_strings *keys = &plan->conf->private_keys;

	for (size_t i = 0; i < keys->n; i++) {
		struct stat st;

		if (stat(keys->at[i], &st) != 0)
			conf_reject(
			    errors, keys, "private_keys: %s: %s", keys->at[i], strerror(errno));
		else if (S_ISDIR(st.st_mode))
			add_key_folder(plan, keys->at[i], errors);
		else
			keep_key_file(plan, keys->at[i]);
	}
}

/* A user named in the config must exist. Unnamed: the usual name if it exists, else a number that
 * nobody has, one for each role. Without root everybody is whoever started us. */
static void find_user(struct plan_user *user, char *const *named, const char *usual, unsigned nth,
    struct conf_errors *errors)
{
	user->uid = geteuid();
	user->gid = getegid();
	if (*named != NULL) {
		if (privileges_user(*named, &user->uid, &user->gid) != 0)
			conf_reject(errors, named,
			    "there is no user \"%s\": create it (adduser --system %s), or name "
			    "another",
			    *named, *named);
		else if (geteuid() != 0 && user->uid != geteuid())
			conf_reject(errors, named,
			    "only root can become user \"%s\": start as root, or leave the option "
			    "out",
			    *named);
		return;
	}
	if (geteuid() != 0)
		return;
	if (privileges_user(usual, &user->uid, &user->gid) == 0)
		return;
	user->uid = privileges_unused_id(PLAN_UNUSED_ID + 16 * nth);
	user->gid = (gid_t)user->uid;
}

static void check_client_certificates(const struct site_conf *site, struct conf_errors *errors)
{
	char why[PLAN_WHY_MAX];
	STACK_OF(X509) * stack;

	if (site->client_certificate.ca_file == NULL)
		return;
	stack = cert_stack_load(site->client_certificate.ca_file, why, sizeof why);
	if (stack == NULL)
		conf_reject(errors, &site->client_certificate.ca_file, "%s", why);
	sk_X509_pop_free(stack, X509_free);
}

static void find_services(struct plan *plan, struct conf_errors *errors)
{
	char buf[PLAN_PATH_MAX];
	const char *names[] = { "sslgw-keysvc", "sslgw-cachesvc" };
	const bool elsewhere[] = { plan->conf->key_service.servers.n > 0,
		plan->conf->session_cache.servers.n > 0 };

	for (size_t i = 0; i < 2; i++)
		if (!elsewhere[i] && plan_program(plan, names[i], buf, sizeof buf) == NULL)
			conf_reject(errors, &plan->conf->services_dir,
			    "%s is not beside sslgw and not in %s: install it, or set services_dir",
			    names[i], SBINDIR);
}

_Static_assert((int)ROLES_WORKERS_MAX == (int)GATEWAY_WORKERS_MAX, "one limit");

struct plan *plan_new(struct conf_text *text, struct conf_errors *errors)
{
	struct plan *plan = calloc(1, sizeof *plan);
	size_t before = conf_errors_n(errors);

	if (plan == NULL) {
		conf_text_free(text);
		return NULL;
	}
	plan->text = text;
	plan->conf = gateway_conf_new(text, errors);
	if (plan->conf == NULL) {
		plan_free(plan);
		return NULL;
	}
	find_user(&plan->gateway, &plan->conf->user, "sslgw", 0, errors);
	find_user(&plan->key, &plan->conf->key_user, "sslgw-key", 1, errors);
	find_user(&plan->cache, &plan->conf->cache_user, "sslgw-cache", 2, errors);
	for (size_t i = 0; i < plan->conf->sites.n; i++) {
		const struct site_conf *site = &plan->conf->sites.at[i];

		for (size_t k = 0; k < site->certificates.n; k++)
			add_cert(plan, site, &site->certificates.at[k], errors);
		check_client_certificates(site, errors);
		sitecheck(site, errors);
	}
	add_keys(plan, errors);
	plan->key_any = calloc(plan->key_files_n + 1, sizeof *plan->key_any);
	find_services(plan, errors);
	plan_services(plan, errors);
	plan_files(plan, errors);
	adminconf_check(&plan->conf->admin, errors);
	plan->workers = gateway_conf_workers(plan->conf);
	if (conf_errors_n(errors) > before || plan->key_any == NULL) {
		plan_free(plan);
		return NULL;
	}
	return plan;
}

void plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	for (size_t i = 0; i < plan->key_files_n; i++)
		free(plan->key_files[i]);
	free(plan->key_files);
	free(plan->key_any);
	free(plan->certs);
	gateway_conf_free(plan->conf);
	conf_text_free(plan->text);
	free(plan);
}

/* Certificates and notes may lie in a folder of keys. A file that was named must be a key. */
static bool is_named(const struct plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->conf->private_keys.n; i++)
		if (strcmp(plan->conf->private_keys.at[i], path) == 0)
			return true;
	return false;
}

static bool is_none(const char *error)
{
	return strncmp(error, PLAN_KEY_NONE, strlen(PLAN_KEY_NONE)) == 0;
}

/* keys are in the order of the files. */
static bool find_key(
    const struct plan *plan, const struct plan_cert *cert, const struct plan_key *keys, size_t n)
{
	bool found = false;

	for (size_t k = 0; k < n; k++) {
		if (keys[k].error != NULL || memcmp(keys[k].ski, cert->ski, CERT_SKI_LEN) != 0)
			continue;
		found = true;
		if (cert->site->max_version == TLS_VERSION_1_2 && k < plan->key_files_n)
			plan->key_any[k] = true;
	}
	return found;
}

void plan_match(
    const struct plan *plan, const struct plan_key *keys, size_t n, struct conf_errors *errors)
{
	size_t read = 0;

	if (plan->conf->key_service.servers.n > 0) /* each worker asks them */
		return;
	for (size_t k = 0; k < n; k++) {
		if (keys[k].error == NULL)
			read++;
		else if (keys[k].name != NULL &&
			 !(is_none(keys[k].error) && !is_named(plan, keys[k].name)))
			conf_reject(errors, &plan->conf->private_keys, "private_keys: %s: %s",
			    keys[k].name, keys[k].error);
	}
	for (size_t i = 0; i < plan->certs_n; i++) {
		const struct plan_cert *cert = &plan->certs[i];

		if (find_key(plan, cert, keys, n))
			continue;
		if (read == 1)
			conf_reject(errors, &cert->site->certificates,
			    "the certificate %s and the private key %s do not belong together: put "
			    "its key into private_keys",
			    cert->path, keys[0].name);
		else
			conf_reject(errors, &cert->site->certificates,
			    "the certificate %s has no private key among the %zu that were read: "
			    "put its key into private_keys",
			    cert->path, read);
	}
}

const char *plan_program(const struct plan *plan, const char *name, char *buf, size_t size)
{
	const char *dir = plan->conf->services_dir;
	char self[PLAN_PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

	if (dir != NULL) {
		snprintf(buf, size, "%s/%s", dir, name);
		return access(buf, X_OK) == 0 ? buf : NULL;
	}
	if (len > 0) {
		self[len] = '\0';
		*strrchr(self, '/') = '\0';
		snprintf(buf, size, "%s/%s", self, name);
		if (access(buf, X_OK) == 0)
			return buf;
	}
	snprintf(buf, size, "%s/%s", SBINDIR, name);
	return access(buf, X_OK) == 0 ? buf : NULL;
}
