/*
 * adminconf_check.c: see adminconf.h. A file of its own, since whoever checks a configuration's text
 * needs no sockets.
 */
#include <string.h>

#include "net/endpoint.h"
#include "proc/adminconf.h"

#include "base/poison.h"

void adminconf_check(const struct adminconf *conf, struct conf_errors *errors)
{
	struct endpoint at;

	if (conf->address != NULL &&
	    (endpoint_parse(&at, conf->address) != 0 || at.addr.ss_family == AF_UNIX))
		conf_reject(errors, &conf->address,
		    "\"%s\" cannot be listened on: write admin = { address = \"127.0.0.1:9901\"; "
		    "}",
		    conf->address);
	if (conf->socket != NULL &&
	    strlen(conf->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		conf_reject(errors, &conf->socket,
		    "the path of a Unix socket has at most %zu bytes: choose a shorter one",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	if (conf->names.n > ADMIN_NAMES_MAX)
		conf_reject(errors, &conf->names, "more than %d names", ADMIN_NAMES_MAX);
}
