/* SPDX-License-Identifier: MIT
 *
 * The shape of tollgate.yaml: libcyaml's schema, and beside it a table of the keys that hold a
 * number with a unit, a switch, or a word. Private to sidecar/config/.
 */
#ifndef SIDECAR_CONFIG_SCHEMA_H
#define SIDECAR_CONFIG_SCHEMA_H

#include "sidecar/config/config.h"

enum config_kind {
	CONFIG_RATE,	 /* units_rate; value 0 is unlimited */
	CONFIG_NUMBER,	 /* units_count */
	CONFIG_CAP,	 /* units_count, or "unlimited": CONFIG_UNLIMITED */
	CONFIG_RESERVE,	 /* units_count, or units_share with .share set */
	CONFIG_DURATION, /* units_duration */
	CONFIG_SWITCH,	 /* true or false */
	CONFIG_ENUM,	 /* one of words */
};

struct destination_match;

struct config_word {
	const char *text;
	uint64_t value;
};

/* One scalar of a section. */
struct config_key {
	const char *name; /* under the section, "reserve.transactional" */
	enum config_kind kind;
	size_t offset;		  /* of its struct config_value */
	const char *default_text; /* the default as it would be written; NULL: none */
	uint64_t min, max; /* of CONFIG_NUMBER, CONFIG_CAP, CONFIG_DURATION; most 0: no bound */
	const struct config_word *words; /* up to one without text */
};

/* Tables end with an entry without a name. */
extern const struct config_key config_top_keys[];     /* of struct config */
extern const struct config_key config_segment_keys[]; /* of struct config_segment */
extern const struct config_key
	config_limit_keys[]; /* of struct config_limits, by enum config_limit */
extern const struct config_key config_ebpf_keys[]; /* of struct config_ebpf */
extern const struct config_key config_gate_keys[]; /* of struct config_gate_rule */

extern const cyaml_schema_value_t config_schema;
extern const cyaml_schema_value_t config_mta_log_schema; /* of struct config_mta_log (mta_logs.c) */

/* Turns a text into value, period_ns and share by its key. 0, or -EINVAL with the reason. */
int config_value_read(const struct config_key *key, const char *text, struct config_value *value,
		      char *reason, size_t size);

/* ---- one file being checked: what its files hand each other -----------------------------------
 */

struct config_loader {
	struct config *config;
	const char *file; /* as the caller of config_load() named it */
	struct yaml_marks *marks;
	struct diagnostics *report;
	const char *list; /* of public suffixes */
};

/* The place of a path ("destinations[%u].mx[%u]"), and a problem there. */
struct yaml_mark config_mark(const struct config_loader *loader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void config_error(const struct config_loader *loader, struct yaml_mark mark, const char *format,
		  ...) __attribute__((format(printf, 3, 4)));
void config_warning(const struct config_loader *loader, struct yaml_mark mark, const char *format,
		    ...) __attribute__((format(printf, 3, 4)));

/* Order of qsort for struct config_owner: by address. */
int config_owner_order(const void *a, const void *b);

/* Memory of the config: zeroed, NULL if there is none. */
void *config_allocate(struct config *config, size_t count, size_t size);
void config_release(struct config *config, void *memory);

/* Reads every value of the file (values.c). */
void config_read_values(const struct config_loader *loader);
/* Pools, sources and streams (pools.c). 0 or -ENOMEM. */
int config_read_pools(const struct config_loader *loader);
/* Destinations and the table of names (destinations.c); after the pools. 0 or -ENOMEM. */
int config_read_names(const struct config_loader *loader);
/* Overrides and the eBPF section (overrides.c); after the names. 0 or -ENOMEM. */
int config_read_overrides(const struct config_loader *loader);
/* The logs that are read (mta_logs.c). */
void config_read_logs(const struct config_loader *loader);
/* What the matcher makes of the name of a destination in some section; false: what is wrong is
 * said. */
bool config_match(const struct config_loader *loader, const char *name, struct yaml_mark mark,
		  struct destination_match *ret);
/* Classes and rules (rules_check.c). 0 or -ENOMEM. */
int config_check_rules(const struct config_loader *loader);
/* Limits that contradict or shadow each other (limits_findings.c). */
void config_check_limits(const struct config_loader *loader);

#endif
