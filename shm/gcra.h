/* SPDX-License-Identifier: MIT
 *
 * The rate arithmetic: the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"), pure.
 *
 * Included by workers, by the sidecar and by the eBPF program alike, so it uses fixed-width
 * integers alone, no division where a decision is made, and no libc.
 *
 * The whole state of a rate is one u64, the theoretical arrival time (TAT) in nanoseconds: the time
 * at which the flow would be empty again. n messages at time now conform if TAT <= now + (burst -
 * n) * T, where T is the emission interval; then TAT becomes max(TAT, now) + n * T. From an idle
 * state exactly `burst` messages pass at one instant, and any half-open window of length w holds at
 * most burst + ceil(w / T) - 1 messages.
 *
 * A rate is one u64 as well, so that a reader can never see half of a new one:
 *
 *     63    60 59        32 31    26 25         0
 *     +-------+------------+--------+------------+
 *     | epoch |   burst    |  exp   |  mantissa  |     T = mantissa << exp, in nanoseconds
 *     +-------+------------+--------+------------+
 *
 * The epoch stands in a state's top bits too: it says at which price the state was charged. A price
 * holds for one epoch, so a compare-and-swap of the state succeeds at the price that holds for it,
 * or not at all (shm/decide.h, sidecar/segment/publish.c). In arithmetic a state is without its
 * epoch: `state ^ gcra_epoch(rate)` is the time where the two agree, and further ahead than any
 * time where not.
 *
 * T is rounded up when it is packed (relative error < 2^-25), so a packed rate never allows more
 * than it was asked to. The word 0 means "never set"; an interval of 0 means unlimited.
 */
#ifndef TG_GCRA_H
#define TG_GCRA_H

#include <stdint.h>

#define GCRA_MANTISSA_BITS 26
#define GCRA_EPOCH_SHIFT   60
#define GCRA_EPOCH_ONE	   (UINT64_C(1) << GCRA_EPOCH_SHIFT)
#define GCRA_BURST_MAX	   UINT32_C(0x0fffffff)
#define GCRA_UNLIMITED	   ((uint64_t)GCRA_BURST_MAX << 32)
/* Bound on burst * T: with it, and a clock below 2^59 ns (18 years), no sum here reaches the epoch.
 */
#define GCRA_SPAN_MAX (UINT64_C(1) << 58)

static inline uint64_t gcra_interval(uint64_t rate)
{
	return (rate & ((UINT64_C(1) << GCRA_MANTISSA_BITS) - 1))
	       << (rate >> GCRA_MANTISSA_BITS & 63);
}

static inline uint32_t gcra_burst(uint64_t rate)
{
	return (uint32_t)(rate >> 32) & GCRA_BURST_MAX;
}

/* In place, in the top bits. */
static inline uint64_t gcra_epoch(uint64_t word)
{
	return word >> GCRA_EPOCH_SHIFT << GCRA_EPOCH_SHIFT;
}

/* The rate of one message every interval_ns, burst at once. interval_ns 0 is unlimited. A burst of
 * 0 lets nothing pass. Where burst * T would pass GCRA_SPAN_MAX the burst is lowered until it does
 * not. */
static inline uint64_t gcra_rate(uint64_t interval_ns, uint32_t burst)
{
	uint64_t exp = 0;
	uint64_t max;

	if (interval_ns == 0)
		return GCRA_UNLIMITED;
	if (interval_ns > GCRA_SPAN_MAX)
		interval_ns = GCRA_SPAN_MAX;
	while (interval_ns >> exp >= UINT64_C(1) << GCRA_MANTISSA_BITS)
		exp++;
	if ((interval_ns >> exp) << exp != interval_ns) {
		interval_ns = ((interval_ns >> exp) + 1) << exp;
		if (interval_ns >> exp >= UINT64_C(1) << GCRA_MANTISSA_BITS)
			exp++;
	}
	max = GCRA_SPAN_MAX / interval_ns;
	if (burst > max)
		burst = (uint32_t)max;
	if (burst > GCRA_BURST_MAX)
		burst = GCRA_BURST_MAX;
	return (uint64_t)burst << 32 | exp << GCRA_MANTISSA_BITS | interval_ns >> exp;
}

/* The earliest time at which n messages conform; 0 where any time does. n must not exceed burst. */
static inline uint64_t gcra_earliest(uint64_t tat, uint64_t interval_ns, uint32_t burst, uint32_t n)
{
	uint64_t tolerance = (uint64_t)(burst - n) * interval_ns;

	return tat > tolerance ? tat - tolerance : 0;
}

/* The state after n messages were taken at now. */
static inline uint64_t gcra_charge(uint64_t tat, uint64_t now, uint64_t interval_ns, uint32_t n)
{
	return (tat > now ? tat : now) + (uint64_t)n * interval_ns;
}

/* Do n messages conform now, by the word of a state? `burst` may be less than the rate's. Sets the
 * word that the charge leaves. An unlimited rate does not conform here: it has no state to charge.
 * Nor does a state of another epoch than the rate's, since it lies far ahead. */
static inline _Bool gcra_conforms(uint64_t word, uint64_t rate, uint32_t burst, uint32_t n,
				  uint64_t now_ns, uint64_t *ret_word)
{
	uint64_t interval = gcra_interval(rate), epoch = gcra_epoch(rate), tat = word ^ epoch;

	*ret_word = gcra_charge(tat, now_ns, interval, n) ^ epoch;
	return interval != 0 && n <= burst && gcra_earliest(tat, interval, burst, n) <= now_ns;
}

/* A state that no honest writer can have left is brought back to the bound: what lies further ahead
 * of now than span_ns (burst * T and the longest reservation) was written by a broken clock or a
 * broken process, and would block the flow until then. */
static inline uint64_t gcra_clamp(uint64_t tat, uint64_t now, uint64_t span_ns)
{
	return tat > now && tat - now > span_ns ? now + span_ns : tat;
}

#ifndef __bpf__
/* The state after the interval changed: what has been used, counted in messages, stays used.
 * (Keeping the time instead would grant a fresh burst on a cut, and block for the old debt on a
 * raise.) Rounds up, towards less. */
static inline uint64_t gcra_rescale(uint64_t tat, uint64_t now, uint64_t old_ns, uint64_t new_ns)
{
	unsigned __int128 debt;

	if (tat <= now || old_ns == new_ns || old_ns == 0)
		return tat;
	debt = ((unsigned __int128)(tat - now) * new_ns + old_ns - 1) / old_ns;
	return now + (debt > GCRA_SPAN_MAX ? GCRA_SPAN_MAX : (uint64_t)debt);
}
#endif

#endif
