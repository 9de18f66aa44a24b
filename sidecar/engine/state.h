/* SPDX-License-Identifier: MIT
 *
 * The engine's own state, for sidecar/engine/ alone.
 */
#ifndef SIDECAR_ENGINE_STATE_H
#define SIDECAR_ENGINE_STATE_H

#include "sidecar/base/timer_heap.h"
#include "sidecar/config/limits_set.h"
#include "sidecar/engine/types.h"

struct engine {
	struct segment *segment;
	const struct config *config;
	const struct classifier *classifier;
	struct classify_scratch *scratch;
	const struct rule_set *rules;
	struct rule_engine *windows; /* what rules remember of flows */
	engine_alert *alert;
	void *alert_arg;
	struct engine_watcher watchers[ENGINE_WATCHERS];
	uint32_t watcher_count;
	struct timer_heap *timers;
	struct limits_set *limits; /* what the configuration says, each once */
	uint32_t *configured;	   /* of a record: its number there */
	uint32_t *heard;	   /* of a record: messages that no worker reported, low half */
	uint32_t count;		   /* known slots that have been taken in */
	uint32_t refill;      /* the next of slots that the new configuration has yet to reach */
	uint32_t tick;	      /* the next of slots to be looked at for its counts */
	uint32_t forgettable; /* flows, as of the last round of looks */
	uint32_t forgettable_so_far;  /* in this one */
	uint64_t forgot_ns;	      /* when it last did */
	uint64_t *changed;	      /* a bit a record; NULL: nobody asks */
	uint64_t round_ns, looked_ns; /* when this round of looks began, and the last whole one */
	const struct layout_record *reply;	     /* that is being taken; NULL: none */
	const struct classification *classification; /* of it */
	uint32_t looks;			  /* how many of this second are still to be looked at */
	struct engine_unnamed *unnamed;	  /* engine_unnamed.c's */
	struct heard_twice *twice;	  /* twice.c's */
	struct pool_watch *pools;	  /* pool.c's */
	struct engine_sharings *sharings; /* sharing.c's */
	struct engine_moves *moves;	  /* of the last engine_configure: moves.c's */
	uint32_t pool_count, pool_room;
	int64_t wall_offset_ns;
	bool names_full; /* and that has been said */
	struct engine_totals totals;
};

/* The name of a flow's destination, or of a destination's own slot. Returns text. */
const char *engine_destination(const struct engine *engine, uint32_t slot, char *text, size_t size);

static inline struct engine_flow *engine_flow_of(const struct engine *engine, uint32_t slot)
{
	return segment_engine(engine->segment, slot);
}

/* What is kept of each is kept by record, since these stand side by side. */
static inline uint32_t *engine_configured_at(const struct engine *engine, uint32_t slot)
{
	return &engine->configured[segment_record(engine->segment, slot)];
}

/* What the configuration says of a slot. */
static inline const struct flow_limits *engine_configured(const struct engine *engine,
							  uint32_t slot)
{
	return &limits_set_get(engine->limits, *engine_configured_at(engine, slot))->limits;
}

/* A flow's life, to be changed: begun if it had none. */
struct engine_life *engine_live(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* Sets an effect, and drops those that have ended with the last. */
void engine_effect_add(struct engine *engine, uint32_t slot, const struct constraint *constraint,
		       uint64_t now_ns);

/* Notes that what is kept of a known slot has changed. */
static inline void engine_mark(const struct engine *engine, uint32_t slot)
{
	uint32_t record = engine->segment->index[slot];

	if (engine->changed)
		engine->changed[record / 64] |= UINT64_C(1) << record % 64;
}

/* To the watcher: limits that have changed. */
void engine_watch_delivered(struct engine *engine, uint32_t slot, uint32_t messages,
			    uint64_t now_ns);
void engine_watch_change(struct engine *engine, uint32_t slot, const struct publish_limits *before,
			 const struct effective *now, uint64_t now_ns);

/* The flow's baseline (history.c): what was delivered is counted, true if its caps may have changed;
 * its caps are merged in, of a flow without a life too (NULL); whether there is nothing to remember;
 * another flow's, which the flow has become, is added. */
bool engine_history_count(const struct engine *engine, uint32_t slot, struct engine_life *life,
			  uint32_t delivered, uint64_t now_ns);
void engine_history_apply(const struct engine *engine, uint32_t slot,
			  const struct flow_limits *configured, const struct engine_life *life,
			  uint64_t now_ns, struct effective *effective);
/* As a flow without history begins. */
void engine_history_begin(const struct flow_limits *configured, struct effective *effective);
bool engine_history_plain(const struct engine *engine, uint32_t slot,
			  const struct engine_life *life, uint64_t now_ns);
void engine_history_move(const struct engine *engine, uint32_t slot, struct engine_life *life,
			 const struct baseline *other, uint64_t now_ns);

/* Which parents have limits of their own: LAYOUT_SOURCE, LAYOUT_DESTINATION. */
uint32_t engine_parents_of(const struct engine *engine, const uint8_t *source,
			   const char *destination);

/* Puts in force what the configuration says where nothing else does. */
void engine_defaults_publish(struct engine *engine, uint64_t now_ns);

/* Counts what could be forgotten, a slot at a time. */
void engine_forget_look(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* What the configuration says of a known slot, into force. */
void engine_slot_fill(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* Which hosts the next configuration gives to another destination: before its names are published.
 * NULL: no memory. */
struct engine_moves;
struct engine_moves *engine_moves_find(const struct engine *engine, const struct config *next);
/* What was used, learned and held goes with them. Takes the moves over. */
void engine_moves_apply(struct engine *engine, struct engine_moves *moves, uint64_t now_ns);
void engine_moves_free(struct engine_moves *moves);

/* Finds flows whose announcement was lost. A piece of work; whether there is more of it in this
 * second. */
struct engine_unnamed;
int engine_unnamed_create(struct engine_unnamed **ret);
void engine_unnamed_free(struct engine_unnamed *unnamed);
void engine_unnamed_restart(struct engine_unnamed *unnamed);
void engine_unnamed_second(struct engine_unnamed *unnamed);
bool engine_unnamed_work(struct engine *engine, struct engine_unnamed *unnamed, uint64_t now_ns);

/* After slots have got other numbers. */
void engine_pools_renewed(struct engine *engine);
void engine_take_in(struct engine *engine, uint64_t now_ns);

/* Puts in force what the flow's parts say now. */
void engine_publish(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* What the configuration says of a known slot that engine_work has yet to reach. 0 or -errno. */
int engine_settled(struct engine *engine, uint32_t slot);

/* Warm-up (warming.c): begins it where the configuration wants it, and brings it up to now; its
 * caps, and when they change; what happened; what it has come to goes with the flow; what was found
 * in a file. */
void engine_warmup_look(struct engine *engine, uint32_t slot, uint64_t now_ns);
bool engine_warmup_caps(const struct engine *engine, uint32_t slot, uint64_t now_ns,
			struct warmup_caps *ret, uint64_t *ret_next_ns);
void engine_warmup_count(struct engine *engine, uint32_t slot, uint32_t delivered,
			 uint32_t deferred, uint32_t bounced, uint64_t now_ns);
void engine_warmup_reply(struct engine *engine, uint32_t slot, const struct classification *class,
			 uint64_t now_ns);
void engine_warmup_step_back(struct engine *engine, uint32_t slot, uint32_t days, uint64_t now_ns);
void engine_warmup_move(struct engine *engine, uint32_t from, uint32_t to);
void engine_warmup_check(struct engine *engine, uint32_t slot);

/* What the rules make of a reply, and of deliveries. enhanced as of classify(). */
void engine_rules_reply(struct engine *engine, const struct layout_record *record,
			const struct classification *class, unsigned enhanced, uint64_t now_ns);
void engine_rules_attempts(struct engine *engine, uint32_t slot, uint32_t attempts,
			   uint64_t now_ns);

/* To the watcher: a reply; what rules ask for because of it; what became of the controller's limits.
 */
void engine_watch_reply(struct engine *engine, const struct layout_record *record,
			const struct classification *class, uint64_t now_ns);
void engine_watch_rules(struct engine *engine, const struct layout_record *record,
			const struct classification *class, const struct rule_verdict *verdict,
			uint64_t now_ns);
void engine_watch_control(struct engine *engine, const struct layout_record *record,
			  const struct classification *class, const struct control_change *change,
			  uint64_t now_ns);

/* A flow's phase, whenever it may have changed; and what is to be done about pools, now and then.
 */
void engine_pool_phase(struct engine *engine, uint32_t slot, enum control_phase phase,
		       uint64_t now_ns);
void engine_pools_housekeep(struct engine *engine, uint64_t now_ns);

/* The flow of the i-th source of a pool to a destination's slot, or LAYOUT_NONE. */
uint32_t engine_pool_flow(const struct engine *engine, uint32_t destination,
			  const struct destination_pool *pool, uint32_t i);

/* Limits that a pool's sources share (sharing.c): whether one controller has all flows of this one's pool there. */
bool engine_sharing_known(const struct engine *engine, uint32_t slot);

/* What the flow may do by its pool's part: changes what its own controller says. Returns when that
 * changes by itself. */
uint64_t engine_sharing_limits(const struct engine *engine, uint32_t slot, uint64_t now_ns,
			       struct control_limits *limits);

/* A reply of a flow, where one controller has all: taken, its own hears of connections alone. */
bool engine_sharing_observe(struct engine *engine, uint32_t slot,
			    const struct control_observation *seen, uint64_t now_ns);

/* The same reply, once the flow's own controller has heard it; before: as it was. */
void engine_sharing_heard(struct engine *engine, uint32_t slot,
			  const struct control_observation *seen,
			  const struct control_state *before, uint64_t now_ns);

/* What a destination's slot has in force besides what is configured. */
void engine_sharing_destination(struct engine *engine, uint32_t slot, uint64_t now_ns);
void engine_sharing_due(struct engine *engine, uint32_t destination, uint64_t now_ns);

/* A configuration is in force; slots have got other numbers; all ends. What is kept of them stays
 * (engine_sharing_resume). */
void engine_sharing_free(struct engine *engine);

#endif
