/* SPDX-License-Identifier: MIT
 *
 * The engine: replies in, limits out. For every flow of the segment: classify → rules → control →
 * publish.
 *
 * Time is an argument. What a flow's life has come to stands in the segment's `control` file and
 * survives the sidecar; what the configuration says is worked out anew from it.
 */
#ifndef SIDECAR_ENGINE_ENGINE_H
#define SIDECAR_ENGINE_ENGINE_H

#include "sidecar/engine/types.h"

/* The segment's options that the engine asks for; sizes must be filled in. */
void engine_shape(struct segment_options *options);
int engine_create(struct segment *segment, struct engine **ret);
void engine_free(struct engine *engine);

/* Wall clock - monotonic clock, before anything else and whenever it has changed. */
void engine_wall_offset(struct engine *engine, int64_t offset_ns);

void engine_on_alert(struct engine *engine, engine_alert *alert, void *arg);

/* From now on until engine_unwatch with its arg. -ENOSPC: more than ENGINE_WATCHERS. */
int engine_watch(struct engine *engine, const struct engine_watcher *watcher);
void engine_unwatch(struct engine *engine, const void *arg);

/* Puts a configuration, its classifier and its rules in force: defaults and names at once, known
 * slots by and by in engine_work. All must live until the next call. -EMSGSIZE: the destination
 * table does not fit. */
int engine_configure(struct engine *engine, const struct config *config,
		     const struct classifier *classifier, const struct rule_set *rules,
		     uint64_t now_ns);

/* Hosts that the last engine_configure gave to another destination than they had: what was used,
 * learned and held went with them. */
struct engine_move {
	char from[DESTINATION_NAME_MAX + 1], to[DESTINATION_NAME_MAX + 1];
	uint32_t from_slot;
	uint32_t flows; /* that had something to go with them */
	uint32_t lost;	/* that found no room */
};
const struct engine_move *engine_moves(const struct engine *engine, uint32_t *ret_count);

/* One record of a worker, checked by drain. */
void engine_record(struct engine *engine, const struct layout_record *record, uint64_t now_ns);

/* As if a worker had reported it of that flow: totals, minute, classes, rules, control; once, however
 * many hear it (sidecar/engine/twice.h). Returns what of it was done. */
int engine_heard(struct engine *engine, uint32_t slot, const struct engine_heard *heard,
		 uint64_t now_ns);

/* Of a known slot's totals: how many messages the sidecar heard of itself since it began, modulo 2^32.
 * The others are workers'. */
uint32_t engine_heard_count(const struct engine *engine, uint32_t slot);

/* Does what is due, a bounded piece of it. Returns when it wants to be called again: now_ns: at
 * once. */
uint64_t engine_work(struct engine *engine, uint64_t now_ns);

/* Once a second while workers decide: counts of deliveries to the controller, damage repaired;
 * engine_work goes on with it, a piece at a time, so that no deferral waits for all flows. */
void engine_housekeep(struct engine *engine, uint64_t now_ns);

/* Whether a known slot has to be kept; parents are kept by their flows. */
bool engine_keeps(const struct engine *engine, uint32_t slot, uint64_t now_ns);

/* Whether it is time to forget: much can be, and the directory is 80 % full or (night) nobody is
 * bothered. */
bool engine_forgets(const struct engine *engine, bool night, uint64_t now_ns);

/* The segment was replaced (segment_renew): slots have other numbers, nothing is in force yet but
 * what was carried over. -ENOMEM: the engine must not be used any more. */
int engine_renewed(struct engine *engine, uint64_t now_ns);

const struct engine_totals *engine_totals(const struct engine *engine);

/* ---- for the store ---------------------------------------------------------------------------- */

/* From now on it is remembered which slots have changed; all that are known have. -ENOMEM. */
int engine_track(struct engine *engine);

/* The next slot that has changed, from the *cursor-th known one on, which is moved behind it; it
 * counts as seen. LAYOUT_NONE: no more. */
uint32_t engine_changed(struct engine *engine, uint32_t *cursor);

/* A known slot has changed, by somebody else's doing. */
void engine_note(struct engine *engine, uint32_t slot);

/* Since when all known slots have been looked at once: what they counted before is known. 0: never.
 */
uint64_t engine_looked_ns(const struct engine *engine);

/* What an earlier boot of the machine knew of a flow, before it is in force (engine_settle). NULL:
 * nothing of that kind. -ENOENT: the slot is no flow. */
struct engine_restored {
	const struct engine_life *life;
	const struct constraint *effects; /* CONSTRAINTS of them */
	const struct engine_shared *shared;
	uint64_t seen_ns;
	uint64_t delivered, deferred, bounced;
};
int engine_restore(struct engine *engine, uint32_t slot, const struct engine_restored *restored);

void engine_restore_warmup(struct engine *engine, uint32_t slot, const struct warmup *warmup);

/* Puts a known slot's limits in force now, before engine_work reaches it. */
void engine_settle(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* Limits that sources share, of which what was kept stands beside their flows: in force, once those
 * are. */
void engine_sharing_resume(struct engine *engine, uint64_t now_ns);

/* Whether a flow of which nothing is known has that in force before it is settled, too: the defaults
 * of its destination, which no override and no warm-up changes. */
bool engine_begins_by_default(const struct engine *engine, uint32_t slot);

/* ---- for explain and the operator's commands ------------------------------------------------- */

/* What the controller knows of a flow slot, in words, and whose limit that is. As control_describe.
 */
int engine_describe(const struct engine *engine, uint32_t slot, uint64_t now_ns, char *text,
		    unsigned size);

/* What is in force for a flow slot, and the controller's part in it (what the controller would say,
 * where the flow does not adapt). -ENOENT: no known flow. */
int engine_effective(struct engine *engine, uint32_t slot, uint64_t now_ns, struct effective *ret,
		     struct control_limits *ret_control, struct control_bounds *ret_bounds);

/* What rules and the operator set: CONSTRAINTS of them. */
const struct constraint *engine_effects(const struct engine *engine, uint32_t slot);

/* What the flow had sent before: the largest minute, hour and day of earlier days, as they are
 * remembered now, and what that allows. False: the baseline is off there. */
bool engine_history(const struct engine *engine, uint32_t slot, uint64_t now_ns,
		    double ret_peaks[BASELINE_SPANS], uint32_t ret_caps[BASELINE_SPANS]);

/* Somebody says what it had sent; what is known to be more stays. -ENOENT: no flow; -ENOSPC. */
int engine_seed(struct engine *engine, uint32_t slot, const double peaks[BASELINE_SPANS],
		uint64_t now_ns);

/* Its life as it stands, or, where nothing was learned, as it begins. */
struct engine_life engine_life(const struct engine *engine, uint32_t slot, uint64_t now_ns);

/* The latest replies that were no plain deliveries; NULL: none. */
const struct engine_replies *engine_replies(const struct engine *engine, uint32_t slot);

/* The flow of a source and a destination (its name as the matcher gives it), claimed if no worker
 * has asked for it yet. LAYOUT_NONE: the segment is full. */
uint32_t engine_claim(struct engine *engine, const uint8_t source[16], const char *destination,
		      uint64_t now_ns);

/* An effect by hand or by rule, at once. */
int engine_constraint_add(struct engine *engine, uint32_t slot, const struct constraint *constraint,
			  uint64_t now_ns);

/* What the rules remember of a flow, in words. Returns the length as snprintf does. */
int engine_rules_describe(struct engine *engine, uint32_t slot, uint64_t now_ns, char *text,
			  size_t size);

/* Takes away what the operator set of one kind. */
int engine_constraint_remove(struct engine *engine, uint32_t slot, enum constraint_kind kind,
			     uint64_t now_ns);

/* Ends holds: the operator's, rules', the controller's. */
int engine_release(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* How a flow warms up, as of now. -ENOENT: it does not. */
int engine_warmup(struct engine *engine, uint32_t slot, uint64_t now_ns, struct engine_warmup *ret);
const struct config_warmup_flow *engine_warmup_line(const struct engine *engine, uint32_t slot);

/* The operator's order about it, at once. -ENOENT: it does not warm up; -EALREADY: nothing to do. */
int engine_warmup_order(struct engine *engine, uint32_t slot, enum warmup_order order,
			uint64_t now_ns);

/* Forgets what was learned of a flow, and what the operator set; not what it has sent before. */
int engine_reset(struct engine *engine, uint32_t slot, uint64_t now_ns);

#endif
