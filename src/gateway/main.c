/*
 * main.c: the command line of sslgw, and the fork in the road: master, or one of the roles that a
 * master starts.
 */
#include "config.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway_conf.h"
#include "gateway/master/master.h"
#include "gateway/roles.h"
#include "http/parse.h"
#include "net/libraries.h"
#include "proc/privileges.h"

#include "base/poison.h"

#define DEFAULT_FILE SYSCONFDIR "/gateway.conf"

enum mode { MODE_RUN, MODE_CHECK, MODE_SHOW };
enum { OPT_HELP = 256, OPT_HELP_CONFIG, OPT_LISTEN, OPT_BACKEND, OPT_CERT, OPT_KEY, OPT_LIVE };

static const struct option longs[] = {
	{ "help", no_argument, NULL, OPT_HELP },
	{ "help-config", optional_argument, NULL, OPT_HELP_CONFIG },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "live", no_argument, NULL, OPT_LIVE },
	{ NULL, 0, NULL, 0 },
};

static void help(FILE *out)
{
	fputs("usage: sslgw [-c FILE] [-d]\n"
	      "       sslgw [-c FILE] -t [--live] | -T\n"
	      "       sslgw --listen ADDRESS --backend HOST:PORT [--cert FILE --key FILE]\n"
	      "       sslgw -V | --help | --help-config\n"
	      "\n"
	      "Ends HTTPS, forwards plain HTTP; private keys stay in a process of their own.\n"
	      "\n"
	      "  -c FILE             configuration [" DEFAULT_FILE "]\n"
	      "  -t                  check the configuration, certificates and keys, then exit\n"
	      "  --live              with -t: ask key servers, caches and back-ends, too\n"
	      "  -T                  print the effective configuration, then exit\n"
	      "  -d                  go into the background once it serves\n"
	      "  --listen ADDRESS    without a file: serve HTTPS here (127.0.0.1:8443, *:443)\n"
	      "  --backend ADDRESS   and forward to this server (127.0.0.1:8080)\n"
	      "  --cert FILE         with this certificate chain (PEM, leaf first)\n"
	      "  --key FILE          and its private key; without both: a self-signed one\n"
	      "  -V                  print versions\n"
	      "  --help              print this\n"
	      "  --help-config       print every option of the configuration file\n"
	      "\n"
	      "Signals: HUP reloads, USR1 reopens logs, TERM and QUIT finish requests and stop.\n"
	      "Exit status: 0 well; 1 configuration; 2 usage; 3 failure while running.\n"
	      "See sslgw(8), gateway.conf(5).\n",
	    out);
}

static int usage(const char *what)
{
	fprintf(stderr, "sslgw: %s\ntry sslgw --help\n", what);
	return EXIT_USAGE;
}

static int version(void)
{
	char parser[64];

	printf("sslgw %s\n", PACKAGE_VERSION);
	libraries_print(stdout);
	printf("%s\n", parse_library(parser, sizeof parser));
#ifdef COUNTER_PROOF
	printf("built with --enable-counter-proof: for tests only, never to be installed\n");
#endif
	return 0;
}

static int help_config(const char *form)
{
	const struct conf_option *options;
	size_t n;

	options = gateway_conf_options(&n);
	if (form == NULL)
		conf_print(stdout, options, n, CONF_HELP);
	else if (strcmp(form, "mdoc") == 0)
		conf_print(stdout, options, n, CONF_MDOC);
	else if (strcmp(form, "sample") == 0)
		conf_print(stdout, options, n, CONF_SAMPLE);
	else
		return usage("--help-config takes mdoc or sample, or nothing");
	return 0;
}

/* How many letters two words share at the start and at the end: enough to see a slip of the keys. */
static size_t likeness(const char *a, const char *b)
{
	size_t n = 0, al = strlen(a), bl = strlen(b), head = 0;

	while (head < al && head < bl && a[head] == b[head])
		head++;
	while (n < al - head && n < bl - head && a[al - 1 - n] == b[bl - 1 - n])
		n++;
	return head + n;
}

static int unknown_option(const char *word)
{
	const char *best = NULL;
	size_t most = 2;

	fprintf(stderr, "sslgw: unknown option %s", word);
	for (size_t i = 0; strncmp(word, "--", 2) == 0 && longs[i].name != NULL; i++) {
		size_t like = likeness(word + 2, longs[i].name);

		if (like > most) {
			most = like;
			best = longs[i].name;
		}
	}
	if (best != NULL)
		fprintf(stderr, ": did you mean --%s?", best);
	fputs("\ntry sslgw --help\n", stderr);
	return EXIT_USAGE;
}

/* NULL, or what is wrong with the words together. */
static const char *contradiction(const struct launch *l)
{
	bool quick = l->listen != NULL || l->backend != NULL || l->cert != NULL || l->key != NULL;

	if (quick && l->file != NULL)
		return "-c and --listen, --backend, --cert, --key do not go together";
	if (quick && (l->listen == NULL || l->backend == NULL))
		return "--listen and --backend are needed together";
	if ((l->cert == NULL) != (l->key == NULL))
		return "--cert and --key are needed together";
	return NULL;
}

static int start(struct launch *launch, enum mode mode)
{
	const char *wrong = contradiction(launch);

	if (wrong == NULL && launch->live && mode != MODE_CHECK)
		wrong = "--live is for -t";
	if (wrong != NULL)
		return usage(wrong);
	if (launch->file == NULL && launch->listen == NULL)
		launch->file = DEFAULT_FILE;
	switch (mode) {
	case MODE_CHECK:
		return master_check(launch);
	case MODE_SHOW:
		return master_show(launch);
	case MODE_RUN:
		break;
	}
	return master_run(launch);
}

static int options(int argc, char **argv)
{
	struct launch launch = { 0 };
	enum mode mode = MODE_RUN;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:tTdV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			launch.file = optarg;
			break;
		case 't':
			mode = MODE_CHECK;
			break;
		case 'T':
			mode = MODE_SHOW;
			break;
		case 'd':
			launch.daemon = true;
			break;
		case 'V':
			return version();
		case OPT_HELP:
			help(stdout);
			return 0;
		case OPT_HELP_CONFIG:
			return help_config(optarg);
		case OPT_LISTEN:
			launch.listen = optarg;
			break;
		case OPT_BACKEND:
			launch.backend = optarg;
			break;
		case OPT_CERT:
			launch.cert = optarg;
			break;
		case OPT_LIVE:
			launch.live = true;
			break;
		case OPT_KEY:
			launch.key = optarg;
			break;
		case ':':
			fprintf(stderr, "sslgw: %s needs a value\ntry sslgw --help\n",
			    argv[optind - 1]);
			return EXIT_USAGE;
		default:
			return unknown_option(
			    optopt != 0 ? (char[]){ '-', (char)optopt, '\0' } : argv[optind - 1]);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sslgw: \"%s\": no arguments are expected\ntry sslgw --help\n",
		    argv[optind]);
		return EXIT_USAGE;
	}
	return start(&launch, mode);
}

int main(int argc, char **argv)
{
	privileges_harden();
	setproctitle_init(argc, argv, environ);
	log_init("sslgw");
	if (argc > 2 && strcmp(argv[1], "--role") == 0) {
		if (strcmp(argv[2], "worker") == 0)
			return worker_main(argc - 2, argv + 2);
		if (strcmp(argv[2], "monitor") == 0)
			return monitor_main(argc - 2, argv + 2);
	}
	return options(argc, argv);
}
