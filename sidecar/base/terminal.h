/* SPDX-License-Identifier: MIT
 *
 * Text that a stranger wrote, made harmless for whoever looks at it in a terminal.
 *
 * A receiver's reply, a name that a worker gave, a line of somebody's file: any of them may hold
 * what a terminal obeys (ESC, U+009B), what turns a line around (the bidirectional controls), or
 * what ends it. One rule for all places that show text: the log, JSON, and everything that
 * `tollgate` prints.
 */
#ifndef SIDECAR_BASE_TERMINAL_H
#define SIDECAR_BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Puts an escape for an unsafe code point: "\x1b", "\u202e". Returns its length, less than 8. */
size_t terminal_escape(char to[8], uint32_t code_point);

/* From now on what this process prints to standard output and standard error goes through these
 * rules; line feeds and tabs stay. What is not UTF-8 is shown by its bytes ("\xff"). 0 or -errno.
 * Before anything was printed, and not from a second thread. */
int terminal_guard(void);

#endif
