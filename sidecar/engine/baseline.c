/* SPDX-License-Identifier: MIT
 *
 * See baseline.h. Peaks are kept as logarithms in 16 bits, to a part in 3,000.
 */
#include "sidecar/engine/baseline.h"

#include <math.h>
#include <string.h>

#define STEPS	     2048.0 /* an octave */
#define CAP_MAX	     (UINT32_MAX - 2)
#define DAY_MINUTES  (60.0 * BASELINE_DAY_HOURS)
#define ROUNDING     1.001    /* of what is packed */
#define QUIET_PIECES 24	      /* that are an hour apart, in a day */
#define JUMP_DAYS    2	      /* more of them at once may be a wrong clock's */
#define FAR	     INT8_MAX /* as many days or more */

/* ---- numbers --------------------------------------------------------------------------------- */

static uint16_t pack(double value)
{
	double packed = value > 0 ? round(log2(value + 1) * STEPS) : 0;

	return packed < UINT16_MAX ? (uint16_t)packed : UINT16_MAX;
}

static double unpack(uint16_t packed)
{
	return exp2(packed / STEPS) - 1;
}

double baseline_faded(double peak, double days)
{
	return days > 0 ? peak * exp2(-days / BASELINE_HALF_DAYS) : peak;
}

static uint32_t sum(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* ---- periods --------------------------------------------------------------------------------- */

/* The minute or the hour is over. What was paced tells nothing. */
static void span_end(struct baseline *b, enum baseline_span span)
{
	uint16_t packed = pack(b->count[span]);

	if (!(b->paced & 1u << span) && packed > b->best[span])
		b->best[span] = packed;
	b->count[span] = 0;
	b->paced &= (uint8_t) ~(1u << span);
}

/* Today becomes a day of the past, and it is that many days later. What is remembered of yesterday
 * has not faded yet. */
static void day_end(struct baseline *b, int days)
{
	for (int span = 0; span < BASELINE_SPANS; span++) {
		double today = span == BASELINE_DAY ? b->count[span] : unpack(b->best[span]);
		double before = baseline_faded(unpack(b->peak[span]), days);

		b->peak[span] = pack(fmax(before, baseline_faded(today, days - 1)));
	}
	memset(b->best, 0, sizeof(b->best));
	b->count[BASELINE_DAY] = 0;
}

/* What was counted is of no day that is known. */
static void day_drop(struct baseline *b)
{
	memset(b->count, 0, sizeof(b->count));
	memset(b->best, 0, sizeof(b->best));
	b->paced = 0;
}

/* ---- a clock that jumps ---------------------------------------------------------------------- */

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* The peaks as they are now, in case the clock comes back to here. False: there are none. */
static bool before_keep(struct baseline *b)
{
	struct baseline then = *b;

	day_end(&then, 1);
	b->minute_before = (uint8_t)(then.peak[BASELINE_MINUTE] >> 8);
	b->hour_before = (uint8_t)(then.peak[BASELINE_HOUR] >> 8);
	b->day_before = (uint8_t)(then.peak[BASELINE_DAY] >> 8);
	return b->day_before > 0;
}

static void before_restore(struct baseline *b)
{
	const uint8_t before[] = {b->minute_before, b->hour_before, b->day_before};

	for (int span = 0; span < BASELINE_SPANS; span++) {
		uint16_t packed = (uint16_t)(before[span] << 8);

		b->peak[span] = packed > b->peak[span] ? packed : b->peak[span];
	}
	b->ahead = 0;
}

/* The clock went on by so many days. Returns by how many of them what is remembered fades. */
static int clock_ahead(struct baseline *b, int days)
{
	int behind = b->ahead < 0 ? -b->ahead : 0;

	if (behind && days > JUMP_DAYS) { /* put right */
		days = behind == FAR ? 0 : days - least(days, behind);
		b->ahead = 0;
	}
	if (days <= JUMP_DAYS) {
		if (b->ahead != 0 && b->ahead < FAR && b->ahead > -FAR)
			b->ahead = (int8_t)(b->ahead + days < FAR ? b->ahead + days : 0);
		return days;
	}
	if (b->ahead == 0 || (b->ahead < FAR && b->ahead + days >= FAR)) {
		b->ahead = (int8_t)(before_keep(b) ? least(days, FAR) : 0);
	} else if (b->ahead < FAR) {
		b->ahead = (int8_t)(b->ahead + days);
	}
	return days;
}

static void clock_back(struct baseline *b, int days)
{
	int over = days - b->ahead;

	if (b->ahead <= 0) {
		b->ahead = (int8_t)-least(over, FAR);
	} else if (over < -JUMP_DAYS) {
		b->ahead = (int8_t)-over;
	} else {
		bool far = b->ahead == FAR;

		before_restore(b);
		b->ahead = (int8_t)(far || over <= JUMP_DAYS ? 0 : -least(over, FAR));
	}
}

/* Brings it to that time. True: another day began. */
static bool advance(struct baseline *b, const struct baseline_when *when)
{
	int16_t days = (int16_t)(uint16_t)(when->day - b->day);

	if (days != 0 || b->minute != (uint16_t)when->minute)
		span_end(b, BASELINE_MINUTE);
	if (days != 0 || b->hour != (uint8_t)when->hour)
		span_end(b, BASELINE_HOUR);
	if (days > 0) {
		day_end(b, clock_ahead(b, days));
	} else if (days < 0) {
		clock_back(b, -days);
		day_drop(b);
	}
	b->minute = (uint16_t)when->minute;
	b->hour = (uint8_t)when->hour;
	b->day = (uint16_t)when->day;
	return days != 0;
}

bool baseline_count(struct baseline *b, const struct baseline_when *when, uint32_t messages,
		    bool paced)
{
	bool day = advance(b, when);

	for (int span = 0; span < BASELINE_SPANS; span++)
		b->count[span] = sum(b->count[span], messages);
	if (paced)
		b->paced |= 1u << BASELINE_MINUTE | 1u << BASELINE_HOUR;
	return day;
}

/* ---- caps ------------------------------------------------------------------------------------ */

double baseline_peak(const struct baseline *b, enum baseline_span span,
		     const struct baseline_when *when)
{
	struct baseline then = *b;

	advance(&then, when);
	return unpack(then.peak[span]);
}

static uint32_t cap_of(double value, uint32_t floor_messages)
{
	double cap = fmax(round(value), floor_messages);

	return cap < 1 ? 1 : cap < CAP_MAX ? (uint32_t)cap : CAP_MAX;
}

bool baseline_caps(const struct baseline *b, const struct baseline_policy *policy,
		   const struct baseline_when *when, uint32_t ret[BASELINE_SPANS])
{
	double factor = policy->factor / 1000.0, most[BASELINE_SPANS] = {0};
	struct baseline then = {.day = 0};

	if (policy->factor == 0)
		return false;
	if (b) {
		then = *b;
		advance(&then, when);
	}
	for (int span = 0; span < BASELINE_SPANS; span++)
		most[span] = factor * unpack(then.peak[span]);
	most[BASELINE_HOUR] = fmax(most[BASELINE_HOUR], most[BASELINE_DAY] / BASELINE_DAY_HOURS);
	most[BASELINE_MINUTE] = fmax(most[BASELINE_MINUTE], most[BASELINE_DAY] / DAY_MINUTES);
	for (int span = 0; span < BASELINE_SPANS; span++)
		ret[span] = cap_of(most[span], policy->floor[span]);
	return true;
}

/* ---- history from elsewhere ------------------------------------------------------------------ */

void baseline_raise(struct baseline *b, const struct baseline_when *when,
		    const double peaks[BASELINE_SPANS])
{
	advance(b, when);
	for (int span = 0; span < BASELINE_SPANS; span++) {
		uint16_t packed = pack(peaks[span]);

		b->peak[span] = packed > b->peak[span] ? packed : b->peak[span];
	}
}

void baseline_merge(struct baseline *b, const struct baseline *other,
		    const struct baseline_when *when)
{
	struct baseline then = *other;

	advance(&then, when);
	advance(b, when);
	for (int span = 0; span < BASELINE_SPANS; span++) {
		b->peak[span] = then.peak[span] > b->peak[span] ? then.peak[span] : b->peak[span];
		b->count[span] = sum(b->count[span], then.count[span]);
	}
	for (int span = 0; span < BASELINE_DAY; span++)
		b->best[span] = then.best[span] > b->best[span] ? then.best[span] : b->best[span];
	b->paced |= then.paced;
}

bool baseline_plain(const struct baseline *b, const struct baseline_policy *policy,
		    const struct baseline_when *when)
{
	/* One that is off may be turned on: it is remembered as by the usual factor. */
	double factor = policy->factor ? policy->factor / 1000.0 : 2;
	struct baseline then = *b;

	advance(&then, when);
	for (int span = 0; span < BASELINE_SPANS; span++) {
		double pieces = span == BASELINE_DAY ? QUIET_PIECES : 1;
		double most = fmax(unpack(then.peak[span]), pieces * then.count[span]);

		if (span < BASELINE_DAY)
			most = fmax(most, unpack(then.best[span]));
		if (factor * most > policy->floor[span] * ROUNDING)
			return false;
	}
	return true;
}
