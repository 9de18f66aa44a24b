/* SPDX-License-Identifier: MIT
 *
 * YAML texts into structs, by schema, with the place of every value and of every error.
 *
 * libcyaml loads a text into a struct as a schema table tells (its macros come with this header,
 * which is the one place that includes <cyaml/cyaml.h>); a pass with libyaml before it keeps line
 * and column of each key and value, so that an error found later, say a bad unit, can be shown
 * where it stands.
 *
 * A text is input of strangers. Whatever its bytes: an error, never a crash. Refused with a reason:
 * text over YAML_TEXT_MAX bytes, more than YAML_NODES_MAX values, nesting deeper than
 * YAML_DEPTH_MAX, aliases and anchors (a bomb of them needs ten lines), a key given twice, a second
 * document, a NUL inside a string, keys that the schema does not know.
 *
 * Nothing here keeps state between calls; any thread may call.
 */
#ifndef SIDECAR_BASE_YAML_H
#define SIDECAR_BASE_YAML_H

#include <cyaml/cyaml.h>
#include <stddef.h>
#include <stdint.h>

#define YAML_TEXT_MAX  (16u << 20)
#define YAML_NODES_MAX (1u << 20)
#define YAML_DEPTH_MAX 32

/* A place in a text: line and column count from 1; 0 where no place is known. */
struct yaml_mark {
	uint32_t line;
	uint32_t column;
};

/* What is wrong and where. name is the caller's pointer, not a copy. */
struct yaml_error {
	const char *name;
	struct yaml_mark mark;
	char reason[232];
};

/* Where the memory of what is loaded comes from: as realloc(); size 0 frees. NULL stands for
 * malloc. */
struct yaml_memory {
	void *(*resize)(void *context, void *old, size_t size);
	void *context;
};

struct yaml_marks;

/* Reads the marks of every value in the text (len bytes, no NUL needed).
 * 0; -EINVAL with *error filled; -ENOMEM likewise. The caller frees *ret with yaml_marks_free(). */
int yaml_marks_read(const char *text, size_t len, const char *name, struct yaml_marks **ret,
		    struct yaml_error *error);
void yaml_marks_free(struct yaml_marks *marks);

/* Finds the value at a path such as "destinations[3].limits.rate"; indexes count from 0, "" is the
 * top. 0, or -ENOENT. yaml_marks_key() finds where its key stands instead of the value. */
int yaml_marks_find(const struct yaml_marks *marks, const char *path, struct yaml_mark *ret);
int yaml_marks_key(const struct yaml_marks *marks, const char *path, struct yaml_mark *ret);

/* Loads the text into a new value of that schema (whose top level has CYAML_FLAG_POINTER). A text
 * without a document loads as an empty mapping.
 * 0; -EINVAL with *error filled; -ENOMEM likewise. The caller frees *ret with yaml_unload(). */
int yaml_load(const char *text, size_t len, const char *name, const cyaml_schema_value_t *schema,
	      void **ret, struct yaml_error *error);

/* The same from the caller's memory, and with the marks kept if ret_marks is not NULL. */
int yaml_load_marked(const char *text, size_t len, const char *name,
		     const cyaml_schema_value_t *schema, const struct yaml_memory *memory,
		     void **ret, struct yaml_marks **ret_marks, struct yaml_error *error);

/* (Not yaml_free: libyaml exports a function of that name, and would call ours.)
 * Frees what was loaded by this schema (and memory, NULL for yaml_load()'s). NULL is fine. */
void yaml_unload(const cyaml_schema_value_t *schema, const struct yaml_memory *memory,
		 void *loaded);

#endif
