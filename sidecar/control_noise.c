/* SPDX-License-Identifier: MIT
 *
 * Texts about limits that come by chance, told from a limit by their ratio.
 *
 * A limit answers to the rate: once the flow has been cut below it, nothing is refused until the
 * next probe. What is refused all the same, a small share of the messages whatever the rate, is
 * chance. Then so many deferrals as the share explains are passed over; more of them are trouble as
 * ever.
 */
#include "sidecar/control_state.h"

#define NOISE_SEEN \
	5 /* deferrals where there should be none, until they are believed to be chance */
#define NOISE_APART   4	   /* messages accepted between two of them, at the least */
#define NOISE_MOST    0.05 /* of the messages: more than that is a limit */
#define NOISE_LEAST   0.001
#define NOISE_OF      1200		/* messages remembered */
#define CREDIT_INCOME 2			/* times the share of chance that is known */
#define CREDIT_MOST   (4 * CREDIT_UNIT) /* deferrals that may be passed over in a row */

bool noise_known(const struct life *life)
{
	return life->flags & FLAG_NOISE;
}

static double noise_share(const struct life *life)
{
	return life->noise / fmax(life->noise_of, 1);
}

static void noise_judge(struct life *life)
{
	double share = noise_share(life);

	if (life->noise >= NOISE_SEEN && share <= NOISE_MOST)
		life->flags |= FLAG_NOISE;
	else if (share < NOISE_LEAST || share > NOISE_MOST)
		life->flags &= (uint16_t)~FLAG_NOISE;
}

/* A message was accepted; on the ground: where the rate is below the trouble rate. */
void noise_accepted(struct life *life, bool ground)
{
	double share = noise_share(life);

	if (life->doubt && --life->doubt == 0)
		noise_refused(life);
	if (noise_known(life)) {
		life->credit = (uint16_t)fmin(life->credit + CREDIT_INCOME * share * CREDIT_UNIT,
					      CREDIT_MOST);
		/* Not all that is chance is recognised as such: so much pressure comes of it. */
		life->pressure = (float)fmax(life->pressure - share / 12, 0);
	}
	/* Once it is known, it is counted everywhere. */
	if (!ground && !noise_known(life))
		return;
	life->noise_of += 1;
	if (life->noise_of >= NOISE_OF) {
		life->noise /= 2;
		life->noise_of /= 2;
	}
	noise_judge(life);
}

/* A message was refused where it might be chance, and the next one was accepted. */
void noise_refused(struct life *life)
{
	bool known = noise_known(life);

	life->noise += 1;
	life->noise_of += 1;
	noise_judge(life);
	if (known || !noise_known(life))
		return;
	life->credit = CREDIT_MOST;
	life->pressure = 0;
}

/* Whether chance explains this deferral. Chance does not refuse one message after the other. If it
 * is not chance it is trouble, after which the next may be chance again. */
bool noise_explains(struct life *life)
{
	bool explained = life->credit >= CREDIT_UNIT && !life->doubt;

	if (!noise_known(life))
		return false;
	life->doubt = explained ? NOISE_APART : 0;
	if (explained)
		life->credit -= CREDIT_UNIT;
	else if (life->credit < CREDIT_UNIT)
		life->credit = CREDIT_UNIT;
	return explained;
}
