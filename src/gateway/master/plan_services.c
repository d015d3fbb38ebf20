/*
 * plan_services.c: can the files of key_service and session_cache be used? Tried in a process of its
 * own, which ends at once: the master's memory never holds the gateway's private key, a password or a secret.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/ticketsecret.h"
#include "gateway/cluster/sessioncache.h"
#include "gateway/master/plan.h"
#include "gateway/services.h"

#include "base/poison.h"

enum { PLAN_SERVICES_WHY_MAX = 512 };

/* In the process of its own. true: why says what is wrong. */
static bool tls_is_wrong(const void *arg, char *why, size_t size)
{
	struct tlsctx *tls = tlsctx_new(arg, why, size);

	tlsctx_free(tls);
	return tls == NULL;
}

static bool password_is_wrong(const void *arg, char *why, size_t size)
{
	char password[SESSIONCACHE_PASSWORD_MAX];

	return services_password(arg, password, sizeof password, why, size) != 0;
}

/* true: why says what is wrong. */
static bool try_apart(bool (*is_wrong)(const void *arg, char *why, size_t size), const void *arg,
    char *why, size_t size)
{
	ssize_t len = 0, got;
	int pair[2], status;
	pid_t pid;

	if (pipe(pair) != 0 || (pid = fork()) < 0) {
		strlcpy(why, strerror(errno), size);
		return true;
	}
	if (pid == 0) {
		why[0] = '\0';
		if (!is_wrong(arg, why, size))
			_exit(0);
		(void)!write(pair[1], why, strlen(why));
		_exit(1);
	}
	close(pair[1]);
	while (
	    (size_t)len < size - 1 && (got = read(pair[0], why + len, size - 1 - (size_t)len)) > 0)
		len += got;
	why[len] = '\0';
	close(pair[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool secrets_are_wrong(const void *arg, char *why, size_t size)
{
	struct ticketsecrets secrets;
	bool wrong = ticketsecrets_load(arg, &secrets, why, size) != 0;

	ticketsecrets_clear(&secrets);
	return wrong;
}

void plan_services(const struct plan *plan, struct conf_errors *errors)
{
	const struct gateway_conf *conf = plan->conf;
	struct tlsctx_params tls;
	char *hosts = malloc(SERVICES_HOSTS_MAX);
	char why[PLAN_SERVICES_WHY_MAX], host[REMOTE_HOST_MAX];

	if (hosts != NULL && services_keys_tls(conf, &tls, hosts) &&
	    try_apart(tls_is_wrong, &tls, why, sizeof why))
		conf_reject(errors, &conf->key_service.identity, "key_service: %s", why);
	free(hosts);
	if (conf->key_service.ticket_secret_file != NULL &&
	    try_apart(secrets_are_wrong, conf->key_service.ticket_secret_file, why, sizeof why))
		conf_reject(
		    errors, &conf->key_service.ticket_secret_file, "ticket_secret_file: %s", why);
	if (services_cache_tls(conf, &tls, host) && try_apart(tls_is_wrong, &tls, why, sizeof why))
		conf_reject(errors, &conf->session_cache.identity, "session_cache: %s", why);
	if (conf->session_cache.password_file != NULL &&
	    try_apart(password_is_wrong, conf->session_cache.password_file, why, sizeof why))
		conf_reject(errors, &conf->session_cache.password_file, "password_file: %s", why);
}
