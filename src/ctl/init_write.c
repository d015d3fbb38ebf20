/*
 * init_write.c: the folders of a cluster's machines: for each of its programs a configuration and an
 * identity, and what they share: the CA's certificate, the deny file; certificates for gateways, keys
 * for key servers. All paths in the configurations are relative to them, so a folder can be carried to
 * /etc/sslgw of its machine as it is.
 */
#include "ctl/init.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/mkcert.h"
#include "ctl/authority.h"
#include "ctl/replace.h"

#include "base/poison.h"

enum { ADDRESS = 96 };

static const struct replace_mode for_all = { 0644, (uid_t)-1, (gid_t)-1 };
static const struct replace_mode for_owner = { 0600, (uid_t)-1, (gid_t)-1 };

/* path: DIR/MACHINE/FILE. */
static int path_of(
    const struct init *init, const char *machine, const char *file, char path[REPLACE_PATH_MAX])
{
	int n = snprintf(path, REPLACE_PATH_MAX, "%s/%s%s%s", init->dir, machine,
	    file[0] != '\0' ? "/" : "", file);

	if (n < REPLACE_PATH_MAX)
		return 0;
	log_errorx("%s: the path is too long", init->dir);
	return -1;
}

static int write_text(const struct init *init, const char *machine, const char *file,
    const char *text, const struct replace_mode *mode)
{
	char path[REPLACE_PATH_MAX];

	return path_of(init, machine, file, path) == 0 ? replace_file(path, text, mode) : -1;
}

static int make_folder(
    const struct init *init, const char *machine, const char *folder, mode_t mode)
{
	char path[REPLACE_PATH_MAX];

	return path_of(init, machine, folder, path) == 0 ? replace_folder(path, mode) : -1;
}

/* ---- configurations */

static void put_servers(
    const struct init *init, enum part_kind kind, const struct part *but, FILE *out)
{
	const char *between = "";
	char address[ADDRESS];

	for (size_t i = 0; i < init->parts_n; i++) {
		if (init->parts[i].kind != kind || &init->parts[i] == but)
			continue;
		fprintf(out, "%s\"%s\"", between,
		    part_address(&init->parts[i], address, sizeof(address)));
		between = ", ";
	}
}

static size_t count(const struct init *init, enum part_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < init->parts_n; i++)
		n += init->parts[i].kind == kind;
	return n;
}

static void put_identity(const struct part *part, const char *indent, FILE *out)
{
	const char *role = part_role(part->kind);

	fprintf(out,
	    "%sidentity = \"%s.pem\";\n%sidentity_key = \"%s.key\";\n"
	    "%sca_file = \"cluster-ca.pem\";\n%sdeny_file = \"deny\";\n",
	    indent, role, indent, role, indent, indent);
}

/* --here: many run on one machine, each with a socket beside it. Else the usual ports of this machine; the
 * sockets of systemd's folders are there besides. */
static void put_admin(const struct init *init, const struct part *part, FILE *out)
{
	static const unsigned ports[PART_KINDS] = {
		[PART_GATEWAY] = 9901, [PART_KEYSVC] = 9902, [PART_CACHESVC] = 9903
	};

	fprintf(out, "\n# How it does: sslgwctl status.\n");
	if (init->here)
		fprintf(out, "admin = { socket = \"run/%s.sock\"; };\n", part_role(part->kind));
	else
		fprintf(out, "admin = { address = \"127.0.0.1:%u\"; };\n", ports[part->kind]);
}

static void put_gateway(const struct init *init, const struct part *part, FILE *out)
{
	char address[ADDRESS];

	fprintf(out, "listeners = ( { address = \"%s\"; } );\n",
	    part_address(part, address, sizeof(address)));
	fprintf(out,
	    "# plain HTTP is sent to https: { address = \"*:80\"; mode = \"redirect\"; }\n\n"
	    "sites = (\n");
	for (size_t i = 0; i < init->sites_n; i++) {
		const struct site *site = &init->sites[i];

		fprintf(out, "    {\n        names        = [ \"%s\" ];\n        certificates = [ ",
		    site->name);
		for (size_t j = 0; j < site->chains_n; j++)
			fprintf(out, "%s\"certs/%s.pem\"", j > 0 ? ", " : "", site->chains[j].stem);
		fprintf(out,
		    " ];\n        routes       = ( { path = \"/\"; pool = \"backend\"; } );\n    "
		    "}%s\n",
		    i + 1 < init->sites_n ? "," : "");
	}
	fprintf(
	    out, ");\n\npools = (\n    {\n        name    = \"backend\";\n        servers = (\n");
	for (size_t i = 0; i < init->backends_n; i++)
		fprintf(out, "            { address = \"%s\"; }%s\n", init->backends[i],
		    i + 1 < init->backends_n ? "," : "");
	fprintf(out, "        );\n    }\n);\n\nkey_service = {\n    servers = [ ");
	put_servers(init, PART_KEYSVC, NULL, out);
	fprintf(out, " ];\n");
	put_identity(part, "    ", out);
	fprintf(out, "};\n\n");
	if (count(init, PART_CACHESVC) > 0) {
		fprintf(out, "session_cache = {\n    servers = [ ");
		put_servers(init, PART_CACHESVC, NULL, out);
		fprintf(out, " ];\n    copies = %d;\n", count(init, PART_CACHESVC) > 1 ? 2 : 1);
		put_identity(part, "    ", out);
		fprintf(out, "};\n");
	} else {
		fprintf(out, "# No cache server: sessions in tickets resume at any gateway, those "
			     "by id only\n"
			     "# where they were made.\n");
	}
	if (init->here)
		fprintf(out, "\nruntime_dir = \"run\";\nstate_dir = \"state\";\n"
			     "pid_file = \"run/sslgw.pid\";\n");
}

static void put_callers(const struct init *init, FILE *out)
{
	const char *between = "";

	fprintf(out, "callers = (\n");
	for (size_t i = 0; i < init->parts_n; i++) {
		const struct part *part = &init->parts[i];

		if (part->kind != PART_GATEWAY)
			continue;
		fprintf(out,
		    "%s    {\n        name     = \"%s\";\n        networks = [ \"%s\" ];\n"
		    "        keys     = [ ",
		    between, part->name, part->host);
		for (size_t j = 0, n = 0; j < init->sites_n; j++)
			for (size_t k = 0; k < init->sites[j].chains_n; k++)
				fprintf(out, "%s\"%s.key\"", n++ > 0 ? ", " : "",
				    init->sites[j].chains[k].stem);
		fprintf(out, " ];\n        groups   = [ \"default\" ];\n    }");
		between = ",\n";
	}
	fprintf(out, "\n);\n");
}

static void put_keysvc(const struct init *init, const struct part *part, FILE *out)
{
	char address[ADDRESS];

	fprintf(out, "listen = [ \"%s\" ];\n", part_address(part, address, sizeof(address)));
	put_identity(part, "", out);
	fprintf(out,
	    "\n# The sites' private keys.\nkeys = [ \"private\" ];\n"
	    "# The secrets that session tickets are made with: shared with the peers, by "
	    "themselves.\n"
	    "cluster_secret_file = \"%s\";\n",
	    init->here ? "state/epoch" : "/var/lib/sslgw-keysvc/epoch");
	if (count(init, PART_KEYSVC) > 1) {
		fprintf(out, "peers = [ ");
		put_servers(init, PART_KEYSVC, part, out);
		fprintf(out, " ];\n");
	}
	fprintf(out, "\n# Which gateway may use which keys, from where. A caller that does not fit "
		     "gets nothing.\n");
	put_callers(init, out);
}

static void put_cachesvc(const struct part *part, FILE *out)
{
	char address[ADDRESS];

	fprintf(out, "listen = [ \"%s\" ];\n", part_address(part, address, sizeof(address)));
	put_identity(part, "", out);
	fprintf(
	    out, "\n# All that it uses; the oldest sessions give way.\nmax_memory = \"512M\";\n");
}

static int write_conf(const struct init *init, const struct part *part)
{
	char file[32];
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int rc = -1;

	snprintf(file, sizeof(file), "%s.conf", part_role(part->kind));
	if (out == NULL) {
		log_errorx("no memory");
		return -1;
	}
	fprintf(out, "# %s of %s, written by sslgwctl init. All options: %s(5).\n\n", file,
	    part->name, file);
	if (part->kind == PART_GATEWAY)
		put_gateway(init, part, out);
	else if (part->kind == PART_KEYSVC)
		put_keysvc(init, part, out);
	else
		put_cachesvc(part, out);
	put_admin(init, part, out);
	if (fclose(out) == 0)
		rc = write_text(init, part->name, file, text, &for_all);
	free(text);
	return rc;
}

/* ---- what lies beside them */

static char *chain_pem(const struct cert_chain *cert)
{
	char *text = mkcert_pem(cert->leaf), *next, *more;

	for (int i = 0; text != NULL && i < sk_X509_num(cert->rest); i++) {
		next = mkcert_pem(sk_X509_value(cert->rest, i));
		more = NULL;
		if (next == NULL || asprintf(&more, "%s%s", text, next) < 0)
			more = NULL;
		free(next);
		free(text);
		text = more;
	}
	if (text == NULL)
		log_errorx("no memory");
	return text;
}

static int write_chain(const struct init *init, const struct part *part, const struct chain *chain)
{
	bool keys = part->kind == PART_KEYSVC;
	char file[sizeof(chain->stem) + 16];
	char *pem = chain_pem(chain->cert);
	int rc = -1;

	snprintf(file, sizeof(file), "%s/%s.pem", keys ? "private" : "certs", chain->stem);
	if (pem != NULL)
		rc = write_text(init, part->name, file, pem, &for_all);
	free(pem);
	if (rc != 0 || !keys || chain->key_pem == NULL)
		return rc;
	snprintf(file, sizeof(file), "private/%s.key", chain->stem);
	return write_text(init, part->name, file, chain->key_pem, &for_owner);
}

static int write_chains(const struct init *init, const struct part *part)
{
	if (part->kind == PART_CACHESVC)
		return 0;
	if (make_folder(init, part->name, part->kind == PART_KEYSVC ? "private" : "certs",
		part->kind == PART_KEYSVC ? 0700 : 0755) != 0)
		return -1;
	for (size_t i = 0; i < init->sites_n; i++)
		for (size_t j = 0; j < init->sites[i].chains_n; j++)
			if (write_chain(init, part, &init->sites[i].chains[j]) != 0)
				return -1;
	return 0;
}

/* Copies of two files of the CA's folder. */
static int write_trust(const struct init *init, const struct authority *a, const struct part *part)
{
	static const char *const files[][2] = { { "ca.pem", "cluster-ca.pem" },
		{ "deny", "deny" } };
	char path[REPLACE_PATH_MAX];
	char *text;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(files) / sizeof(files[0]); i++) {
		if (authority_path(a, files[i][0], "", path) != 0)
			return -1;
		text = replace_read(path);
		if (text == NULL) {
			log_error("%s", path);
			return -1;
		}
		rc = write_text(init, part->name, files[i][1], text, &for_all);
		free(text);
	}
	return rc;
}

/* The admin socket's path must fit an address, or the program would not start. */
static int check_socket(const struct init *init, const struct part *part)
{
	char path[REPLACE_PATH_MAX], *folder;
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	size_t more = strlen("/run/") + strlen(part_role(part->kind)) + strlen(".sock");
	int rc = -1;

	if (path_of(init, part->name, "", path) != 0 || (folder = realpath(path, NULL)) == NULL)
		return -1;
	if (strlen(folder) + more <= max)
		rc = 0;
	else
		log_errorx(
		    "%s is too long for the path of a Unix socket: choose another --dir", folder);
	free(folder);
	return rc;
}

static int write_part(const struct init *init, struct authority *a, const struct part *part)
{
	char prefix[REPLACE_PATH_MAX];

	if (make_folder(init, part->name, "", 0755) != 0 ||
	    (init->here && check_socket(init, part) != 0))
		return -1;
	if (init->here && (make_folder(init, part->name, "run", 0755) != 0 ||
			      make_folder(init, part->name, "state", 0700) != 0))
		return -1;
	/* Relative to the CA's folder: the whole can be moved. */
	snprintf(prefix, sizeof(prefix), "../%s/%s", part->name, part_role(part->kind));
	if (write_trust(init, a, part) != 0 || authority_issue(a, part->name, part_role(part->kind),
						   init->life_s, prefix, &for_owner) != 0)
		return -1;
	return write_chains(init, part) == 0 ? write_conf(init, part) : -1;
}

static void say_what_next(const struct init *init)
{
	bool missing = false;

	printf("%s: %zu gateways, %zu key servers, %zu cache servers; the CA is %s/pki: keep it "
	       "here.\n",
	    init->dir, count(init, PART_GATEWAY), count(init, PART_KEYSVC),
	    count(init, PART_CACHESVC), init->dir);
	for (size_t i = 0; i < init->sites_n; i++)
		for (size_t j = 0; j < init->sites[i].chains_n; j++)
			missing = missing || init->sites[i].chains[j].key_pem == NULL;
	printf("Next:\n");
	if (missing) {
		printf("  put private keys (PEM, mode 0600) on each key server, as:\n");
		for (size_t i = 0; i < init->sites_n; i++)
			for (size_t j = 0; j < init->sites[i].chains_n; j++)
				if (init->sites[i].chains[j].key_pem == NULL)
					printf(
					    "    private/%s.key\n", init->sites[i].chains[j].stem);
	}
	if (!init->here)
		printf("  copy each machine's folder to its /etc/sslgw, then there:\n");
	else
		printf("  start, key servers first:\n");
	for (enum part_kind kind = PART_KINDS; kind-- > 0;) {
		for (size_t i = 0; i < init->parts_n; i++) {
			const struct part *part = &init->parts[i];

			if (part->kind == kind && init->here)
				printf("    %s -c %s/%s/%s.conf\n", part_program(kind), init->dir,
				    part->name, part_role(kind));
			else if (part->kind == kind)
				printf("    %s: systemctl enable --now %s\n", part->name,
				    part_program(kind));
		}
	}
	if (init->here)
		printf("  look at it: sslgwctl status %s/*/run/*.sock\n", init->dir);
	else
		printf("  look at it, on each machine: sslgwctl status\n");
	printf("  test it: sslgwctl selftest");
	for (size_t i = 0; i < init->parts_n; i++) {
		char address[ADDRESS];

		if (init->parts[i].kind == PART_GATEWAY)
			printf(" --gateway %s",
			    part_address(&init->parts[i], address, sizeof(address)));
	}
	printf("\n  identities are good for %lld h; renew them from a timer: sslgwctl pki renew "
	       "%s/pki\n",
	    (long long)init->life_s / 3600, init->dir);
}

/* The CA of the folder, made if there is none. */
static int open_pki(const struct init *init, struct authority *a)
{
	char pki[REPLACE_PATH_MAX], key[REPLACE_PATH_MAX];
	bool there;

	if (path_of(init, "pki", "", pki) != 0 || path_of(init, "pki", "ca.key", key) != 0)
		return -1;
	there = access(key, F_OK) == 0;
	if (there && !init->force) {
		log_errorx("%s holds a cluster already: name another --dir, or --force to write it "
			   "anew (its CA stays)",
		    init->dir);
		return -1;
	}
	if (replace_folder(init->dir, 0755) != 0 ||
	    (!there && authority_make(pki, "sslgw cluster CA", false) != 0))
		return -1;
	return authority_open(a, pki, true);
}

int init_write(const struct init *init)
{
	struct authority *a = calloc(1, sizeof(*a));
	int rc = -1;

	if (a == NULL)
		log_errorx("no memory");
	else if (open_pki(init, a) == 0) {
		rc = 0;
		for (size_t i = 0; rc == 0 && i < init->parts_n; i++)
			rc = write_part(init, a, &init->parts[i]);
		authority_close(a);
	}
	free(a);
	if (rc == 0)
		say_what_next(init);
	return rc;
}
