/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/effective.h"

#include <stdbool.h>
#include <string.h>

#define NS_PER_S 1e9

static void caps_set(uint32_t to[TG_CLASSES], const uint32_t from[TG_CLASSES])
{
	for (int c = 0; c < TG_CLASSES; c++)
		to[c] = from[TG_TRANSACTIONAL] ? from[c] : PUBLISH_NO_CAP;
}

void effective_plain(const struct flow_limits *from, struct publish_limits *to)
{
	publish_unlimited(to);
	to->interval_ns = from->interval_ns;
	if (from->interval_ns)
		memcpy(to->burst, from->burst, sizeof(to->burst));
	caps_set(to->hour_cap, from->hour_cap);
	caps_set(to->day_cap, from->day_cap);
	to->hour_phase_s = from->hour_phase_s;
	to->day_phase_min = from->day_phase_min;
	to->connection_interval_ns = from->connection_interval_ns;
	to->connection_burst = from->connection_interval_ns ? from->connection_burst : UINT32_MAX;
	memcpy(to->connections, from->connections, sizeof(to->connections));
	to->per_connection = from->per_connection;
	to->flags = from->flags & FLOW_COUNT_RECIPIENTS ? LAYOUT_COUNT_RECIPIENTS : 0;
}

static double per_second(uint64_t interval_ns)
{
	return interval_ns ? NS_PER_S / (double)interval_ns : 0;
}

void effective_bounds(const struct flow_limits *from, int64_t wall_offset_ns,
		      struct control_bounds *to)
{
	*to = (struct control_bounds){
		.rate_max = per_second(from->ceiling_interval_ns),
		.rate_min = per_second(from->floor_interval_ns),
		.rate_start = per_second(from->start_interval_ns),
		.hour_cap = from->hour_cap[TG_TRANSACTIONAL],
		.day_cap = from->day_cap[TG_TRANSACTIONAL],
		.connections = from->connections[TG_TRANSACTIONAL],
		.per_connection = from->per_connection,
		.wall_offset_ns = wall_offset_ns,
	};
	memcpy(to->burst, from->burst, sizeof(to->burst));
}

/* A learned cap below the configured one keeps the configured reserves, as far as they fit. */
static bool cap_lower(uint32_t to[TG_CLASSES], uint32_t cap)
{
	uint32_t before = to[TG_TRANSACTIONAL];

	if (cap == 0 || cap >= before)
		return false;
	for (int c = 0; c < TG_CLASSES; c++) {
		uint32_t reserve = before == PUBLISH_NO_CAP ? 0 : before - to[c];

		to[c] = reserve < cap ? cap - reserve : 0;
	}
	return true;
}

static bool connections_lower(uint32_t to[TG_CLASSES], uint32_t most)
{
	bool lowered = false;

	for (int c = 0; most && c < TG_CLASSES; c++)
		if (to[c] == 0 || to[c] > most) {
			to[c] = most;
			lowered = true;
		}
	return lowered;
}

static bool number_lower(uint32_t *to, uint32_t most)
{
	if (most == 0 || (*to != 0 && *to <= most))
		return false;
	*to = most;
	return true;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Equal, but for the rounding of a float. */
static bool about(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= (a > b ? a : b) >> 20;
}

static void control_merge(struct effective *e, const struct control_limits *control,
			  uint64_t ceiling_ns, uint64_t now_ns)
{
	struct publish_limits *l = &e->limits;
	/* The controller computes in floating point: never past the configured ceiling, not by a
	 * rounding. */
	uint64_t interval_ns = later(control->interval_ns, ceiling_ns);

	if (!about(l->interval_ns, interval_ns) ||
	    memcmp(l->burst, control->burst, sizeof(l->burst)) != 0)
		e->rate_by = BY_CONTROL;
	l->interval_ns = interval_ns;
	if (l->interval_ns)
		memcpy(l->burst, control->burst, sizeof(l->burst));
	else
		memset(l->burst, 0xff, sizeof(l->burst));
	l->hold_until_ns = control->hold_until_ns[TG_TRANSACTIONAL];
	l->hold_lower_ns =
		later(control->hold_until_ns[TG_ENGAGED], control->hold_until_ns[TG_BULK]);
	if (later(l->hold_until_ns, l->hold_lower_ns) > now_ns)
		e->hold_by = BY_CONTROL;
	if (cap_lower(l->hour_cap, control->hour_cap)) {
		l->hour_phase_s = control->hour_phase_s;
		e->hour_by = BY_CONTROL;
	}
	if (cap_lower(l->day_cap, control->day_cap)) {
		l->day_phase_min = control->day_phase_min;
		e->day_by = BY_CONTROL;
	}
	if (connections_lower(l->connections, control->connections))
		e->connections_by = BY_CONTROL;
	if (number_lower(&l->per_connection, control->per_connection))
		e->per_connection_by = BY_CONTROL;
	l->flags |= control->report_delivered ? LAYOUT_REPORT_DELIVERED : 0;
}

static void interval_raise(struct publish_limits *l, uint64_t interval_ns)
{
	bool unlimited = l->interval_ns == 0;

	l->interval_ns = interval_ns;
	for (int c = 0; unlimited && c < TG_CLASSES; c++)
		l->burst[c] = 1;
}

static void effect_merge(struct effective *e, const struct effect *effect, int index)
{
	struct publish_limits *l = &e->limits;
	enum effective_by by = effect->by_hand ? BY_HAND : BY_RULE;
	uint32_t value = effect->value < UINT32_MAX ? (uint32_t)effect->value : UINT32_MAX - 1;

#define WINS(what)                        \
	do {                              \
		e->what##_by = by;        \
		e->what##_effect = index; \
	} while (0)
	switch (effect->kind) {
	case EFFECT_HOLD:
		if (effect->until_ns > l->hold_until_ns) {
			l->hold_until_ns = effect->until_ns;
			WINS(hold);
		}
		break;
	case EFFECT_INTERVAL:
		if (l->interval_ns == 0 || effect->value > l->interval_ns) {
			interval_raise(l, effect->value);
			WINS(rate);
		}
		break;
	case EFFECT_CONNECTIONS:
		if (connections_lower(l->connections, value))
			WINS(connections);
		break;
	case EFFECT_PER_CONNECTION:
		if (number_lower(&l->per_connection, value))
			WINS(per_connection);
		break;
	case EFFECT_HOUR:
		if (cap_lower(l->hour_cap, value))
			WINS(hour);
		break;
	case EFFECT_DAY:
		if (cap_lower(l->day_cap, value))
			WINS(day);
		break;
	default: break;
	}
#undef WINS
}

void effective_merge(const struct flow_limits *configured, const struct control_limits *control,
		     const struct effect effects[EFFECTS], uint32_t parents, uint64_t now_ns,
		     struct effective *ret)
{
	*ret = (struct effective){.rate_effect = -1,
				  .hold_effect = -1,
				  .hour_effect = -1,
				  .day_effect = -1,
				  .connections_effect = -1,
				  .per_connection_effect = -1,
				  .next_ns = UINT64_MAX};
	effective_plain(configured, &ret->limits);
	ret->limits.flags |= parents;
	if (control)
		control_merge(ret, control, configured->ceiling_interval_ns, now_ns);
	for (int i = 0; effects && i < EFFECTS; i++) {
		if (effects[i].kind == EFFECT_NONE || effects[i].until_ns <= now_ns)
			continue;
		effect_merge(ret, &effects[i], i);
		ret->next_ns =
			effects[i].until_ns < ret->next_ns ? effects[i].until_ns : ret->next_ns;
	}
}

/* How much is lost with an effect: nothing with one that has ended; the operator's, of which there
 * is one a kind at most, are not for rules to push out. */
static uint64_t worth(const struct effect *effect, uint64_t now_ns)
{
	if (effect->kind == EFFECT_NONE || effect->until_ns <= now_ns)
		return 0;
	return effect->by_hand ? UINT64_MAX : effect->until_ns;
}

void effect_add(struct effect effects[EFFECTS], const struct effect *effect, uint64_t now_ns)
{
	int place = 0;

	for (int i = 0; i < EFFECTS; i++) {
		if (effects[i].kind == effect->kind && effects[i].by_hand == effect->by_hand &&
		    strncmp(effects[i].name, effect->name, EFFECT_NAME) == 0 &&
		    effects[i].until_ns > now_ns) {
			place = i;
			break;
		}
		if (worth(&effects[i], now_ns) < worth(&effects[place], now_ns))
			place = i;
	}
	effects[place] = *effect;
	effects[place].name[EFFECT_NAME - 1] = '\0';
	effects[place].why[EFFECT_WHY - 1] = '\0';
}

unsigned effect_drop_by_hand(struct effect effects[EFFECTS], enum effect_kind kind)
{
	unsigned dropped = 0;

	for (int i = 0; i < EFFECTS; i++)
		if (effects[i].by_hand && effects[i].kind != EFFECT_NONE &&
		    (kind == EFFECT_NONE || effects[i].kind == kind)) {
			memset(&effects[i], 0, sizeof(effects[i]));
			dropped++;
		}
	return dropped;
}

void effects_check(struct effect effects[EFFECTS])
{
	for (int i = 0; i < EFFECTS; i++) {
		struct effect *e = &effects[i];

		if (e->kind >= EFFECT_KINDS || e->by_hand > 1 || e->name[EFFECT_NAME - 1] ||
		    e->why[EFFECT_WHY - 1])
			memset(e, 0, sizeof(*e));
	}
}
