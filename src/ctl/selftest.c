/*
 * selftest.c: sslgwctl selftest: makes a session at each gateway of a cluster and resumes it at each
 * other, by each kind. A session is made anew for each try: some are good for once.
 */
#include "ctl/selftest.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ctl/commands.h"
#include "net/endpoint.h"

#include "base/poison.h"

#define PROGRAM "sslgwctl"

enum { TIMEOUT_S = 5, TIMEOUT_MAX_S = 60, TRIES = 3, TRY_PAUSE_MS = 150 };
enum { OPT_GATEWAY = 256, OPT_SNI, OPT_CERT, OPT_KEY, OPT_CA, OPT_TIMEOUT };

static const char *const kind_names[KINDS_N] = { "TLS 1.2 ticket", "TLS 1.2 id", "TLS 1.3 ticket" };

const char *selftest_kind_name(enum kind kind)
{
	return kind_names[kind];
}

static uint8_t *result_at(const struct selftest *test, enum kind kind, size_t from, size_t to)
{
	return &test->results[((size_t)kind * test->n + from) * test->n + to];
}

enum result selftest_result(const struct selftest *test, enum kind kind, size_t from, size_t to)
{
	return (enum result) * result_at(test, kind, from, to);
}

/* ---- the command line */

struct request {
	const char *gateways[SELFTEST_GATEWAYS_MAX];
	size_t n;
	struct probe_params probe;
};

static int take_timeout(const struct command *self, struct request *request)
{
	const char *wrong;

	request->probe.timeout_ms = 1000 * (int)strtonum(optarg, 1, TIMEOUT_MAX_S, &wrong);
	if (wrong == NULL)
		return 0;
	command_usage(self, PROGRAM, "--timeout %s: write 1 to %d seconds", optarg, TIMEOUT_MAX_S);
	return COMMAND_WRONG;
}

static int take_gateway(const struct command *self, struct request *request)
{
	if (request->n == SELFTEST_GATEWAYS_MAX) {
		command_usage(self, PROGRAM, "%d gateways at most", SELFTEST_GATEWAYS_MAX);
		return COMMAND_WRONG;
	}
	request->gateways[request->n++] = optarg;
	return 0;
}

static int take_options(const struct command *self, struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "gateway", required_argument, NULL, OPT_GATEWAY },
		{ "sni", required_argument, NULL, OPT_SNI },
		{ "cert", required_argument, NULL, OPT_CERT },
		{ "key", required_argument, NULL, OPT_KEY },
		{ "ca", required_argument, NULL, OPT_CA },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ NULL, 0, NULL, 0 },
	};
	int got, rc = 0;

	while (rc == 0 && (got = command_option(self, PROGRAM, argc, argv, options)) >= 0) {
		if (got == OPT_GATEWAY)
			rc = take_gateway(self, request);
		else if (got == OPT_SNI)
			request->probe.sni = optarg;
		else if (got == OPT_CERT)
			request->probe.cert_file = optarg;
		else if (got == OPT_KEY)
			request->probe.key_file = optarg;
		else if (got == OPT_CA)
			request->probe.ca_file = optarg;
		else
			rc = take_timeout(self, request);
	}
	return rc != 0 ? rc : got;
}

/* The first address of a name is the gateway: several are several gateways, each to be named. */
static int find_gateway(const char *text, struct gateway *gateway)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found;
	char host[256], service[8];
	uint16_t port;
	int wrong;

	gateway->text = text;
	if (endpoint_split(text, host, sizeof(host), &port) != 0 || port == 0) {
		log_errorx("--gateway %s: write HOST:PORT, as 10.0.0.1:443 or [fd00::1]:443", text);
		return -1;
	}
	snprintf(service, sizeof(service), "%u", port);
	wrong = getaddrinfo(host, service, &hints, &found);
	if (wrong == EAI_ADDRFAMILY || wrong == EAI_NONAME) /* only a loopback is up: try all */
		wrong = getaddrinfo(
		    host, service, &(struct addrinfo){ .ai_socktype = SOCK_STREAM }, &found);
	if (wrong != 0) {
		log_errorx("--gateway %s: %s", text, gai_strerror(wrong));
		return -1;
	}
	memcpy(&gateway->addr, found->ai_addr, found->ai_addrlen);
	gateway->len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* ---- the test */

static enum result try_once(
    struct selftest *test, struct probe *probe, enum kind kind, size_t from, size_t to)
{
	struct ssl_session_st *session = NULL;
	enum result result = probe_make(probe, &test->gateways[from], kind, &session);

	if (result == RESULT_FULL)
		result = probe_resume(probe, &test->gateways[to], kind, session);
	probe_session_free(session);
	return result;
}

/* A full handshake costs speed only, and one may happen: a connection to a cache was not up yet, a key
 * changed just then. What happens each time is wrong. */
static void try_pair(
    struct selftest *test, struct probe *probe, enum kind kind, size_t from, size_t to)
{
	enum result result = try_once(test, probe, kind, from, to);

	for (int i = 1; result == RESULT_FULL && i < TRIES; i++) {
		poll(NULL, 0, TRY_PAUSE_MS);
		result = try_once(test, probe, kind, from, to);
	}
	*result_at(test, kind, from, to) = (uint8_t)result;
}

static const char *result_text(enum result result, bool own_failed)
{
	switch (result) {
	case RESULT_RESUMED:
		return "ok";
	case RESULT_FULL:
		return "FULL";
	case RESULT_NONE:
		return "-";
	case RESULT_FAILED:
		break;
	}
	return own_failed ? "-" : "FAILED";
}

/* A gateway where nothing can be made fails as the place of making, for all places of resuming. */
static void print_kind(const struct selftest *test, enum kind kind)
{
	printf("\n%-16s", kind_names[kind]);
	for (size_t to = 0; to < test->n; to++)
		printf(" %6zu", to + 1);
	for (size_t from = 0; from < test->n; from++) {
		printf("\n  made at %-6zu", from + 1);
		for (size_t to = 0; to < test->n; to++)
			printf(" %6s", result_text(selftest_result(test, kind, from, to),
					   from != to && selftest_result(test, kind, from, from) ==
							     RESULT_FAILED));
	}
	printf("\n");
}

static void print_all(const struct selftest *test)
{
	bool failed = false, full = false, none = false;
	enum result result;

	for (size_t i = 0; i < test->n; i++)
		printf("%3zu  %s\n", i + 1, test->gateways[i].text);
	for (enum kind kind = 0; kind < KINDS_N; kind++)
		print_kind(test, kind);
	for (size_t i = 0; i < KINDS_N * test->n * test->n; i++) {
		result = (enum result)test->results[i];
		failed = failed || result == RESULT_FAILED;
		full = full || result == RESULT_FULL;
		none = none || result == RESULT_NONE || result == RESULT_FAILED;
	}
	printf("\nok: resumed");
	if (full)
		printf("; FULL: a full handshake instead");
	if (failed)
		printf("; FAILED: no handshake");
	if (none)
		printf("; -: no session to try with");
	printf("\n");
}

static int run(struct selftest *test, const struct request *request)
{
	struct probe *probe;
	size_t wrong;

	for (size_t i = 0; i < test->n; i++)
		if (find_gateway(request->gateways[i], &test->gateways[i]) != 0)
			return COMMAND_NO;
	probe = probe_new(&request->probe);
	if (probe == NULL)
		return COMMAND_NO;
	for (enum kind kind = 0; kind < KINDS_N; kind++)
		for (size_t from = 0; from < test->n; from++)
			for (size_t to = 0; to < test->n; to++)
				try_pair(test, probe, kind, from, to);
	probe_free(probe);
	print_all(test);
	wrong = selftest_verdict(test, stdout);
	if (wrong == 0)
		printf("Any gateway resumes what any other has made.\n");
	return wrong == 0 ? COMMAND_OK : COMMAND_NO;
}

int selftest_command(const struct command *self, int argc, char **argv)
{
	struct request request = { .probe.timeout_ms = TIMEOUT_S * 1000 };
	int got = take_options(self, &request, argc, argv), status = COMMAND_NO;
	struct selftest test;

	if (got != COMMAND_END)
		return got == COMMAND_HELP ? COMMAND_OK : COMMAND_USAGE;
	if (optind < argc)
		return command_usage(self, PROGRAM, "\"%s\": gateways are named by --gateway %s",
		    argv[optind], argv[optind]);
	if (request.n == 0)
		return command_usage(
		    self, PROGRAM, "name the gateways: --gateway HOST:PORT for each");
	if (request.probe.key_file != NULL && request.probe.cert_file == NULL)
		return command_usage(self, PROGRAM, "--key needs --cert");
	test.n = request.n;
	test.gateways = calloc(test.n, sizeof(*test.gateways));
	test.results = calloc(KINDS_N * test.n * test.n, sizeof(*test.results));
	if (test.gateways != NULL && test.results != NULL)
		status = run(&test, &request);
	else
		log_errorx("no memory");
	free(test.gateways);
	free(test.results);
	return status;
}
