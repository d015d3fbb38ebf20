/*
 * standalone.c: paths to keys, addresses to sockets. Called by main at start and on SIGHUP.
 */
#include "keysvc/standalone.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "keysvc/chain.h"
#include "keysvc/control.h"
#include "keysvc/keyop.h"
#include "keysvc/pemkeys.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "net/tlsctx.h"

#include "base/poison.h"

struct loading {
	const struct keysvc_conf *conf;
	struct keyop *op;
	unsigned failed;
};

static void on_failed(void *arg, const char *file, const char *why)
{
	struct loading *loading = arg;

	loading->failed++;
	log_errorx("%s: %s", file, why);
}

static void on_loaded(void *arg, struct key *key)
{
	struct loading *loading = arg;

	key->tls12 = control_tls12(loading->conf, key->name);
	if (keyop_self_test(loading->op, key) == -1)
		on_failed(loading, key->name,
		    "the self-test failed: the file's private and public half do not belong "
		    "together");
	else
		log_info("%s: %s key of %d bits", key->name, key_type_name(key->type), key->bits);
}

/* It would leave sites without TLS 1.3 without signatures, and nobody would know why. */
static void tell_unknown(const struct keysvc_conf *conf, const struct keystore *keys)
{
	for (size_t i = 0; i < conf->tls12_any.n; i++) {
		bool found = false;

		for (size_t k = 0; k < keystore_n(keys) && !found; k++)
			found = control_names_file(
			    conf->tls12_any.at[i], keystore_at(keys, k)->name);
		if (!found)
			log_warnx("tls12_any: no key is of the file \"%s\"", conf->tls12_any.at[i]);
	}
}

struct keystore *standalone_keys(const struct keysvc_conf *conf)
{
	struct loading loading = { conf, keyop_new(KEYOP_NO_SLOT), 0 };
	struct keystore *keys = keystore_new();

	for (size_t i = 0; keys != NULL && loading.op != NULL && i < conf->keys.n; i++)
		pemkeys_load(keys, conf->keys.at[i], on_loaded, on_failed, &loading);
	if (keys == NULL || loading.op == NULL)
		on_failed(&loading, "keys", "out of memory");
	keyop_free(loading.op);
	if (loading.failed > 0) {
		keystore_free(keys);
		return NULL;
	}
	log_info("certificate chains lie beside %zu of %zu keys",
	    chain_load(keys, conf->keys.at, conf->keys.n), keystore_n(keys));
	keystore_seal(keys);
	tell_unknown(conf, keys);
	return keys;
}

struct rules *standalone_rules(const struct keysvc_conf *conf, const struct keystore *keys)
{
	struct rules *rules = rules_new(conf);

	if (rules != NULL && rules_bind(rules, keys) == 0) {
		rules_warn(rules);
		return rules;
	}
	log_errorx("callers: out of memory");
	rules_free(rules);
	return NULL;
}

/* ---- TLS */

static bool has_tcp(const struct conf_strings *addresses)
{
	for (size_t i = 0; i < addresses->n; i++) {
		if (strncmp(addresses->at[i], "unix:", 5) != 0)
			return true;
	}
	return false;
}

/* With conf's identity: of the listeners, or to ask other key services. */
static struct tlsctx *make_tls(const struct keysvc_conf *conf, bool server)
{
	struct tlsctx_params params = { .server = server,
		.identity_file = conf->identity,
		.key_file = conf->identity_key,
		.ca_file = conf->ca_file,
		.deny_file = conf->deny_file,
		/* Which of these may ask, and what, says the policy; a cache's identity never. */
		.roles = server ? ROLE_GATEWAY | ROLE_KEYSVC | ROLE_OPERATOR | ROLE_NONE
				: ROLE_KEYSVC };
	char why[512];
	struct tlsctx *tls = tlsctx_new(&params, why, sizeof(why));

	if (tls == NULL)
		log_errorx("%s", why);
	return tls;
}

/* ---- all of it */

void standalone_clear(struct standalone *alone)
{
	rules_free(alone->rules);
	keystore_free(alone->keys);
	tlsctx_free(alone->tls);
	tlsctx_free(alone->peers_tls);
	*alone = (struct standalone){ NULL, NULL, NULL, NULL };
}

int standalone_read(struct standalone *alone, const struct keysvc_conf *conf)
{
	bool ok;

	alone->keys = standalone_keys(conf);
	alone->rules = alone->keys == NULL ? NULL : standalone_rules(conf, alone->keys);
	ok = alone->rules != NULL;
	if (has_tcp(&conf->listen))
		ok = (alone->tls = make_tls(conf, true)) != NULL && ok;
	if (has_tcp(&conf->peers))
		ok = (alone->peers_tls = make_tls(conf, false)) != NULL && ok;
	if (ok)
		return 0;
	standalone_clear(alone);
	return -1;
}

/* ---- sockets */

/* Somebody may answer there: then it is not ours to take. */
static bool in_use(const struct endpoint *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool used = fd != -1 && (connect(fd, (const struct sockaddr *)&at->addr, at->len) == 0 ||
				    errno == EAGAIN);

	if (fd != -1)
		close(fd);
	return used;
}

static int listen_unix(const char *path, const struct endpoint *at)
{
	struct stat st;
	int fd;

	if (in_use(at)) {
		log_errorx(
		    "%s: another process listens there: stop it, or choose another path", path);
		return -1;
	}
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	if ((fd = listener_socket(at, false)) == -1) {
		log_error("%s: cannot listen", path);
		return -1;
	}
	/* Who may ask is decided by the caller's uid, not by the socket's mode. */
	if (chmod(path, 0666) == -1)
		log_warn("%s: chmod", path);
	return fd;
}

int standalone_listen(const char *address)
{
	struct endpoint at;
	int fd;

	if (endpoint_parse(&at, address) == -1) {
		log_errorx("%s: no address: too long?", address);
		return -1;
	}
	if (at.addr.ss_family == AF_UNIX)
		return listen_unix(address + strlen("unix:"), &at);
	if ((fd = listener_socket(&at, false)) == -1)
		log_error("%s: cannot listen", address);
	return fd;
}

const char *standalone_address(int fd, const char *address, char *buf, size_t size)
{
	struct endpoint at = { .len = sizeof(at.addr) };

	if (getsockname(fd, (struct sockaddr *)&at.addr, &at.len) == -1 ||
	    at.addr.ss_family == AF_UNIX)
		return address;
	return endpoint_text(&at, buf, size);
}

void standalone_unlink(const char *address)
{
	if (strncmp(address, "unix:", 5) == 0)
		unlink(address + strlen("unix:"));
}
