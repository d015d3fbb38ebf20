/*
 * main.c: sslgw-cachesvc: options, then the service, alone or as the child of a gateway's master
 * ("embedded"): then the listening socket ("service"), a token that callers must AUTH with ("token")
 * and the control channel ("channel") are inherited, and the end of the channel is the end of us.
 */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "cachesvc/cachesvc.h"
#include "cachesvc/standalone.h"
#include "cachesvc/status.h"
#include "net/libraries.h"
#include "proc/channel.h"
#include "proc/descriptors.h"
#include "proc/inherited.h"
#include "proc/notify.h"
#include "proc/privileges.h"
#include "proc/signals.h"

#include "base/poison.h"

#define PROGRAM "sslgw-cachesvc"
#define DEFAULT_FILE SYSCONFDIR "/cachesvc.conf"

enum { TOKEN_BYTES = 32, OWN_FDS = 32 + ADMIN_CONNS_MAX, OPT_HELP = 256, OPT_HELP_CONFIG };

struct run {
	const char *file;
	bool embedded;
	struct inherited inherited;
	struct cachesvc_conf *conf;
	struct loop *loop;
	struct cachesvc *cachesvc;
	struct signals *signals;
	struct channel *channel; /* NULL: alone, or the master is gone */
	int channel_fd;
	int fds[CACHESVC_LISTEN_MAX],
	    fds_n; /* listening: those of listen, then those of listen_plain */
	struct tlsctx *tls; /* NULL: none */
	struct adminconf_sockets admin;
	struct status *status; /* the admin address; embedded: NULL */
	uint32_t connections;
	bool stopping;
	struct standalone_secret secret; /* until the service has it */
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, OPT_HELP },
	{ "help-config", optional_argument, NULL, OPT_HELP_CONFIG },
	{ NULL, 0, NULL, 0 },
};

/* ---- the command line */

static void print_help(FILE *out)
{
	fputs("usage: " PROGRAM " [-c FILE]\n"
	      "       " PROGRAM " -t | -T [-c FILE]\n"
	      "       " PROGRAM " -V | --help | --help-config\n"
	      "\n"
	      "The session cache of sslgw: RESP2, as Redis speaks it, in bounded memory.\n"
	      "\n"
	      "  -c FILE         configuration [" DEFAULT_FILE "]\n"
	      "  -t              check the configuration and exit\n"
	      "  -T              print the effective configuration and exit\n"
	      "  -V              print versions\n"
	      "  --help          print this\n"
	      "  --help-config   print every option of the configuration file\n",
	    out);
}

static int print_help_config(const char *form)
{
	const struct conf_option *options;
	size_t n;

	options = cachesvc_conf_options(&n);
	if (form == NULL)
		conf_print(stdout, options, n, CONF_HELP);
	else if (strcmp(form, "mdoc") == 0)
		conf_print(stdout, options, n, CONF_MDOC);
	else if (strcmp(form, "sample") == 0)
		conf_print(stdout, options, n, CONF_SAMPLE);
	else {
		fputs(PROGRAM ": --help-config takes mdoc or sample, or nothing\n", stderr);
		return EXIT_USAGE;
	}
	return 0;
}

static int usage(const char *what)
{
	if (what != NULL)
		fprintf(stderr, "%s: %s\n", PROGRAM, what);
	fputs("try " PROGRAM " --help\n", stderr);
	return EXIT_USAGE;
}

static void print_version(void)
{
	printf("%s %s\n", PROGRAM, PACKAGE_VERSION);
	libraries_print(stdout);
}

/* ---- starting */

static struct cachesvc_conf *read_conf(const char *file, bool embedded, struct conf_errors *errors)
{
	struct conf_text *text = conf_text_read(file, errors);
	struct cachesvc_conf *conf = NULL;

	if (text != NULL)
		conf = cachesvc_conf_new(text, embedded, errors);
	conf_text_free(text);
	return conf;
}

static void read_token(struct run *run)
{
	uint8_t token[TOKEN_BYTES];
	int fd = inherited_take(&run->inherited, "token");

	if (fd < 0 || inherited_read_secret(fd, token, sizeof(token)) != 0)
		fatalx(EXIT_RUNTIME, "embedded, but without a token: start sslgw, not " PROGRAM);
	hex_write(run->secret.text, token, sizeof(token));
	run->secret.len = 2 * sizeof(token);
	explicit_bzero(token, sizeof(token));
}

/* As many descriptors as connections, if they can be had. */
static uint32_t connections_of(const struct cachesvc_conf *conf)
{
	uint32_t n = descriptors_for((uint32_t)conf->connections, OWN_FDS);

	if (n == 0)
		exit(EXIT_RUNTIME);
	return n;
}

static void drop_rights(const struct cachesvc_conf *conf)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (conf->user == NULL && conf->group == NULL)
		return;
	if ((conf->user != NULL && privileges_user(conf->user, &uid, &gid) != 0) ||
	    (conf->group != NULL && privileges_group(conf->group, &gid) != 0))
		fatalx(EXIT_CONFIG, "user or group is gone"); /* checked before */
	if (privileges_drop(uid, gid) != 0)
		fatal(EXIT_RUNTIME, "cannot become user %s: start as root, or leave user out",
		    conf->user != NULL ? conf->user : "");
}

/* ---- running */

static void stop_now(void *arg)
{
	struct run *run = arg;

	if (run->channel != NULL)
		channel_send(run->channel, NULL, 0, "drained");
	loop_stop(run->loop);
}

static void stop(struct run *run)
{
	if (run->stopping) {
		loop_stop(run->loop);
		return;
	}
	run->stopping = true;
	notify_send("STOPPING=1");
	cachesvc_drain(run->cachesvc, stop_now, run);
}

static void on_denied(void *arg)
{
	const struct run *run = arg;

	cachesvc_recheck(run->cachesvc, run->tls);
}

/* All that the new configuration names can be had, or nothing of it is taken. */
static int take_over(struct run *run, const struct cachesvc_conf *conf)
{
	struct standalone_secret secret;
	uid_t callers[CACHESVC_CALLERS_MAX];
	char error[512];
	int rc = -1;

	if (standalone_secret(conf, &secret) != 0)
		return -1;
	if (run->tls != NULL && tlsctx_reload(run->tls, error, sizeof(error)) != 0) {
		log_errorx("%s: %s", conf_where(&conf->identity), error);
	} else {
		cachesvc_set_secret(run->cachesvc, bytes_of(secret.text, secret.len));
		cachesvc_set_callers(run->cachesvc, callers, standalone_callers(conf, callers));
		if (run->tls != NULL)
			on_denied(run);
		rc = 0;
	}
	explicit_bzero(secret.text, sizeof(secret.text));
	return rc;
}

/* The password, the files of the identity and who may call are taken anew; the rest takes a restart. */
static void reload(struct run *run)
{
	struct conf_errors *errors = run->embedded ? NULL : conf_errors_new();
	struct cachesvc_conf *conf;
	const char *fixed;

	if (errors == NULL)
		return;
	conf = read_conf(run->file, false, errors);
	for (size_t i = 0; i < conf_errors_n(errors); i++)
		log_errorx("%s", conf_errors_at(errors, i));
	if (conf == NULL || take_over(run, conf) != 0) {
		log_errorx("%s: not taken: the former configuration stays", run->file);
	} else {
		log_info("%s: taken", run->file);
		if ((fixed = standalone_fixed(conf, run->conf)) != NULL)
			log_warnx("%s: a change of %s takes a restart", run->file, fixed);
	}
	cachesvc_conf_free(conf);
	conf_errors_free(errors);
}

static void on_signal(void *arg, int signo)
{
	const struct run *run = arg;

	/* Embedded, the master says when to end: a terminal's Ctrl-C and a unit's stop go to all of a
	 * gateway's processes, and workers still look sessions up while they drain. */
	if (signo == SIGHUP)
		reload(arg);
	else if (signo != SIGUSR1 && !run->embedded) /* logs go to stderr: nothing to open anew */
		stop(arg);
}

static void reload_cb(void *arg)
{
	reload(arg);
}

static void drain_cb(void *arg)
{
	stop(arg);
}

static bool draining_cb(void *arg)
{
	const struct run *run = arg;

	return run->stopping;
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
	if (strcmp(text, "drain") == 0 || strcmp(text, "stop") == 0)
		stop(arg);
}

/* The master is dead: whoever follows it starts a cache of its own. */
static void on_closed(void *arg)
{
	struct run *run = arg;

	channel_free(run->channel);
	run->channel = NULL;
	loop_stop(run->loop);
}

static const struct channel_events channel_events = { on_message, on_closed };

static void open_sockets(struct run *run, const struct conf_strings *list)
{
	for (size_t i = 0; i < list->n; i++) {
		int fd = standalone_listen(list->at[i]);

		if (fd < 0)
			fatalx(EXIT_RUNTIME, "%s: not started", conf_where(list));
		run->fds[run->fds_n++] = fd;
	}
}

static void open_admin(struct run *run)
{
	char folder[256];

	if (adminconf_open(&run->admin, &run->conf->admin,
		adminconf_runtime_folder(folder, sizeof(folder))) != 0)
		fatalx(EXIT_RUNTIME, "not started");
}

static void start_status(struct run *run)
{
	struct status_params params = { .cachesvc = run->cachesvc,
		.conf = &run->conf->admin,
		.reload = reload_cb,
		.drain = drain_cb,
		.draining = draining_cb,
		.arg = run };

	run->status = status_new(run->loop, &params, &run->admin);
	if (run->status == NULL)
		fatalx(EXIT_RUNTIME, "no memory for the admin address");
}

/* Sockets and limits: what may take rights that go next. Secrets have been read by then. */
static void take_what_needs_rights(struct run *run)
{
	if (run->embedded) {
		run->fds[run->fds_n++] = inherited_take(&run->inherited, "service");
		if (run->fds[0] < 0)
			fatalx(EXIT_RUNTIME,
			    "embedded, but without a socket: start sslgw, not " PROGRAM);
		read_token(run);
	} else {
		standalone_warn(run->conf);
		open_sockets(run, &run->conf->listen);
		open_sockets(run, &run->conf->listen_plain);
		open_admin(run);
	}
	run->connections = connections_of(run->conf);
}

static void start(struct run *run)
{
	static const int signals[] = { SIGHUP, SIGUSR1, SIGTERM, SIGINT, SIGQUIT, 0 };
	struct cachesvc_params params = {
		.max_memory = run->conf->max_memory,
		.connections = run->connections,
		.idle_ms = (uint32_t)run->conf->idle_timeout,
		.secret = bytes_of(run->secret.text, run->secret.len),
	};

	params.callers_n = standalone_callers(run->conf, params.callers);
	run->loop = loop_new();
	if (run->loop == NULL)
		fatal(EXIT_RUNTIME, "no event loop");
	run->cachesvc = cachesvc_new(run->loop, &params);
	if (run->cachesvc == NULL)
		fatal(EXIT_RUNTIME, "max_memory: cannot have %llu bytes",
		    (unsigned long long)params.max_memory);
	explicit_bzero(run->secret.text, sizeof(run->secret.text));
	run->signals = signals_new(run->loop, signals, on_signal, run);
	if (run->embedded)
		run->channel = channel_new(run->loop, run->channel_fd, &channel_events, run);
	if (run->signals == NULL || (run->embedded && run->channel == NULL))
		fatal(EXIT_RUNTIME, "no memory");
	if (run->tls != NULL)
		tlsctx_watch(run->tls, run->loop, on_denied, run);
}

/* Whether what comes in there is TLS: of listen by its address, of listen_plain never. */
static struct tlsctx *tls_of(const struct run *run, int i)
{
	bool is_listen = !run->embedded && (size_t)i < run->conf->listen.n;

	return is_listen && cachesvc_conf_is_tls(run->conf, run->conf->listen.at[i]) ? run->tls
										     : NULL;
}

/* " 127.0.0.1:6380", as bound. */
static void add_address(char *text, size_t size, int fd)
{
	struct endpoint local = { .len = sizeof(local.addr) };
	char address[ENDPOINT_TEXT_MAX];

	if (getsockname(fd, (struct sockaddr *)&local.addr, &local.len) != 0)
		return;
	strlcat(text, " ", size);
	strlcat(text, endpoint_text(&local, address, sizeof(address)), size);
}

static void serve(struct run *run)
{
	char ready[1024] = "ready:";

	for (int i = 0; i < run->fds_n; i++) {
		add_address(ready, sizeof(ready), run->fds[i]);
		if (cachesvc_listen(run->cachesvc, run->fds[i], tls_of(run, i)) != 0)
			fatal(EXIT_RUNTIME, "no memory to listen");
	}
	if (!run->embedded && run->admin.address[0] != '\0')
		snprintf(ready + strlen(ready), sizeof(ready) - strlen(ready), " admin http://%s",
		    run->admin.address);
	if (!run->embedded)
		start_status(run);
	if (run->embedded)
		channel_send(run->channel, NULL, 0, "ready");
	else
		fprintf(stderr, "%s\n", ready);
	notify_send("READY=1");
	if (loop_run(run->loop) != 0)
		fatal(EXIT_RUNTIME, "the event loop failed");
}

static void finish(struct run *run)
{
	channel_free(run->channel);
	if (run->status != NULL)
		adminconf_close(&run->admin, true);
	status_free(run->status);
	signals_free(run->signals);
	cachesvc_free(run->cachesvc);
	tlsctx_free(run->tls);
	loop_free(run->loop);
	if (!run->embedded)
		standalone_unlink(&run->conf->listen);
	cachesvc_conf_free(run->conf);
}

static int run_service(struct run *run, bool check, bool dump)
{
	struct conf_errors *errors = conf_errors_new();
	const struct conf_option *options;
	size_t n;

	if (errors == NULL)
		fatal(EXIT_RUNTIME, "no memory");
	run->conf = read_conf(run->file, run->embedded, errors);
	if (run->conf == NULL)
		conf_errors_print(errors, stderr);
	conf_errors_free(errors);
	if (run->conf == NULL)
		return EXIT_CONFIG;
	if (dump) {
		options = cachesvc_conf_options(&n);
		conf_dump(stdout, options, n, run->conf);
		cachesvc_conf_free(run->conf);
		return 0;
	}
	if (!run->embedded && (standalone_secret(run->conf, &run->secret) != 0 ||
				  standalone_tls(run->conf, &run->tls) != 0))
		return EXIT_CONFIG;
	if (check) {
		printf("%s: the configuration is good\n", run->file);
		explicit_bzero(run->secret.text, sizeof(run->secret.text));
		tlsctx_free(run->tls);
		cachesvc_conf_free(run->conf);
		return 0;
	}
	take_what_needs_rights(run);
	drop_rights(run->conf);
	start(run);
	serve(run);
	finish(run);
	return 0;
}

static int options(struct run *run, int argc, char **argv)
{
	bool check = false, dump = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:tTV", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			run->file = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'T':
			dump = true;
			break;
		case 'V':
			print_version();
			return 0;
		case OPT_HELP:
			print_help(stdout);
			return 0;
		case OPT_HELP_CONFIG:
			return print_help_config(optarg);
		default:
			return usage(NULL);
		}
	}
	if (optind < argc)
		return usage("takes options only");
	setproctitle(run->embedded ? "-" PROGRAM ": embedded" : "-" PROGRAM);
	return run_service(run, check, dump);
}

int main(int argc, char **argv)
{
	struct run *run;
	int status;

	privileges_harden();
	setproctitle_init(argc, argv, environ);
	log_init(PROGRAM);
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		fatal(EXIT_RUNTIME, "no memory");
	run->file = DEFAULT_FILE;
	inherited_load(&run->inherited);
	run->channel_fd = inherited_take(&run->inherited, "channel");
	run->embedded = run->channel_fd >= 0;
	status = options(run, argc, argv);
	free(run);
	return status;
}
