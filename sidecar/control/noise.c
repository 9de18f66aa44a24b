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
#define NOISE_MAX	 0.03 /* of the messages: more than that is a limit */
#define NOISE_MIN	 0.001
#define NOISE_OF	 1200 /* messages remembered */
#define PERIOD		 1000 /* messages, over which the share is measured once it is known */
#define PERIOD_MIN	 200
#define SPRT_PENDING_MAX 15
#define LIMIT_SHARE	 0.06 /* of the messages that a limit refuses besides, at the least */
#define FALSE_ALARMS	 0.3  /* an hour */
#define SPRT_UNIT	 1024.0

bool noise_known(const struct flow_control *fc)
{
	return fc->flags & FLAG_NOISE;
}

double noise_share(const struct flow_control *fc)
{
	return noise_known(fc) ? between(fc->noise / fmax(fc->noise_of, 1), NOISE_MIN, NOISE_MAX)
			       : 0;
}

static void noise_judge(struct flow_control *fc)
{
	double share = fc->noise / fmax(fc->noise_of, 1);

	if (fc->noise >= NOISE_SEEN && share <= NOISE_MAX)
		fc->flags |= FLAG_NOISE;
	else if (share < NOISE_MIN || share > NOISE_MAX)
		fc->flags &= (uint16_t)~FLAG_NOISE;
}

static void noise_count(struct flow_control *fc, unsigned messages, unsigned refused)
{
	fc->noise += (float)refused;
	fc->noise_of = (uint16_t)(fc->noise_of + messages);
	if (fc->noise_of >= NOISE_OF) {
		fc->noise /= 2;
		fc->noise_of /= 2;
	}
	noise_judge(fc);
}

/* Wald's sequential test of a limit against chance: each reply adds the logarithm of how much
 * likelier it is under a limit. */
static void sprt_add(struct flow_control *fc, double nats)
{
	fc->sprt_score = (uint16_t)between(fc->sprt_score + nats * SPRT_UNIT, 0, UINT16_MAX);
}

bool noise_suspected(const struct flow_control *fc)
{
	return fc->sprt_pending > 0;
}

/* Ends a period. What the share was at its lowest is chance; whatever else was refused may have
 * been a limit that is only just exceeded, so the share is believed to grow slowly only. */
void noise_learn(struct flow_control *fc)
{
	double known = noise_share(fc);
	double share = fc->refused / fmax(fc->refused_of, 1);

	if (noise_known(fc) && fc->refused_of >= PERIOD_MIN) {
		fc->noise_of = NOISE_OF / 2;
		fc->noise = (float)(fc->noise_of *
				    (known + (share < known ? 0.3 : 0.1) * (share - known)));
		noise_judge(fc);
	}
	fc->refused = fc->refused_of = 0;
}

/* Whether more was refused of late than chance explains, though never much at once. */
bool noise_grew(struct flow_control *fc)
{
	double expected = noise_share(fc) * fc->refused_of;

	if (fc->refused_of < PERIOD_MIN || fc->refused < expected + 4.5 * sqrt(expected) + 2)
		return false;
	noise_learn(fc);
	return true;
}

/* A message was accepted; on the ground: where the rate is below the limit estimate. */
void noise_accepted(struct flow_control *fc, bool ground)
{
	if (fc->sprt_pending) {
		sprt_add(fc, log1p(-LIMIT_SHARE / (1 - noise_share(fc))));
		if (fc->sprt_score == 0)
			fc->sprt_pending = 0;
	}
	if (!noise_known(fc) && ground)
		noise_count(fc, 1, 0);
	if (noise_known(fc) && ++fc->refused_of >= PERIOD)
		noise_learn(fc);
}

/* A message was refused where it might be chance, and the next one was accepted. */
void noise_refused(struct flow_control *fc)
{
	if (noise_known(fc))
		return;
	noise_count(fc, 1, 1);
	if (noise_known(fc))
		fc->pressure = 0;
}

/* Whether chance explains this deferral, so far. */
bool noise_explains(struct flow_control *fc)
{
	double share = noise_share(fc);
	double an_hour = share * fc->rate * 3600;

	if (!noise_known(fc))
		return false;
	sprt_add(fc, log1p(LIMIT_SHARE / share));
	if (fc->sprt_score <
		    log(fmax(an_hour / FALSE_ALARMS * fmin(1, fc->rate), 10)) * SPRT_UNIT &&
	    fc->sprt_pending < SPRT_PENDING_MAX) {
		fc->sprt_pending++;
		fc->refused += fc->refused < UINT8_MAX;
		fc->refused_of++;
		return true;
	}
	fc->sprt_score = 0;
	fc->sprt_pending = 0;
	return false;
}
