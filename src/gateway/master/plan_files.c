/*
 * plan_files.c: are the folders there that routes are answered from? Whether the workers' user may
 * read what is in them cannot be told from here.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/master/plan.h"

#include "base/poison.h"

void plan_files(const struct plan *plan, struct conf_errors *errors)
{
	const struct gateway_conf *conf = plan->conf;
	struct stat st;

	for (size_t i = 0; i < conf->sites.n; i++) {
		for (size_t j = 0; j < conf->sites.at[i].routes.n; j++) {
			const struct route_conf *r = &conf->sites.at[i].routes.at[j];

			if (r->files == NULL)
				continue;
			if (stat(r->files, &st) != 0)
				conf_reject(errors, &r->files,
				    "files \"%s\": %s: make the folder, or name another", r->files,
				    strerror(errno));
			else if (!S_ISDIR(st.st_mode))
				conf_reject(errors, &r->files,
				    "files \"%s\" is no folder: name the folder that the files are "
				    "in",
				    r->files);
		}
	}
}
