/* SPDX-License-Identifier: MIT
 *
 * A reply taken apart, and put into the one form that patterns are written for.
 *
 * The codes that a multi-line reply repeats stand in the middle of phrases once a log has joined
 * the lines ("unusual rate of 421-4.7.28 unsolicited mail"), so they are taken out; what is left is
 * the sentence that the receiver documents. Reads no byte outside what it is given.
 */
#include "sidecar/rules/reply_parse.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LITTLE_ENDIAN_BYTES (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* U+00C0 to U+017F, the Latin letters with marks; '?' stays as it is (no single letter for it). */
static const char latin[] = "aaaaaaaceeeeiiii"
			    "dnooooo?ouuuuyts"
			    "aaaaaaaceeeeiiii"
			    "dnooooo?ouuuuyty"
			    "aaaaaaccccccccdd"
			    "ddeeeeeeeeeegggg"
			    "gggghhhhiiiiiiii"
			    "iiiijjkkklllllll"
			    "lllnnnnnnnnnoooo"
			    "oooorrrrrrssssss"
			    "ssttttttuuuuuuuu"
			    "uuuuwwyyyzzzzzzs";
_Static_assert(sizeof(latin) == 0x180 - 0xC0 + 1, "one letter for each of U+00C0 to U+017F");

static size_t number(const char *text, size_t len, unsigned max_digits, unsigned *ret)
{
	size_t n = 0;
	unsigned value = 0;

	while (n < len && n < max_digits && isdigit((unsigned char)text[n]))
		value = value * 10 + (unsigned)(text[n++] - '0');
	if (n == 0 || (n < len && isdigit((unsigned char)text[n])))
		return 0;
	*ret = value;
	return n;
}

size_t reply_line_enhanced(const char *text, size_t len, unsigned *ret_enhanced)
{
	unsigned part[3];
	size_t at = 0;

	for (int i = 0; i < 3; i++) {
		size_t n = number(text + at, len - at, i == 0 ? 1 : 3, &part[i]);

		if (n == 0)
			return 0;
		at += n;
		if (i < 2 && (at == len || text[at++] != '.'))
			return 0;
	}
	if ((part[0] != 2 && part[0] != 4 && part[0] != 5) ||
	    (at + 1 < len && text[at] == '.' && isdigit((unsigned char)text[at + 1])))
		return 0;
	*ret_enhanced = REPLY_ENHANCED(part[0], part[1], part[2]);
	return at;
}

static size_t skip_blanks(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && (unsigned char)text[n] <= ' ')
		n++;
	return n;
}

/* "450 queue-7 4.7.1 text", "553 sorry (#5.7.1)": a code that stands alone as a word. */
static unsigned enhanced_within(const char *text, size_t len, unsigned code)
{
	for (size_t i = 0; i < len; i++) {
		bool qmail = i + 1 < len && text[i] == '(' && text[i + 1] == '#';
		bool word = i < 40 && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '#');
		unsigned enhanced;
		size_t at = qmail ? i + 2 : i, n;

		if (!qmail && (i >= 40 && !(text[i] == '(')))
			continue;
		if (!qmail && (!word || !isdigit((unsigned char)text[i])))
			continue;
		n = reply_line_enhanced(text + at, len - at, &enhanced);
		if (n == 0 || (code != 0 && enhanced >> 20 != code / 100))
			continue;
		if (at + n == len || strchr(" \t\r\n)-:", text[at + n]) != NULL)
			return enhanced;
	}
	return 0;
}

void reply_line_parse(const char *bytes, size_t len, struct reply_line *ret_line)
{
	struct reply_line line = {.text = bytes,
				  .len = len < REPLY_TEXT_MAX ? len : REPLY_TEXT_MAX};
	unsigned code;
	size_t n = skip_blanks(line.text, line.len);

	line.text += n, line.len -= n;
	if (line.len > 5 && strncasecmp(line.text, "smtp;", 5) == 0) {
		n = 5 + skip_blanks(line.text + 5, line.len - 5);
		line.text += n, line.len -= n;
	}
	n = number(line.text, line.len, 3, &code);
	if (n == 3 && code >= 200 && code < 600 &&
	    (n == line.len || strchr(" -\t\r\n", line.text[3]))) {
		line.code = code;
		n += n < line.len;
		n += skip_blanks(line.text + n, line.len - n);
		line.text += n, line.len -= n;
	}
	n = line.len > 0 && line.text[0] == '#';
	n = reply_line_enhanced(line.text + n, line.len - n, &line.enhanced) + n;
	if (line.enhanced != 0 && (line.code == 0 || line.enhanced >> 20 == line.code / 100)) {
		n += skip_blanks(line.text + n, line.len - n);
		line.text += n, line.len -= n;
	} else {
		line.enhanced = enhanced_within(line.text, line.len, line.code);
	}
	*ret_line = line;
}

/* One character beyond ASCII, folded. Returns how many bytes of the input it took; *ret_out is how
 * many were written. */
static size_t fold_wide(const unsigned char *in, size_t len, char *out, size_t *ret_out)
{
	unsigned char a = in[0], b = len > 1 ? in[1] : 0, c = len > 2 ? in[2] : 0;
	bool pair = (b & 0xC0) == 0x80, triple = pair && (c & 0xC0) == 0x80;

	*ret_out = 1;
	if (a == 0xC2 && b == 0xA0) {
		*out = ' ';
		return 2;
	}
	if (a >= 0xC3 && a <= 0xC5 && pair) {
		char letter = latin[((a & 0x1Fu) << 6 | (b & 0x3Fu)) - 0xC0];

		if (letter != '?') {
			*out = letter;
			return 2;
		}
	} else if (a == 0xD0 && b >= 0x90 && b <= 0xAF) { /* Cyrillic capitals */
		out[0] = (char)(b < 0xA0 ? 0xD0 : 0xD1);
		out[1] = (char)(b < 0xA0 ? b + 0x20 : b - 0x20);
		*ret_out = 2;
		return 2;
	} else if (a == 0xE2 && b == 0x80 && triple && c >= 0x90 && c <= 0x9F) {
		*out = c <= 0x95 ? '-' : c <= 0x9B ? '\'' : '"';
		return 3;
	} else if (a == 0xE3 && b == 0x80 && c == 0x80) {
		*out = ' ';
		return 3;
	} else if (a >= 0xC0 && !pair && latin[a - 0xC0] != '?') {
		*out = latin[a - 0xC0];
		return 1;
	}
	*out = (char)a;
	return 1;
}

size_t reply_line_fold_pattern(const char *text, size_t len, char *out)
{
	size_t at = 0, to = 0, wrote;

	while (at < len) {
		if ((unsigned char)text[at] < 0x80) {
			out[to++] = text[at++];
			continue;
		}
		at += fold_wide((const unsigned char *)text + at, len - at, out + to, &wrote);
		to += wrote;
	}
	return to;
}

static size_t write_number(unsigned number, char *out)
{
	size_t n = 0;

	if (number >= 100)
		out[n++] = (char)('0' + number / 100 % 10);
	if (number >= 10)
		out[n++] = (char)('0' + number / 10 % 10);
	out[n++] = (char)('0' + number % 10);
	return n;
}

/* The codes in front, as the text of a pattern sees them: "451 4.7.650 ". */
static size_t write_codes(unsigned code, unsigned enhanced, char *out)
{
	size_t n = 0;

	if (code != 0) {
		n += write_number(code % 1000, out);
		out[n++] = ' ';
	}
	for (unsigned shift = 20; enhanced != 0; shift -= 10) {
		n += write_number(enhanced >> shift & (shift == 20 ? 0xF : 0x3FF), out + n);
		out[n++] = shift == 0 ? ' ' : '.';
		if (shift == 0)
			break;
	}
	return n;
}

/* At the start of a word: how much of it repeats the reply's own codes, `codes` as write_codes left
 * them. */
static size_t repeated_codes(const char *text, size_t len, const char *codes, size_t codes_len)
{
	size_t n = 0;

	if (codes_len >= 4 && codes[3] == ' ') {
		if (len > 4 && memcmp(text, codes, 3) == 0 && (text[3] == '-' || text[3] == ' '))
			n = 4;
		codes += 4, codes_len -= 4;
	}
	if (codes_len > 0 && len - n >= codes_len && memcmp(text + n, codes, codes_len) == 0)
		n += codes_len;
	return n;
}

/* Exim logs the end of a line as a backslash and an n. */
static bool escaped_newline(const char *text, size_t len)
{
	return len > 5 && text[1] == 'n' && isdigit((unsigned char)text[2]) &&
	       isdigit((unsigned char)text[3]) && isdigit((unsigned char)text[4]);
}

/* Eight bytes at once, where none of them needs a closer look: no control character, nothing beyond
 * ASCII, no backslash, no second blank in a row, no word that could be a repeated code. `word` as
 * below, as it is before the eight, and is set for after them. (Bit 7 of each byte is its answer;
 * little-endian, so that the byte before stands one lower.) */
static bool fold_eight(const char *in, char *out, bool *word)
{
	const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);
	uint64_t w, blanks, odd, digits, upper, starts;

	memcpy(&w, in, 8);
	if (w & high)
		return false;
	blanks = ~((w ^ ones * ' ') + (high - ones)) & high;
	starts = blanks << 8 | (*word ? 0x80 : 0);
	odd = ~((w | high) - ones * 0x20) | (w + ones) | ~((w ^ ones * '\\') + (high - ones));
	digits = ((w | high) - ones * '2') & ~((w | high) - ones * '6');
	if ((odd | (starts & (blanks | digits))) & high)
		return false;
	upper = ((w | high) - ones * 'A') & ~((w | high) - ones * ('Z' + 1)) & high;
	w |= upper >> 2;
	memcpy(out, &w, 8);
	*word = blanks >> 63;
	return true;
}

size_t reply_line_fold(unsigned code, unsigned enhanced, const char *text, size_t len, char *out)
{
	size_t codes_len = write_codes(code, enhanced, out), to = codes_len, at = 0, n, wrote;
	bool word = true; /* what was written last is a blank, or nothing was */

	if (len > REPLY_TEXT_MAX)
		len = REPLY_TEXT_MAX;
	while (at < len) {
		unsigned char c = (unsigned char)text[at];

		if (LITTLE_ENDIAN_BYTES && len - at >= 8 &&
		    fold_eight(text + at, out + to, &word)) {
			at += 8, to += 8;
			continue;
		}
		if (word && c >= '2' && c <= '5' &&
		    (n = repeated_codes(text + at, len - at, out, codes_len)) > 0) {
			at += n;
			continue;
		}
		if (c >= 0x80) {
			at += fold_wide((const unsigned char *)text + at, len - at, out + to,
					&wrote);
			bool blank = out[to] == ' ';

			if (!blank || !word)
				to += wrote;
			word = blank;
			continue;
		}
		at++;
		if (c == '\\' && escaped_newline(text + at - 1, len - at + 1)) {
			at++;
			c = ' ';
		}
		if (c <= ' ' || c == 0x7F) {
			if (!word)
				out[to++] = ' ';
			word = true;
			continue;
		}
		out[to++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : (char)c;
		word = false;
	}
	out[to++] = '\n';
	return to;
}
