/* SPDX-License-Identifier: MIT
 *
 * A day's cap is what the schedule allows, and no more than the growth times what was accepted on
 * the best of the last seven days with mail. The growth is 2 until the receiver says otherwise:
 *
 *   a good day (nine tenths of the cap accepted)     comes back by 15 % of what it is above 1, each
 *                                                    third time; from the growth at which trouble
 *                                                    came on by 5 % each tenth time: more would bring
 *                                                    it again
 *   a soft wall (no more was taken)                  becomes accepted / peak: that is what it takes
 *   trouble (reputation, pattern)                    .97 of that, at most .9 of what it was; 4/5 of
 *                                                    what it is above 1 where less was taken than
 *                                                    before
 *
 * Repeating a day at a soft wall instead costs four to ten days on the way to 50,000 a day.
 */
#include "sidecar/engine/warmup.h"

#include <math.h>
#include <string.h>

#define PEAK_DAYS 7
#define WEEK	  7
/* Parts of a cap. */
#define GOOD	0.9
#define LOW	0.5
#define BLOCKED 0.25 /* of the peak */
#define WARM	0.95 /* of full volume */
#define COOL	0.2  /* of full volume: less does not keep it warm */
/* A spell of refusals that long is no hiccup, … */
#define SPELL_NS UINT64_C(1800000000000)
/* … nor is one of so many at the end of a day. */
#define SPELL_REPLIES 2
/* An hour has at most that part of the day: what was not sent in time is not made up for. */
#define HOUR_PART 10
/* Kept for transactional mail, and more for engaged, at the day's beginning; half of it at its end.
 */
#define RESERVE_TRANSACTIONAL 0.2
#define RESERVE_ENGAGED	      0.1
#define HOURS		      24.0
#define FORECAST_DAYS	      1000

static struct warmup_day *today(struct warmup *w)
{
	return &w->days[w->records % WARMUP_DAYS];
}

const struct warmup_day *warmup_today(const struct warmup *w)
{
	return &w->days[w->records % WARMUP_DAYS];
}

const struct warmup_day *warmup_before(const struct warmup *w, uint32_t i)
{
	if (i >= w->records || i >= WARMUP_DAYS - 1)
		return NULL;
	return &w->days[(w->records - 1 - i) % WARMUP_DAYS];
}

/* The most accepted on one of the last seven days with mail, of those that have weight; of days
 * without trouble alone, if so wanted. */
static uint32_t peak_of(const struct warmup *w, bool untroubled)
{
	const struct warmup_day *day;
	uint32_t peak = 0;

	for (uint32_t i = 0; i < PEAK_DAYS && (day = warmup_before(w, i)) != NULL; i++) {
		if (day->day < w->began)
			break;
		if (day->delivered > peak && !(untroubled && day->flags & WARMUP_TROUBLE))
			peak = day->delivered;
	}
	return peak;
}

uint32_t warmup_peak(const struct warmup *w)
{
	return peak_of(w, false);
}

/* ---- the cap of a day ------------------------------------------------------------------------ */

static uint32_t scheduled(const struct warmup_plan *plan, uint32_t step)
{
	return plan->steps[step < plan->count ? step : plan->count - 1].day;
}

static uint32_t times(uint32_t count, double factor)
{
	double product = (double)count * factor;

	return product < UINT32_MAX ? (uint32_t)product : UINT32_MAX - 1;
}

static uint32_t at_least(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Each whole week without mail halves what was earned. */
static uint32_t faded(const struct warmup *w, uint32_t peak, uint32_t day)
{
	const struct warmup_day *last = warmup_before(w, 0);
	uint32_t weeks = last && day > last->day ? (day - last->day) / WEEK : 0;

	return weeks < 32 ? peak >> weeks : 0;
}

/* Whether the receiver has lately shown how much it takes: then even the schedule's first day may
 * be more. */
static bool has_shown(const struct warmup *w)
{
	const struct warmup_day *day;

	for (uint32_t i = 0; i < PEAK_DAYS && (day = warmup_before(w, i)) != NULL; i++)
		if (day->day >= w->began && day->flags & (WARMUP_WALL | WARMUP_TROUBLE))
			return day->delivered > 0 || peak_of(w, false) > 0;
	return false;
}

static uint32_t cap_of(const struct warmup *w, const struct warmup_plan *plan, uint32_t day)
{
	uint32_t peak = faded(w, peak_of(w, w->back != 0), day);
	uint32_t earned = times(peak, w->back ? 1.0 : (double)w->growth);
	uint32_t floor = has_shown(w) ? 1 : scheduled(plan, 0);

	return at_most(scheduled(plan, w->step), at_least(floor, earned));
}

static void day_begin(struct warmup *w, const struct warmup_plan *plan, uint32_t day)
{
	uint32_t before = today(w)->cap;
	struct warmup_day begun = {.day = day};

	if (w->phase == WARMUP_RUNNING) {
		begun.cap = cap_of(w, plan, day);
		begun.flags = w->back ? WARMUP_STEPPED_BACK : 0;
	} else if (w->phase == WARMUP_PAUSED) {
		begun.cap = before;
	} else {
		/* Full volume is no licence to jump. */
		begun.cap = at_least(plan->volume, times(peak_of(w, false), (double)w->growth));
	}
	*today(w) = begun;
	w->hour_sent = 0;
}

static void anew(struct warmup *w, uint32_t day)
{
	w->phase = WARMUP_RUNNING;
	w->step = w->good = w->back = w->low_days = 0;
	w->growth = WARMUP_GROWTH_MAX;
	w->worst = 2 * WARMUP_GROWTH_MAX;
	w->began = day;
	w->spell = (struct warmup_spell){0};
}

void warmup_begin(struct warmup *w, const struct warmup_plan *plan, uint32_t day)
{
	memset(w, 0, sizeof(*w));
	anew(w, day);
	day_begin(w, plan, day);
}

/* ---- a day's end ----------------------------------------------------------------------------- */

static float bounded(double growth)
{
	return (float)fmin(fmax(growth, (double)WARMUP_GROWTH_MIN), (double)WARMUP_GROWTH_MAX);
}

/* What was accepted by what had been the most so far; 0: there was nothing, and it says nothing. */
static double ratio_of(const struct warmup *w, const struct warmup_day *day)
{
	uint32_t peak = peak_of(w, false);

	return peak ? (double)day->delivered / (double)peak : 0;
}

/* A block that began on a day before goes on: nothing new is learned of it, and it stepped back. */
static bool goes_on(const struct warmup *w)
{
	const struct warmup_day *day = warmup_today(w), *before = warmup_before(w, 0);

	return before && before->flags & WARMUP_TROUBLE &&
	       day->delivered < BLOCKED * peak_of(w, false);
}

static void trouble_learn(struct warmup *w, const struct warmup_day *day)
{
	double ratio = ratio_of(w, day), growth = (double)w->growth;

	/* What was refused from the beginning says nothing of how much would have been taken. */
	w->growth = ratio < 1 ? bounded(1 + (growth - 1) * 0.8)
			      : bounded(fmin(0.9 * growth, 0.97 * ratio));
	w->worst = fminf(w->worst, bounded(ratio < 1 ? 0.97 * growth : 0.97 * ratio));
	w->good = 0;
}

static void good_learn(struct warmup *w)
{
	bool slow = w->growth >= w->worst;
	double grown = 1 + ((double)w->growth - 1) * (slow ? 1.05 : 1.15);

	if (++w->good < (slow ? 10 : 3))
		return;
	w->growth = bounded(slow ? grown : fmin(grown, (double)w->worst));
	w->good = 0;
}

/* Trouble for the second time within three days with mail takes two days to step back. */
static uint32_t days_back(const struct warmup *w)
{
	const struct warmup_day *before;

	for (uint32_t i = 0; i < 3 && (before = warmup_before(w, i)) != NULL; i++)
		if (before->flags & WARMUP_TROUBLE)
			return 2;
	return 1;
}

static unsigned running_close(struct warmup *w, const struct warmup_plan *plan)
{
	const struct warmup_day *day = warmup_today(w);
	bool good = day->delivered >= GOOD * day->cap, trouble = day->flags & WARMUP_TROUBLE;

	w->low_days = !trouble && !(day->flags & WARMUP_WALL) && day->sent < LOW * day->cap
			      ? w->low_days + 1
			      : 0;
	if (trouble && goes_on(w)) {
		w->back -= w->back > 0;
		return 0;
	}
	if (trouble) {
		w->back = at_least(w->back, days_back(w));
		trouble_learn(w, day);
		return WARMUP_BACKS;
	}
	w->back -= w->back > 0;
	if (day->flags & WARMUP_WALL && !good) {
		if (ratio_of(w, day) > 0)
			w->growth = bounded(ratio_of(w, day));
		w->good = 0;
	} else if (good && !(day->flags & WARMUP_STEPPED_BACK)) {
		good_learn(w);
	}
	w->step += w->step < plan->count;
	if (day->delivered < WARM * plan->volume)
		return w->low_days == WARMUP_LOW_DAYS ? WARMUP_TOO_LITTLE : 0;
	w->phase = WARMUP_WARM;
	return WARMUP_IS_WARM;
}

/* Less than keeps it warm, for as long as is looked back at: said once a week. */
static unsigned warm_close(struct warmup *w, const struct warmup_plan *plan)
{
	uint32_t peak = at_least(warmup_today(w)->delivered, peak_of(w, false));

	w->low_days = peak < COOL * plan->volume ? w->low_days + 1 : 0;
	return w->low_days % WEEK == 1 ? WARMUP_COOLS : 0;
}

static void met_wall(struct warmup *w)
{
	if (w->phase == WARMUP_RUNNING)
		today(w)->flags |= WARMUP_WALL;
}

/* A spell of refusals that the day's end cuts short was one all the same. */
static void spell_close(struct warmup *w)
{
	if (w->spell.trouble + w->spell.wall < SPELL_REPLIES)
		return;
	if (w->spell.trouble >= w->spell.wall)
		warmup_trouble(w, 1);
	else
		met_wall(w);
}

static unsigned day_end(struct warmup *w, const struct warmup_plan *plan)
{
	unsigned events = 0;

	spell_close(w);
	if (today(w)->sent == 0)
		return 0;
	if (w->phase == WARMUP_RUNNING)
		events = running_close(w, plan);
	else if (w->phase == WARMUP_WARM)
		events = warm_close(w, plan);
	w->records++;
	/* A pause goes on with the cap that there is. */
	today(w)->cap = warmup_before(w, 0)->cap;
	return events;
}

static unsigned idle_check(struct warmup *w, const struct warmup_plan *plan, uint32_t day)
{
	const struct warmup_day *last = warmup_before(w, 0);
	uint32_t since = last && last->day >= w->began ? last->day : w->began;

	if (w->phase == WARMUP_PAUSED || last == NULL || last->day < w->began ||
	    day < since + plan->idle_days)
		return 0;
	anew(w, day);
	return WARMUP_ANEW;
}

/* A clock that was set back: the day goes on. Where it had been put forward for days, what it called
 * them is corrected, or this day would last until it is that late indeed. A zone that changes moves
 * no clock by two days. */
static void day_back(struct warmup *w, uint32_t day)
{
	if (today(w)->day - day < 2)
		return;
	today(w)->day = day;
	w->began = at_most(w->began, day);
	for (uint32_t i = 0; i < WARMUP_DAYS; i++)
		w->days[i].day = at_most(w->days[i].day, day);
}

static unsigned day_advance(struct warmup *w, const struct warmup_plan *plan, uint32_t day)
{
	unsigned events;

	if (day <= today(w)->day) {
		day_back(w, day);
		return 0;
	}
	events = day_end(w, plan);
	events |= idle_check(w, plan, day);
	day_begin(w, plan, day);
	return events;
}

unsigned warmup_advance(struct warmup *w, const struct warmup_plan *plan,
			const struct warmup_clock *clock)
{
	unsigned events = day_advance(w, plan, clock->day);

	if (clock->hour != w->hour) {
		w->hour = clock->hour;
		w->hour_sent = today(w)->sent;
	}
	return events;
}

/* ---- flows that are counted together ----------------------------------------------------------- */

/* Whatever others have. */
static uint32_t wanted_of(const struct warmup *w, const struct warmup_plan *plan, uint32_t day)
{
	return w->phase == WARMUP_RUNNING ? cap_of(w, plan, day) : warmup_today(w)->cap;
}

void warmup_together_add(struct warmup_together *t, const struct warmup *w,
			 const struct warmup_plan *plan)
{
	struct warmup then = *w;
	const struct warmup_day *day;

	day_advance(&then, plan, t->day);
	t->before += then.began < t->day;
	for (uint32_t i = 0; (day = warmup_before(&then, i)) != NULL; i++)
		if (day->day >= then.began && day->day < t->day &&
		    t->day - day->day <= WARMUP_TOGETHER_DAYS)
			t->delivered[t->day - day->day - 1] += day->delivered;
	if (then.phase == WARMUP_WARM) {
		t->warm += peak_of(&then, false);
		return;
	}
	t->wanted += wanted_of(&then, plan, t->day);
	if (w->days[w->records % WARMUP_DAYS].day == t->day)
		t->given += warmup_today(w)->cap;
}

static uint64_t together_peak(const struct warmup_together *t)
{
	uint64_t peak = 0;
	uint32_t seen = 0;

	for (uint32_t i = 0; i < WARMUP_TOGETHER_DAYS && seen < PEAK_DAYS; i++) {
		seen += t->delivered[i] > 0;
		peak = t->delivered[i] > peak ? t->delivered[i] : peak;
	}
	return peak;
}

void warmup_together_bound(struct warmup *w, const struct warmup_plan *plan,
			   const struct warmup_together *t)
{
	double room = (double)WARMUP_GROWTH_MAX * (double)together_peak(t) - (double)t->warm;
	double wanted = wanted_of(w, plan, t->day), others = (double)t->given - today(w)->cap;

	if (w->phase != WARMUP_RUNNING || t->before == 0)
		return;
	room = fmax(room, (double)t->before * scheduled(plan, 0));
	if ((double)t->wanted <= room && others + wanted <= room)
		return;
	wanted = fmin(wanted * fmin(room / (double)t->wanted, 1), room - others);
	today(w)->cap = at_most(today(w)->cap, at_least(1, times(1, fmax(wanted, 0))));
}

/* ---- what happens in a day ------------------------------------------------------------------- */

static void add(uint32_t *to, uint32_t more)
{
	*to = more < UINT32_MAX - *to ? *to + more : UINT32_MAX;
}

void warmup_count(struct warmup *w, uint32_t delivered, uint32_t deferred, uint32_t bounced)
{
	add(&today(w)->delivered, delivered);
	add(&today(w)->deferred, deferred);
	add(&today(w)->sent, delivered);
	add(&today(w)->sent, deferred);
	add(&today(w)->sent, bounced);
	if (delivered)
		w->spell = (struct warmup_spell){0};
}

/* The rest of the day has no more than was accepted on a day before. */
void warmup_trouble(struct warmup *w, uint32_t days)
{
	struct warmup_day *day = today(w);

	if (w->phase != WARMUP_RUNNING)
		return;
	day->flags |= WARMUP_TROUBLE;
	day->cap = at_most(day->cap, at_least(at_least(day->sent, 1), peak_of(w, true)));
	w->back = at_least(w->back, at_most(days, WEEK));
}

void warmup_refused(struct warmup *w, bool trouble, uint64_t now_ns)
{
	struct warmup_spell *spell = &w->spell;

	if (spell->since_ns == 0 || spell->since_ns > now_ns)
		*spell = (struct warmup_spell){.since_ns = now_ns};
	add(trouble ? &spell->trouble : &spell->wall, 1);
	if (now_ns - spell->since_ns >= SPELL_NS)
		spell_close(w);
}

/* ---- what may go ----------------------------------------------------------------------------- */

static void classes_of(uint32_t cap, double part, uint32_t ret[TG_CLASSES])
{
	ret[TG_TRANSACTIONAL] = cap;
	ret[TG_ENGAGED] = cap - times(cap, part * RESERVE_TRANSACTIONAL);
	ret[TG_BULK] = cap - times(cap, part * (RESERVE_TRANSACTIONAL + RESERVE_ENGAGED));
}

static uint32_t hour_of(const struct warmup *w, const struct warmup_plan *plan,
			const struct warmup_clock *clock, uint32_t cap)
{
	uint32_t left = cap > w->hour_sent ? cap - w->hour_sent : 0;
	uint32_t hours = clock->hours_left ? clock->hours_left : 1;
	uint32_t hour = at_most(left / hours + (left % hours != 0),
				cap / HOUR_PART + (cap % HOUR_PART != 0));
	uint32_t most = plan->steps[w->step < plan->count ? w->step : plan->count - 1].hour;

	return most ? at_most(hour, most) : hour;
}

void warmup_caps(const struct warmup *w, const struct warmup_plan *plan,
		 const struct warmup_clock *clock, struct warmup_caps *ret)
{
	uint32_t cap = warmup_today(w)->cap;
	double left = fmin(clock->hours_left, HOURS) / HOURS;

	if (w->phase == WARMUP_WARM) {
		classes_of(cap, 0, ret->day);
		classes_of(UINT32_MAX, 0, ret->hour);
		return;
	}
	classes_of(cap, left / 2, ret->day);
	classes_of(hour_of(w, plan, clock, cap), (1 + left) / 2, ret->hour);
}

/* ---- for people ------------------------------------------------------------------------------ */

uint32_t warmup_to_show(const struct warmup *w)
{
	const struct warmup_day *day = warmup_today(w);
	uint32_t wanted = (uint32_t)ceil(GOOD * day->cap);

	return w->phase == WARMUP_RUNNING && wanted > day->delivered ? wanted - day->delivered : 0;
}

/* How many days there were to one with mail, of late. */
static double days_each(const struct warmup *w)
{
	uint32_t count = 0, last = warmup_today(w)->day;
	const struct warmup_day *day;

	for (; count < 2 * PEAK_DAYS && (day = warmup_before(w, count)) != NULL; count++) {
		if (day->day < w->began)
			break;
		last = day->day;
	}
	return count ? (double)(warmup_today(w)->day - last) / count : 1;
}

uint32_t warmup_forecast(const struct warmup *w, const struct warmup_plan *plan)
{
	uint32_t cap = warmup_today(w)->cap;

	if (w->phase == WARMUP_WARM)
		return warmup_today(w)->day;
	for (uint32_t days = 0; w->phase == WARMUP_RUNNING && days < FORECAST_DAYS; days++) {
		uint32_t before = cap;

		if (cap >= WARM * plan->volume)
			return warmup_today(w)->day + (uint32_t)ceil(days * days_each(w));
		if (days >= w->back)
			cap = at_most(scheduled(plan, w->step + days + 1 - w->back),
				      at_least(scheduled(plan, 0), times(cap, (double)w->growth)));
		if (cap <= before && w->step + days > plan->count + w->back)
			break;
	}
	return 0;
}

/* ---- the operator ---------------------------------------------------------------------------- */

static void skip(struct warmup *w, const struct warmup_plan *plan)
{
	struct warmup_day *day = today(w);
	uint32_t cap = at_least(day->cap, scheduled(plan, 0));

	w->step += w->step < plan->count;
	w->back = 0;
	day->flags = 0;
	day->cap = at_least(cap, at_most(scheduled(plan, w->step), times(cap, (double)w->growth)));
}

/* Today is the first day, of which what was sent stays counted. */
static void restart(struct warmup *w, const struct warmup_plan *plan)
{
	anew(w, today(w)->day);
	today(w)->cap = scheduled(plan, 0);
	today(w)->flags = 0;
}

bool warmup_order(struct warmup *w, const struct warmup_plan *plan, enum warmup_order order)
{
	switch (order) {
	case WARMUP_START:
		if (w->phase == WARMUP_RUNNING)
			return false;
		if (w->phase == WARMUP_WARM)
			restart(w, plan);
		w->phase = WARMUP_RUNNING;
		return true;
	case WARMUP_PAUSE:
	case WARMUP_RESUME:
		if (w->phase != (order == WARMUP_PAUSE ? WARMUP_RUNNING : WARMUP_PAUSED))
			return false;
		w->phase = order == WARMUP_PAUSE ? WARMUP_PAUSED : WARMUP_RUNNING;
		return true;
	case WARMUP_SKIP:
		if (w->phase != WARMUP_RUNNING)
			return false;
		skip(w, plan);
		return true;
	case WARMUP_RESTART: restart(w, plan); return true;
	default: return false;
	}
}

bool warmup_valid(const struct warmup *w)
{
	return w->phase < WARMUP_PHASES && w->growth >= WARMUP_GROWTH_MIN &&
	       w->growth <= WARMUP_GROWTH_MAX && w->worst > 0 &&
	       w->worst <= 2 * WARMUP_GROWTH_MAX && w->back <= WEEK && warmup_today(w)->day != 0;
}

const char *warmup_phase_name(enum warmup_phase phase)
{
	static const char *const names[WARMUP_PHASES] = {"running", "paused", "warm"};

	return (unsigned)phase < WARMUP_PHASES ? names[phase] : "invalid";
}
