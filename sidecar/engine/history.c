/* SPDX-License-Identifier: MIT
 *
 * The baseline of each flow: what it delivers is counted, and what its history allows is put in
 * force. The arithmetic is baseline.c's.
 */
#include <errno.h>

#include "shm/gcra.h"
#include "shm/window.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/state.h"

/* The hours and days by which the flow's caps go. */
static uint64_t flags_of(const struct engine *e, uint32_t slot)
{
	return window_load(&publish_in_force(e->segment, slot).limits->flags);
}

static struct baseline_when when_of(const struct engine *e, uint32_t slot, uint64_t now_ns)
{
	uint64_t flags = flags_of(e, slot);
	const struct layout_calendar *calendar = e->segment->calendar;

	return (struct baseline_when){
		.minute = (uint32_t)((now_ns + (uint64_t)e->wall_offset_ns) / WINDOW_MINUTE_NS),
		.hour = window_hour(calendar, flags, now_ns),
		.day = window_day(calendar, flags, now_ns),
	};
}

static struct baseline_policy policy_of(const struct flow_limits *configured)
{
	struct baseline_policy policy = {.factor = configured->baseline_factor};

	for (int span = 0; span < BASELINE_SPANS; span++)
		policy.floor[span] = configured->baseline_floor[span];
	return policy;
}

/* ---- counting -------------------------------------------------------------------------------- */

static bool count_full(uint64_t word, uint32_t period, uint32_t cap)
{
	return window_period(word) == period && !window_fits((uint32_t)word, cap, 1);
}

/* Whether bulk mail would have to wait just now. */
static bool paced(const struct engine *e, uint32_t slot, const struct baseline_when *when,
		  uint64_t now_ns)
{
	const struct layout_limits *limits = publish_in_force(e->segment, slot).limits;
	const struct layout_counters *counters = &e->segment->view.counters[slot];
	uint64_t rate = window_load(&limits->rate[TG_BULK]), flags = window_load(&limits->flags);
	uint64_t left;

	if (gcra_interval(rate) &&
	    !gcra_conforms(window_load(&counters->tat), rate, gcra_burst(rate), 1, now_ns, &left))
		return true;
	/* Relaxed: each word is valid by itself. */
	return (flags & LAYOUT_HOUR && count_full(window_load(&counters->hour), when->hour,
						  atomic_load_explicit(&limits->hour_cap[TG_BULK],
								       memory_order_relaxed))) ||
	       (flags & LAYOUT_DAY &&
		count_full(window_load(&counters->day), when->day,
			   atomic_load_explicit(&limits->day_cap[TG_BULK], memory_order_relaxed)));
}

bool engine_history_count(const struct engine *e, uint32_t slot, struct engine_life *life,
			  uint32_t delivered, uint64_t now_ns)
{
	struct baseline_when when = when_of(e, slot, now_ns);

	return delivered &&
	       baseline_count(&life->baseline, &when, delivered, paced(e, slot, &when, now_ns));
}

bool engine_history_plain(const struct engine *e, uint32_t slot, const struct engine_life *life,
			  uint64_t now_ns)
{
	struct baseline_policy policy = policy_of(engine_configured(e, slot));
	struct baseline_when when = when_of(e, slot, now_ns);

	return baseline_plain(&life->baseline, &policy, &when);
}

/* ---- in force -------------------------------------------------------------------------------- */

void engine_history_apply(const struct engine *e, uint32_t slot,
			  const struct flow_limits *configured, const struct engine_life *life,
			  uint64_t now_ns, struct effective *effective)
{
	struct baseline_policy policy = policy_of(configured);
	uint64_t flags, day_end_ns;
	struct baseline_when when;
	uint32_t caps[BASELINE_SPANS];

	if (policy.factor == 0)
		return;
	when = when_of(e, slot, now_ns);
	if (!baseline_caps(life ? &life->baseline : NULL, &policy, &when, caps))
		return;
	effective_baseline(effective, caps);
	if (life == NULL)
		return;
	/* A new day has other caps. */
	flags = flags_of(e, slot);
	day_end_ns = window_day_end(e->segment->calendar, flags, when.day);
	if (day_end_ns > now_ns && day_end_ns < effective->next_ns)
		effective->next_ns = day_end_ns;
}

void engine_history_begin(const struct flow_limits *configured, struct effective *effective)
{
	struct baseline_policy policy = policy_of(configured);
	const struct baseline_when when = {.day = 0};
	uint32_t caps[BASELINE_SPANS];

	if (baseline_caps(NULL, &policy, &when, caps))
		effective_baseline(effective, caps);
}

/* ---- from elsewhere -------------------------------------------------------------------------- */

void engine_history_move(const struct engine *e, uint32_t slot, struct engine_life *life,
			 const struct baseline *other, uint64_t now_ns)
{
	struct baseline_when when = when_of(e, slot, now_ns);

	baseline_merge(&life->baseline, other, &when);
}

int engine_seed(struct engine *e, uint32_t slot, const double peaks[BASELINE_SPANS],
		uint64_t now_ns)
{
	struct baseline_when when;
	struct engine_life *life;

	if (slot >= e->segment->view.slots || segment_kind(e->segment, slot) != SEGMENT_FLOW)
		return -ENOENT;
	when = when_of(e, slot, now_ns);
	life = engine_live(e, slot, now_ns);
	if (life == NULL)
		return -ENOSPC;
	baseline_raise(&life->baseline, &when, peaks);
	engine_publish(e, slot, now_ns);
	return 0;
}

bool engine_history(const struct engine *e, uint32_t slot, uint64_t now_ns,
		    double ret_peaks[BASELINE_SPANS], uint32_t ret_caps[BASELINE_SPANS])
{
	const struct engine_life *life = segment_block(e->segment, slot, ENGINE_LIFE);
	struct baseline_policy policy = policy_of(engine_configured(e, slot));
	struct baseline_when when = when_of(e, slot, now_ns);

	for (int span = 0; span < BASELINE_SPANS; span++)
		ret_peaks[span] =
			life ? baseline_peak(&life->baseline, (enum baseline_span)span, &when) : 0;
	return baseline_caps(life ? &life->baseline : NULL, &policy, &when, ret_caps);
}
