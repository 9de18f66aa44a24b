/* SPDX-License-Identifier: MIT
 *
 * What may be forgotten, and the engine after slots have got other numbers.
 *
 * A flow that is idle, holds nothing, learned nothing and is within no window behaves like one that
 * was never seen: forgetting it changes nothing but the room it takes. What its words say is for
 * the replacement to judge, which looks at them last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

#define SECOND_NS    UINT64_C(1000000000)
#define DAY_S	     86400
#define QUIET_NS     (3900 * SECOND_NS) /* longer than the receiver's hour */
#define REPLIES_S    DAY_S		/* replies are shown for so long */
#define LEARNED_S    (90 * DAY_S) /* what a receiver took a season ago says nothing any more */
#define FULL_PERCENT 80
#define WORTH_SHARE  8 /* less than the eighth part is not worth it */
#define AGAIN_NS     (600 * SECOND_NS)

static bool used_of_late(const struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct layout_counters *counters = &e->segment->view.counters[slot];
	uint64_t word = atomic_load_explicit(&counters->tat, memory_order_relaxed);
	uint64_t tat = word ^ gcra_epoch(word);

	return tat != 0 && tat + QUIET_NS > now_ns;
}

static bool effects_hold(const struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct constraint *constraints = engine_effects(e, slot);

	for (int i = 0; i < CONSTRAINTS; i++)
		if (constraints[i].kind != CONSTRAINT_NONE && constraints[i].until_ns > now_ns)
			return true;
	return false;
}

bool engine_keeps(const struct engine *e, uint32_t slot, uint64_t now_ns)
{
	const struct engine_flow *flow = engine_flow_of(e, slot);
	uint32_t now_s = (uint32_t)(now_ns / SECOND_NS);
	uint32_t quiet_s = now_s > flow->seen_s ? now_s - flow->seen_s : 0;

	/* Parents are kept by their flows. */
	if (segment_kind(e->segment, slot) != SEGMENT_FLOW)
		return false;
	if (flow->blocks[ENGINE_MINUTES] || used_of_late(e, slot, now_ns) ||
	    effects_hold(e, slot, now_ns))
		return true;
	if ((flow->blocks[ENGINE_LIFE] || flow->blocks[ENGINE_WARMUP] ||
	     flow->blocks[ENGINE_SHARED]) &&
	    quiet_s < LEARNED_S)
		return true;
	return flow->blocks[ENGINE_REPLIES] && quiet_s < REPLIES_S;
}

void engine_forget_look(struct engine *e, uint32_t slot, uint64_t now_ns)
{
	if (e->tick == 0) {
		e->forgettable = e->forgettable_so_far;
		e->forgettable_so_far = 0;
	}
	e->forgettable_so_far +=
		segment_kind(e->segment, slot) == SEGMENT_FLOW && !engine_keeps(e, slot, now_ns);
}

bool engine_forgets(const struct engine *e, bool night, uint64_t now_ns)
{
	uint64_t flows = e->segment->header.sizes.flows, known = e->count;

	if (e->forgettable < known / WORTH_SHARE + 1 || now_ns < e->forgot_ns + AGAIN_NS)
		return false;
	return night || known >= flows * FULL_PERCENT / 100;
}

int engine_renewed(struct engine *e, uint64_t now_ns)
{
	uint32_t records = e->segment->known_room;
	uint32_t *configured = calloc(records, sizeof(*configured));
	uint32_t *heard = calloc(records, sizeof(*heard));
	struct limits_set *limits = NULL;
	struct timer_heap *timers = NULL;

	if (configured == NULL || heard == NULL || limits_set_create(&limits) != 0 ||
	    timer_heap_create(records, &timers) != 0) {
		limits_set_free(limits);
		free(configured);
		free(heard);
		return -ENOMEM;
	}
	limits_set_free(e->limits);
	timer_heap_free(e->timers);
	free(e->configured);
	free(e->heard);
	e->limits = limits;
	e->timers = timers;
	e->configured = configured;
	e->heard = heard;
	e->count = e->tick = e->looks = 0;
	e->forgettable = e->forgettable_so_far = 0;
	e->forgot_ns = now_ns;
	if (e->changed && engine_track(e) != 0)
		return -ENOMEM;
	engine_unnamed_restart(e->unnamed);
	engine_pools_renewed(e);
	engine_sharing_free(e);
	engine_take_in(e, now_ns);
	engine_sharing_resume(e, now_ns);
	return 0;
}
