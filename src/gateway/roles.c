/*
 * roles.c: what every role does first: take what the master handed down.
 */
#include "gateway/roles.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/monitor/monitor.h"
#include "gateway/monitor/status.h"
#include "proc/child.h"
#include "proc/privileges.h"

#include "base/poison.h"

enum { ROLE_ARGS = 8 }; /* with the name */

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

static struct gateway_conf *read_conf(int fd)
{
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *conf = NULL;
	struct conf_text *text;
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (errors == NULL)
		return NULL;
	text = conf_text_read(path, errors);
	if (text != NULL)
		conf = gateway_conf_new(text, errors);
	if (conf == NULL)
		conf_errors_print(errors, stderr);
	conf_text_free(text);
	conf_errors_free(errors);
	return conf;
}

/* "-": there is none on this machine. */
static bool service_at(struct endpoint *at, const char *text)
{
	at->len = 0;
	return strcmp(text, "-") == 0 || endpoint_parse(at, text) == 0;
}

static void print_service(const struct endpoint *at, char *buf, size_t size)
{
	if (at->len == 0)
		strlcpy(buf, "-", size);
	else
		endpoint_text(at, buf, size);
}

void role_load(struct roles_given *role, int argc, char **argv)
{
	int config, counters;

	privileges_harden();
	prctl(PR_SET_NAME, "sslgw"); /* executed by way of /proc/self/exe, it would be called so */
	inherited_load(&role->inherited);
	config = inherited_take(&role->inherited, "config");
	counters = inherited_take(&role->inherited, "counters");
	role->channel = inherited_take(&role->inherited, "channel");
	if (argc != ROLE_ARGS || config < 0 || counters < 0 || role->channel < 0)
		fatalx(EXIT_USAGE, "--role is for sslgw's own use");
	role->slot = number(argv[1]);
	role->cell = number(argv[2]);
	role->uid = (uid_t)number(argv[3]);
	role->gid = (gid_t)number(argv[4]);
	role->owner = (uid_t)number(argv[5]);
	if (!service_at(&role->keys, argv[6]) || !service_at(&role->cache, argv[7]))
		fatalx(EXIT_USAGE, "--role is for sslgw's own use");
	role->conf = read_conf(config);
	close(config);
	if (role->conf == NULL)
		fatalx(EXIT_CONFIG, "the configuration, good in the master, is not good here");
	role->counters = counters_attach(counters, role->cell);
	close(counters);
	if (role->counters == NULL)
		fatal(EXIT_RUNTIME, "cannot map the table of counters");
}

pid_t roles_spawn(const char *role, const struct roles_spawn *with)
{
	char numbers[5][16], keys[ENDPOINT_TEXT_MAX], cache[ENDPOINT_TEXT_MAX],
	    name[] = "sslgw", option[] = "--role", what[16];
	char *argv[] = { name, option, what, numbers[0], numbers[1], numbers[2], numbers[3],
		numbers[4], keys, cache, NULL };
	struct child_fd fds[8] = { { with->config, "config" }, { with->counters, "counters" },
		{ with->channel, "channel" } };
	size_t n = 3;

	strlcpy(what, role, sizeof what);
	snprintf(numbers[0], sizeof numbers[0], "%u", with->slot);
	snprintf(numbers[1], sizeof numbers[1], "%u", with->cell);
	snprintf(numbers[2], sizeof numbers[2], "%u", (unsigned)with->uid);
	snprintf(numbers[3], sizeof numbers[3], "%u", (unsigned)with->gid);
	snprintf(numbers[4], sizeof numbers[4], "%u", (unsigned)geteuid());
	print_service(with->keys, keys, sizeof keys);
	print_service(with->cache, cache, sizeof cache);
	if (with->token >= 0)
		fds[n++] = (struct child_fd){ with->token, "token" };
	if (with->tickets >= 0)
		fds[n++] = (struct child_fd){ with->tickets, "tickets" };
	if (with->selfsigned >= 0)
		fds[n++] = (struct child_fd){ with->selfsigned, "selfsigned" };
	if (with->admin != NULL && with->admin->tcp >= 0)
		fds[n++] = (struct child_fd){ with->admin->tcp, "admin" };
	if (with->admin != NULL && with->admin->local >= 0)
		fds[n++] = (struct child_fd){ with->admin->local, "admin-local" };
	return child_spawn("/proc/self/exe", argv, NULL, fds, n);
}

int monitor_main(int argc, char **argv)
{
	struct roles_given *role = calloc(1, sizeof *role);
	struct loop *loop = loop_new();
	struct adminconf_sockets admin = { 0 }; /* their paths are the master's */
	struct status *status;
	int rc;

	if (role == NULL || loop == NULL)
		fatal(EXIT_RUNTIME, "cannot start");
	log_init("sslgw[monitor]");
	role_load(role, argc, argv);
	admin.tcp = inherited_take(&role->inherited, "admin");
	admin.local = inherited_take(&role->inherited, "admin-local");
	if (privileges_drop(role->uid, role->gid) != 0)
		fatal(EXIT_RUNTIME, "cannot give up rights");
	setproctitle("-sslgw: monitor");
	status = status_new(loop, role->conf, role->counters, role->owner, &admin);
	if (status == NULL)
		fatal(EXIT_RUNTIME, "no memory for the admin address");
	rc = monitor_run(
	    loop, role->conf, role->channel, counters_cell(role->counters, ROLES_BEAT), status);
	status_free(status);
	loop_free(loop);
	gateway_conf_free(role->conf);
	counters_detach(role->counters);
	free(role);
	return rc;
}
