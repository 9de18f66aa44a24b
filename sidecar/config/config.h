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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sidecar/base/address_range.h"
#include "sidecar/base/yaml.h"
#include "sidecar/rules/rule_file.h"

#define CONFIG_PATH_DEFAULT "/etc/tollgate/tollgate.yaml"

/* Bounds of one file; more is an error that says so. */
#define CONFIG_DESTINATIONS_MAX 4092  /* the segment holds a default record for each */
#define CONFIG_POOL_SOURCES_MAX 16384 /* sources of all pools together */

/* ---- what is wrong with a file --------------------------------------------------------------- */

struct diagnostic {
	const char *file;      /* name as given to config_load(), or "builtin.yaml" */
	struct yaml_mark mark; /* 0, 0: the file as a whole */
	bool error;	       /* else a warning */
	bool here; /* a warning that is an error for whoever starts with it on this system */
	char text[256];
};

struct diagnostics {
	struct diagnostic *problems; /* malloc; in order of discovery */
	uint32_t count;
	uint32_t room;
	uint32_t errors;
	uint32_t warnings;
};

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

struct config_value {
	const char *text; /* as written; NULL: not written, value is the default */
	uint64_t value; /* count, ns, millionths, a rate's count (0: unlimited), 0 or 1, or a word's
			   number; CONFIG_UNLIMITED for a count written as unlimited */
	uint64_t period_ns; /* of a rate */
	struct yaml_mark mark;
	uint32_t share; /* value is in millionths of something, not a count */
};

#define CONFIG_UNLIMITED UINT64_MAX

/* The keys of a limits mapping. Their meaning stands in tollgate.yaml(5), their arithmetic in
 * limits.c. */
enum config_limit {
	LIMIT_RATE,
	LIMIT_BURST,
	LIMIT_STRICT,
	LIMIT_RESERVE_TRANSACTIONAL,
	LIMIT_RESERVE_ENGAGED,
	LIMIT_HOUR,
	LIMIT_HOUR_TRANSACTIONAL,
	LIMIT_HOUR_ENGAGED,
	LIMIT_HOUR_STARTS,
	LIMIT_DAY,
	LIMIT_DAY_TRANSACTIONAL,
	LIMIT_DAY_ENGAGED,
	LIMIT_DAY_STARTS,
	LIMIT_TOTAL_KEYS, /* the keys above stand in totals and streams too; those below in flows
			     alone */
	LIMIT_CONNECTIONS = LIMIT_TOTAL_KEYS,
	LIMIT_CONNECTIONS_TRANSACTIONAL,
	LIMIT_CONNECTIONS_ENGAGED,
	LIMIT_CONNECTION_RATE,
	LIMIT_CONNECTION_BURST,
	LIMIT_MESSAGES_PER_CONNECTION,
	LIMIT_COUNT, /* enum config_count */
	LIMIT_ADAPT,
	LIMIT_FLOOR,
	LIMIT_CEILING,
	LIMIT_START,
	LIMIT_KEYS
};

enum config_count { CONFIG_COUNT_MESSAGES, CONFIG_COUNT_RECIPIENTS };

struct config_limits {
	struct config_value key[LIMIT_KEYS];
};

/* "rate", "reserve.transactional": as it is written in the file. */
const char *config_limit_name(enum config_limit limit);

/* ---- the sections ---------------------------------------------------------------------------- */

struct config_segment {
	char *path;  /* never NULL */
	char *group; /* NULL: not written */
	char *owner; /* the same */
	struct config_value flows;
	struct config_value workers;
	struct config_value ring;    /* records a worker, a power of two */
	struct config_value minutes; /* slots of the minute ring */
	struct config_value leases;  /* a worker */
	struct config_value max_reservation;
};

enum config_down { CONFIG_DOWN_KEEP, CONFIG_DOWN_FAIL_OPEN, CONFIG_DOWN_FAIL_CLOSED };
enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };
/* In the order of enum log_level. */
enum config_log_level {
	CONFIG_LOG_ERROR,
	CONFIG_LOG_WARNING,
	CONFIG_LOG_NOTICE,
	CONFIG_LOG_INFO,
	CONFIG_LOG_DEBUG
};

struct config_log {
	struct config_value format; /* enum config_log_format */
	struct config_value level;  /* enum config_log_level */
};

struct config_pool {
	char *name;
	char **sources;
	uint32_t sources_count;
	struct config_limits total; /* of each of its sources over all destinations */
	/* filled after loading */
	struct address_range *ranges; /* sources_count of them */
};

/* A range and what it belongs to, by index in its list. */
struct config_owner {
	struct address_range range;
	uint32_t index;
	struct yaml_mark mark;
};

struct config_source {
	char *address;		    /* or range */
	struct config_limits total; /* of each source in it over all destinations */
	struct address_range range;
};

struct config_stream {
	char *name;
	struct config_limits limits;
};

struct config_destination {
	char *name;
	char **domains;
	uint32_t domains_count;
	char **mx;
	uint32_t mx_count;
	char **addresses;
	uint32_t addresses_count;
	struct config_limits limits; /* of each flow */
	struct config_limits total;  /* over all sources */
	/* filled after loading */
	const struct config_destination *base; /* the built-in one of that name, or NULL */
	uint32_t place;			       /* index in its file */
	bool builtin;
};

struct config_override {
	char *pool;   /* one of pool and source is there */
	char *source; /* address or range */
	char *destination;
	struct config_limits limits;
	/* filled after loading */
	const struct config_pool *of_pool;
	struct address_range range;
	char *canonical; /* name of the destination as the matcher gives it */
};

enum config_gate_mode { CONFIG_GATE_OBSERVE, CONFIG_GATE_PACE, CONFIG_GATE_DENY };
enum config_gate_stale { CONFIG_GATE_FAIL_OPEN, CONFIG_GATE_FAIL_CLOSED };

/* What the kernel does where a destination, a cgroup, or both are as named. */
struct config_gate_rule {
	char *destination;	    /* NULL: any */
	char *cgroup;		    /* NULL: any of the section's */
	struct config_value mode;   /* enum config_gate_mode; without text: the section's */
	struct config_value second; /* connections in a second; without text: no such limit */
	struct config_value minute;
	struct config_value hour;
	struct config_value connections; /* at once */
	char *canonical; /* filled after loading: the destination's name as the matcher gives it */
};

struct config_ebpf {
	char **cgroups; /* absolute paths; none: the gate is off */
	uint32_t cgroups_count;
	const uint16_t *ports; /* those of mail where none are written */
	uint32_t ports_count;
	struct config_value mode;  /* enum config_gate_mode */
	struct config_value flows; /* room in the kernel's table */
	struct config_value max_wait;
	struct config_value refuse_errno;      /* a positive errno */
	struct config_value heartbeat_timeout; /* heartbeat age */
	struct config_value on_timeout;	       /* enum config_gate_stale */
	struct config_value pin;
	struct config_value resolve;
	struct config_gate_rule *rules;
	uint32_t rules_count;
};

/* What an MTA calls one of our addresses: a syslog_name, an egress source, a vmta, a transport, a
 * pool, or an address behind a translation. */
struct config_log_name {
	char *name;
	char *address;
	uint8_t source[16]; /* filled after loading */
};

/* A log that outcomes are read from. */
struct config_mta_log {
	char *path; /* a file, a FIFO, "unix:PATH" (datagrams), or "-", standard input */
	struct config_value format; /* the name of one of sidecar/ingest/format.h's */
	char *source;		    /* our address where nothing else tells it; NULL: none */
	struct config_log_name *sources;
	uint32_t sources_count;
	/* filled after loading */
	uint8_t source_address[16];
};

struct config {
	struct config_value builtin; /* 1: laid over the built-in configuration */
	struct config_segment segment;
	char *user;	 /* NULL: stay who we are */
	char *time_zone; /* NULL: the system's */
	char *state;	 /* the store's folder; NULL: where the system has it; "none": no store */
	struct config_value on_sidecar_down; /* enum config_down */
	struct config_value sidecar_timeout;
	struct config_log log;
	struct config_limits limits; /* of every flow, where nothing more specific says otherwise */
	struct config_limits source_total;  /* of every source */
	struct config_limits stream_limits; /* of every stream */
	struct config_pool *pools;
	uint32_t pools_count;
	struct config_source *sources;
	uint32_t sources_count;
	struct config_stream *streams;
	uint32_t streams_count;
	struct config_destination *destinations; /* of this file alone: see effective */
	uint32_t destinations_count;
	struct config_override *overrides;
	uint32_t overrides_count;
	struct config_ebpf ebpf;
	struct config_mta_log *logs;
	uint32_t logs_count;
	struct rule_file rules; /* classes and rules, in front of the built-in ones (rule_file.h) */

	/* ---- filled after loading
	 * -------------------------------------------------------------------- */
	char *file;
	bool is_builtin;
	struct config *base; /* the built-in configuration below this one, or NULL */
	/* All destinations: this file's, then those of base that it does not name. The index here
	 * is that of the destination table. */
	const struct config_destination **effective;
	uint32_t effective_count;
	struct config_owner *pool_owners; /* ranges of all pools, by address, without overlap */
	uint32_t pool_owners_count;
	struct config_owner *source_owners; /* the same of sources */
	void *table; /* the destination table (shm/destination.h), for workers and for us */
	size_t table_length;
	struct yaml_memory memory; /* as config_load() got it */
};

/* ---- functions ------------------------------------------------------------------------------- */

/* Loads and checks a text. memory NULL: malloc. list: path of the Public Suffix List; NULL: the
 * system's. 0; -EINVAL: the report says why (at least one error); -ENOMEM likewise. Warnings may
 * stand in the report in either case. Allocates, reads the list from disk, looks up users; not for
 * a hot path. */
int config_load(const char *text, size_t len, const char *name, const struct yaml_memory *memory,
		const char *list, struct config **ret, struct diagnostics *report);

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
