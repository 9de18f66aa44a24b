/* SPDX-License-Identifier: MIT
 *
 * See sharing.h. A trial counts from the trier's last refusal, when a bucket of its own would have
 * been empty: a limit of its own gives no more than its rate since then, and a few messages.
 */
#include "sidecar/control/sharing.h"

#include <stdio.h>

#include "sidecar/control/state.h"

#define TAKEN_SECONDS  60.0  /* for what "of late" is */
#define TOGETHER_S     30.0  /* refusals so close together may have one cause */
#define SLOW	       0.1   /* messages a second of all: below it a trial takes too long */
#define TRIAL_HINTS    2     /* refusals that come together, … */
#define HINTS_S	       900.0 /* … each so short after the one before */
#define TRIAL_SHARE    0.95  /* of what all have sent */
#define FOUND_SHARE    1.1   /* of it: where the controller of all begins */
#define TRIAL_BETTER   1.35 /* what a limit of its own does not give: so many times that limit … */
#define TRIAL_EXCESS   12.0 /* … and so many messages */
#define TRIAL_OWN      1.2  /* what it gives: up to so many times, … */
#define TRIAL_OWN_MORE 3.0  /* … and so many messages */
#define TRIAL_REFUSED  2    /* refusals that say something: one may be chance */
#define TRIAL_FRESH_S  20.0 /* the trier's bucket was empty so short a time ago */
#define TRIAL_LONGEST  90.0 /* seconds */
#define WAVE_S	       5.0  /* seconds in which that many met their first trouble */
#define WAVE_MEMBERS   3
#define WAVE_MANY      5
#define TEST_MESSAGES  24
#define TEST_SECONDS   90.0 /* … and so long at the least: a bucket of its own would be empty */
#define TEST_REFUSED   3
#define TEST_BLOCKED   6 /* … in a row: that is a block */
#define TEST_SHARE     0.3 /* of what the trier sent since the first: a limit of its own refuses more */
#define TEST_LONGEST   240.0
#define TEST_GROWN     1.3   /* a rate so many times as high has not been tested */
#define TEST_SOON      30.0  /* seconds */
#define UNPROVEN       900.0 /* seconds for which it is believed without a test that says so */
#define TEST_PART      2.5   /* equal parts that the trier has, … */
#define TEST_PART_OWN  1.5   /* … or times its own, if that is more */
#define TEST_PART_MUCH 0.6   /* whose own is more cannot show anything */
#define TEST_CHANCE    10    /* one refusal of so many is chance, or what all meet */
#define TRIAL_PART     2.5   /* times its own limit, at which a trier is sure to be refused */
#define UNCLEAR_TESTS  4     /* in a row that said nothing: what is believed is not known */
#define TEST_FIRST     600.0 /* seconds after it was found, then three times as long */
#define TEST_LAST      10800.0
#define REFUTED_WAIT   900.0 /* four times as long after each that found limits of their own */
#define REFUTED_LAST   86400.0
#define UNCLEAR_WAIT   60.0
#define PART_GROWS     1.25
#define PART_NOTHING   0.005 /* of what all take: who takes less does not count */
#define PART_STEPS     16.0
#define PART_MOST      0.98

/* What was accepted of late is a sum that fades: a rate by the time that it is of. */
double sharing_taken(const struct sharing *sharing, uint32_t member, uint64_t now_ns)
{
	const struct sharing_member *m = &sharing->members[member];
	double age = now_ns > sharing->since_ns ? (double)(now_ns - sharing->since_ns) / 1e9 : 0;
	double idle = now_ns > m->taken_ns ? (double)(now_ns - m->taken_ns) / 1e9 : 0;
	double weight = TAKEN_SECONDS * (1 - exp(-fmax(age, 1) / TAKEN_SECONDS));

	return m->taken * exp(-idle / TAKEN_SECONDS) / weight;
}

double sharing_taken_all(const struct sharing *sharing, uint64_t now_ns)
{
	double sum = 0;

	for (uint32_t i = 0; i < sharing->count; i++)
		sum += sharing_taken(sharing, i, now_ns);
	return sum;
}

static double seconds_since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? (double)(now_ns - then_ns) / 1e9 : 0;
}

static void state_begin(struct sharing *s, enum sharing_state state, uint64_t now_ns)
{
	s->state = state;
	s->began_ns = now_ns;
	s->passed = s->refused = s->passed_between = 0;
	s->hints = 0;
}

static double wait_of(double first, double growth, unsigned times, double last)
{
	return fmin(first * pow(growth, times), last);
}

/* ---- the trial ------------------------------------------------------------------------------- */

/* What the flow may have as a limit of its own, at the most. */
static double own_limit(const struct sharing *s, uint32_t i, uint64_t now_ns)
{
	return fmax(sharing_taken(s, i, now_ns), s->members[i].estimate);
}

/* Seconds in which the flow shows that it has no limit of its own; INFINITY: not at all. */
static double trial_seconds(const struct sharing *s, uint32_t i, double all, uint64_t now_ns)
{
	const struct sharing_member *m = &s->members[i];
	double idle = seconds_since(now_ns, m->empty_ns);
	double own = own_limit(s, i, now_ns);
	double gain = fmin(all, TRIAL_PART * own) - TRIAL_BETTER * own;

	if (m->empty_ns == 0 || idle > TRIAL_FRESH_S || gain <= 0)
		return INFINITY;
	return (TRIAL_EXCESS + TRIAL_BETTER * own * idle) / gain;
}

static bool trial_begin(struct sharing *s, uint64_t now_ns)
{
	double rate = TRIAL_SHARE * sharing_taken_all(s, now_ns), shortest = INFINITY;

	if (rate < SLOW || now_ns < s->again_ns)
		return false;
	for (uint32_t i = 0; i < s->count; i++) {
		double seconds = trial_seconds(s, i, rate, now_ns);

		if (seconds < shortest) {
			shortest = seconds;
			s->trier = i;
		}
	}
	if (shortest > TRIAL_LONGEST / 2)
		return false;
	state_begin(s, SHARING_TRIAL, now_ns);
	s->members[s->trier].estimate = (float)own_limit(s, s->trier, now_ns);
	s->all = rate / TRIAL_SHARE;
	s->rate = fmin(rate, TRIAL_PART * s->members[s->trier].estimate);
	s->until_ns = now_ns + seconds_ns(fmin(2 * shortest + 15, TRIAL_LONGEST));
	return true;
}

static bool trial_unclear(struct sharing *s, uint64_t now_ns)
{
	s->again_ns = now_ns + seconds_ns(wait_of(UNCLEAR_WAIT, 2, s->unclear, REFUTED_WAIT));
	s->unclear += s->unclear < UINT8_MAX;
	state_begin(s, SHARING_NONE, now_ns);
	return true;
}

static void known_begin(struct sharing *s, double test_after, uint64_t now_ns)
{
	state_begin(s, SHARING_KNOWN, now_ns);
	s->unclear = s->confirmed = 0;
	s->changed_ns = now_ns;
	s->again_ns = now_ns + seconds_ns(test_after);
}

static bool trial_accepted(struct sharing *s, const struct control_bounds *bounds, uint64_t now_ns)
{
	const struct sharing_member *m = &s->members[s->trier];
	double own = m->estimate * seconds_since(now_ns, m->empty_ns);

	if (s->passed < TRIAL_EXCESS || m->passed < TRIAL_BETTER * own + TRIAL_EXCESS)
		return false;
	known_begin(s, TEST_SOON, now_ns);
	control_init(&s->control, bounds, now_ns);
	control_adopt(&s->control, bounds, FOUND_SHARE * s->all, now_ns);
	return true;
}

/* Several have met their first trouble at once: from here on as one flow, that sends what they have
 * sent. */
static bool wave_begin(struct sharing *s, const struct control_bounds *bounds, uint64_t now_ns)
{
	struct control_observation first = {.class = REPLY_RATE,
					    .traffic = TG_BULK,
					    .stage = TG_STAGE_MESSAGE,
					    .admitted_ns = now_ns};
	struct control_bounds all = *bounds;
	struct control_change change;
	uint32_t hit = 0, alike = 0;
	double rate = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		const struct sharing_member *m = &s->members[i];

		rate += m->rate;
		if (!m->searching || m->empty_ns == 0 ||
		    seconds_since(now_ns, m->empty_ns) >= WAVE_S)
			continue;
		hit++;
		alike += m->place > 1 && m->place == s->members[s->troubled].place;
	}
	/* The same message of a connection for all: what is limited may be the connection. Of many
	 * it costs too much to find out. */
	if (hit < WAVE_MEMBERS || (alike == hit && hit < WAVE_MANY) || 2 * hit < s->count ||
	    now_ns < s->again_ns)
		return false;
	known_begin(s, TEST_SOON, now_ns);
	all.rate_start = rate;
	control_init(&s->control, &all, now_ns);
	control_observe(&s->control, bounds, &first, now_ns, &change);
	return true;
}

static bool trial_refused(struct sharing *s, uint32_t passed, uint64_t now_ns)
{
	const struct sharing_member *m = &s->members[s->trier];
	double own = m->estimate * seconds_since(now_ns, s->began_ns);

	if (++s->refused < TRIAL_REFUSED)
		return false;
	/* Nothing at all was accepted: that is no limit, but a block. */
	if (s->passed == 0 || passed > TRIAL_OWN * own + TRIAL_OWN_MORE)
		return trial_unclear(s, now_ns);
	s->again_ns = now_ns + seconds_ns(wait_of(REFUTED_WAIT, 4, s->refuted, REFUTED_LAST));
	s->refuted += s->refuted < UINT8_MAX;
	s->unclear = 0;
	state_begin(s, SHARING_NONE, now_ns);
	return true;
}

/* ---- the test of what is believed ------------------------------------------------------------ */

/* Each has its own again. */
static bool parted(struct sharing *s, uint64_t now_ns)
{
	uint32_t refused = s->refused;

	s->proven = s->confirmed > 0;
	s->again_ns = now_ns + seconds_ns(wait_of(REFUTED_WAIT, 4, s->refuted, REFUTED_LAST));
	s->refuted += s->refuted < UINT8_MAX;
	s->unclear = 0;
	s->changed_ns = now_ns;
	state_begin(s, SHARING_NONE, now_ns);
	s->refused = refused;
	return true;
}

static bool test_begin(struct sharing *s, uint64_t now_ns)
{
	double all = sharing_taken_all(s, now_ns), most = 0;
	uint32_t best = UINT32_MAX;

	/* Each in turn, of those that have mail. */
	for (uint32_t n = 1; n <= s->count; n++) {
		uint32_t i = (s->trier + n) % s->count;
		double taken = sharing_taken(s, i, now_ns);

		if (taken > TEST_PART_MUCH * all && most > 0)
			continue;
		if (taken > 1.5 * most || most > TEST_PART_MUCH * all) {
			most = taken;
			best = i;
		}
	}
	if (s->confirmed == 0 && seconds_since(now_ns, s->changed_ns) > UNPROVEN &&
	    !control_limited(&s->control)) {
		s->refused = 0;
		return parted(s, now_ns);
	}
	if (best == UINT32_MAX || !control_steady(&s->control)) {
		s->again_ns = now_ns + seconds_ns(TEST_SOON);
		return false;
	}
	s->trier = best;
	/* At low rates more, or the test would take too long. */
	s->part = fmax(TEST_PART / s->count, TEST_PART_OWN * most / all);
	s->part = fmax(s->part, 1.5 * TEST_MESSAGES / (TEST_LONGEST * control_rate(&s->control)));
	s->part = fmin(s->part, 1);
	for (uint32_t i = 0; i < s->count; i++)
		s->members[i].most = (float)(i == best ? s->part : (1 - s->part) / (s->count - 1));
	state_begin(s, SHARING_TEST, now_ns);
	s->until_ns = now_ns + seconds_ns(TEST_LONGEST);
	return true;
}

static bool test_end(struct sharing *s, bool confirmed, uint64_t now_ns)
{
	double wait = UNCLEAR_WAIT;

	if (confirmed) {
		s->unclear = 0;
		s->tested = control_rate(&s->control);
		s->confirmed += s->confirmed < UINT8_MAX;
		wait = wait_of(TEST_FIRST, 3, s->confirmed - 1u, TEST_LAST);
	} else if (++s->unclear >= UNCLEAR_TESTS) {
		s->refused = 0;
		return parted(s, now_ns);
	}
	s->again_ns = now_ns + seconds_ns(wait);
	state_begin(s, SHARING_KNOWN, now_ns);
	return true;
}

/* The trier was refused alone, at what all send together. Where that is a little more than their
 * limit, few are refused; at a limit of its own, all but its part. */
static bool test_refused(struct sharing *s, uint64_t now_ns)
{
	double refused = s->refused++;

	if (s->refused < TEST_REFUSED || (s->passed_between == 0 && s->refused < TEST_BLOCKED))
		return false;
	if (s->passed_between == 0 || refused < TEST_SHARE * (refused + s->passed_between))
		return test_end(s, false, now_ns);
	return parted(s, now_ns);
}

/* ---- what comes in --------------------------------------------------------------------------- */

bool sharing_accepted(struct sharing *s, uint32_t member, const struct control_bounds *bounds,
		      uint64_t now_ns)
{
	struct sharing_member *m = &s->members[member];

	m->taken = (float)(m->taken * exp(-seconds_since(now_ns, m->taken_ns) / TAKEN_SECONDS) + 1);
	m->taken_ns = now_ns;
	m->passed += m->passed < UINT32_MAX;
	/* What was found at a lower rate says little of this one. */
	if (s->state == SHARING_KNOWN && s->confirmed &&
	    control_rate(&s->control) > TEST_GROWN * s->tested &&
	    s->again_ns > now_ns + seconds_ns(TEST_SOON))
		s->again_ns = now_ns + seconds_ns(TEST_SOON);
	if (!sharing_tries(s) || member != s->trier)
		return false;
	s->passed++;
	s->passed_between += s->refused > 0;
	if (s->state == SHARING_TRIAL)
		return trial_accepted(s, bounds, now_ns);
	return s->passed >= TEST_MESSAGES && seconds_since(now_ns, s->began_ns) >= TEST_SECONDS &&
	       test_end(s, s->refused <= s->passed / TEST_CHANCE, now_ns);
}

bool sharing_refused(struct sharing *s, uint32_t member, const struct sharing_trouble *trouble,
		     const struct control_bounds *bounds, uint64_t now_ns)
{
	struct sharing_member *m = &s->members[member];
	uint32_t passed = m->passed;
	double since = s->trouble_ns ? seconds_since(now_ns, s->trouble_ns) : INFINITY;
	bool together = s->troubled != member && since < TOGETHER_S;

	if (sharing_tries(s) && member == s->trier)
		return s->state == SHARING_TRIAL ? trial_refused(s, passed, now_ns)
						 : test_refused(s, now_ns);
	m->passed = 0;
	m->empty_ns = now_ns;
	m->estimate = (float)trouble->estimate;
	m->rate = (float)trouble->rate;
	m->searching = trouble->searching;
	m->place = trouble->place;
	s->trouble_ns = now_ns;
	s->troubled = member;
	if (since > HINTS_S)
		s->hints = 0;
	if (s->state != SHARING_NONE || !together)
		return false;
	if (!trouble->ground)
		return trouble->searching && wave_begin(s, bounds, now_ns);
	s->hints += s->hints < UINT8_MAX;
	return s->hints >= TRIAL_HINTS && trial_begin(s, now_ns);
}

bool sharing_tick(struct sharing *s, uint64_t now_ns)
{
	if (sharing_next(s) > now_ns)
		return false;
	switch (s->state) {
	case SHARING_TRIAL: return trial_unclear(s, now_ns);
	case SHARING_KNOWN: return test_begin(s, now_ns);
	case SHARING_TEST: return test_end(s, false, now_ns);
	default: return false;
	}
}

void sharing_forget(struct sharing *s, uint64_t now_ns)
{
	for (uint32_t i = s->count; i-- > 0;) {
		const struct sharing_member *m = &s->members[i];
		uint64_t last_ns = m->taken_ns > m->empty_ns ? m->taken_ns : m->empty_ns;

		if (last_ns + SHARING_FORGET_NS > now_ns || i == s->troubled || i == s->trier)
			continue;
		s->count--;
		if (s->troubled == s->count)
			s->troubled = i;
		if (s->trier == s->count)
			s->trier = i;
		s->members[i] = s->members[s->count];
	}
}

uint64_t sharing_next(const struct sharing *s)
{
	return s->state == SHARING_KNOWN ? s->again_ns
	       : sharing_tries(s)	 ? s->until_ns
					 : UINT64_MAX;
}

/* ---- over a restart -------------------------------------------------------------------------- */

bool sharing_keep(const struct sharing *s, struct sharing_kept *ret)
{
	if (!sharing_known(s) && s->refuted == 0)
		return false;
	/* Zeros in what pads it, too. */
	memset(ret, 0, sizeof *ret);
	ret->changed_ns = s->changed_ns;
	ret->again_ns = s->again_ns;
	ret->refuted = s->refuted;
	ret->proven = s->proven;
	ret->known = sharing_known(s);
	if (!ret->known)
		return true;
	ret->control = s->control;
	ret->tested = (float)s->tested;
	ret->confirmed = s->confirmed;
	return true;
}

bool sharing_kept_valid(const struct sharing_kept *kept)
{
	return kept->known <= 1 && kept->proven <= 1 && kept->tested >= 0 && kept->tested <= 1e6f &&
	       (!kept->known || control_valid(&kept->control));
}

void sharing_resume(struct sharing *s, const struct sharing_kept *kept, uint64_t now_ns)
{
	state_begin(s, kept->known ? SHARING_KNOWN : SHARING_NONE, now_ns);
	s->control = kept->control;
	s->changed_ns = kept->changed_ns;
	s->again_ns = kept->again_ns;
	s->tested = (double)kept->tested;
	s->refuted = kept->refuted;
	s->confirmed = kept->confirmed;
	s->proven = kept->proven;
	s->since_ns = now_ns;
	/* Who takes how much has to be seen before. */
	if (kept->known && s->again_ns < now_ns + seconds_ns(UNCLEAR_WAIT))
		s->again_ns = now_ns + seconds_ns(UNCLEAR_WAIT);
}

/* ---- the parts ------------------------------------------------------------------------------- */

/* What a flow is sure to have: a little more than it took, so that one that was crowded out gets
 * back, up to half an equal part. */
static double sure(const struct sharing *s, uint32_t i, double all, double part, uint64_t now_ns)
{
	return all > 0 ? fmin(PART_GROWS * sharing_taken(s, i, now_ns) / all, part) : 0;
}

void sharing_divide(struct sharing *s, uint64_t now_ns)
{
	double all = sharing_taken_all(s, now_ns), sum = 0, part;
	uint32_t sending = 0;

	for (uint32_t i = 0; i < s->count; i++)
		sending += sharing_taken(s, i, now_ns) > PART_NOTHING * all;
	part = 0.5 / fmax(sending, 1);
	for (uint32_t i = 0; i < s->count; i++)
		sum += sure(s, i, all, part, now_ns);
	/* In steps, so that not every look is a change. Never quite all: who comes anew, or is
	 * slower to ask, must find a gap. */
	for (uint32_t i = 0; i < s->count; i++)
		s->members[i].most = (float)fmin(
			ceil(PART_STEPS * (1 - sum + sure(s, i, all, part, now_ns))) / PART_STEPS,
			PART_MOST);
}

/* ---- in words -------------------------------------------------------------------------------- */

int sharing_describe(const struct sharing *s, uint64_t now_ns, char *text, unsigned size)
{
	double minutes = seconds_since(now_ns, s->changed_ns) / 60;

	switch (s->state) {
	case SHARING_TRIAL:
		return snprintf(
			text, size,
			"; a trial: refused for what other sources of the pool send? One of them "
			"sends %.4g/min alone, the others wait for %.0f s",
			60 * s->rate, seconds_since(s->until_ns, now_ns));
	case SHARING_KNOWN:
	case SHARING_TEST:
		return snprintf(
			text, size,
			"; this is one limit that %u sources of the pool share, found by experiment "
			"%.0f min ago%s",
			s->count, minutes,
			s->state == SHARING_TEST ? "; it is tested now: one of them sends alone"
						 : "");
	default: return snprintf(text, size, "%s", "");
	}
}
