/*
 * main.c: sslgwctl, the operator's tool: the table of its commands.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ctl/commands.h"
#include "net/libraries.h"

#include "base/poison.h"

#define PROGRAM "sslgwctl"

static const struct command commands[] = {
	{ "init",
	    "--dir DIR --gateway NAME=ADDRESS ... --keysvc NAME=ADDRESS ... [--cachesvc "
	    "NAME=ADDRESS ...]\n"
	    " --site NAME [--certificate FILE ...] [--key FILE] ... --backend HOST:PORT ...",
	    "write a working set of configurations for a new cluster",
	    "For each machine a folder with its configurations, identities and certificates. A "
	    "machine may\n"
	    "have several programs: the same NAME again. ADDRESS is numeric, with a port or "
	    "without (443,\n"
	    "2407, 6380).\n\n"
	    "  --dir DIR             where to write it; DIR/pki is the cluster's CA\n"
	    "  --gateway, --keysvc, --cachesvc NAME=ADDRESS   a program on a machine\n"
	    "  --site NAME           a site; the first one is the default\n"
	    "  --certificate FILE    its chain (PEM); once for each key type. Without: a "
	    "self-signed one\n"
	    "  --key FILE            the private key of any --certificate, for the key servers\n"
	    "  --backend HOST:PORT   a server that answers, plain HTTP\n"
	    "  --hours N             how long identities are good [24]\n"
	    "  --here                to try it on this machine: all runs in DIR\n"
	    "  --force               write over what is there; the CA stays\n",
	    init_command },
	{ "epoch", "COMMAND ...", "see and renew the secrets behind session tickets", NULL,
	    epoch_command },
	{ "pki", "COMMAND ...", "make and keep the identities of a cluster's machines", NULL,
	    pki_command },
	{ "selftest", "--gateway HOST:PORT ... [--sni NAME] [--ca FILE] [--cert FILE [--key FILE]]",
	    "make a session at each gateway and resume it at each other",
	    "By TLS 1.2 tickets and ids and by TLS 1.3 tickets. Ends with 1 where one is not "
	    "resumed.\n\n"
	    "  --gateway HOST:PORT   a gateway itself, not the balancer before it; once for each\n"
	    "  --sni NAME            the site [the default one]\n"
	    "  --ca FILE             check the gateways' certificates against these CAs\n"
	    "  --cert FILE           the client's certificate, where the site asks for one\n"
	    "  --key FILE            and its key [in the same file]\n"
	    "  --timeout SECONDS     for a handshake [5]\n",
	    selftest_command },
	{ "status", "[--json] [--servers] [ADDRESS|SOCKET ...]",
	    "how gateways, key and cache servers are",
	    "Asks admin addresses and sockets; without any, the usual sockets of this machine.\n"
	    "Exit status: 0 all are well; 1 something is not; 2 usage; 3 unreachable.\n\n"
	    "  --json                all that they say, as JSON\n"
	    "  --servers             the servers of pools, too: how each is, and why\n",
	    status_command },
	{ "reload", "[SOCKET ...]", "have daemons read their configuration anew", NULL,
	    daemon_command },
	{ "drain", "[SOCKET ...]", "have daemons finish what they do and end", NULL,
	    daemon_command },
	{ "reopen", "[SOCKET ...]", "have daemons open their logs anew", NULL, daemon_command },
};
enum { COMMANDS_N = sizeof(commands) / sizeof(commands[0]) };

int main(int argc, char **argv)
{
	log_init(PROGRAM);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)) {
		printf("%s %s\n", PROGRAM, PACKAGE_VERSION);
		libraries_print(stdout);
		return COMMAND_OK;
	}
	return command_run(PROGRAM, commands, COMMANDS_N, argc, argv);
}
