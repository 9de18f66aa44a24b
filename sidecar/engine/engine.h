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

#include "shm/destination.h"
#include "sidecar/alert/command.h"
#include "sidecar/config/config.h"
#include "sidecar/engine/effective.h"
#include "sidecar/engine/pool_health.h"
#include "sidecar/rules/classify.h"
#include "sidecar/rules/rule_engine.h"
#include "sidecar/segment/segment.h"

#define REPLY_HISTORY	   6
#define REPLY_HISTORY_TEXT 88
#define REPLY_HISTORY_RULE 32

/* A reply that was no plain delivery, for `explain`. */
struct reply_history {
	uint64_t at_ns;
	uint16_t code;
	uint16_t enhanced[3];
	uint8_t class;	 /* enum reply_class */
	uint8_t limit;	 /* enum reply_limit */
	uint8_t traffic; /* enum tg_class */
	uint8_t stage;	 /* enum tg_stage */
	uint16_t length;
	uint16_t reserved;
	char rule[REPLY_HISTORY_RULE]; /* the entry that told the class, terminated */
	char text[REPLY_HISTORY_TEXT];
};

/* Blocks that a flow has once there is something to keep. */
enum engine_pool { ENGINE_LIFE, ENGINE_EFFECTS, ENGINE_REPLIES, ENGINE_MINUTES };

/* What is kept of every slot in `control`, and of some in blocks: fixed width, no pointers, checked
 * when adopted. A sidecar of another version finds it by its size alone: a new field goes to the
 * end, and any other change counts LAYOUT_VERSION up once there has been a release. */
struct engine_flow {
	uint32_t blocks[SEGMENT_POOLS];	       /* the segment's: their numbers */
	uint32_t delivered, deferred, bounced; /* low half of the totals, as of the last tick */
	uint32_t seen_s; /* when they last moved, seconds of the clock; 0: never */
};

/* What was learned of a flow. A flow without is as it begins. */
struct engine_life {
	struct control_state control;
	uint64_t trouble_ns; /* when it was last held that had been well; 0: it is well */
	struct pool_rate pace;
	uint64_t warmup_step_back_ns; /* when a rule last asked warm-up to step back; 0: never */
};

struct engine_replies {
	uint32_t next; /* where the next one goes */
	uint32_t reserved;
	struct reply_history history[REPLY_HISTORY];
};

struct engine;

struct engine_totals {
	uint64_t replies;
	uint64_t by_class[REPLY_CLASSES];
	uint64_t learned;  /* slots named */
	uint64_t unfit;	   /* announcements that did not fit their slot */
	uint64_t repaired; /* words repaired */
	uint64_t changes;  /* of limits */
	uint64_t fired;	   /* rules */
};

/* The segment's options that the engine asks for; sizes must be filled in. */
void engine_shape(struct segment_options *options);
int engine_create(struct segment *segment, struct engine **ret);
void engine_free(struct engine *engine);

/* Wall clock - monotonic clock, before anything else and whenever it has changed. */
void engine_wall_offset(struct engine *engine, int64_t offset_ns);

/* An alert that begins: called from engine_record, must not block. about's texts live as long as
 * the call. */
typedef void engine_alert(void *arg, const struct rule *rule, const struct rule_action *plan,
			  const struct alert_command_about *about);
void engine_on_alert(struct engine *engine, engine_alert *alert, void *arg);

/* What rules or the controller did about a reply, as it is put in force. */
struct engine_action {
	const struct layout_record *reply;
	const struct classification *classification;
	enum rule_action_kind kind;
	const struct rule_effect *effect; /* of the controller: under the name "controller" */
};

/* Limits of a flow that have just been put in force. */
struct engine_change {
	uint32_t slot;
	const struct publish_limits *before; /* rate, hold, caps, connections alone */
	const struct effective *now;
	/* That led to it; NULL: none, time or somebody did. */
	const struct layout_record *reply;
	const struct classification *classification;
};

/* Who is told what the engine hears and does, from within engine_record: must not block, and must
 * change nothing here. Pointers are good during the call; either function may be NULL. */
struct engine_watcher {
	void *arg;
	/* Of each reply that was no delivery. */
	void (*reply)(void *arg, const struct layout_record *reply,
		      const struct classification *classification, uint64_t now_ns);
	void (*action)(void *arg, const struct engine_action *action, uint64_t now_ns);
	/* Of each change of a flow's limits. */
	void (*change)(void *arg, const struct engine_change *change, uint64_t now_ns);
};

/* One at a time, from now on; NULL: nobody. */
void engine_watch(struct engine *engine, const struct engine_watcher *watcher);

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

/* Who heard a reply. What several heard is told by each of them. */
enum engine_hearing {
	ENGINE_BY_LOG,	  /* a log, or a webhook in its place */
	ENGINE_BY_FILTER, /* the MTA, before it logs */
	ENGINE_BY_KERNEL, /* the kernel, of replies in plain text */
	ENGINE_BY_GATE,	  /* the same, of connections that failed: it counts no messages */
	ENGINE_HEARINGS
};

/* A reply that the sidecar itself heard, from a log or a webhook, in a worker's place. Times are of
 * the monotonic clock. */
struct engine_heard {
	unsigned code;	   /* 0: the connection failed or broke */
	unsigned enhanced; /* REPLY_ENHANCED, or 0 */
	uint8_t stage;	   /* enum tg_stage */
	uint32_t n;	   /* messages or recipients */
	uint64_t replied_ns;
	uint64_t admitted_ns; /* 0: not known */
	const char *text;
	size_t length;
	bool old;   /* too long ago to judge by: it is counted in totals, and drives nothing */
	uint8_t by; /* enum engine_hearing */
	bool peer_known;
	uint8_t peer[16]; /* the host that was asked */
};

/* What was new about a reply that was heard. */
enum { ENGINE_HEARD_COUNTED = 1, ENGINE_HEARD_JUDGED = 2 };

/* As if a worker had reported it of that flow: totals, minute, classes, rules, control; once, however
 * many hear it (sidecar/engine/twice.h). Returns what of it was done. */
int engine_heard(struct engine *engine, uint32_t slot, const struct engine_heard *heard,
		 uint64_t now_ns);

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
	uint64_t seen_ns;
	uint64_t delivered, deferred, bounced;
};
int engine_restore(struct engine *engine, uint32_t slot, const struct engine_restored *restored);

/* Puts a known slot's limits in force now, before engine_work reaches it. */
void engine_settle(struct engine *engine, uint32_t slot, uint64_t now_ns);

/* ---- for explain and the operator's commands ------------------------------------------------- */

/* What is in force for a flow slot, and the controller's part in it (what the controller would say,
 * where the flow does not adapt). -ENOENT: no known flow. */
int engine_effective(struct engine *engine, uint32_t slot, uint64_t now_ns, struct effective *ret,
		     struct control_limits *ret_control, struct control_bounds *ret_bounds);

/* What rules and the operator set: CONSTRAINTS of them. */
const struct constraint *engine_effects(const struct engine *engine, uint32_t slot);

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

/* Forgets what was learned of a flow, and what the operator set. */
int engine_reset(struct engine *engine, uint32_t slot, uint64_t now_ns);

#endif
