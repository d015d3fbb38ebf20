/*
 * hex.h: bytes as hexadecimal text. Pure. Not in constant time: text of a secret is the operator's own.
 */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Two lower-case digits a byte, and a NUL: 2 * n + 1 characters. Returns text. */
char *hex_write(char *text, const uint8_t *bytes, size_t n);
/* 0 to 15, of either case; -1: it is no digit. */
int hex_digit(char c);
/* Exactly n bytes of the first 2 * n characters. 0; -1: those are not digits. */
int hex_read(uint8_t *bytes, size_t n, const char *text) __attribute__((warn_unused_result));

#endif
