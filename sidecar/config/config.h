/* SPDX-License-Identifier: MIT
 *
 * tollgate.yaml, loaded and checked: one struct config a generation. tollgate.yaml(5) is its
 * manual.
 *
 * The structs are filled by the rows of schema.c; every scalar that has a unit is kept as its text
 * beside the number it stands for and the place where it stands, so that `check` and `explain` can
 * say where a limit comes from. The built-in configuration (builtin.yaml) is such a
 * file too: a user's file is laid over it (see effective), unless it says `builtin: false`.
 *
 * A file is loaded and checked whole. What is wrong is put into a report as errors (the file is not
 * used) and warnings (it does what it says, which may not be what was meant).
 *
 * All memory comes from the caller's hook, so that a generation can live in an arena of its own and
 * go with it. A config is read-only once loaded, and may then be read by any thread.
 */
#ifndef SIDECAR_CONFIG_CONFIG_H
#define SIDECAR_CONFIG_CONFIG_H

#include "sidecar/config/types.h"

/* ---- what is wrong with a file --------------------------------------------------------------- */

/* Adds a problem; out of memory, it still counts. report may not be NULL. */
void diagnostics_add(struct diagnostics *report, bool error, const char *file,
		     struct yaml_mark mark, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void diagnostics_free(struct diagnostics *report);
/* Sorts by file and place. */
void diagnostics_sort(struct diagnostics *report);
/* "tollgate.yaml:12:9: error: ..." Returns text. */
const char *diagnostic_text(const struct diagnostic *problem, char *text, size_t size);

/* ---- values ---------------------------------------------------------------------------------- */

/* ---- functions ------------------------------------------------------------------------------- */

struct config_text {
	const char *text;
	size_t length;
	const char *name;     /* in messages */
	const char *suffixes; /* path of the Public Suffix List; NULL: the system's */
};

/* Loads and checks a text. memory NULL: malloc. 0; -EINVAL: the report says why (at least one error); -ENOMEM likewise. Warnings may
 * stand in the report in either case. Allocates, reads the list from disk, looks up users; not for
 * a hot path. */
int config_load(const struct config_text *text, const struct yaml_memory *memory,
		struct config **ret, struct diagnostics *report);

/* The same of a file. Also -errno of opening and reading, with an error in the report. */
int config_read(const char *path, const struct yaml_memory *memory, struct config **ret,
		struct diagnostics *report);

/* The built-in configuration by itself. */
int config_builtin(const struct yaml_memory *memory, struct config **ret,
		   struct diagnostics *report);

/* Frees all of it. NULL is fine. */
void config_free(struct config *config);

/* A line for each key that a file may have (yaml_keys_print). */
void config_keys_print(FILE *out);

/* The pool that an address belongs to, or NULL. */
const struct config_pool *config_pool_of(const struct config *config, const uint8_t address[16]);
/* Is the range a source's name, and one that no pool lists? Workers cannot use it. */
bool config_source_unlisted(const struct config *config, const struct address_range *range);
/* The entry of `sources` that an address belongs to, or NULL. */
const struct config_source *config_source_of(const struct config *config,
					     const uint8_t address[16]);
const struct config_pool *config_pool_named(const struct config *config, const char *name);

/* The configured destination of that very name, or NULL. */
const struct config_destination *config_destination_named(const struct config *config,
							  const char *name);

/* A list of a destination as it counts: its own, or its base's where it has none. */
char *const *config_domains(const struct config_destination *destination, uint32_t *ret_count);
char *const *config_mx(const struct config_destination *destination, uint32_t *ret_count);
char *const *config_addresses(const struct config_destination *destination, uint32_t *ret_count);

#endif
