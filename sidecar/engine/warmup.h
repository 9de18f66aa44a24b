/* SPDX-License-Identifier: MIT
 *
 * The warm-up of one flow: how much a new source may send today, and in this hour.
 *
 * Pure. The schedule is the upper bound; below it a day is earned: its cap is the growth times the
 * most that was accepted on one of the last seven days with mail. Days are numbered by the caller
 * in the configuration's zone, from 1 on; a day without mail does not count. The state stands in
 * `control`, so it outlives the sidecar: fixed width, no pointers.
 */
#ifndef SIDECAR_ENGINE_WARMUP_H
#define SIDECAR_ENGINE_WARMUP_H

#include "shm/tollgate.h"
#include "sidecar/config/warmup.h"

#define WARMUP_DAYS	  42 /* with mail, that are kept */
#define WARMUP_LOW_DAYS	  3  /* in a row with too little mail, until it is said */
#define WARMUP_GROWTH_MAX 2.0f
#define WARMUP_GROWTH_MIN 1.1f

/* What the configuration says of it. */
struct warmup_plan {
	const struct schedule_step *steps;
	uint32_t count;
	uint32_t volume;    /* messages a day at which it is warm */
	uint32_t idle_days; /* after which it begins anew */
};

/* Where in the day it is. */
struct warmup_clock {
	uint32_t day;	     /* from 1 on */
	uint32_t hour;	     /* any number that another hour does not have */
	uint32_t hours_left; /* of the day, with the one under way; at least 1 */
};

enum warmup_phase { WARMUP_RUNNING, WARMUP_PAUSED, WARMUP_WARM, WARMUP_PHASES };

/* What a day was like. */
enum warmup_day_flag {
	WARMUP_WALL = 1,	/* the receiver just took no more */
	WARMUP_TROUBLE = 2,	/* reputation, or growth that was punished */
	WARMUP_STEPPED_BACK = 4 /* it had less because of trouble before */
};

struct warmup_day {
	uint32_t day;
	uint32_t cap;
	uint32_t sent, delivered, deferred;
	uint32_t flags; /* enum warmup_day_flag */
};

/* Refusals without anything accepted between: the engine's to count. */
struct warmup_spell {
	uint64_t since_ns; /* 0: none */
	uint32_t trouble, wall;
};

struct warmup {
	uint32_t phase;	  /* enum warmup_phase */
	uint32_t step;	  /* days that counted */
	uint32_t began;	  /* what was accepted before that day has no weight */
	uint32_t records; /* days that were kept; today's is the next */
	float growth;
	float worst;	   /* where trouble came, and a little less; above GROWTH_MAX: never */
	uint32_t good;	   /* days in a row */
	uint32_t back;	   /* days that are still to step back */
	uint32_t low_days; /* days in a row with too little mail to earn more */
	uint32_t hour, hour_sent; /* the hour under way, and what of today was sent before it */
	uint32_t reserved;
	struct warmup_spell spell;
	struct warmup_day days[WARMUP_DAYS]; /* a ring; today's stands at records */
};

/* What came about when a day began. */
enum warmup_event {
	WARMUP_IS_WARM = 1,
	WARMUP_BACKS = 2,      /* trouble yesterday */
	WARMUP_TOO_LITTLE = 4, /* mail to earn more */
	WARMUP_COOLS = 8,      /* too little mail to stay warm */
	WARMUP_ANEW = 16,      /* it was idle for too long */
};

void warmup_begin(struct warmup *w, const struct warmup_plan *plan, uint32_t day);

/* Time has passed: ends days, begins hours. Returns enum warmup_event bits. */
unsigned warmup_advance(struct warmup *w, const struct warmup_plan *plan,
			const struct warmup_clock *clock);

/* Outcomes of today. */
void warmup_count(struct warmup *w, uint32_t delivered, uint32_t deferred, uint32_t bounced);

/* Today was such a day; days: how many are to step back. */
void warmup_trouble(struct warmup *w, uint32_t days);

/* A refusal that may be a wall's or trouble's. */
void warmup_refused(struct warmup *w, bool trouble, uint64_t now_ns);

/* What each class may send today, and in this hour; UINT32_MAX: any number, as in the hours of what
 * is warm. */
struct warmup_caps {
	uint32_t day[TG_CLASSES], hour[TG_CLASSES];
};
void warmup_caps(const struct warmup *w, const struct warmup_plan *plan,
		 const struct warmup_clock *clock, struct warmup_caps *ret);

/* The flows of a pool to one destination, whose receiver may count them together: what came of them
 * on each of the last days, and what those that run would have today by themselves. */
#define WARMUP_TOGETHER_DAYS 30
struct warmup_together {
	uint32_t day;				  /* today */
	uint32_t before;			  /* how many of them began before today */
	uint64_t warm;				  /* the most accepted of each that is warm */
	uint64_t wanted;			  /* of those that are not */
	uint64_t given;				  /* what the others' day has begun with */
	uint64_t delivered[WARMUP_TOGETHER_DAYS]; /* so many days before today, and one */
};

/* One of them more; today's begun: its day is today. */
void warmup_together_add(struct warmup_together *together, const struct warmup *w,
			 const struct warmup_plan *plan);

/* A day of `w`, which is among them, has begun: it has no more than its part of WARMUP_GROWTH_MAX times
 * the best of the last seven days with mail of all together; of as many first days as there were
 * flows before, if that is more. Nothing where all begin today. */
void warmup_together_bound(struct warmup *w, const struct warmup_plan *plan,
			   const struct warmup_together *together);

const struct warmup_day *warmup_today(const struct warmup *w);
/* The i-th day with mail before today, 0 the last; NULL: not kept. */
const struct warmup_day *warmup_before(const struct warmup *w, uint32_t i);
/* The most accepted on one of the last seven days with mail. */
uint32_t warmup_peak(const struct warmup *w);

/* How many must still be accepted today for the day to be a good one. */
uint32_t warmup_to_show(const struct warmup *w);

/* The number of the day on which full volume is reached if every day is used; 0: never. */
uint32_t warmup_forecast(const struct warmup *w, const struct warmup_plan *plan);

/* The operator's. */
enum warmup_order {
	WARMUP_START, /* of what is warm or paused */
	WARMUP_PAUSE, /* the cap stays as it is */
	WARMUP_RESUME,
	WARMUP_SKIP,	/* today has what tomorrow would, if today were used */
	WARMUP_RESTART, /* with the first day, what was accepted has no weight */
	WARMUP_ORDERS
};
/* False: there is nothing to do. */
bool warmup_order(struct warmup *w, const struct warmup_plan *plan, enum warmup_order order);

/* Of what was found in a file. */
bool warmup_valid(const struct warmup *w);

const char *warmup_phase_name(enum warmup_phase phase);

#endif
