/*
 * libraries.c: see libraries.h.
 */
#include "net/libraries.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/opensslv.h>

#include "base/poison.h"

void libraries_print(FILE *out)
{
	fprintf(out, "OpenSSL %s (built with %s)\n", OpenSSL_version(OPENSSL_VERSION_STRING),
	    OPENSSL_VERSION_STR);
	fprintf(out, "libevent %s (built with %s)\n", event_get_version(), LIBEVENT_VERSION);
}
