/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/effective.h"

#include <math.h>
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

/* A learned cap below the configured one keeps the configured reserves, as far as they fit; where
 * none is configured, a reserve for transactional mail. */
static bool cap_lower(uint32_t to[TG_CLASSES], uint32_t cap, uint32_t transactional)
{
	uint32_t before = to[TG_TRANSACTIONAL];

	if (cap == 0 || cap >= before)
		return false;
	for (int c = 0; c < TG_CLASSES; c++) {
		uint32_t reserve = before != PUBLISH_NO_CAP ? before - to[c]
				   : c == TG_TRANSACTIONAL  ? 0
							    : transactional;

		to[c] = reserve < cap ? cap - reserve : 0;
	}
	return true;
}

static bool connections_lower(uint32_t to[TG_CLASSES], uint32_t max)
{
	bool lowered = false;

	for (int c = 0; max && c < TG_CLASSES; c++)
		if (to[c] == 0 || to[c] > max) {
			to[c] = max;
			lowered = true;
		}
	return lowered;
}

static bool number_lower(uint32_t *to, uint32_t max)
{
	if (max == 0 || (*to != 0 && *to <= max))
		return false;
	*to = max;
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
	if (cap_lower(l->hour_cap, control->hour_cap, control->hour_reserve)) {
		l->hour_phase_s = control->hour_phase_s;
		e->hour_by = BY_CONTROL;
	}
	if (cap_lower(l->day_cap, control->day_cap, control->day_reserve)) {
		l->day_phase_min = control->day_phase_min;
		e->day_by = BY_CONTROL;
	}
	if (control->connection_interval_ns > l->connection_interval_ns) {
		l->connection_interval_ns = control->connection_interval_ns;
		l->connection_burst = 1;
	}
	if (connections_lower(l->connections, control->connections))
		e->connections_by = BY_CONTROL;
	if (number_lower(&l->per_connection, control->per_connection))
		e->per_connection_by = BY_CONTROL;
	l->flags |= control->report_delivered ? LAYOUT_REPORT_DELIVERED : 0;
	if (control->phase == CONTROL_HELD || control->phase == CONTROL_PROBING)
		l->flags |= LAYOUT_PROBING;
}

static void interval_raise(struct publish_limits *l, uint64_t interval_ns)
{
	bool unlimited = l->interval_ns == 0;

	l->interval_ns = interval_ns;
	for (int c = 0; unlimited && c < TG_CLASSES; c++)
		l->burst[c] = 1;
}

static void constraint_merge(struct effective *e, const struct constraint *constraint, int index)
{
	struct publish_limits *l = &e->limits;
	enum effective_by by = constraint->by_operator ? BY_OPERATOR : BY_RULE;
	uint32_t value =
		constraint->value < UINT32_MAX ? (uint32_t)constraint->value : UINT32_MAX - 1;

#define WINS(what)                            \
	do {                                  \
		e->what##_by = by;            \
		e->what##_constraint = index; \
	} while (0)
	switch (constraint->kind) {
	case CONSTRAINT_HOLD:
		if (constraint->until_ns > l->hold_until_ns) {
			l->hold_until_ns = constraint->until_ns;
			WINS(hold);
		}
		break;
	case CONSTRAINT_INTERVAL:
		if (l->interval_ns == 0 || constraint->value > l->interval_ns) {
			interval_raise(l, constraint->value);
			WINS(rate);
		}
		break;
	case CONSTRAINT_CONNECTIONS:
		if (connections_lower(l->connections, value))
			WINS(connections);
		break;
	case CONSTRAINT_PER_CONNECTION:
		if (number_lower(&l->per_connection, value))
			WINS(per_connection);
		break;
	case CONSTRAINT_HOUR:
		if (cap_lower(l->hour_cap, value, 0))
			WINS(hour);
		break;
	case CONSTRAINT_DAY:
		if (cap_lower(l->day_cap, value, 0))
			WINS(day);
		break;
	default: break;
	}
#undef WINS
}

void effective_merge(const struct flow_limits *configured, const struct control_limits *control,
		     const struct constraint constraints[CONSTRAINTS], uint32_t parents,
		     uint64_t now_ns, struct effective *ret)
{
	*ret = (struct effective){.rate_constraint = -1,
				  .hold_constraint = -1,
				  .hour_constraint = -1,
				  .day_constraint = -1,
				  .connections_constraint = -1,
				  .per_connection_constraint = -1,
				  .next_ns = UINT64_MAX};
	effective_plain(configured, &ret->limits);
	ret->limits.flags |= parents;
	if (control)
		control_merge(ret, control, configured->ceiling_interval_ns, now_ns);
	for (int i = 0; constraints && i < CONSTRAINTS; i++) {
		if (constraints[i].kind == CONSTRAINT_NONE || constraints[i].until_ns <= now_ns)
			continue;
		constraint_merge(ret, &constraints[i], i);
		ret->next_ns = constraints[i].until_ns < ret->next_ns ? constraints[i].until_ns
								      : ret->next_ns;
	}
}

/* ---- the baseline ---------------------------------------------------------------------------- */

#define MINUTE_NS     UINT64_C(60000000000)
#define BURST_SHARE   4	  /* of a minute's messages that may go at once */
#define RESERVE_SHARE 10  /* of a cap, for transactional mail, where none is configured … */
#define RESERVE_HOUR  250 /* … but of a small one more than a tenth: up to half, and to so many */
#define RESERVE_DAY   1000

static uint64_t minute_most(const struct publish_limits *l)
{
	if (l->interval_ns == 0)
		return UINT64_MAX;
	return l->burst[TG_TRANSACTIONAL] + (MINUTE_NS + l->interval_ns - 1) / l->interval_ns - 1;
}

/* The classes keep their parts of it; where there was none, a fifth is for transactional mail. */
static void burst_lower(uint32_t burst[TG_CLASSES], uint32_t most, bool unlimited)
{
	uint32_t before = burst[TG_TRANSACTIONAL];

	for (int c = TG_CLASSES - 1; c >= 0 && before > most; c--) {
		uint64_t part = unlimited ? most - (c == TG_TRANSACTIONAL ? 0 : (most + 4) / 5)
					  : (uint64_t)burst[c] * most / before;

		burst[c] = part ? (uint32_t)part : 1;
	}
}

/* So that no window of a minute has more: the burst comes at once, the others an interval apart. */
static bool minute_lower(struct publish_limits *l, uint32_t most)
{
	uint32_t burst = most >= BURST_SHARE ? most / BURST_SHARE : 1;
	uint64_t intervals = (uint64_t)most - burst + 1;
	uint64_t interval_ns = (MINUTE_NS + intervals - 1) / intervals;

	if (minute_most(l) <= most)
		return false;
	burst_lower(l->burst, burst, l->interval_ns == 0);
	l->interval_ns = later(l->interval_ns, interval_ns);
	return true;
}

static uint32_t reserve_of(uint32_t cap, uint32_t small)
{
	uint32_t half = cap / 2, tenth = cap / RESERVE_SHARE;
	uint32_t least = half < small ? half : small;

	return tenth > least ? tenth : least;
}

void effective_baseline(struct effective *e, const uint32_t caps[BASELINE_SPANS])
{
	struct publish_limits *l = &e->limits;
	uint32_t hour = caps[BASELINE_HOUR], day = caps[BASELINE_DAY];

	if (minute_lower(l, caps[BASELINE_MINUTE])) {
		e->rate_by = BY_BASELINE;
		e->rate_constraint = -1;
	}
	if (cap_lower(l->hour_cap, hour, reserve_of(hour, RESERVE_HOUR))) {
		e->hour_by = BY_BASELINE;
		e->hour_constraint = -1;
	}
	if (cap_lower(l->day_cap, day, reserve_of(day, RESERVE_DAY))) {
		e->day_by = BY_BASELINE;
		e->day_constraint = -1;
	}
}

#define HOUR_NS	    UINT64_C(3600000000000)
#define HOUR_PIECES 12 /* of what the lowest class has of an hour, one may go at once */

/* ---- warm-up ---------------------------------------------------------------------------------- */

static bool caps_lower(uint32_t to[TG_CLASSES], const uint32_t caps[TG_CLASSES])
{
	bool lowered = caps[TG_TRANSACTIONAL] < to[TG_TRANSACTIONAL];

	for (int c = 0; c < TG_CLASSES; c++)
		to[c] = caps[c] < to[c] ? caps[c] : to[c];
	return lowered;
}

/* The hour's messages come an interval apart, and few at once, but for what is kept of them for the
 * better classes: that may go at any time. A flow that probes has a rate that lets a single message
 * go. */
static void hour_spread(struct effective *e, const uint32_t hour[TG_CLASSES])
{
	struct publish_limits *l = &e->limits;
	uint32_t total = hour[TG_TRANSACTIONAL] ? hour[TG_TRANSACTIONAL] : 1;
	uint32_t piece = hour[TG_BULK] / HOUR_PIECES ? hour[TG_BULK] / HOUR_PIECES : 1;
	uint64_t interval_ns = (HOUR_NS + total - 1) / total;

	if (total == PUBLISH_NO_CAP || l->flags & LAYOUT_PROBING || l->interval_ns >= interval_ns)
		return;
	for (int c = 0; c < TG_CLASSES; c++) {
		uint32_t at_once = piece + hour[c] - hour[TG_BULK];

		if (l->interval_ns == 0 || l->burst[c] > at_once)
			l->burst[c] = at_once;
	}
	l->interval_ns = interval_ns;
	e->rate_by = BY_WARMUP;
	e->rate_constraint = -1;
}

void effective_warmup(struct effective *e, const struct flow_limits *configured,
		      const struct warmup_caps *caps)
{
	if (caps_lower(e->limits.hour_cap, caps->hour)) {
		e->limits.hour_phase_s = configured->hour_phase_s;
		e->hour_by = BY_WARMUP;
		e->hour_constraint = -1;
	}
	if (caps_lower(e->limits.day_cap, caps->day)) {
		e->limits.day_phase_min = configured->day_phase_min;
		e->day_by = BY_WARMUP;
		e->day_constraint = -1;
	}
	hour_spread(e, caps->hour);
}

/* ---- shares ---------------------------------------------------------------------------------- */

double constraint_share(const struct constraint *constraint, uint64_t now_ns)
{
	double share = (double)(constraint->value & ((1u << CONSTRAINT_SHARE_BITS) - 1)) /
		       CONSTRAINT_SHARE_ONE;
	uint64_t left_ns = constraint->until_ns > now_ns ? constraint->until_ns - now_ns : 0;
	double hours = ceil((double)left_ns / HOUR_NS);

	share = share < 1e-3 ? 1e-3 : share > 1 ? 1 : share;
	return left_ns < CONSTRAINT_SHARE_BACK_NS
		       ? pow(share, hours * HOUR_NS / CONSTRAINT_SHARE_BACK_NS)
		       : share;
}

/* When the share is another by itself. */
static uint64_t share_next(const struct constraint *constraint, uint64_t now_ns)
{
	uint64_t left_ns = constraint->until_ns - now_ns;

	if (left_ns > CONSTRAINT_SHARE_BACK_NS)
		return constraint->until_ns - CONSTRAINT_SHARE_BACK_NS;
	return now_ns + (left_ns % HOUR_NS ? left_ns % HOUR_NS : HOUR_NS);
}

static bool cap_scale(uint32_t cap[TG_CLASSES], double share)
{
	bool scaled = false;

	for (int c = 0; c < TG_CLASSES; c++)
		if (cap[c] != PUBLISH_NO_CAP) {
			cap[c] = (uint32_t)fmax(c == TG_TRANSACTIONAL, cap[c] * share);
			scaled = true;
		}
	return scaled;
}

static void share_apply(struct effective *e, double share, int index)
{
	struct publish_limits *l = &e->limits;

#define WINS(what)                            \
	do {                                  \
		e->what##_by = BY_RULE;       \
		e->what##_constraint = index; \
	} while (0)
	/* One that probes has a rate that lets a single message go. */
	if (l->interval_ns && !(l->flags & LAYOUT_PROBING)) {
		l->interval_ns = (uint64_t)ceil((double)l->interval_ns / share);
		for (int c = 0; c < TG_CLASSES; c++)
			l->burst[c] = (uint32_t)fmax(1, l->burst[c] * share);
		WINS(rate);
	}
	if (cap_scale(l->hour_cap, share))
		WINS(hour);
	if (cap_scale(l->day_cap, share))
		WINS(day);
#undef WINS
}

void effective_share(struct effective *e, const struct constraint constraints[CONSTRAINTS],
		     uint64_t now_ns)
{
	double least = 1;
	int index = -1;

	for (int i = 0; i < CONSTRAINTS; i++) {
		const struct constraint *c = &constraints[i];
		double share;

		if (c->kind != CONSTRAINT_SHARE || c->until_ns <= now_ns)
			continue;
		share = constraint_share(c, now_ns);
		if (share < least) {
			least = share;
			index = i;
		}
		if (share_next(c, now_ns) < e->next_ns)
			e->next_ns = share_next(c, now_ns);
	}
	if (index >= 0)
		share_apply(e, least, index);
}

/* How much is lost with an effect: nothing with one that has ended; the operator's, of which there
 * is one a kind at most, are not for rules to push out. */
static uint64_t worth(const struct constraint *constraint, uint64_t now_ns)
{
	if (constraint->kind == CONSTRAINT_NONE || constraint->until_ns <= now_ns)
		return 0;
	return constraint->by_operator ? UINT64_MAX : constraint->until_ns;
}

void constraint_add(struct constraint constraints[CONSTRAINTS], const struct constraint *constraint,
		    uint64_t now_ns)
{
	int place = 0;

	for (int i = 0; i < CONSTRAINTS; i++) {
		if (constraints[i].kind == constraint->kind &&
		    constraints[i].by_operator == constraint->by_operator &&
		    strncmp(constraints[i].name, constraint->name, CONSTRAINT_NAME) == 0 &&
		    constraints[i].until_ns > now_ns) {
			place = i;
			break;
		}
		if (worth(&constraints[i], now_ns) < worth(&constraints[place], now_ns))
			place = i;
	}
	constraints[place] = *constraint;
	constraints[place].name[CONSTRAINT_NAME - 1] = '\0';
	constraints[place].why[CONSTRAINT_WHY - 1] = '\0';
}

unsigned constraint_remove_by_operator(struct constraint constraints[CONSTRAINTS],
				       enum constraint_kind kind)
{
	unsigned dropped = 0;

	for (int i = 0; i < CONSTRAINTS; i++)
		if (constraints[i].by_operator && constraints[i].kind != CONSTRAINT_NONE &&
		    (kind == CONSTRAINT_NONE || constraints[i].kind == kind)) {
			memset(&constraints[i], 0, sizeof(constraints[i]));
			dropped++;
		}
	return dropped;
}

void constraints_check(struct constraint constraints[CONSTRAINTS])
{
	for (int i = 0; i < CONSTRAINTS; i++) {
		struct constraint *e = &constraints[i];

		if (e->kind >= CONSTRAINT_KINDS || e->by_operator > 1 ||
		    e->name[CONSTRAINT_NAME - 1] || e->why[CONSTRAINT_WHY - 1])
			memset(e, 0, sizeof(*e));
	}
}
