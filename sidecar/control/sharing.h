/* SPDX-License-Identifier: MIT
 *
 * A limit that several sources share: a network's, a domain's, an account's.
 *
 * Flows that share a limit are refused for what the others send: on the ground, where alone they
 * would be safe, and soon after another's trouble. That is a suspicion and no more, since what all
 * senders meet at once does the same. So it is put to the test: the others stand for a while, and
 * one flow, the trier, sends nearly what all of them have sent. With a limit of its own it is
 * refused at once, for its bucket was empty a moment ago; if they share one, it is not. Then one
 * controller has them all, as if they were one flow.
 *
 * Where three or more meet their first trouble in the same seconds, nobody knows yet what each would
 * be allowed, and each finding out by itself is what receivers block for. There it is believed first,
 * and tried as soon as the rate of all is known.
 *
 * What was believed is tried again from time to time in the same way, which costs nothing where it
 * is true: who is refused alone at what all of them send together has a limit of its own.
 *
 * Pure: who was accepted or refused, and when, in; what stands out.
 */
#ifndef SIDECAR_CONTROL_SHARING_H
#define SIDECAR_CONTROL_SHARING_H

#include "sidecar/control/control.h"

enum sharing_state {
	SHARING_NONE,  /* each flow has its own controller */
	SHARING_TRIAL, /* … and one tries what all have sent, while the others stand */
	SHARING_KNOWN, /* one controller has them all */
	SHARING_TEST,  /* … and one flow alone sends what it allows */
	SHARING_STATES
};

/* What one of the flows did of late. */
struct sharing_member {
	uint32_t slot;	   /* the owner's */
	bool searching;	   /* nothing was known of it when it was last refused */
	uint32_t place;	   /* in its connection, of what was last refused then */
	float taken;	   /* accepted of late, fading */
	float rate;	   /* allowed when it was last refused */
	float estimate;	   /* of its own limit by its own controller; 0: none */
	float most;	   /* of what all may send: its part at the most, by demand */
	uint32_t passed;   /* accepted since it was last refused */
	uint64_t taken_ns; /* when taken was right */
	uint64_t empty_ns; /* when it was last refused; 0: never */
};

struct sharing {
	struct sharing_member *members; /* the owner's */
	uint32_t count;
	enum sharing_state state;
	struct control_state control; /* of all, once known */
	uint64_t since_ns;	      /* since when what is accepted is counted */
	uint64_t trouble_ns;	      /* the last refusal that counted, and whose */
	uint32_t troubled;
	uint32_t trier;
	double rate;	     /* the trier's in a trial, a second */
	double all;	     /* what all had sent when it began */
	double part;	     /* the trier's of what all may send, in a test */
	uint64_t began_ns;   /* of the trial or the test */
	uint64_t until_ns;   /* … and its end at the latest */
	uint64_t again_ns;   /* no other before */
	uint64_t changed_ns; /* the last verdict */
	uint32_t passed;     /* of the trier's, in it */
	uint32_t refused;
	uint32_t passed_between; /* since the first of them was refused */
	uint8_t hints;		 /* refusals of different flows that came together, since a trial */
	uint8_t refuted;	 /* trials that found limits of their own */
	uint8_t unclear;	 /* trials that found nothing, since the last that did */
	uint8_t confirmed;	 /* tests that found it shared; 0: a suspicion so far */
	bool proven;		 /* it was, until they were parted */
	double tested;		 /* a second: the rate at which the last of them did */
};

/* A flow may send alone what it is told; the others have to stand, but for transactional mail. */
static inline bool sharing_tries(const struct sharing *sharing)
{
	return sharing->state == SHARING_TRIAL || sharing->state == SHARING_TEST;
}

static inline bool sharing_known(const struct sharing *sharing)
{
	return sharing->state == SHARING_KNOWN || sharing->state == SHARING_TEST;
}

/* What a flow was at when it was refused, as its own controller had it. */
struct sharing_trouble {
	bool ground;	 /* no refusal was expected */
	bool searching;	 /* nothing was known */
	double estimate; /* of its limit, a second; 0: none */
	double rate;	 /* a second */
	uint32_t place;	 /* in its connection; 0: not known */
};

/* A message of a member was accepted; one was refused by what may be a limit. Each returns whether the state is another: then all flows' limits are. bounds: the members' together. */
bool sharing_accepted(struct sharing *sharing, uint32_t member, const struct control_bounds *bounds,
		      uint64_t now_ns);
bool sharing_refused(struct sharing *sharing, uint32_t member,
		     const struct sharing_trouble *trouble, const struct control_bounds *bounds,
		     uint64_t now_ns);

/* Time passes: ends what takes too long, begins what is due. Likewise. */
bool sharing_tick(struct sharing *sharing, uint64_t now_ns);

/* Of the verdict that has just parted them: whether a test has shown it, and not the want of one; and
 * whether they were together for long, so that what their own controllers know is old. */
static inline bool sharing_measured(const struct sharing *sharing)
{
	return sharing->refused >= 1;
}

/* What of it outlives the sidecar: fixed width, no pointers. Members and what they took are not kept:
 * they show again within a minute. */
struct sharing_kept {
	struct control_state control; /* of all, where it is known */
	uint64_t changed_ns;
	uint64_t again_ns;
	float tested;  /* a second */
	uint8_t known; /* 1: one controller has them all */
	uint8_t refuted;
	uint8_t confirmed;
	uint8_t proven;
};

/* False: nothing was learned that is worth keeping. */
bool sharing_keep(const struct sharing *sharing, struct sharing_kept *ret);

/* Whether bytes found in a file can be one. */
bool sharing_kept_valid(const struct sharing_kept *kept);

/* Goes on by what was kept. A test that was under way is begun anew. */
void sharing_resume(struct sharing *sharing, const struct sharing_kept *kept, uint64_t now_ns);

/* Drops members that neither sent nor were refused for so long; others get other numbers. */
#define SHARING_FORGET_NS UINT64_C(3600000000000)
void sharing_forget(struct sharing *sharing, uint64_t now_ns);

/* When sharing_tick has something to do; UINT64_MAX: not by time alone. */
uint64_t sharing_next(const struct sharing *sharing);

/* Messages a second that were accepted of late, of one and of all. */
double sharing_taken(const struct sharing *sharing, uint32_t member, uint64_t now_ns);
double sharing_taken_all(const struct sharing *sharing, uint64_t now_ns);

/* Divides what all may send by demand: each may have what the others do not use, and none of those
 * that send is left without a part. Into members' `most`. To be called every SHARING_DIVIDE_NS. */
#define SHARING_DIVIDE_NS UINT64_C(10000000000)
void sharing_divide(struct sharing *sharing, uint64_t now_ns);

/* In words, for `explain`, as control_describe. */
int sharing_describe(const struct sharing *sharing, uint64_t now_ns, char *text, unsigned size);

#endif
