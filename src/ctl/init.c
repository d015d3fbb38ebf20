/*
 * init.c: sslgwctl init: reads what a cluster is to be, and checks it before anything is written.
 */
#include "ctl/init.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "crypto/mkcert.h"
#include "ctl/authority.h"
#include "ctl/commands.h"
#include "net/endpoint.h"

#include "base/poison.h"

#define PROGRAM "sslgwctl"

enum { DEFAULT_HOURS = 24, HOURS_MAX = 398 * 24, SELFSIGNED_DAYS = 365 };
enum {
	OPT_DIR = 256,
	OPT_GATEWAY,
	OPT_KEYSVC,
	OPT_CACHESVC,
	OPT_BACKEND,
	OPT_SITE,
	OPT_CERTIFICATE,
	OPT_KEY,
	OPT_HOURS,
	OPT_HERE,
	OPT_FORCE
};

static const struct {
	const char *role, *program;
	uint16_t port;
} kinds[PART_KINDS] = {
	[PART_GATEWAY] = { "gateway", "sslgw", 443 },
	[PART_KEYSVC] = { "keysvc", "sslgw-keysvc", 2407 },
	[PART_CACHESVC] = { "cachesvc", "sslgw-cachesvc", 6380 },
};

const char *part_role(enum part_kind kind)
{
	return kinds[kind].role;
}

const char *part_program(enum part_kind kind)
{
	return kinds[kind].program;
}

const char *part_address(const struct part *part, char *buf, size_t size)
{
	snprintf(buf, size, strchr(part->host, ':') != NULL ? "[%s]:%u" : "%s:%u", part->host,
	    part->port);
	return buf;
}

/* ---- options */

/* "10.0.0.1", "10.0.0.1:443", "[fd00::1]:443", "fd00::1" */
static int parse_address(struct part *part, const char *text)
{
	struct endpoint e;

	part->port = kinds[part->kind].port;
	if (endpoint_of_ip(&e, text, part->port) == 0)
		return strlcpy(part->host, text, sizeof(part->host)) < sizeof(part->host) ? 0 : -1;
	if (endpoint_split(text, part->host, sizeof(part->host), &part->port) != 0 ||
	    part->port == 0)
		return -1;
	return endpoint_of_ip(&e, part->host, part->port);
}

static int take_part(
    const struct command *self, struct init *init, enum part_kind kind, const char *text)
{
	struct part *part = &init->parts[init->parts_n];
	const char *equals = strchr(text, '=');

	if (init->parts_n == INIT_PARTS_MAX)
		return command_usage(self, PROGRAM, "%d programs at most", INIT_PARTS_MAX);
	part->kind = kind;
	if (equals == NULL || (size_t)(equals - text) >= sizeof(part->name) ||
	    parse_address(part, equals + 1) != 0)
		return command_usage(self, PROGRAM,
		    "--%s %s: write NAME=ADDRESS, as gw1=10.0.0.1 or gw1=10.0.0.1:%u",
		    kinds[kind].role, text, kinds[kind].port);
	memcpy(part->name, text, (size_t)(equals - text));
	part->name[equals - text] = '\0';
	if (authority_name_wrong(part->name) != NULL || strcmp(part->name, "pki") == 0)
		return command_usage(self, PROGRAM, "--%s %s: %s", kinds[kind].role, text,
		    strcmp(part->name, "pki") == 0 ? "this name is the CA's folder"
						   : authority_name_wrong(part->name));
	for (size_t i = 0; i < init->parts_n; i++)
		if (init->parts[i].kind == kind && strcmp(init->parts[i].name, part->name) == 0)
			return command_usage(
			    self, PROGRAM, "--%s %s is there twice", kinds[kind].role, part->name);
	init->parts_n++;
	return 0;
}

/* A wildcard is a name of a file, too. */
static void stem_write(char *stem, size_t size, const char *name)
{
	snprintf(stem, size, "%s%s", name[0] == '*' ? "any" : "", name[0] == '*' ? name + 1 : name);
}

static bool is_same_stem(const char *a, const char *b)
{
	char stems[2][256];

	stem_write(stems[0], sizeof(stems[0]), a);
	stem_write(stems[1], sizeof(stems[1]), b);
	return strcasecmp(stems[0], stems[1]) == 0;
}

static int take_site(const struct command *self, struct init *init, const char *name)
{
	const char *rest = strncmp(name, "*.", 2) == 0 ? name + 2 : name;

	if (init->sites_n == INIT_SITES_MAX)
		return command_usage(self, PROGRAM, "%d sites at most", INIT_SITES_MAX);
	if (authority_name_wrong(rest) != NULL)
		return command_usage(
		    self, PROGRAM, "--site %s: write a host name: www.example.com", name);
	/* Their files would be one. */
	for (size_t i = 0; i < init->sites_n; i++)
		if (is_same_stem(init->sites[i].name, name))
			return command_usage(self, PROGRAM,
			    "--site %s and --site %s: leave one out", init->sites[i].name, name);
	init->sites[init->sites_n++].name = name;
	return 0;
}

static int take_chain(const struct command *self, struct init *init, const char *file)
{
	struct site *site;

	if (init->sites_n == 0)
		return command_usage(
		    self, PROGRAM, "--certificate %s: name its --site before it", file);
	site = &init->sites[init->sites_n - 1];
	if (site->chains_n == INIT_CHAINS_MAX)
		return command_usage(self, PROGRAM, "--site %s: %d certificates at most",
		    site->name, INIT_CHAINS_MAX);
	site->chains[site->chains_n++].file = file;
	return 0;
}

/* It stands in a configuration as it is. */
static int take_backend(const struct command *self, struct init *init, const char *text)
{
	char host[254];
	uint16_t port;

	if (init->backends_n == INIT_BACKENDS_MAX)
		return command_usage(self, PROGRAM, "%d back-ends at most", INIT_BACKENDS_MAX);
	if (endpoint_split(text, host, sizeof(host), &port) != 0 || port == 0 ||
	    strpbrk(text, "\"\\ \t\n$") != NULL)
		return command_usage(
		    self, PROGRAM, "--backend %s: write HOST:PORT, as 10.0.9.1:80", text);
	init->backends[init->backends_n++] = text;
	return 0;
}

static int take_hours(const struct command *self, struct init *init, const char *text)
{
	const char *wrong;

	init->life_s = 3600 * strtonum(text, 1, HOURS_MAX, &wrong);
	return wrong == NULL
		   ? 0
		   : command_usage(self, PROGRAM, "--hours %s: write 1 to %d", text, HOURS_MAX);
}

/* ---- certificates and keys */

static int load_chain(struct site *site, struct chain *chain)
{
	char why[512];

	chain->cert = cert_chain_load(chain->file, why, sizeof(why));
	if (chain->cert == NULL) {
		log_errorx("--certificate %s", why);
		return -1;
	}
	if (!cert_matches_host(chain->cert->leaf, site->name))
		log_warnx("--certificate %s is not for %s: browsers will refuse it", chain->file,
		    site->name);
	return 0;
}

static int make_chain(struct site *site)
{
	struct chain *chain = &site->chains[site->chains_n++];
	EVP_PKEY *key;
	X509 *cert;
	char *pem, why[256];

	if (mkcert(&site->name, 1, SELFSIGNED_DAYS, &key, &cert) != 0) {
		log_errorx("no memory");
		return -1;
	}
	pem = mkcert_pem(cert);
	chain->key_pem = mkcert_key_pem(key);
	if (pem != NULL)
		chain->cert = cert_chain_parse(bytes_str(pem), site->name, why, sizeof(why));
	free(pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	if (chain->cert == NULL || chain->key_pem == NULL) {
		log_errorx("no memory");
		return -1;
	}
	log_warnx(
	    "--site %s has no --certificate: it gets a self-signed one, which browsers will not "
	    "trust",
	    site->name);
	return 0;
}

static int load_chains(struct init *init)
{
	struct site *site;

	for (size_t i = 0; i < init->sites_n; i++) {
		site = &init->sites[i];
		if (site->chains_n == 0 && make_chain(site) != 0)
			return -1;
		for (size_t j = 0; j < site->chains_n; j++) {
			struct chain *chain = &site->chains[j];

			if (chain->cert == NULL && load_chain(site, chain) != 0)
				return -1;
			stem_write(chain->stem, sizeof(chain->stem), site->name);
			if (j > 0)
				snprintf(chain->stem + strlen(chain->stem),
				    sizeof(chain->stem) - strlen(chain->stem), "-%zu", j + 1);
		}
	}
	return 0;
}

/* The chains of a key may be several: of sites that share a certificate. */
static size_t give_key(struct init *init, const uint8_t ski[static CERT_SKI_LEN], const char *pem)
{
	struct chain *chain;
	size_t given = 0;

	for (size_t i = 0; i < init->sites_n; i++) {
		for (size_t j = 0; j < init->sites[i].chains_n; j++) {
			chain = &init->sites[i].chains[j];
			if (chain->key_pem != NULL ||
			    memcmp(chain->cert->ski, ski, CERT_SKI_LEN) != 0)
				continue;
			chain->key_pem = strdup(pem);
			given += chain->key_pem != NULL;
		}
	}
	return given;
}

static int load_key(struct init *init, const char *file)
{
	uint8_t ski[CERT_SKI_LEN];
	char no_phrase[1] = "";
	char *pem = replace_read(file);
	EVP_PKEY *key = NULL;
	BIO *bio;
	int rc = -1;

	if (pem == NULL) {
		log_error("--key %s", file);
		return -1;
	}
	bio = BIO_new_mem_buf(pem, -1);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_phrase);
	if (key == NULL || key_ski(key, ski) != 0)
		log_errorx("--key %s: holds no unencrypted private key (PEM)", file);
	else if (give_key(init, ski, pem) == 0)
		log_errorx("--key %s is the key of no --certificate", file);
	else
		rc = 0;
	EVP_PKEY_free(key);
	BIO_free(bio);
	ERR_clear_error();
	explicit_bzero(pem, strlen(pem));
	free(pem);
	return rc;
}

static void clear(struct init *init)
{
	for (size_t i = 0; i < init->sites_n; i++) {
		for (size_t j = 0; j < init->sites[i].chains_n; j++) {
			struct chain *chain = &init->sites[i].chains[j];

			cert_chain_free(chain->cert);
			if (chain->key_pem != NULL)
				explicit_bzero(chain->key_pem, strlen(chain->key_pem));
			free(chain->key_pem);
		}
	}
	free(init);
}

/* ---- the command */

static const struct option options[] = {
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "gateway", required_argument, NULL, OPT_GATEWAY },
	{ "keysvc", required_argument, NULL, OPT_KEYSVC },
	{ "cachesvc", required_argument, NULL, OPT_CACHESVC },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "site", required_argument, NULL, OPT_SITE },
	{ "certificate", required_argument, NULL, OPT_CERTIFICATE },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "hours", required_argument, NULL, OPT_HOURS },
	{ "here", no_argument, NULL, OPT_HERE },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ NULL, 0, NULL, 0 },
};

enum { KEYS_MAX = INIT_SITES_MAX * INIT_CHAINS_MAX };

struct key_files {
	const char *at[KEYS_MAX];
	size_t n;
};

static int take_option(
    const struct command *self, struct init *init, struct key_files *keys, int option)
{
	switch (option) {
	case OPT_DIR:
		init->dir = optarg;
		return 0;
	case OPT_GATEWAY:
		return take_part(self, init, PART_GATEWAY, optarg);
	case OPT_KEYSVC:
		return take_part(self, init, PART_KEYSVC, optarg);
	case OPT_CACHESVC:
		return take_part(self, init, PART_CACHESVC, optarg);
	case OPT_BACKEND:
		return take_backend(self, init, optarg);
	case OPT_SITE:
		return take_site(self, init, optarg);
	case OPT_CERTIFICATE:
		return take_chain(self, init, optarg);
	case OPT_KEY:
		if (keys->n == KEYS_MAX)
			return command_usage(self, PROGRAM, "%d keys at most", KEYS_MAX);
		keys->at[keys->n++] = optarg;
		return 0;
	case OPT_HOURS:
		return take_hours(self, init, optarg);
	case OPT_HERE:
		init->here = true;
		return 0;
	default:
		init->force = true;
		return 0;
	}
}

static bool has_part(const struct init *init, enum part_kind kind)
{
	for (size_t i = 0; i < init->parts_n; i++)
		if (init->parts[i].kind == kind)
			return true;
	return false;
}

/* What a cluster cannot do without. */
static int check(const struct command *self, const struct init *init)
{
	if (init->dir == NULL)
		return command_usage(self, PROGRAM, "where to? --dir DIR");
	if (!has_part(init, PART_GATEWAY))
		return command_usage(self, PROGRAM, "no gateway: --gateway gw1=10.0.0.1");
	if (!has_part(init, PART_KEYSVC))
		return command_usage(self, PROGRAM,
		    "no key server, and gateways have no keys: --keysvc ks1=10.0.1.1");
	if (init->sites_n == 0)
		return command_usage(self, PROGRAM, "what is served? --site www.example.com");
	if (init->backends_n == 0)
		return command_usage(self, PROGRAM, "who answers? --backend 10.0.9.1:80");
	return 0;
}

static int run(
    const struct command *self, struct init *init, struct key_files *keys, int argc, char **argv)
{
	int got, rc = 0;

	while (rc == 0 && (got = command_option(self, PROGRAM, argc, argv, options)) >= 0)
		rc = take_option(self, init, keys, got);
	if (rc != 0)
		return rc;
	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (optind < argc)
		return command_usage(self, PROGRAM, "\"%s\" belongs to no option", argv[optind]);
	rc = check(self, init);
	if (rc != 0)
		return rc;
	if (load_chains(init) != 0)
		return COMMAND_NO;
	for (size_t i = 0; i < keys->n; i++)
		if (load_key(init, keys->at[i]) != 0)
			return COMMAND_NO;
	return init_write(init) == 0 ? COMMAND_OK : COMMAND_NO;
}

int init_command(const struct command *self, int argc, char **argv)
{
	struct init *init = calloc(1, sizeof(*init));
	struct key_files *keys = calloc(1, sizeof(*keys));
	int status = COMMAND_NO;

	if (init == NULL || keys == NULL)
		log_errorx("no memory");
	else {
		init->life_s = (int64_t)DEFAULT_HOURS * 3600;
		status = run(self, init, keys, argc, argv);
	}
	free(keys);
	if (init != NULL)
		clear(init);
	return status;
}
