/* SPDX-License-Identifier: MIT
 *
 * UTF-8: characters, and which of them must not reach a terminal.
 */
#ifndef SIDECAR_BASE_UTF8_H
#define SIDECAR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the UTF-8 character at text, of which `left` bytes are there; 0: it is none (RFC
 * 3629). */
size_t utf8_length(const unsigned char *text, size_t left);

/* The code point of a UTF-8 character of `length` bytes (1 to 4, valid). */
uint32_t utf8_code_point(const unsigned char *character, size_t length);

/* Whether a code point must not reach a terminal: C0 (line feed and tab too), DEL, C1, line and
 * paragraph separators, bidirectional controls, the byte order mark. */
bool utf8_unsafe(uint32_t code_point);

#endif
