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
#include "keysvc/control.h"
#include "keysvc/keyop.h"
#include "keysvc/pemkeys.h"
#include "net/endpoint.h"
#include "net/listener.h"

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
	keystore_seal(keys);
	return keys;
}

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

int standalone_listen(const char *address)
{
	const char *path = address + strlen("unix:");
	struct endpoint at;
	struct stat st;
	int fd;

	if (endpoint_parse(&at, address) == -1) {
		log_errorx("%s: no address of a Unix socket: too long?", address);
		return -1;
	}
	if (in_use(&at)) {
		log_errorx(
		    "%s: another process listens there: stop it, or choose another path", path);
		return -1;
	}
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	if ((fd = listener_socket(&at, false)) == -1) {
		log_error("%s: cannot listen", path);
		return -1;
	}
	/* Who may ask is decided by the caller's uid, not by the socket's mode. */
	if (chmod(path, 0666) == -1)
		log_warn("%s: chmod", path);
	return fd;
}

void standalone_unlink(const char *address)
{
	unlink(address + strlen("unix:"));
}
