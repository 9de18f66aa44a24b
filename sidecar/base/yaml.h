/* SPDX-License-Identifier: MIT
 *
 * YAML texts into structs, by a table with one row a key.
 *
 * A row says what a key is called, of what type it is, where its value goes, its bounds, its
 * default, and what it is for in a line. yaml_load() fills the structs by it and says what is wrong
 * with line and column, `tollgate check --keys` prints it, and a test holds the manuals to it.
 *
 * A text is input of strangers. Whatever its bytes: an error, never a crash. Refused with a reason:
 * text over YAML_TEXT_MAX bytes, more than YAML_NODES_MAX values, nesting deeper than
 * YAML_DEPTH_MAX, aliases and anchors (a bomb of them needs ten lines), a key given twice, a second
 * document, a NUL inside a string, keys that no row knows.
 *
 * Nothing here keeps state between calls; any thread may call.
 */
#ifndef SIDECAR_BASE_YAML_H
#define SIDECAR_BASE_YAML_H

#include "sidecar/base/yaml_types.h"

/* ---- the tables ------------------------------------------------------------------------------ */

/* char *, not empty, and not longer than max. */
extern const struct yaml_type yaml_text;
/* One of the words, as an int. */
extern const struct yaml_type yaml_word;
/* uint32_t, a count. */
extern const struct yaml_type yaml_number;

/* Writes a line for each key and all below it, "path.key: type, bounds, default; what it is for".
 */
void yaml_keys_print(const struct yaml_keys *keys, const char *path, FILE *out);

/* ---- loading --------------------------------------------------------------------------------- */

/* Loads the text into a new struct. A text without a document loads as an empty mapping.
 * ret_marks NULL: not wanted. 0; -EINVAL with *error filled; -ENOMEM likewise. The caller frees
 * *ret with yaml_unload() and *ret_marks with yaml_marks_free(). */
int yaml_load(const struct yaml_source *source, const struct yaml_keys *keys, void **ret,
	      struct yaml_marks **ret_marks, struct yaml_error *error);

/* More memory that goes with what is loaded, zeroed; NULL: there is none. */
void *yaml_allocate(const struct yaml_memory *memory, void *loaded, size_t size);

/* (Not yaml_free: libyaml exports a function of that name, and would call ours.)
 * Frees what was loaded with that memory (NULL: malloc). NULL is fine. */
void yaml_unload(const struct yaml_memory *memory, void *loaded);

#endif
