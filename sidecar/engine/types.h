/* SPDX-License-Identifier: MIT
 *
 * What the engine keeps and tells, for its files and for those that ask it.
 */
#ifndef SIDECAR_ENGINE_TYPES_H
#define SIDECAR_ENGINE_TYPES_H

#include "shm/destination.h"
#include "sidecar/alert/command.h"
#include "sidecar/config/config.h"
#include "sidecar/control/sharing.h"
#include "sidecar/engine/baseline.h"
#include "sidecar/engine/effective.h"
#include "sidecar/engine/pool_health.h"
#include "sidecar/engine/warmup.h"
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
enum engine_pool {
	ENGINE_LIFE,
	ENGINE_EFFECTS,
	ENGINE_REPLIES,
	ENGINE_MINUTES,
	ENGINE_WARMUP,
	ENGINE_SHARED,
};

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
	struct baseline baseline;
};

/* What was learned of a limit that the sources of a pool share there, kept beside one of its flows. */
struct engine_shared {
	struct sharing_kept kept;
	uint64_t pool; /* of its name, a hash; 0: in none */
};

struct engine_replies {
	uint32_t next; /* where the next one goes */
	uint32_t reserved;
	struct reply_history history[REPLY_HISTORY];
};

/* How a flow warms up, for those who show it. */
struct engine_warmup {
	const struct warmup *state;
	const char *schedule;
	struct warmup_plan plan;
	struct warmup_caps caps;
};

struct engine;

#define ENGINE_WATCHERS 8

struct engine_totals {
	uint64_t replies;
	uint64_t by_class[REPLY_CLASSES];
	uint64_t learned;  /* slots named */
	uint64_t unfit;	   /* announcements that did not fit their slot */
	uint64_t repaired; /* words repaired */
	uint64_t changes;  /* of limits */
	uint64_t fired;	   /* rules */
};

/* An alert that begins: called from engine_record, must not block. about's texts live as long as
 * the call. */
typedef void engine_alert(void *arg, const struct rule *rule, const struct rule_action *plan,
			  const struct alert_command_about *about);

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

/* Who is told what the engine hears and does, from within its calls: must not block, and must
 * change nothing here. Pointers are good during the call; each function may be NULL. */
struct engine_watcher {
	void *arg;
	/* Messages of a flow that were delivered since the last look, which is a second ago or so. */
	void (*delivered)(void *arg, uint32_t slot, uint32_t messages, uint64_t now_ns);
	/* Of each reply that was no delivery. */
	void (*reply)(void *arg, const struct layout_record *reply,
		      const struct classification *classification, uint64_t now_ns);
	void (*action)(void *arg, const struct engine_action *action, uint64_t now_ns);
	/* Of each change of a flow's limits. */
	void (*change)(void *arg, const struct engine_change *change, uint64_t now_ns);
};

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
	/* Too long ago to judge by, or no receiver's doing: counted in totals, it drives nothing. */
	bool counts_alone;
	uint8_t by; /* enum engine_hearing */
	bool peer_known;
	uint8_t peer[16]; /* the host that was asked */
};

/* What was new about a reply that was heard. */
enum { ENGINE_HEARD_COUNTED = 1, ENGINE_HEARD_JUDGED = 2 };

#endif
