/* SPDX-License-Identifier: MIT
 *
 * Every key of tollgate.yaml: its type, its bounds, its default, and what it is for. A test holds
 * tollgate.yaml(5) to these rows.
 */
#include "sidecar/config/schema.h"

#include <errno.h>

#include "shm/tollgate.h"

#define HOUR_NS UINT64_C(3600000000000)
#define DAY_NS	(24 * HOUR_NS)
#define U32_MAX (UINT32_MAX - 1)

#define BOUNDS(min_, max_) .min = (min_), .max = (max_)
#define DEFAULT(text)	   .default_text = (text)

/* ---- limits ---------------------------------------------------------------------------------- */

#define ROW(limit, name, type, help, ...) \
	[limit] = YAML_KEY(name, type, struct config_limits, key[limit], help, ##__VA_ARGS__)
#define PART_OF(limit, name, what, max_)                                      \
	ROW(limit##_TRANSACTIONAL, name ".transactional", config_part,        \
	    "part of " what " kept for transactional mail", BOUNDS(0, max_)), \
		ROW(limit##_ENGAGED, name ".engaged", config_part,            \
		    "part of " what " kept for engaged and transactional mail", BOUNDS(0, max_))

static const struct yaml_word_value count_words[] = {
	{"messages", CONFIG_COUNT_MESSAGES}, {"recipients", CONFIG_COUNT_RECIPIENTS}, {NULL, 0}};

static const struct yaml_key limit_keys[LIMIT_KEYS] = {
	ROW(LIMIT_RATE, "rate", config_rate, "messages, paced evenly"),
	ROW(LIMIT_BURST, "burst", config_count, "how many may go at once after a pause",
	    BOUNDS(1, U32_MAX)),
	ROW(LIMIT_STRICT, "strict", config_switch,
	    "never more than the rate in any window of its period"),
	PART_OF(LIMIT_RESERVE, "reserve", "the burst", U32_MAX),
	ROW(LIMIT_HOUR, "hour", config_cap, "at most so many in an hour", BOUNDS(1, U32_MAX)),
	PART_OF(LIMIT_HOUR, "hour_reserve", "the hour", U32_MAX),
	ROW(LIMIT_HOUR_STARTS, "hour_starts", config_duration,
	    "how long after the full hour the hour begins", BOUNDS(0, HOUR_NS - 1)),
	ROW(LIMIT_DAY, "day", config_cap, "at most so many in a day", BOUNDS(1, U32_MAX)),
	PART_OF(LIMIT_DAY, "day_reserve", "the day", U32_MAX),
	ROW(LIMIT_DAY_STARTS, "day_starts", config_duration,
	    "how long after midnight the day begins", BOUNDS(0, DAY_NS - 1)),
	ROW(LIMIT_CONNECTIONS, "connections", config_cap, "open at once", BOUNDS(1, 65534)),
	PART_OF(LIMIT_CONNECTIONS, "connection_reserve", "the connections", 65534),
	ROW(LIMIT_CONNECTION_RATE, "connection_rate", config_rate,
	    "how fast connections may be opened"),
	ROW(LIMIT_CONNECTION_BURST, "connection_burst", config_count,
	    "connections opened at once after a pause", BOUNDS(1, U32_MAX)),
	/* Totals have the keys above alone. */
	ROW(LIMIT_MESSAGES_PER_CONNECTION, "messages_per_connection", config_cap,
	    "close a connection after so many", BOUNDS(1, 65535)),
	ROW(LIMIT_COUNT, "count", config_word, "what the limits count", .words = count_words),
	ROW(LIMIT_ADAPT, "adapt", config_switch,
	    "whether the rate is moved by what the receiver answers"),
	ROW(LIMIT_FLOOR, "floor", config_rate, "adapt never sets the rate below this"),
	ROW(LIMIT_CEILING, "ceiling", config_rate, "adapt never sets the rate above this"),
	ROW(LIMIT_START, "start", config_rate, "where a flow starts of which nothing is known"),
	ROW(LIMIT_BASELINE, "baseline", config_factor_or_off,
	    "at most so many times what the flow sent on earlier days", BOUNDS(1, 100)),
	ROW(LIMIT_BASELINE_MINUTE, "baseline_floor.minute", config_count,
	    "whatever it sent, so many in a minute", BOUNDS(1, U32_MAX), DEFAULT("20")),
	ROW(LIMIT_BASELINE_HOUR, "baseline_floor.hour", config_count, "the same in an hour",
	    BOUNDS(1, U32_MAX), DEFAULT("500")),
	ROW(LIMIT_BASELINE_DAY, "baseline_floor.day", config_count, "the same in a day",
	    BOUNDS(1, U32_MAX), DEFAULT("2000")),
};
#undef ROW
#undef PART_OF

static const struct yaml_keys flow_limits = {limit_keys, LIMIT_KEYS, sizeof(struct config_limits),
					     config_check_flow};
static const struct yaml_keys total_limits = {limit_keys, LIMIT_MESSAGES_PER_CONNECTION,
					      sizeof(struct config_limits), config_check_total};

const char *config_limit_name(enum config_limit limit)
{
	return (unsigned)limit < LIMIT_KEYS ? limit_keys[limit].name : "invalid";
}

#define LIMITS(name, keys, structure, member, help, ...) \
	YAML_KEYS(name, YAML_MAPPING, keys, structure, member, help, ##__VA_ARGS__)
#define TABLE(name, structure, check)                                               \
	static const struct yaml_keys name = {name##_rows, YAML_COUNT(name##_rows), \
					      sizeof(structure), check}

/* ---- the segment ----------------------------------------------------------------------------- */

#define ROW(name, member, type, help, ...) \
	YAML_KEY(name, type, struct config_segment, member, help, ##__VA_ARGS__)

static const struct yaml_key segment_rows[] = {
	ROW("path", path, yaml_text, "the folder it is in", DEFAULT(TG_SEGMENT_DEFAULT)),
	ROW("group", group, yaml_text, "who is in this group may send through the gate"),
	ROW("owner", owner, yaml_text, "whose files they are"),
	ROW("flows", flows, config_count, "flows and other names known at once",
	    BOUNDS(16, UINT64_C(1) << 28), DEFAULT("65536")),
	ROW("workers", workers, config_count, "processes attached at once", BOUNDS(1, 65534),
	    DEFAULT("256")),
	ROW("ring", ring, config_count, "records of a worker's ring, a power of two",
	    BOUNDS(16, 1 << 20), DEFAULT("1024")),
	ROW("minutes", minutes, config_count, "minutes of outcomes kept for each flow",
	    BOUNDS(1, 1440), DEFAULT("60")),
	ROW("leases", leases, config_count, "connections of one worker at once", BOUNDS(1, 65536),
	    DEFAULT("1024")),
	ROW("max_reservation", max_reservation, config_duration,
	    "how far ahead a worker may reserve a slot", BOUNDS(1000000, DAY_NS), DEFAULT("5m")),
};
TABLE(segment, struct config_segment, config_check_segment);
#undef ROW

/* ---- pools, sources, streams, destinations, overrides ---------------------------------------- */

static const struct yaml_key pool_rows[] = {
	YAML_KEY("name", yaml_text, struct config_pool, name, "of the pool", .needed = true),
	YAML_TEXTS("sources", yaml_text, struct config_pool, sources, "addresses and ranges",
		   .needed = true, .entries_min = 1),
	LIMITS("total", total_limits, struct config_pool, total,
	       "limits of each of its sources over all destinations"),
};
TABLE(pool, struct config_pool, NULL);

static const struct yaml_key source_rows[] = {
	YAML_KEY("address", yaml_text, struct config_source, address, "an address or a range",
		 .needed = true),
	LIMITS("total", total_limits, struct config_source, total,
	       "limits of each source in it over all destinations", .needed = true),
};
TABLE(source, struct config_source, NULL);

static const struct yaml_key stream_rows[] = {
	YAML_KEY("name", yaml_text, struct config_stream, name, "of the stream", .needed = true),
	LIMITS("limits", total_limits, struct config_stream, limits, "of the stream",
	       .needed = true),
};
TABLE(stream, struct config_stream, NULL);

static const struct yaml_key destination_rows[] = {
	YAML_KEY("name", yaml_text, struct config_destination, name, "of the destination",
		 .needed = true),
	YAML_TEXTS("domains", yaml_text, struct config_destination, domains, "whole names"),
	YAML_TEXTS("mx", yaml_text, struct config_destination, mx, "suffixes of host names"),
	YAML_TEXTS("addresses", yaml_text, struct config_destination, addresses,
		   "addresses and prefixes of receiving hosts"),
	LIMITS("limits", flow_limits, struct config_destination, limits, "of each flow to it"),
	LIMITS("total", total_limits, struct config_destination, total, "over all sources"),
};
TABLE(destination, struct config_destination, NULL);

static const struct yaml_key override_rows[] = {
	YAML_KEY("pool", yaml_text, struct config_override, pool, "whose flows"),
	YAML_KEY("source", yaml_text, struct config_override, source, "the same by address"),
	YAML_KEY("destination", yaml_text, struct config_override, destination, "of the flows",
		 .needed = true),
	LIMITS("limits", flow_limits, struct config_override, limits, "of these flows",
	       .needed = true),
};
TABLE(override, struct config_override, NULL);

/* ---- warm-up --------------------------------------------------------------------------------- */

static const struct yaml_key schedule_rows[] = {
	YAML_KEY("name", yaml_text, struct config_schedule, name, "of the schedule",
		 .needed = true),
	YAML_TEXTS("days", config_count, struct config_schedule, days, "messages of each day",
		   BOUNDS(1, U32_MAX), .entries_max = SCHEDULE_STEPS_MAX),
	YAML_TEXTS("hours", config_count, struct config_schedule, hours,
		   "messages of an hour, day by day", BOUNDS(1, U32_MAX / 24),
		   .entries_max = SCHEDULE_STEPS_MAX),
	YAML_KEY("factor", config_factor, struct config_schedule, factor,
		 "what each day after those has of the one before"),
	YAML_KEY("end", config_count, struct config_schedule, end, "the most that it comes to",
		 BOUNDS(1, U32_MAX)),
};
TABLE(schedule, struct config_schedule, NULL);

static const struct yaml_key warmup_flow_rows[] = {
	YAML_KEY("pool", yaml_text, struct config_warmup_flow, pool, "whose flows warm up"),
	YAML_KEY("source", yaml_text, struct config_warmup_flow, source, "the same by address"),
	YAML_KEY("destination", yaml_text, struct config_warmup_flow, destination,
		 "of these flows alone"),
	YAML_KEY("schedule", yaml_text, struct config_warmup_flow, schedule, "by which they do",
		 .needed = true),
	YAML_KEY("volume", config_count, struct config_warmup_flow, volume,
		 "messages a day at which they are warm", BOUNDS(1, U32_MAX)),
};
TABLE(warmup_flow, struct config_warmup_flow, NULL);

static const struct yaml_key warmup_rows[] = {
	YAML_MAPPINGS("schedules", schedule, struct config_warmup, schedules,
		      "how mail may grow day by day"),
	YAML_MAPPINGS("flows", warmup_flow, struct config_warmup, flows, "who warms up by which"),
	YAML_KEY("idle", config_duration, struct config_warmup, idle,
		 "without mail for so long it begins anew", BOUNDS(7 * DAY_NS, 365 * DAY_NS),
		 DEFAULT("30d")),
	YAML_KEYS("alert", YAML_POINTER, rule_alert_keys, struct config_warmup, alert,
		  "a command when one stands still, steps back or begins anew"),
};
TABLE(warmup, struct config_warmup, NULL);

/* ---- eBPF ------------------------------------------------------------------------------------ */

static const struct yaml_word_value mode_words[] = {{"observe", CONFIG_GATE_OBSERVE},
						    {"pace", CONFIG_GATE_PACE},
						    {"deny", CONFIG_GATE_DENY},
						    {NULL, 0}};
static const struct yaml_word_value timeout_words[] = {
	{"fail-open", CONFIG_GATE_FAIL_OPEN}, {"fail-closed", CONFIG_GATE_FAIL_CLOSED}, {NULL, 0}};
/* What connect() may fail with: others break programs (EINPROGRESS would look like a success). */
static const struct yaml_word_value errno_words[] = {{"EPERM", EPERM},
						     {"EACCES", EACCES},
						     {"ECONNREFUSED", ECONNREFUSED},
						     {"ENETUNREACH", ENETUNREACH},
						     {"EHOSTUNREACH", EHOSTUNREACH},
						     {"ETIMEDOUT", ETIMEDOUT},
						     {"EADDRNOTAVAIL", EADDRNOTAVAIL},
						     {NULL, 0}};

#define ROW(name, member, type, help, ...) \
	YAML_KEY(name, type, struct config_gate_rule, member, help, ##__VA_ARGS__)

static const struct yaml_key gate_rows[] = {
	ROW("destination", destination, yaml_text, "where this is the destination"),
	ROW("cgroup", cgroup, yaml_text, "where this is the cgroup"),
	ROW("mode", mode, config_word, "another mode", .words = mode_words),
	ROW("second", second, config_count, "connections opened in a second", BOUNDS(1, 1000000)),
	ROW("minute", minute, config_count, "connections opened in a minute", BOUNDS(1, 60000000)),
	ROW("hour", hour, config_count, "connections opened in an hour", BOUNDS(1, U32_MAX)),
	ROW("connections", connections, config_count, "open at once", BOUNDS(1, 65534)),
};
TABLE(gate, struct config_gate_rule, NULL);
#undef ROW

#define ROW(name, member, type, help, ...) \
	YAML_KEY(name, type, struct config_ebpf, member, help, ##__VA_ARGS__)

static const struct yaml_key ebpf_rows[] = {
	YAML_TEXTS("cgroups", yaml_text, struct config_ebpf, cgroups,
		   "paths of the cgroups whose connections are gated"),
	YAML_TEXTS("ports", config_port, struct config_ebpf, ports, "the ports of mail",
		   BOUNDS(1, 65535)),
	ROW("mode", mode, config_word, "what happens to a connection", .words = mode_words,
	    DEFAULT("observe")),
	ROW("flows", flows, config_count,
	    "pairs of source and destination in the kernel's table, rounded up to a power of two",
	    BOUNDS(1024, 4194304), DEFAULT("16384")),
	ROW("max_wait", max_wait, config_duration, "what would be held longer is refused",
	    BOUNDS(1000000, 60 * UINT64_C(1000000000)), DEFAULT("12s")),
	ROW("refuse_errno", refuse_errno, config_word, "what a refused connect fails with",
	    .words = errno_words, DEFAULT("EPERM")),
	ROW("heartbeat_timeout", heartbeat_timeout, config_duration,
	    "how long without a heartbeat until on_timeout holds",
	    BOUNDS(UINT64_C(1000000000), DAY_NS), DEFAULT("10s")),
	ROW("on_timeout", on_timeout, config_word, "whether everything passes then, or nothing",
	    .words = timeout_words, DEFAULT("fail-open")),
	ROW("pin", pin, config_switch, "whether the gate stays when tollgated ends",
	    DEFAULT("false")),
	ROW("resolve", resolve, config_switch,
	    "whether addresses of destinations are learned from DNS", DEFAULT("true")),
	ROW("replies", replies, config_switch,
	    "whether replies 4xx and 5xx are read as they come in, where there is no TLS",
	    DEFAULT("false")),
	YAML_MAPPINGS("rules", gate, struct config_ebpf, rules,
		      "other modes and limits of destinations and cgroups"),
};
TABLE(ebpf, struct config_ebpf, NULL);
#undef ROW

/* ---- logs of MTAs ---------------------------------------------------------------------------- */

/* As sidecar/ingest/format.c names them. */
static const struct yaml_word_value log_words[] = {{"postfix", 0}, {"exim", 1},	  {"powermta", 2},
						   {"kumomta", 3}, {"haraka", 4}, {"sendgrid", 5},
						   {"json", 6},	   {NULL, 0}};

static const struct yaml_key log_name_rows[] = {
	YAML_KEY("name", yaml_text, struct config_log_name, name, "what the MTA calls it",
		 .needed = true),
	YAML_KEY("address", yaml_text, struct config_log_name, address,
		 "our address, or a source's name", .needed = true),
};
TABLE(log_name, struct config_log_name, NULL);

static const struct yaml_key mta_log_rows[] = {
	YAML_KEY("path", yaml_text, struct config_mta_log, path,
		 "a file, a FIFO, unix: and a socket, or - for standard input", .needed = true),
	YAML_KEY("format", config_word, struct config_mta_log, format, "which MTA writes it",
		 .words = log_words, .needed = true),
	YAML_KEY("source", yaml_text, struct config_mta_log, source,
		 "our address where nothing else tells it"),
	YAML_MAPPINGS("sources", log_name, struct config_mta_log, sources,
		      "what the MTA calls our addresses"),
};
TABLE(mta_log, struct config_mta_log, NULL);

/* ---- HTTP ------------------------------------------------------------------------------------ */

#define ROW(name, member, type, help, ...) \
	YAML_KEY(name, type, struct config_http, member, help, ##__VA_ARGS__)

static const struct yaml_key http_rows[] = {
	YAML_TEXTS("listen", yaml_text, struct config_http, listen,
		   "unix: and a path, or an address and a port", .entries_max = 8),
	ROW("token", token, yaml_text, "that a request must bring"),
	ROW("connections", connections, config_count, "clients at once", BOUNDS(1, 10000),
	    DEFAULT("256")),
	ROW("sendgrid_key", sendgrid_key, yaml_text,
	    "the public key that SendGrid's events are signed by"),
	ROW("kumomta", kumomta, config_switch, "whether KumoMTA's automation is answered",
	    DEFAULT("false")),
	ROW("halon", halon, config_switch, "whether Halon's policy client is answered",
	    DEFAULT("false")),
	ROW("source", names.source, yaml_text, "our address where nothing else tells it"),
	YAML_MAPPINGS("sources", log_name, struct config_http, names.sources,
		      "what those who tell call our addresses"),
};
TABLE(http, struct config_http, NULL);
#undef ROW
/* ---- doors ----------------------------------------------------------------------------------- */

static const struct yaml_word_value class_words[] = {
	{"transactional", TG_TRANSACTIONAL}, {"engaged", TG_ENGAGED}, {"bulk", TG_BULK}, {NULL, 0}};

/* The keys that every door has. */
#define LISTEN(structure)                                                                         \
	YAML_TEXTS("listen", yaml_text, structure, at.listen,                                     \
		   "unix: and a path, or an address and a port", .entries_max = 8),               \
		YAML_KEY("group", yaml_text, structure, at.group, "of Unix sockets"),             \
		YAML_KEY("mode", config_octal, structure, at.mode, "of Unix sockets",             \
			 DEFAULT("0660")),                                                        \
		YAML_KEY("clients", config_count, structure, at.clients, "connections at once",   \
			 BOUNDS(1, 60000), DEFAULT("10000")),                                     \
		YAML_KEY("idle", config_duration, structure, at.idle,                             \
			 "how long a client may be silent", BOUNDS(UINT64_C(1000000000), DAY_NS), \
			 DEFAULT("1h")),                                                          \
		YAML_KEY("remote", config_switch, structure, at.remote,                           \
			 "whether other hosts may be let in", DEFAULT("false"))

static const struct yaml_key redis_rows[] = {
	LISTEN(struct config_redis),
	YAML_KEY("password", yaml_text, struct config_redis, password, "that clients must give"),
	YAML_KEY("throttles", config_count, struct config_redis, throttles,
		 "names of throttles known at once", BOUNDS(1, 16777216), DEFAULT("65536")),
};
TABLE(redis, struct config_redis, NULL);

static const struct yaml_key policy_rows[] = {
	LISTEN(struct config_policy),
	YAML_KEY("pool", yaml_text, struct config_policy, pool,
		 "whose sources the mail will be sent from"),
	YAML_KEY("source", yaml_text, struct config_policy, source, "the same, of one source"),
	YAML_KEY("class", config_word, struct config_policy, class, "of the mail",
		 .words = class_words, DEFAULT("bulk")),
	YAML_KEY("take", config_switch, struct config_policy, take,
		 "whether mail that passes is charged", DEFAULT("true")),
	YAML_KEY("max_wait", config_duration, struct config_policy, max_wait,
		 "what has to wait no longer passes too", BOUNDS(0, DAY_NS), DEFAULT("0s")),
};
TABLE(policy, struct config_policy, NULL);

static const struct yaml_key maps_rows[] = {
	LISTEN(struct config_maps),
	YAML_KEY("source", yaml_text, struct config_maps, names.source,
		 "our address where the map's name does not tell it"),
	YAML_MAPPINGS("sources", log_name, struct config_maps, names.sources,
		      "transports, which are names of maps too, as our addresses"),
	YAML_KEY("pool", yaml_text, struct config_maps, pool,
		 "the map transport chooses among its sources"),
	YAML_KEY("class", config_word, struct config_maps, class, "of the mail it chooses for",
		 .words = class_words, DEFAULT("bulk")),
};
TABLE(maps, struct config_maps, NULL);
#undef LISTEN

/* ---- hooks ----------------------------------------------------------------------------------- */

static const struct yaml_key hooks_rows[] = {
	YAML_TEXTS("hold", yaml_text, struct config_hooks, hold,
		   "a program and its arguments, started when a flow is held"),
	YAML_TEXTS("release", yaml_text, struct config_hooks, release,
		   "the same, when it is held no longer"),
	YAML_KEY("timeout", config_duration, struct config_hooks, timeout,
		 "after which it is killed", BOUNDS(UINT64_C(1000000000), UINT64_C(600000000000)),
		 DEFAULT("10s")),
};
TABLE(hooks, struct config_hooks, NULL);

static const struct yaml_key snds_rows[] = {
	YAML_TEXTS("destinations", yaml_text, struct config_snds, destinations, "where it holds"),
	YAML_KEY("yellow", config_part, struct config_snds, yellow,
		 "the share of its limits that a yellow address may use", DEFAULT("50%")),
	YAML_KEY("red", config_part, struct config_snds, red, "the same of a red one",
		 DEFAULT("10%")),
	YAML_KEY("expires", config_duration, struct config_snds, expires,
		 "how long what is said holds", BOUNDS(3 * DAY_NS, 90 * DAY_NS), DEFAULT("7d")),
};
TABLE(snds, struct config_snds, NULL);

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct yaml_word_value down_words[] = {{"keep", CONFIG_DOWN_KEEP},
						    {"fail-open", CONFIG_DOWN_FAIL_OPEN},
						    {"fail-closed", CONFIG_DOWN_FAIL_CLOSED},
						    {NULL, 0}};
static const struct yaml_word_value mta_words[] = {
	{"none", CONFIG_MTA_NONE}, {"postfix", CONFIG_MTA_POSTFIX}, {NULL, 0}};
static const struct yaml_word_value format_words[] = {
	{"text", CONFIG_LOG_TEXT}, {"json", CONFIG_LOG_JSON}, {NULL, 0}};
static const struct yaml_word_value level_words[] = {
	{"error", CONFIG_LOG_ERROR}, {"warning", CONFIG_LOG_WARNING}, {"notice", CONFIG_LOG_NOTICE},
	{"info", CONFIG_LOG_INFO},   {"debug", CONFIG_LOG_DEBUG},     {NULL, 0}};

#define ROW(name, member, type, help, ...) \
	YAML_KEY(name, type, struct config, member, help, ##__VA_ARGS__)
#define LIST(name, keys, member, help) YAML_MAPPINGS(name, keys, struct config, member, help)

static const struct yaml_key config_rows[] = {
	ROW("builtin", builtin, config_switch,
	    "whether this is laid over the built-in configuration", DEFAULT("true")),
	LIMITS("segment", segment, struct config, segment, "the shared memory"),
	ROW("user", user, yaml_text, "whom tollgated becomes"),
	ROW("state", state, yaml_text, "the folder of what outlives a reboot"),
	ROW("time_zone", time_zone, yaml_text, "where days begin at midnight"),
	ROW("on_sidecar_down", on_sidecar_down, config_word,
	    "what workers do when tollgated is gone", .words = down_words, DEFAULT("keep")),
	ROW("sidecar_timeout", sidecar_timeout, config_duration,
	    "how long it must be gone for that", BOUNDS(UINT64_C(1000000000), 7 * DAY_NS),
	    DEFAULT("30s")),
	ROW("log.format", log.format, config_word, "of the log", .words = format_words,
	    DEFAULT("text")),
	ROW("log.level", log.level, config_word, "down to which it is written",
	    .words = level_words, DEFAULT("info")),
	LIMITS("limits", flow_limits, struct config, limits, "of every flow"),
	LIMITS("source_total", total_limits, struct config, source_total,
	       "of every source over all destinations"),
	LIMITS("stream_limits", total_limits, struct config, stream_limits, "of every stream"),
	LIST("pools", pool, pools, "sources that belong together"),
	LIST("sources", source, sources, "limits of sources"),
	LIST("streams", stream, streams, "limits of streams"),
	LIST("destinations", destination, destinations, "mailbox providers"),
	LIST("overrides", override, overrides, "limits of single flows"),
	LIMITS("warmup", warmup, struct config, warmup, "how new sources grow"),
	ROW("mta", mta, config_word,
	    "the MTA of this machine whose cgroup, log and addresses are found by themselves",
	    .words = mta_words, DEFAULT("none")),
	LIMITS("ebpf", ebpf, struct config, ebpf, "the gate in the kernel"),
	LIST("logs", mta_log, logs, "logs of MTAs that outcomes are read from"),
	LIMITS("http", http, struct config, http, "what other programs tell and ask by HTTP"),
	LIMITS("redis", redis, struct config, redis, "throttles for Redis clients"),
	LIMITS("postfix_policy", policy, struct config, policy, "Postfix's check_policy_service"),
	LIMITS("snds", snds, struct config, snds, "what Microsoft says of our addresses"),
	LIMITS("postfix_maps", maps, struct config, maps, "Postfix's socketmaps"),
	LIMITS("hooks", hooks, struct config, hooks, "what is started at holds and their ends"),
	RULE_FILE_KEYS(struct config, rules.),
};

const struct yaml_keys config_keys = {config_rows, YAML_COUNT(config_rows), sizeof(struct config),
				      NULL};
