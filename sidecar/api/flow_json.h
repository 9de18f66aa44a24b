/* SPDX-License-Identifier: MIT
 *
 * What a segment's files say, as JSON: for the control socket, and for commands where no sidecar
 * lives.
 *
 * Everything that workers can write (counts, gauges, owners) is shown as it stands, bounded to what
 * JSON readers take (2^63 - 1); it is never acted upon. The segment may be mapped read-only.
 */
#ifndef SIDECAR_API_FLOW_JSON_H
#define SIDECAR_API_FLOW_JSON_H

#include "sidecar/base/json.h"
#include "sidecar/engine/engine.h"

/* Which flows are asked for. */
struct flow_json_filter {
	bool by_source;
	uint8_t source[16];
	const char *destination; /* its name as the matcher gives it; NULL: any */
};

/* Reads members "source" and "destination" of a request; both may be missing or "*". The
 * destination is matched by the segment's own table into name (DESTINATION_NAME_MAX + 1 bytes).
 * -EINVAL: reason says. */
int flow_json_filter_read(const struct segment *segment, const struct json *request, char *name,
			  struct flow_json_filter *ret, char *reason, size_t size);

/* Whether a slot is a known flow that the filter lets through. False where names are not readable.
 */
bool flow_json_wanted(const struct segment *segment, uint32_t slot,
		      const struct flow_json_filter *filter);

/* Adds "source" and "destination" of a flow; null where names are not readable. */
void flow_json_put_names(const struct segment *segment, uint32_t slot, struct json_writer *out);

/* Adds members to an object that is open: of a flow ("source", "destination", limits in force, what
 * is used of them, totals), and of the segment as a whole. */
void flow_json_put(const struct segment *segment, uint32_t slot, uint64_t now_ns,
		   struct json_writer *out);
void segment_json_put(const struct segment *segment, uint64_t now_ns, struct json_writer *out);

/* What the engine says of a flow: "state", "adapts", the configured rate, whose word the rate and the
 * hold are. */
void flow_json_put_state(const struct segment *segment, struct engine *engine,
			 const struct config *config, uint32_t slot, uint64_t now_ns,
			 struct json_writer *out);

/* Who set a limit: "configuration", "control", "warm-up", "operator", or the rule's name. */
const char *flow_json_by(const struct constraint constraints[CONSTRAINTS], enum effective_by by,
			 int constraint);

/* A time in the future as seconds from now; null: never, 0: now or past. */
void flow_json_in(struct json_writer *out, const char *key, uint64_t at_ns, uint64_t now_ns);

/* A rate of one message every interval_ns: {"text": "10/min", "per_s": 0.166667}; 0: unlimited,
 * null. */
void flow_json_rate(struct json_writer *out, const char *key, uint64_t interval_ns);

/* Counts up to most; what is beyond is written as that. */
void flow_json_count(struct json_writer *out, const char *key, uint64_t count);

/* "10/min", "2.5/s", "unlimited": an interval as people read it. Returns text. */
const char *flow_json_rate_text(uint64_t interval_ns, char *text, size_t size);

#endif
