/* SPDX-License-Identifier: MIT
 *
 * The configuration as it was read.
 */
#ifndef SIDECAR_CONFIG_TYPES_H
#define SIDECAR_CONFIG_TYPES_H

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
	LIMIT_BASELINE, /* thousandths; 0: off */
	LIMIT_BASELINE_MINUTE,
	LIMIT_BASELINE_HOUR,
	LIMIT_BASELINE_DAY,
	LIMIT_KEYS
};

/* "rate", "reserve.transactional": as it is written in the file. */
const char *config_limit_name(enum config_limit limit);

enum config_count { CONFIG_COUNT_MESSAGES, CONFIG_COUNT_RECIPIENTS };

struct config_limits {
	struct config_value key[LIMIT_KEYS];
};

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
	struct config_value replies;
	struct config_gate_rule *rules;
	uint32_t rules_count;
};

/* What an MTA calls one of our addresses: a syslog_name, an egress source, a vmta, a transport, a
 * pool, or an address behind a translation. */
struct config_log_name {
	char *name;
	char *address;	    /* or a named source */
	uint8_t source[16]; /* filled after loading */
};

/* Whose cgroup, log and addresses are found by themselves. */
enum config_mta { CONFIG_MTA_NONE, CONFIG_MTA_POSTFIX };

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

/* What other programs tell us, and ask, by HTTP. */
struct config_http {
	char **listen; /* "unix:/path", "127.0.0.1:8008"; none: nobody can */
	uint32_t listen_count;
	char *token; /* that a request must bring; NULL: none, and only this host may ask */
	struct config_value connections;
	char *sendgrid_key;	     /* base64 of DER; NULL: signatures are not looked at */
	struct config_value kumomta; /* whether we are its automation daemon */
	struct config_value halon;   /* whether we are its policy server */
	struct config_mta_log names; /* source and sources alone: our addresses in what is told */
};

/* Where a door is, and how it treats those who come: the same for each of them. */
struct config_listen {
	char **listen; /* "unix:/path", "127.0.0.1:6380", "[::1]:6380"; none: the door is shut */
	uint32_t listen_count;
	char *group;		     /* of Unix sockets; NULL: the segment's */
	struct config_value mode;    /* of Unix sockets */
	struct config_value clients; /* at once */
	struct config_value idle;    /* how long a client may be silent */
	struct config_value remote;  /* whether addresses may be there that other hosts reach */
	int64_t gid;		     /* filled after loading; -1: our own */
};

/* CL.THROTTLE for any Redis client. */
struct config_redis {
	struct config_listen at;
	char *password;		       /* NULL: none is asked for */
	struct config_value throttles; /* names known at once */
};

/* Postfix's check_policy_service. */
struct config_policy {
	struct config_listen at;
	char *pool;		   /* whose sources send; this or the next */
	char *source;		   /* that sends */
	struct config_value class; /* enum tg_class */
	struct config_value take;  /* whether what passes is charged */
	struct config_value max_wait;
};

/* Postfix's socketmaps: outcomes of deliveries, and the transport of a message. */
struct config_maps {
	struct config_listen at;
	char *pool;		     /* of the map "transport"; NULL: it knows nothing */
	struct config_value class;   /* enum tg_class, of the same */
	struct config_mta_log names; /* source and sources alone: maps and transports as sources */
};

/* What a schedule lets a source send on one of its days of sending. */
struct schedule_step {
	uint32_t day;  /* messages */
	uint32_t hour; /* messages of each hour; 0: the schedule does not say */
};

#define SCHEDULE_STEPS_MAX 400

/* How the mail of a new source grows. */
struct config_schedule {
	char *name;
	struct config_value *days; /* messages of each day */
	uint32_t days_count;
	struct config_value *hours; /* of each hour of it */
	uint32_t hours_count;
	struct config_value factor; /* millionths: of each day after those by the one before */
	struct config_value end;    /* the most that it comes to */
	/* filled after loading */
	struct schedule_step *steps;
	uint32_t steps_count;
};

/* Whose flows warm up, and by which schedule. */
struct config_warmup_flow {
	char *pool;	   /* one of pool and source is there */
	char *source;	   /* address or range */
	char *destination; /* NULL: each that the configuration names */
	char *schedule;
	struct config_value volume; /* messages a day that are full volume; without text: the
				       schedule's last */
	/* filled after loading */
	const struct config_pool *of_pool;
	struct address_range range;
	char *canonical; /* the destination's name as the matcher gives it */
	const struct config_schedule *by;
};

struct config_warmup {
	struct config_value idle; /* after which it begins anew */
	struct config_schedule *schedules;
	uint32_t schedules_count;
	struct config_warmup_flow *flows;
	uint32_t flows_count;
	struct rule_alert *alert; /* NULL: the log alone */
};

/* What is started when a flow is held, and when that ends: argument vectors, no shell. */
struct config_hooks {
	char **hold, **release; /* none: nothing is started */
	uint32_t hold_count, release_count;
	struct config_value timeout;
};

/* What Microsoft's SNDS says of our addresses, and what follows from it. */
struct config_snds {
	char **destinations; /* where it holds; none written: microsoft-consumer */
	uint32_t destinations_count;
	struct config_value yellow, red; /* millionths of the limits */
	struct config_value expires;
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
	struct config_warmup warmup;
	struct config_value mta; /* enum config_mta */
	struct config_ebpf ebpf;
	struct config_mta_log *logs;
	uint32_t logs_count;
	struct config_http http;
	struct config_redis redis;
	struct config_policy policy;
	struct config_maps maps;
	struct config_hooks hooks;
	struct config_snds snds;
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

#endif
