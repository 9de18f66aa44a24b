/* SPDX-License-Identifier: MIT
 *
 * A text as libyaml's nodes. Private to sidecar/base/yaml*.c, and the one place that includes
 * libyaml's header.
 */
#ifndef SIDECAR_BASE_YAML_NODES_H
#define SIDECAR_BASE_YAML_NODES_H

#include <yaml.h>

#include "sidecar/base/yaml_types.h"

struct yaml_marks {
	yaml_document_t document;
};

/* 0; -EINVAL or -ENOMEM with *error filled. The caller frees *ret with yaml_marks_free(). */
int yaml_nodes_read(const char *text, size_t len, const char *name, struct yaml_marks **ret,
		    struct yaml_error *error);

/* The node of that number, which counts from 1; NULL: there is none. */
const yaml_node_t *yaml_node(const struct yaml_marks *marks, int number);

/* The pair of a mapping whose key is the len bytes at `key`; NULL: none before `end` (NULL: in all
 * of the mapping). */
const yaml_node_pair_t *yaml_node_pair(const struct yaml_marks *marks, const yaml_node_t *mapping,
				       const char *key, size_t len, const yaml_node_pair_t *end);

struct yaml_mark yaml_node_mark(const yaml_node_t *node);

/* Puts the reason together; returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int yaml_fail(struct yaml_error *error, struct yaml_mark mark,
						    const char *format, ...);

#endif
