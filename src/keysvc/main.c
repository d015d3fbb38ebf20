/*
 * main.c: sslgw-keysvc: options; then either by itself (listen and keys of keysvc.conf) or embedded,
 * as a gateway's master starts it: descriptors "service" (a listening Unix socket), "token" (the
 * family token) and "channel" come by LISTEN_FDS, and the keys by the channel.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/log.h"
#include "keysvc/confine.h"
#include "keysvc/control.h"
#include "keysvc/standalone.h"
#include "keysvc/status.h"
#include "net/endpoint.h"
#include "net/libraries.h"
#include "net/tlsctx.h"
#include "proc/inherited.h"
#include "proc/notify.h"
#include "proc/privileges.h"
#include "proc/signals.h"

#include "base/poison.h"

struct keysvc_main {
	const char *file;
	struct loop *loop;
	struct keysvc_conf *conf; /* embedded: control's */
	struct keysvc_conf *started; /* that of the start: its sockets are served. Embedded: NULL */
	struct policy policy;
	struct tlsctx *tls; /* of the listeners; NULL: no TCP */
	struct tlsctx *peers_tls; /* to ask other key services with; NULL: none is asked by TLS */
	struct epochs *epochs;
	struct keysvc *svc;
	struct control *control; /* NULL: not embedded */
	struct signals *signals;
	struct adminconf_sockets admin;
	struct status *status; /* the admin address; NULL: none */
	bool stopping;
};

enum mode { MODE_SERVE, MODE_TEST, MODE_SHOW };

/* ---- configuration */

static struct keysvc_conf *read_conf(const char *file, bool embedded)
{
	struct conf_errors *errors = conf_errors_new();
	struct conf_text *text = errors == NULL ? NULL : conf_text_read(file, errors);
	struct keysvc_conf *conf = text == NULL ? NULL : keysvc_conf_new(text, embedded, errors);

	if (conf == NULL && errors != NULL)
		conf_errors_print(errors, stderr);
	conf_text_free(text);
	conf_errors_free(errors);
	return conf;
}

static void usage(FILE *to)
{
	fputs("usage: sslgw-keysvc [-c FILE] [-t] [-T] [-V] [--help] [--help-config]\n"
	      "Holds private keys and signs TLS handshakes with them for sslgw gateways.\n"
	      "\n"
	      "  -c FILE        the configuration (default " SYSCONFDIR "/keysvc.conf)\n"
	      "  -t             check the configuration and the keys, then end\n"
	      "  -T             print the effective configuration, then end\n"
	      "  -V             print the version, then end\n"
	      "  --help         this text\n"
	      "  --help-config  every option of the configuration\n"
	      "\n"
	      "Signals: HUP reads keys, callers and identity anew; USR1 logs what was done;\n"
	      "TERM, INT and QUIT finish what is asked and end. See sslgw-keysvc(8).\n",
	    to);
}

static void version(void)
{
	printf("sslgw-keysvc %s\n", PACKAGE_VERSION);
	libraries_print(stdout);
}

static int help_config(const char *form)
{
	size_t n;
	const struct conf_option *options = keysvc_conf_options(&n);

	if (form == NULL)
		conf_print(stdout, options, n, CONF_HELP);
	else if (strcmp(form, "mdoc") == 0)
		conf_print(stdout, options, n, CONF_MDOC);
	else if (strcmp(form, "sample") == 0)
		conf_print(stdout, options, n, CONF_SAMPLE);
	else
		return EXIT_USAGE;
	return 0;
}

/* ---- signals */

static void on_drained(void *arg)
{
	struct keysvc_main *m = arg;

	loop_stop(m->loop);
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What is bound at the start. Listening sockets and threads stay, which is said; an identity that would
 * not be the one that the operator has written is refused. */
static bool same_identity(const struct keysvc_conf *a, const struct keysvc_conf *b)
{
	if (same(a->identity, b->identity) && same(a->identity_key, b->identity_key) &&
	    same(a->ca_file, b->ca_file) && same(a->deny_file, b->deny_file))
		return true;
	log_errorx(
	    "reload: identity, identity_key, ca_file and deny_file can get new contents, but "
	    "other paths only by a restart");
	return false;
}

/* The last step that can fail, so all or nothing. */
static bool reload_identity(struct keysvc_main *m)
{
	char why[512];

	if ((m->tls == NULL || tlsctx_reload(m->tls, why, sizeof(why)) == 0) &&
	    (m->peers_tls == NULL || tlsctx_reload(m->peers_tls, why, sizeof(why)) == 0))
		return true;
	log_errorx("%s", why);
	return false;
}

static void reload(struct keysvc_main *m)
{
	struct keysvc_conf *conf = read_conf(m->file, false);
	struct keystore *keys = conf == NULL || !same_identity(m->started, conf)
				    ? NULL
				    : standalone_keys(conf);
	struct rules *rules = keys == NULL ? NULL : standalone_rules(conf, keys);

	if (rules == NULL || !reload_identity(m)) {
		log_errorx("reload: the former configuration, keys, callers and identity stay");
		rules_free(rules);
		keystore_free(keys);
		keysvc_conf_free(conf);
		return;
	}
	control_policy(&m->policy, conf);
	policy_set_rules(&m->policy, rules);
	keysvc_set_keys(m->svc, keys);
	keysvc_recheck(m->svc);
	if (m->conf != m->started)
		keysvc_conf_free(m->conf);
	m->conf = conf;
	log_info("reload: %zu keys are in force; sockets, threads and secrets stay as they were",
	    keystore_n(keys));
}

static void stop(struct keysvc_main *m)
{
	if (m->stopping) {
		loop_stop(m->loop);
		return;
	}
	m->stopping = true;
	keysvc_drain(m->svc, on_drained, m);
}

static void on_signal(void *arg, int signo)
{
	struct keysvc_main *m = arg;

	switch (signo) {
	case SIGHUP:
		if (m->control == NULL)
			reload(m);
		break;
	case SIGUSR1:
		audit_log(keysvc_audit(m->svc));
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		/* A terminal's Ctrl-C and a unit's stop go to all of a gateway's processes. Its workers
		 * still need signatures until they have drained; the master says when to end. */
		if (m->control == NULL)
			stop(m);
		break;
	}
}

/* ---- start */

static struct epochs *start_epochs(struct keysvc_main *m)
{
	const struct keysvc_conf *conf = m->conf;
	struct endpoint *peers = calloc(conf->peers.n + 1, sizeof(*peers));
	struct epochs_params params = { .path = conf->cluster_secret_file,
		.period = (uint32_t)(conf->epoch_period / 1000),
		.lifetime_s = conf->generation_lifetime / 1000,
		.peers = peers,
		.peers_n = conf->peers.n,
		.tls = m->peers_tls };
	struct epochs *epochs;

	if (peers == NULL)
		return NULL;
	for (size_t i = 0; i < conf->peers.n; i++)
		(void)endpoint_parse(&peers[i], conf->peers.at[i]); /* conf was checked */
	epochs = epochs_new(m->loop, &params);
	free(peers);
	return epochs;
}

static void start_service(struct keysvc_main *m)
{
	static const int list[] = { SIGHUP, SIGUSR1, SIGTERM, SIGINT, SIGQUIT, 0 };
	const struct keysvc_conf *conf = m->conf;
	struct keysvc_params params = { .threads = (unsigned)conf->threads,
		.slow_threads = (unsigned)conf->slow_threads,
		.queue_max = (uint32_t)conf->queue,
		.conns_max = confine_connections(conf),
		.deadline_ms = (uint32_t)conf->deadline,
		.policy = &m->policy };

	if (params.threads == 0)
		params.threads = cpus_usable() < LANES_THREADS_MAX ? cpus_usable()
								   : LANES_THREADS_MAX;
	if ((m->loop = loop_new()) == NULL)
		fatal(EXIT_RUNTIME, "no event loop");
	m->signals = signals_new(m->loop, list, on_signal, m);
	params.epochs = m->epochs = start_epochs(m);
	if (m->signals == NULL || m->epochs == NULL ||
	    (m->svc = keysvc_new(m->loop, &params)) == NULL)
		fatalx(EXIT_RUNTIME, "no memory, threads or randomness to start with");
}

static void reload_cb(void *arg)
{
	reload(arg);
}

static void reopen_cb(void *arg)
{
	const struct keysvc_main *m = arg;

	audit_log(keysvc_audit(m->svc));
}

static void drain_cb(void *arg)
{
	stop(arg);
}

static bool draining_cb(void *arg)
{
	const struct keysvc_main *m = arg;

	return m->stopping;
}

/* embedded: configuration and end are the master's to say; what is asked here is sslgwctl epoch. */
static void start_status(struct keysvc_main *m, bool embedded)
{
	struct status_params params = { .keysvc = m->svc,
		.epochs = m->epochs,
		.conf = &m->conf->admin,
		.wants_file = m->conf->cluster_secret_file != NULL,
		.reload = embedded ? NULL : reload_cb,
		.reopen = reopen_cb,
		.drain = drain_cb,
		.draining = draining_cb,
		.arg = m };

	if ((m->status = status_new(m->loop, &params, &m->admin)) == NULL)
		fatalx(EXIT_RUNTIME, "no memory for the admin address");
}

static void start_embedded(struct keysvc_main *m, struct inherited *inherited, int channel)
{
	int service = inherited_take(inherited, "service"),
	    token = inherited_take(inherited, "token");

	if (service == -1 || token == -1 ||
	    inherited_read_secret(token, m->policy.token, sizeof(m->policy.token)) == -1)
		fatalx(EXIT_RUNTIME,
		    "the descriptors \"service\" and \"token\" must come with \"channel\"");
	m->policy.has_token = true;
	control_policy(&m->policy, m->conf);
	start_service(m);
	if (keysvc_listen(m->svc, service, NULL) == -1)
		fatal(EXIT_RUNTIME, "cannot serve the inherited socket");
	m->admin = (struct adminconf_sockets){ .tcp = -1,
		.local = inherited_take(inherited, "admin-local") };
	if (m->admin.local >= 0)
		start_status(m, true);
	m->control = control_new(m->loop, channel, m->svc, m->conf, &m->policy);
	m->conf = NULL; /* control's, also where it failed */
	if (m->control == NULL)
		fatalx(EXIT_RUNTIME, "no memory to start with");
}

static void on_denied(void *arg)
{
	struct keysvc_main *m = arg;

	keysvc_recheck(m->svc);
}

static void start_alone(struct keysvc_main *m, struct standalone *alone, const int *fds)
{
	char buf[ENDPOINT_TEXT_MAX];

	m->tls = alone->tls;
	m->peers_tls = alone->peers_tls;
	control_policy(&m->policy, m->conf);
	start_service(m);
	policy_set_rules(&m->policy, alone->rules);
	keysvc_set_keys(m->svc, alone->keys);
	m->started = m->conf;
	if (m->tls != NULL)
		tlsctx_watch(m->tls, m->loop, on_denied, m);
	if (m->peers_tls != NULL)
		tlsctx_watch(m->peers_tls, m->loop, NULL, NULL);
	fputs("ready:", stderr);
	for (size_t i = 0; i < m->conf->listen.n; i++) {
		const char *address = m->conf->listen.at[i];
		bool local = strncmp(address, "unix:", 5) == 0;

		fprintf(stderr, " %s", standalone_address(fds[i], address, buf, sizeof(buf)));
		if (keysvc_listen(m->svc, fds[i], local ? NULL : m->tls) == -1)
			fatal(EXIT_RUNTIME, "%s: cannot serve", address);
	}
	if (m->admin.address[0] != '\0')
		fprintf(stderr, " admin http://%s", m->admin.address);
	start_status(m, false);
	fputc('\n', stderr);
	notify_send("READY=1");
}

/* A descriptor for each address; NULL: it has been said why not. */
static int *listen_all(const struct keysvc_conf *conf)
{
	int *fds = calloc(conf->listen.n + 1, sizeof(*fds));

	for (size_t i = 0; fds != NULL && i < conf->listen.n; i++) {
		if ((fds[i] = standalone_listen(conf->listen.at[i])) == -1) {
			free(fds);
			return NULL;
		}
	}
	return fds;
}

/* What needs rights, and their end. 0, -1: it was said why. */
static int take_rights(struct keysvc_main *m, int channel, int **fds)
{
	char folder[256];

	if (channel == -1 && (*fds = listen_all(m->conf)) == NULL)
		return -1;
	if (channel == -1 && adminconf_open(&m->admin, &m->conf->admin,
				 adminconf_runtime_folder(folder, sizeof(folder))) == -1)
		return -1;
	return confine_drop(m->conf);
}

static int serve(
    struct keysvc_main *m, struct inherited *inherited, int channel, struct standalone *alone)
{
	int *fds = NULL, rc;

	if (take_rights(m, channel, &fds) == -1) {
		free(fds);
		standalone_clear(alone);
		keysvc_conf_free(m->conf);
		return EXIT_RUNTIME;
	}
	if (channel != -1)
		start_embedded(m, inherited, channel);
	else
		start_alone(m, alone, fds);
	free(fds);
	rc = loop_run(m->loop);
	audit_log(keysvc_audit(m->svc));
	for (size_t i = 0; m->started != NULL && i < m->started->listen.n; i++)
		standalone_unlink(m->started->listen.at[i]);
	if (m->status != NULL)
		adminconf_close(&m->admin, true);
	status_free(m->status);
	control_free(m->control);
	keysvc_free(m->svc);
	epochs_free(m->epochs);
	tlsctx_free(m->tls);
	tlsctx_free(m->peers_tls);
	signals_free(m->signals);
	loop_free(m->loop);
	policy_clear(&m->policy); /* its rules borrow conf */
	if (m->conf != m->started)
		keysvc_conf_free(m->conf);
	keysvc_conf_free(m->started);
	return rc == 0 ? 0 : EXIT_RUNTIME;
}

/* With a configuration that reads well, which is given away. */
static int run_conf(struct keysvc_main *m, struct inherited *inherited, int channel, enum mode mode)
{
	struct standalone alone = { NULL, NULL, NULL, NULL };
	const struct conf_option *options;
	int rc = 0;
	size_t n;

	if (mode == MODE_SHOW) {
		options = keysvc_conf_options(&n);
		conf_dump(stdout, options, n, m->conf);
	} else if (mode == MODE_SERVE) {
		confine_lock();
	}
	if (mode != MODE_SHOW && channel == -1 && standalone_read(&alone, m->conf) == -1)
		rc = EXIT_CONFIG;
	else if (mode == MODE_SERVE)
		return serve(m, inherited, channel, &alone);
	else if (mode == MODE_TEST)
		printf("%s: good, %zu keys\n", m->file, keystore_n(alone.keys));
	standalone_clear(&alone);
	keysvc_conf_free(m->conf);
	return rc;
}

static int run(const char *file, enum mode mode)
{
	struct keysvc_main m = { .file = file };
	struct inherited *inherited = calloc(1, sizeof(*inherited));
	int channel, rc = EXIT_CONFIG;

	if (inherited == NULL)
		fatal(EXIT_RUNTIME, "no memory");
	inherited_load(inherited);
	channel = inherited_take(inherited, "channel");
	if (channel != -1)
		setproctitle("-sslgw-keysvc: embedded");
	if ((m.conf = read_conf(file, channel != -1)) != NULL)
		rc = run_conf(&m, inherited, channel, mode);
	free(inherited);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' },
		{ "help-config", optional_argument, NULL, 'H' }, { NULL, 0, NULL, 0 } };
	const char *file = SYSCONFDIR "/keysvc.conf";
	enum mode mode = MODE_SERVE;
	int c;

	log_init("sslgw-keysvc");
	privileges_harden();
	setproctitle_init(argc, argv, environ);
	while ((c = getopt_long(argc, argv, "c:tTVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 't':
			mode = MODE_TEST;
			break;
		case 'T':
			mode = MODE_SHOW;
			break;
		case 'V':
			version();
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		case 'H':
			return help_config(optarg);
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sslgw-keysvc: \"%s\": no arguments are expected\n", argv[optind]);
		usage(stderr);
		return EXIT_USAGE;
	}
	return run(file, mode);
}
