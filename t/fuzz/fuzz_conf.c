/*
 * fuzz_conf.c: any text as a gateway.conf: read whole or refused with a message, never a crash, a hang
 * or a leak; and what is accepted reads the same once more from its effective text.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "gateway/gateway_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gateway_conf *parsed(const void *text, size_t len, struct conf_errors *errors)
{
	struct conf_text *t = conf_text_of("fuzz.conf", text, len);
	struct gateway_conf *conf = t != NULL ? gateway_conf_new(t, errors) : NULL;

	assert((conf != NULL) == (conf_errors_n(errors) == 0) || t == NULL);
	conf_text_free(t);
	return conf;
}

static char *effective(const struct gateway_conf *conf, size_t *len)
{
	const struct conf_option *options;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, len);

	assert(f != NULL);
	options = gateway_conf_options(&n);
	conf_dump(f, options, n, conf);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *conf = parsed(data, size, errors), *again;
	const char *where = conf != NULL ? conf_where(&conf->sites) : NULL;
	size_t len;

	/* The command line's mark allows what a file may not leave out, and is not in the effective text. */
	if (conf != NULL && where != NULL && strcmp(where, CONF_COMMAND_LINE) != 0) {
		char *text = effective(conf, &len);

		again = parsed(text, len, errors);
		assert(again != NULL);
		gateway_conf_free(again);
		free(text);
	}
	gateway_conf_free(conf);
	conf_errors_free(errors);
	return 0;
}
