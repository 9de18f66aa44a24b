/* SPDX-License-Identifier: MIT
 *
 * A reply as it came over the wire or out of a log: its code, its enhanced code, its text.
 *
 * Whatever a receiver writes is input: several lines, missing codes, bytes of any charset, 64 KiB
 * of junk. Nothing here allocates, blocks or keeps state; any thread may call it.
 */
#ifndef SIDECAR_RULES_REPLY_PARSE_H
#define SIDECAR_RULES_REPLY_PARSE_H

#include <stddef.h>

/* A text is read up to here; what a receiver says after that is not looked at. */
#define REPLY_TEXT_MAX 65536u

/* Room for a folded text: the codes in front, and the text, which never grows. */
#define REPLY_FOLDED_MAX (REPLY_TEXT_MAX + 32u)

/* An enhanced code in one word, so that ranges compare as numbers; 0: missing. */
#define REPLY_ENHANCED(class, subject, detail) \
	((unsigned)(class) << 20 | (unsigned)(subject) << 10 | (unsigned)(detail))

struct reply_line {
	unsigned code;	   /* 200 to 599; 0: missing */
	unsigned enhanced; /* REPLY_ENHANCED; 0: missing */
	const char *text;  /* into the bytes given, after the codes */
	size_t len;
};

/* Splits "421-4.7.28 text": the code, the enhanced code where one stands in front of the text, in
 * its first words or as qmail's "(#5.1.1)". Never fails: what cannot be read is text. */
void reply_line_parse(const char *bytes, size_t len, struct reply_line *ret_line);

/* An enhanced code at the start of the text ("4.7.650"): its length, or 0. Four numbers are an
 * address, not a code. */
size_t reply_line_enhanced(const char *text, size_t len, unsigned *ret_enhanced);

/* Writes "451 4.7.650 text" in the one form that patterns are written for: ASCII lower case
 * (Cyrillic too), accents taken off Latin letters (UTF-8, or Latin-1 where it is not UTF-8), one
 * space for each run of blanks, line ends and control characters, without the codes that are
 * repeated on each line of the reply, and a line feed at the end. `out` has room for
 * REPLY_FOLDED_MAX bytes. Returns the length; no NUL is written. */
size_t reply_line_fold(unsigned code, unsigned enhanced, const char *text, size_t len, char *out);

/* The same letters for a pattern: accents go, case stays (\S is not \s). Never longer than `text`.
 */
size_t reply_line_fold_pattern(const char *text, size_t len, char *out);

#endif
