/*
 * fuzz_hello.c: bytes as each of the ClientHello's extensions that the gateway reads itself. A name
 * that passes holds nothing that could end a field, and identities lie within the extension.
 */
#include <assert.h>
#include <string.h>

#include "gateway/tls/hello.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_name(struct bytes in)
{
	char name[256];
	uint8_t len;

	if (hello_sni(in, name, &len) != PARSE_OK)
		return;
	assert(strlen(name) == len);
	for (size_t i = 0; i < len; i++)
		assert(name[i] > ' ' && name[i] < 0x7f && (name[i] < 'A' || name[i] > 'Z'));
	assert(in.len == 0 || in.len == (size_t)len + 5);
}

static void try_identities(struct bytes in)
{
	struct bytes list, id;
	size_t sum = 0;

	if (hello_psks(in, &list) != PARSE_OK)
		return;
	while (hello_psk_next(&list, &id)) {
		assert(id.at >= in.at && id.at + id.len <= in.at + in.len);
		sum += 6 + id.len;
	}
	assert(sum + 2 <= in.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);

	try_name(in);
	try_identities(in);
	if (hello_has_version(in, 0x0304))
		assert(size >= 3 && data[0] == size - 1);
	(void)hello_is_http(in);
	return 0;
}
