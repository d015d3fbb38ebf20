/*
 * check.c: -t and -T: a configuration is checked as at a start, keys and their certificates too, in a
 * key service of its own; no port is opened and no state written.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/cluster/keyclient.h"
#include "gateway/master/master_private.h"
#include "gateway/master/memfile.h"
#include "proc/signals.h"

#include "base/poison.h"

static void fed(
    void *arg, const char *error, const struct plan_key *keys, size_t n, const char *pem)
{
	struct master *m = arg;
	struct conf_errors *errors = conf_errors_new();

	(void)pem;
	m->status = 0;
	if (error != NULL) {
		log_errorx("%s", error);
		m->status = EXIT_RUNTIME;
	} else if (errors != NULL) {
		plan_match(m->plan, keys, n, errors);
		if (conf_errors_n(errors) > 0)
			m->status = EXIT_CONFIG;
		conf_errors_print(errors, stderr);
	}
	conf_errors_free(errors);
	loop_stop(m->loop);
}

static void on_signal(void *arg, int signo)
{
	struct master *m = arg;

	if (signo == SIGCHLD)
		return; /* the end of its channel says it */
	m->status = EXIT_RUNTIME;
	loop_stop(m->loop);
}

static void check_keys(struct master *m)
{
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, 0 };

	m->status = EXIT_RUNTIME;
	m->token_fd = memfile_secret("sslgw token", KEYCLIENT_TOKEN_LEN);
	if (m->token_fd < 0 || master_runtime_dir(m, m->plan) != 0)
		return;
	m->embedded = embedded_new(m->loop, m->plan, m->runtime_dir, m->token_fd);
	m->signals = signals_new(m->loop, signals, on_signal, m);
	if (m->embedded == NULL || m->signals == NULL ||
	    embedded_start(m->embedded, m->plan, true) != 0)
		return;
	embedded_feed(m->embedded, m->plan, fed, m);
	loop_run(m->loop);
	embedded_stop(m->embedded);
	embedded_kill(m->embedded);
	if (embedded_key_pid(m->embedded) > 0)
		waitpid(embedded_key_pid(m->embedded), NULL, 0);
}

static struct plan *plan_of(const struct launch *launch, int *status)
{
	struct conf_errors *errors = conf_errors_new();
	struct plan *plan = errors != NULL ? master_plan(launch, errors) : NULL;

	if (plan == NULL && errors != NULL)
		conf_errors_print(errors, stderr);
	conf_errors_free(errors);
	*status = plan != NULL ? 0 : EXIT_CONFIG;
	return plan;
}

int master_check(const struct launch *launch)
{
	struct master *m = calloc(1, sizeof *m);
	int status;

	if (m == NULL)
		fatal(EXIT_RUNTIME, "out of memory");
	m->launch = launch;
	m->plan = plan_of(launch, &status);
	m->loop = loop_new();
	if (m->plan != NULL && m->loop != NULL) {
		check_keys(m);
		status = m->status;
	}
	if (status == 0 && launch->live)
		status = master_live(m->loop, m->plan->conf);
	if (status == 0)
		fprintf(stderr,
		    "%s: the configuration is good: %zu sites, %zu certificates, %zu key files\n",
		    launch->file != NULL ? launch->file : "the command line",
		    m->plan->conf->sites.n, m->plan->certs_n, m->plan->key_files_n);
	signals_free(m->signals);
	embedded_free(m->embedded);
	if (m->runtime_dir[0] != '\0')
		rmdir(m->runtime_dir);
	loop_free(m->loop);
	plan_free(m->plan);
	free(m);
	return status;
}

int master_show(const struct launch *launch)
{
	const struct conf_option *options;
	struct plan *plan;
	size_t n;
	int status;

	plan = plan_of(launch, &status);
	if (plan == NULL)
		return status;
	options = gateway_conf_options(&n);
	conf_dump(stdout, options, n, plan->conf);
	plan_free(plan);
	return 0;
}
