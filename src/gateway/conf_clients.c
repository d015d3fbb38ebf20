/*
 * conf_clients.c: checks of gateway.conf: which proxies are trusted, and whether anybody could connect
 * where only they may; the access log.
 */
#include "gateway/conf_clients.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "gateway/exchange/format.h"
#include "gateway/trusted.h"

#include "base/poison.h"

static void check_trusted(const struct gateway_conf *conf, struct conf_errors *errors)
{
	const struct conf_strings *trusted = &conf->trusted_proxies;

	for (size_t i = 0; i < trusted->n; i++) {
		if (trusted_valid(trusted->at[i]))
			continue;
		conf_reject(errors, trusted,
		    "trusted_proxies: \"%s\" is no network: write \"10.0.0.0/8\", \"10.0.0.7\", "
		    "\"2001:db8::/32\" (behind the prefix all bits are 0), or \"unix:\"",
		    trusted->at[i]);
	}
	for (size_t i = 0; i < conf->listeners.n; i++) {
		const struct listener_conf *l = &conf->listeners.at[i];

		if (l->proxy_protocol && trusted->n == 0)
			conf_reject(errors, &l->proxy_protocol,
			    "nobody could connect here: a PROXY header is taken from "
			    "trusted_proxies only: add trusted_proxies = [ \"10.0.0.0/8\" ];");
	}
}

static void check_log(const struct gateway_conf *conf, struct conf_errors *errors)
{
	static const char prefix[] = "syslog:";
	const char *file = conf->access_log.file, *wrong;
	struct sockaddr_un un;
	struct format *format = calloc(1, sizeof(*format));
	char why[1024];

	wrong = format != NULL && conf->access_log.format != NULL
		    ? format_parse(format, conf->access_log.format, why, sizeof(why))
		    : NULL;
	if (wrong != NULL)
		conf_reject(errors, &conf->access_log.format, "format cannot be \"%s\": %s",
		    conf->access_log.format, wrong);
	free(format);
	if (file == NULL || strncmp(file, prefix, sizeof(prefix) - 1) != 0)
		return;
	file += sizeof(prefix) - 1;
	if (file[0] != '/' || strlen(file) >= sizeof(un.sun_path))
		conf_reject(errors, &conf->access_log.file,
		    "file: \"%s\" is no socket of a syslog: write file = \"syslog:/dev/log\";",
		    conf->access_log.file);
}

void conf_check_clients(const struct gateway_conf *conf, struct conf_errors *errors)
{
	check_trusted(conf, errors);
	check_log(conf, errors);
}
