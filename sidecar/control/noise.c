/* SPDX-License-Identifier: MIT
 *
 * Texts about limits that come by chance, told from a limit by their ratio.
 *
 * A limit answers to the rate: once the flow has been cut below it, nothing is refused until the
 * next probe. What is refused all the same, a small share of the messages whatever the rate, is
 * chance. Then so many deferrals as the share explains are passed over; more of them are trouble as
 * ever.
 */
#include "sidecar/control/state.h"

#define NOISE_SEEN \
	5 /* deferrals where there should be none, until they are believed to be chance */
#define NOISE_MOST     0.03 /* of the messages: more than that is a limit */
#define NOISE_LEAST    0.001
#define NOISE_OF       1200 /* messages remembered */
#define PERIOD	       1000 /* messages, over which the share is measured once it is known */
#define PERIOD_LEAST   200
#define SUSPECTS_MOST  15
#define LIMIT_SHARE    0.06 /* of the messages that a limit refuses besides, at the least */
#define FALSE_ALARMS   0.3  /* an hour */
#define SUSPICION_UNIT 1024.0

bool noise_known(const struct life *life)
{
	return life->flags & FLAG_NOISE;
}

double noise_share(const struct life *life)
{
	return noise_known(life)
		       ? between(life->noise / fmax(life->noise_of, 1), NOISE_LEAST, NOISE_MOST)
		       : 0;
}

static void noise_judge(struct life *life)
{
	double share = life->noise / fmax(life->noise_of, 1);

	if (life->noise >= NOISE_SEEN && share <= NOISE_MOST)
		life->flags |= FLAG_NOISE;
	else if (share < NOISE_LEAST || share > NOISE_MOST)
		life->flags &= (uint16_t)~FLAG_NOISE;
}

static void noise_count(struct life *life, unsigned messages, unsigned refused)
{
	life->noise += (float)refused;
	life->noise_of = (uint16_t)(life->noise_of + messages);
	if (life->noise_of >= NOISE_OF) {
		life->noise /= 2;
		life->noise_of /= 2;
	}
	noise_judge(life);
}

/* Wald's sequential test of a limit against chance: each reply adds the logarithm of how much
 * likelier it is under a limit. */
static void suspect(struct life *life, double nats)
{
	life->suspicion = (uint16_t)between(life->suspicion + nats * SUSPICION_UNIT, 0, UINT16_MAX);
}

bool noise_suspected(const struct life *life)
{
	return life->suspects > 0;
}

/* Ends a period. What the share was at its lowest is chance; whatever else was refused may have
 * been a limit that is only just exceeded, so the share is believed to grow slowly only. */
void noise_learn(struct life *life)
{
	double known = noise_share(life);
	double share = life->refused / fmax(life->refused_of, 1);

	if (noise_known(life) && life->refused_of >= PERIOD_LEAST) {
		life->noise_of = NOISE_OF / 2;
		life->noise = (float)(life->noise_of *
				      (known + (share < known ? 0.3 : 0.1) * (share - known)));
		noise_judge(life);
	}
	life->refused = life->refused_of = 0;
}

/* Whether more was refused of late than chance explains, though never much at once. */
bool noise_grew(struct life *life)
{
	double expected = noise_share(life) * life->refused_of;

	if (life->refused_of < PERIOD_LEAST || life->refused < expected + 4.5 * sqrt(expected) + 2)
		return false;
	noise_learn(life);
	return true;
}

/* A message was accepted; on the ground: where the rate is below the trouble rate. */
void noise_accepted(struct life *life, bool ground)
{
	if (life->suspects) {
		suspect(life, log1p(-LIMIT_SHARE / (1 - noise_share(life))));
		if (life->suspicion == 0)
			life->suspects = 0;
	}
	if (!noise_known(life) && ground)
		noise_count(life, 1, 0);
	if (noise_known(life) && ++life->refused_of >= PERIOD)
		noise_learn(life);
}

/* A message was refused where it might be chance, and the next one was accepted. */
void noise_refused(struct life *life)
{
	if (noise_known(life))
		return;
	noise_count(life, 1, 1);
	if (noise_known(life))
		life->pressure = 0;
}

/* Whether chance explains this deferral, so far. */
bool noise_explains(struct life *life)
{
	double share = noise_share(life);
	double an_hour = share * life->rate * 3600;

	if (!noise_known(life))
		return false;
	suspect(life, log1p(LIMIT_SHARE / share));
	if (life->suspicion <
		    log(fmax(an_hour / FALSE_ALARMS * fmin(1, life->rate), 10)) * SUSPICION_UNIT &&
	    life->suspects < SUSPECTS_MOST) {
		life->suspects++;
		life->refused += life->refused < UINT8_MAX;
		life->refused_of++;
		return true;
	}
	life->suspicion = 0;
	life->suspects = 0;
	return false;
}
