/* SPDX-License-Identifier: MIT
 *
 * Rows of keys, places and problems, and a text's nodes as others see them.
 */
#ifndef SIDECAR_BASE_YAML_TYPES_H
#define SIDECAR_BASE_YAML_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
 * malloc, in its place and in resize. */
struct yaml_memory {
	void *(*resize)(void *context, void *old, size_t size);
	void *context;
};

/* ---- the tables ------------------------------------------------------------------------------ */

struct yaml_key;

/* A scalar as it is read. */
struct yaml_scalar {
	const struct yaml_key *key;
	const char *text;      /* lives as long as what is loaded */
	struct yaml_mark mark; /* 0, 0: not written, the text is the default */
	char reason[232];      /* what is wrong with it, if read() says so */
};

/* What the text of a scalar becomes. */
struct yaml_type {
	const char *name; /* in the manuals */
	size_t size;	  /* of *ret */
	/* 0, or -EINVAL with scalar->reason filled. */
	int (*read)(struct yaml_scalar *scalar, void *ret);
	bool lenient; /* what is wrong goes to the caller's problems, and the load goes on */
};

struct yaml_word_value {
	const char *text;
	uint64_t value;
};

/* What the loads tell of: each problem has a place and a reason. */
struct yaml_problems {
	void (*add)(void *context, struct yaml_mark mark, const char *reason);
	void *context;
};

/* A mapping as a struct. */
struct yaml_keys {
	const struct yaml_key *key;
	unsigned count;
	size_t size; /* of the struct */
	/* More that is wrong with a mapping, once its keys are read; NULL: nothing. */
	void (*check)(const void *mapping, const struct yaml_problems *problems);
};

enum yaml_shape {
	YAML_SCALAR,  /* by type */
	YAML_SCALARS, /* a list of them, an array and its count */
	YAML_MAPPING, /* by keys, a struct within the struct */
	YAML_PART,    /* the same, with defaults where it is written alone: else it stays zero */
	YAML_POINTER, /* the same, a pointer to the struct; NULL: not written */
	YAML_LIST,    /* a list of mappings, an array and its count */
	YAML_SOME,    /* the same, or one mapping for a list of one */
};

struct yaml_key {
	/* A name with a dot, "reserve.engaged", is a key of a mapping whose values lie in the
	 * struct around it. */
	const char *name;
	enum yaml_shape shape;
	bool needed;
	const struct yaml_type *type;
	const struct yaml_keys *keys;
	size_t offset;
	size_t count_offset;		     /* of a list's uint32_t */
	uint32_t entries_min, entries_max;   /* of a list; max 0: no bound */
	uint64_t min, max;		     /* max 0: no bound */
	const struct yaml_word_value *words; /* up to one without text */
	const char *default_text;	     /* as it would be written; NULL: none */
	const char *help;
};

#define YAML_COUNT(table) (sizeof(table) / sizeof((table)[0]))
/* Rows: what follows the help are further members. */
#define YAML_KEY(name_, type_, structure, member, help_, ...)                             \
	{                                                                                 \
		.name = (name_), .type = &(type_), .offset = offsetof(structure, member), \
		.help = (help_), ##__VA_ARGS__                                            \
	}
#define YAML_KEYS(name_, shape_, keys_, structure, member, help_, ...)                \
	{                                                                             \
		.name = (name_), .shape = (shape_), .keys = &(keys_),                 \
		.offset = offsetof(structure, member), .help = (help_), ##__VA_ARGS__ \
	}
/* Lists, whose count is the member of that name with _count behind it. */
#define YAML_TEXTS(name_, type_, structure, member, help_, ...)                 \
	YAML_KEY(name_, type_, structure, member, help_, .shape = YAML_SCALARS, \
		 .count_offset = offsetof(structure, member##_count), ##__VA_ARGS__)
#define YAML_MAPPINGS(name_, keys_, structure, member, help_, ...)   \
	YAML_KEYS(name_, YAML_LIST, keys_, structure, member, help_, \
		  .count_offset = offsetof(structure, member##_count), ##__VA_ARGS__)

/* ---- loading --------------------------------------------------------------------------------- */

struct yaml_source {
	const char *text;
	size_t len; /* no NUL is needed behind it */
	const char *name;
	const struct yaml_memory *memory; /* NULL: malloc */
	/* Where the problems of lenient types and of checks go; the caller counts them. NULL: the
	 * first is the error that ends the load, and nothing is checked. */
	const struct yaml_problems *problems;
};

/* The nodes of a text, kept for their places. */
struct yaml_marks;

/* Reads a file for yaml_load(): all of it, but no more than a byte too much. 0 or -errno; the
 * caller frees *ret. */
int yaml_read(const char *path, char **ret, size_t *ret_len);

/* Finds the value at a path such as "destinations[3].limits.rate"; indexes count from 0, "" is the
 * top. 0, or -ENOENT. */
int yaml_marks_find(const struct yaml_marks *marks, const char *path, struct yaml_mark *ret);
void yaml_marks_free(struct yaml_marks *marks);

#endif
