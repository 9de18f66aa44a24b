/* SPDX-License-Identifier: MIT
 *
 * The tables of schema.h. Every key of tollgate.yaml stands here once for libcyaml and, if
 * it is more than a plain text, once with its unit, default and bounds; tollgate.yaml(5) lists them
 * in this order.
 */
#include "sidecar/config/schema.h"

#include <errno.h>

#define TEXT(key_, structure, member)                                                             \
	CYAML_FIELD_STRING_PTR(key_, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, \
			       1, CYAML_UNLIMITED)
#define NAME(key_, structure, member) \
	CYAML_FIELD_STRING_PTR(key_, CYAML_FLAG_POINTER, structure, member, 1, CYAML_UNLIMITED)
#define LIST(key_, structure, member, schema)                                                   \
	CYAML_FIELD_SEQUENCE(key_, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, \
			     schema, 0, CYAML_UNLIMITED)
#define PART(key_, structure, member, fields) \
	CYAML_FIELD_MAPPING(key_, CYAML_FLAG_OPTIONAL, structure, member, fields)
/* A mapping whose members lie in the struct around it. */
#define INLINE(key_, structure, fields_)                  \
	{                                                 \
		.key = key_, .data_offset = 0, .value = { \
			.type = CYAML_MAPPING,            \
			.flags = CYAML_FLAG_OPTIONAL,     \
			.data_size = sizeof(structure),   \
			.mapping = {.fields = fields_}    \
		}                                         \
	}

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED)};

/* ---- limits ---------------------------------------------------------------------------------- */

#define LIMIT(key_, limit) TEXT(key_, struct config_limits, key[limit].text)

static const cyaml_schema_field_t reserve_fields[] = {
	LIMIT("transactional", LIMIT_RESERVE_TRANSACTIONAL),
	LIMIT("engaged", LIMIT_RESERVE_ENGAGED), CYAML_FIELD_END};
static const cyaml_schema_field_t hour_fields[] = {LIMIT("transactional", LIMIT_HOUR_TRANSACTIONAL),
						   LIMIT("engaged", LIMIT_HOUR_ENGAGED),
						   CYAML_FIELD_END};
static const cyaml_schema_field_t day_fields[] = {LIMIT("transactional", LIMIT_DAY_TRANSACTIONAL),
						  LIMIT("engaged", LIMIT_DAY_ENGAGED),
						  CYAML_FIELD_END};
static const cyaml_schema_field_t connection_fields[] = {
	LIMIT("transactional", LIMIT_CONNECTIONS_TRANSACTIONAL),
	LIMIT("engaged", LIMIT_CONNECTIONS_ENGAGED), CYAML_FIELD_END};

#define TOTAL_FIELDS                                                                            \
	LIMIT("rate", LIMIT_RATE), LIMIT("burst", LIMIT_BURST), LIMIT("strict", LIMIT_STRICT),  \
		INLINE("reserve", struct config_limits, reserve_fields),                        \
		LIMIT("hour", LIMIT_HOUR),                                                      \
		INLINE("hour_reserve", struct config_limits, hour_fields),                      \
		LIMIT("hour_starts", LIMIT_HOUR_STARTS), LIMIT("day", LIMIT_DAY),               \
		INLINE("day_reserve", struct config_limits, day_fields),                        \
		LIMIT("day_starts", LIMIT_DAY_STARTS), LIMIT("connections", LIMIT_CONNECTIONS), \
		INLINE("connection_reserve", struct config_limits, connection_fields),          \
		LIMIT("connection_rate", LIMIT_CONNECTION_RATE),                                \
		LIMIT("connection_burst", LIMIT_CONNECTION_BURST)

static const cyaml_schema_field_t total_fields[] = {TOTAL_FIELDS, CYAML_FIELD_END};
static const cyaml_schema_field_t flow_fields[] = {
	TOTAL_FIELDS,
	LIMIT("messages_per_connection", LIMIT_MESSAGES_PER_CONNECTION),
	LIMIT("count", LIMIT_COUNT),
	LIMIT("adapt", LIMIT_ADAPT),
	LIMIT("floor", LIMIT_FLOOR),
	LIMIT("ceiling", LIMIT_CEILING),
	LIMIT("start", LIMIT_START),
	CYAML_FIELD_END};

static const struct config_word count_words[] = {
	{"messages", CONFIG_COUNT_MESSAGES}, {"recipients", CONFIG_COUNT_RECIPIENTS}, {NULL, 0}};

#define U32_MAX (UINT32_MAX - 1)
#define HOUR_NS UINT64_C(3600000000000)

#define ROW(limit, name, kind, min, max, words) \
	[limit] = {name, kind, offsetof(struct config_limits, key[limit]), NULL, min, max, words}

const struct config_key config_limit_keys[] = {
	ROW(LIMIT_RATE, "rate", CONFIG_RATE, 0, 0, NULL),
	ROW(LIMIT_BURST, "burst", CONFIG_NUMBER, 1, U32_MAX, NULL),
	ROW(LIMIT_STRICT, "strict", CONFIG_SWITCH, 0, 0, NULL),
	ROW(LIMIT_RESERVE_TRANSACTIONAL, "reserve.transactional", CONFIG_RESERVE, 0, U32_MAX, NULL),
	ROW(LIMIT_RESERVE_ENGAGED, "reserve.engaged", CONFIG_RESERVE, 0, U32_MAX, NULL),
	ROW(LIMIT_HOUR, "hour", CONFIG_CAP, 1, U32_MAX, NULL),
	ROW(LIMIT_HOUR_TRANSACTIONAL, "hour_reserve.transactional", CONFIG_RESERVE, 0, U32_MAX,
	    NULL),
	ROW(LIMIT_HOUR_ENGAGED, "hour_reserve.engaged", CONFIG_RESERVE, 0, U32_MAX, NULL),
	ROW(LIMIT_HOUR_STARTS, "hour_starts", CONFIG_DURATION, 0, HOUR_NS - 1, NULL),
	ROW(LIMIT_DAY, "day", CONFIG_CAP, 1, U32_MAX, NULL),
	ROW(LIMIT_DAY_TRANSACTIONAL, "day_reserve.transactional", CONFIG_RESERVE, 0, U32_MAX, NULL),
	ROW(LIMIT_DAY_ENGAGED, "day_reserve.engaged", CONFIG_RESERVE, 0, U32_MAX, NULL),
	ROW(LIMIT_DAY_STARTS, "day_starts", CONFIG_DURATION, 0, 24 * HOUR_NS - 1, NULL),
	ROW(LIMIT_CONNECTIONS, "connections", CONFIG_CAP, 1, 65534, NULL),
	ROW(LIMIT_CONNECTIONS_TRANSACTIONAL, "connection_reserve.transactional", CONFIG_RESERVE, 0,
	    65534, NULL),
	ROW(LIMIT_CONNECTIONS_ENGAGED, "connection_reserve.engaged", CONFIG_RESERVE, 0, 65534,
	    NULL),
	ROW(LIMIT_CONNECTION_RATE, "connection_rate", CONFIG_RATE, 0, 0, NULL),
	ROW(LIMIT_CONNECTION_BURST, "connection_burst", CONFIG_NUMBER, 1, U32_MAX, NULL),
	ROW(LIMIT_MESSAGES_PER_CONNECTION, "messages_per_connection", CONFIG_CAP, 1, 65535, NULL),
	ROW(LIMIT_COUNT, "count", CONFIG_ENUM, 0, 0, count_words),
	ROW(LIMIT_ADAPT, "adapt", CONFIG_SWITCH, 0, 0, NULL),
	ROW(LIMIT_FLOOR, "floor", CONFIG_RATE, 0, 0, NULL),
	ROW(LIMIT_CEILING, "ceiling", CONFIG_RATE, 0, 0, NULL),
	ROW(LIMIT_START, "start", CONFIG_RATE, 0, 0, NULL),
	[LIMIT_KEYS] = {NULL, 0, 0, NULL, 0, 0, NULL},
};
#undef ROW

const char *config_limit_name(enum config_limit limit)
{
	return (unsigned)limit < LIMIT_KEYS ? config_limit_keys[limit].name : "invalid";
}

/* ---- the segment ----------------------------------------------------------------------------- */

static const cyaml_schema_field_t segment_fields[] = {
	TEXT("path", struct config_segment, path),
	TEXT("group", struct config_segment, group),
	TEXT("owner", struct config_segment, owner),
	TEXT("flows", struct config_segment, flows.text),
	TEXT("workers", struct config_segment, workers.text),
	TEXT("ring", struct config_segment, ring.text),
	TEXT("minutes", struct config_segment, minutes.text),
	TEXT("leases", struct config_segment, leases.text),
	TEXT("max_reservation", struct config_segment, max_reservation.text),
	CYAML_FIELD_END};

#define ROW(name, member, kind, default_text, min, max, words)                                     \
	{                                                                                          \
		name, kind, offsetof(struct config_segment, member), default_text, min, max, words \
	}

const struct config_key config_segment_keys[] = {
	ROW("flows", flows, CONFIG_NUMBER, "65536", 16, UINT64_C(1) << 28, NULL),
	ROW("workers", workers, CONFIG_NUMBER, "256", 1, 65534, NULL),
	ROW("ring", ring, CONFIG_NUMBER, "1024", 16, 1 << 20, NULL),
	ROW("minutes", minutes, CONFIG_NUMBER, "60", 1, 1440, NULL),
	ROW("leases", leases, CONFIG_NUMBER, "1024", 1, 65536, NULL),
	ROW("max_reservation", max_reservation, CONFIG_DURATION, "5m", 1000000, 24 * HOUR_NS, NULL),
	{NULL, 0, 0, NULL, 0, 0, NULL},
};
#undef ROW

/* ---- pools, sources, streams, destinations, overrides ---------------------------------------- */

static const cyaml_schema_field_t pool_fields[] = {
	NAME("name", struct config_pool, name),
	CYAML_FIELD_SEQUENCE("sources", CYAML_FLAG_POINTER, struct config_pool, sources,
			     &text_schema, 1, CYAML_UNLIMITED),
	PART("total", struct config_pool, total, total_fields), CYAML_FIELD_END};
static const cyaml_schema_value_t pool_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_pool, pool_fields)};

static const cyaml_schema_field_t source_fields[] = {
	NAME("address", struct config_source, address),
	CYAML_FIELD_MAPPING("total", CYAML_FLAG_DEFAULT, struct config_source, total, total_fields),
	CYAML_FIELD_END};
static const cyaml_schema_value_t source_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_source, source_fields)};

static const cyaml_schema_field_t stream_fields[] = {
	NAME("name", struct config_stream, name),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_DEFAULT, struct config_stream, limits,
			    total_fields),
	CYAML_FIELD_END};
static const cyaml_schema_value_t stream_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_stream, stream_fields)};

static const cyaml_schema_field_t destination_fields[] = {
	NAME("name", struct config_destination, name),
	LIST("domains", struct config_destination, domains, &text_schema),
	LIST("mx", struct config_destination, mx, &text_schema),
	LIST("addresses", struct config_destination, addresses, &text_schema),
	PART("limits", struct config_destination, limits, flow_fields),
	PART("total", struct config_destination, total, total_fields),
	CYAML_FIELD_END};
static const cyaml_schema_value_t destination_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_destination, destination_fields)};

static const cyaml_schema_field_t override_fields[] = {
	TEXT("pool", struct config_override, pool), TEXT("source", struct config_override, source),
	NAME("destination", struct config_override, destination),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_DEFAULT, struct config_override, limits,
			    flow_fields),
	CYAML_FIELD_END};
static const cyaml_schema_value_t override_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_override, override_fields)};

/* ---- eBPF ------------------------------------------------------------------------------------ */

static const struct config_word mode_words[] = {{"observe", CONFIG_GATE_OBSERVE},
						{"pace", CONFIG_GATE_PACE},
						{"deny", CONFIG_GATE_DENY},
						{NULL, 0}};
static const struct config_word timeout_words[] = {
	{"fail-open", CONFIG_GATE_FAIL_OPEN}, {"fail-closed", CONFIG_GATE_FAIL_CLOSED}, {NULL, 0}};
/* What connect() may fail with: others break programs (EINPROGRESS would look like a success). */
static const struct config_word errno_words[] = {{"EPERM", EPERM},
						 {"EACCES", EACCES},
						 {"ECONNREFUSED", ECONNREFUSED},
						 {"ENETUNREACH", ENETUNREACH},
						 {"EHOSTUNREACH", EHOSTUNREACH},
						 {"ETIMEDOUT", ETIMEDOUT},
						 {"EADDRNOTAVAIL", EADDRNOTAVAIL},
						 {NULL, 0}};

static const cyaml_schema_field_t gate_fields[] = {
	TEXT("destination", struct config_gate_rule, destination),
	TEXT("cgroup", struct config_gate_rule, cgroup),
	TEXT("mode", struct config_gate_rule, mode.text),
	TEXT("second", struct config_gate_rule, second.text),
	TEXT("minute", struct config_gate_rule, minute.text),
	TEXT("hour", struct config_gate_rule, hour.text),
	TEXT("connections", struct config_gate_rule, connections.text),
	CYAML_FIELD_END};
static const cyaml_schema_value_t gate_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_gate_rule, gate_fields)};

static const cyaml_schema_field_t ebpf_fields[] = {
	LIST("cgroups", struct config_ebpf, cgroups, &text_schema),
	LIST("ports", struct config_ebpf, ports_text, &text_schema),
	TEXT("mode", struct config_ebpf, mode.text),
	TEXT("max_wait", struct config_ebpf, max_wait.text),
	TEXT("refuse_errno", struct config_ebpf, refuse_errno.text),
	TEXT("heartbeat_timeout", struct config_ebpf, heartbeat_timeout.text),
	TEXT("on_timeout", struct config_ebpf, on_timeout.text),
	TEXT("pin", struct config_ebpf, pin.text),
	TEXT("resolve", struct config_ebpf, resolve.text),
	LIST("rules", struct config_ebpf, rules, &gate_schema),
	CYAML_FIELD_END};

#define ROW(name, member, kind, default_text, min, max, words)                                  \
	{                                                                                       \
		name, kind, offsetof(struct config_ebpf, member), default_text, min, max, words \
	}

const struct config_key config_ebpf_keys[] = {
	ROW("mode", mode, CONFIG_ENUM, "observe", 0, 0, mode_words),
	ROW("max_wait", max_wait, CONFIG_DURATION, "12s", 1000000, 60 * UINT64_C(1000000000), NULL),
	ROW("refuse_errno", refuse_errno, CONFIG_ENUM, "EPERM", 0, 0, errno_words),
	ROW("heartbeat_timeout", heartbeat_timeout, CONFIG_DURATION, "10s", UINT64_C(1000000000),
	    24 * HOUR_NS, NULL),
	ROW("on_timeout", on_timeout, CONFIG_ENUM, "fail-open", 0, 0, timeout_words),
	ROW("pin", pin, CONFIG_SWITCH, "false", 0, 0, NULL),
	ROW("resolve", resolve, CONFIG_SWITCH, "true", 0, 0, NULL),
	{NULL, 0, 0, NULL, 0, 0, NULL},
};
#undef ROW

#define ROW(name, member, kind, default_text, min, max, words)                                 \
	{                                                                                      \
		name, kind, offsetof(struct config_gate_rule, member), default_text, min, max, \
			words                                                                  \
	}

const struct config_key config_gate_keys[] = {
	ROW("mode", mode, CONFIG_ENUM, NULL, 0, 0, mode_words),
	ROW("second", second, CONFIG_NUMBER, NULL, 1, 1000000, NULL),
	ROW("minute", minute, CONFIG_NUMBER, NULL, 1, 60000000, NULL),
	ROW("hour", hour, CONFIG_NUMBER, NULL, 1, U32_MAX, NULL),
	ROW("connections", connections, CONFIG_NUMBER, NULL, 1, 65534, NULL),
	{NULL, 0, 0, NULL, 0, 0, NULL},
};
#undef ROW

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct config_word down_words[] = {{"keep", CONFIG_DOWN_KEEP},
						{"fail-open", CONFIG_DOWN_FAIL_OPEN},
						{"fail-closed", CONFIG_DOWN_FAIL_CLOSED},
						{NULL, 0}};
static const struct config_word format_words[] = {
	{"text", CONFIG_LOG_TEXT}, {"json", CONFIG_LOG_JSON}, {NULL, 0}};
static const struct config_word level_words[] = {
	{"error", CONFIG_LOG_ERROR}, {"warning", CONFIG_LOG_WARNING}, {"notice", CONFIG_LOG_NOTICE},
	{"info", CONFIG_LOG_INFO},   {"debug", CONFIG_LOG_DEBUG},     {NULL, 0}};

#define ROW(name, member, kind, default_text, min, max, words)                             \
	{                                                                                  \
		name, kind, offsetof(struct config, member), default_text, min, max, words \
	}

const struct config_key config_top_keys[] = {
	ROW("builtin", builtin, CONFIG_SWITCH, "true", 0, 0, NULL),
	ROW("on_sidecar_down", on_sidecar_down, CONFIG_ENUM, "keep", 0, 0, down_words),
	ROW("sidecar_timeout", sidecar_timeout, CONFIG_DURATION, "30s", UINT64_C(1000000000),
	    7 * 24 * HOUR_NS, NULL),
	ROW("log.format", log.format, CONFIG_ENUM, "text", 0, 0, format_words),
	ROW("log.level", log.level, CONFIG_ENUM, "info", 0, 0, level_words),
	{NULL, 0, 0, NULL, 0, 0, NULL},
};
#undef ROW

static const cyaml_schema_field_t log_fields[] = {TEXT("format", struct config_log, format.text),
						  TEXT("level", struct config_log, level.text),
						  CYAML_FIELD_END};

static const cyaml_schema_field_t config_fields[] = {
	TEXT("builtin", struct config, builtin.text),
	PART("segment", struct config, segment, segment_fields),
	TEXT("user", struct config, user),
	TEXT("time_zone", struct config, time_zone),
	TEXT("on_sidecar_down", struct config, on_sidecar_down.text),
	TEXT("sidecar_timeout", struct config, sidecar_timeout.text),
	PART("log", struct config, log, log_fields),
	PART("limits", struct config, limits, flow_fields),
	PART("source_total", struct config, source_total, total_fields),
	PART("stream_limits", struct config, stream_limits, total_fields),
	LIST("pools", struct config, pools, &pool_schema),
	LIST("sources", struct config, sources, &source_schema),
	LIST("streams", struct config, streams, &stream_schema),
	LIST("destinations", struct config, destinations, &destination_schema),
	LIST("overrides", struct config, overrides, &override_schema),
	PART("ebpf", struct config, ebpf, ebpf_fields),
	LIST("logs", struct config, logs, &config_mta_log_schema),
	RULE_FILE_FIELDS(struct config, rules.),
	CYAML_FIELD_END};

const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, config_fields)};
