/*
 * test_hex.c: bytes to hexadecimal text and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"

#include "base/poison.h"

static void all_bytes_come_back(void **state)
{
	uint8_t bytes[256], back[256];
	char text[513];

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	assert_ptr_equal(hex_write(text, bytes, sizeof(bytes)), text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102", 6);
	assert_string_equal(text + 510, "ff");
	assert_int_equal(hex_read(back, sizeof(back), text), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_string_equal(hex_write(text, bytes, 0), "");
}

static void only_digits_are_read(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(hex_read(&byte, 1, "aF"), 0);
	assert_int_equal(byte, 0xaf);
	for (int c = 0; c < 256; c++) {
		const char text[2] = { '1', (char)c };
		const char *digits = "0123456789abcdefABCDEF";
		int wanted = c != 0 && strchr(digits, c) != NULL ? 0 : -1;

		assert_int_equal(hex_read(&byte, 1, text), wanted);
	}
	assert_int_equal(hex_read(&byte, 1, " 1"), -1);
	assert_int_equal(hex_read(&byte, 1, "0x"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bytes_come_back),
		cmocka_unit_test(only_digits_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
