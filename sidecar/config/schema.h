/* SPDX-License-Identifier: MIT
 *
 * The keys of tollgate.yaml, and what the files of sidecar/config/ that check one hand each other.
 * Private to sidecar/config/ and the tests.
 */
#ifndef SIDECAR_CONFIG_SCHEMA_H
#define SIDECAR_CONFIG_SCHEMA_H

#include "sidecar/config/types.h"

/* The rows of everything. */
extern const struct yaml_keys config_keys;

/* Types of a struct config_value (values.c). Bounds are the row's min and max. */
extern const struct yaml_type config_rate;	    /* value 0 is unlimited */
extern const struct yaml_type config_count;	    /* a number */
extern const struct yaml_type config_cap;	    /* the same, or "unlimited": CONFIG_UNLIMITED */
extern const struct yaml_type config_part;	    /* a number, or a share with .share set */
extern const struct yaml_type config_factor;	    /* millionths, of a number such as 1.4 */
extern const struct yaml_type config_duration;	    /* ns */
extern const struct yaml_type config_switch;	    /* true or false */
extern const struct yaml_type config_word;	    /* one of the row's words */
extern const struct yaml_type config_octal;	    /* permissions, such as 0660 */
extern const struct yaml_type config_factor_or_off; /* thousandths; 0: off */
/* A uint16_t. */
extern const struct yaml_type config_port;

/* Checks of a struct config_limits, and of a struct config_segment. */
void config_check_flow(const void *limits, const struct yaml_problems *problems);
void config_check_total(const void *limits, const struct yaml_problems *problems);
void config_check_segment(const void *segment, const struct yaml_problems *problems);

struct destination_match;

/* ---- one file being checked ------------------------------------------------------------------ */

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

#define CONFIG_UNLISTED "'%.60s': not an address, and no pool lists a source of this name"

/* Order of qsort for struct config_owner: by address. */
int config_owner_order(const void *a, const void *b);

/* Memory of the config: zeroed, NULL if there is none. */
void *config_allocate(struct config *config, size_t count, size_t size);

/* Pools, sources and streams (pools.c). 0 or -ENOMEM. */
int config_read_pools(const struct config_loader *loader);
/* Destinations and the table of names (destinations.c); after the pools. 0 or -ENOMEM. */
int config_read_names(const struct config_loader *loader);
/* Overrides and the eBPF section (overrides.c); after the names. 0 or -ENOMEM. */
int config_read_overrides(const struct config_loader *loader);
/* Schedules of warm-up and whose they are (warmup.c); after the names. 0 or -ENOMEM. */
int config_read_warmup(const struct config_loader *loader);
/* What `mta` leaves to be found (mta.c); before the overrides and the logs. 0 or -ENOMEM. */
int config_find_mta(const struct config_loader *loader);
/* The logs that are read (mta_logs.c). */
void config_read_logs(const struct config_loader *loader);
/* What an MTA calls our addresses, in the section at `path`. */
void config_read_log_names(const struct config_loader *loader, struct config_mta_log *log,
			   const char *path);
/* The HTTP door (http.c). */
void config_read_http(const struct config_loader *loader);
/* Microsoft's SNDS (snds.c); after the names. */
void config_read_snds(const struct config_loader *loader);
/* Doors: where others ask and tell us by protocols of their own (listen.c). */
void config_read_listeners(const struct config_loader *loader);
/* What the matcher makes of the name of a destination in some section; false: what is wrong is
 * said. */
bool config_match(const struct config_loader *loader, const char *name, struct yaml_mark mark,
		  struct destination_match *ret);
/* Classes and rules (rules_check.c). 0 or -ENOMEM. */
int config_check_rules(const struct config_loader *loader);
/* Limits that contradict or shadow each other (limits_findings.c). */
void config_check_limits(const struct config_loader *loader);

#endif
