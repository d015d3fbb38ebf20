/*
 * conf_files.c: see conf_files.h. Whether the folder is there is seen by the master (plan_files.c).
 */
#include <string.h>

#include "gateway/conf_files.h"

#include "base/poison.h"

/* False: it could not stand in a field as it is. */
static bool plain(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

static bool token(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "-_.:")] == '\0' &&
	       strlen(text) <= 64;
}

void conf_check_files(const struct route_conf *r, struct conf_errors *errors)
{
	if (r->files == NULL) {
		/* -T writes the defaults. */
		if (r->files_cache != NULL || r->files_symlinks ||
		    strcmp(r->files_index, "index.html") != 0 ||
		    strcmp(r->files_charset, "utf-8") != 0)
			conf_reject(errors, r,
			    "files_* settings without a folder: add files = "
			    "\"/var/www/shop\";");
		return;
	}
	if (strchr(r->files_index, '/') != NULL || r->files_index[0] == '.' ||
	    strlen(r->files_index) > 255)
		conf_reject(errors, &r->files_index,
		    "files_index \"%s\" is no file's name: write \"index.html\"", r->files_index);
	if (r->files_cache != NULL && (!plain(r->files_cache) || strlen(r->files_cache) > 255))
		conf_reject(errors, &r->files_cache,
		    "files_cache cannot be a field's value: write \"public, max-age=3600\"");
	if (!token(r->files_charset))
		conf_reject(errors, &r->files_charset,
		    "files_charset \"%s\" is no charset: write \"utf-8\", or \"none\"",
		    r->files_charset);
}
