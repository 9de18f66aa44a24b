/* SPDX-License-Identifier: MIT
 *
 * The arrivals of a scenario, and the one source of chance in the simulator: a hash of the seed and
 * of what the draw is for, so that no draw depends on how many were made before it.
 */
#include "sidecar/simulate/traffic.h"

#include <errno.h>
#include <stdlib.h>

#include "sidecar/base/random.h"
#include "sidecar/base/units.h"

#define LUMP_NS (10 * UNITS_MINUTE_NS)

uint64_t simulate_luck(uint64_t seed, uint64_t thing, uint64_t draw)
{
	return random_of(random_of(random_of(seed) ^ thing) ^ draw);
}

double simulate_draw(uint64_t draw)
{
	return random_share(draw);
}

static uint64_t arrival_ns(const struct scenario_traffic *traffic, uint32_t index, uint64_t draw)
{
	uint64_t lumps = (traffic->over_ns + LUMP_NS - 1) / LUMP_NS;

	if (traffic->over_ns == 0)
		return traffic->start_ns;
	switch (traffic->arrival) {
	case SCENARIO_BURST: return traffic->start_ns + index % lumps * LUMP_NS;
	case SCENARIO_UNIFORM:
		return traffic->start_ns +
		       (uint64_t)((double)traffic->over_ns * index / traffic->messages);
	default:
		/* Independent uniform times are a Poisson process of which the number is known. */
		return traffic->start_ns +
		       (uint64_t)((double)traffic->over_ns * simulate_draw(draw));
	}
}

static int by_arrival(const void *a, const void *b)
{
	const struct simulate_message *x = a, *y = b;

	if (x->arrival_ns != y->arrival_ns)
		return x->arrival_ns < y->arrival_ns ? -1 : 1;
	/* `next` holds the order of making until the messages are queued. */
	return x->next < y->next ? -1 : x->next > y->next;
}

int simulate_traffic(const struct scenario *scenario, uint64_t seed, struct simulate_message **ret,
		     size_t *ret_count)
{
	struct simulate_message *messages = calloc(scenario->message_count + 1, sizeof *messages);
	size_t count = 0;

	if (!messages)
		return -ENOMEM;
	for (size_t i = 0; i < scenario->traffic_count; i++) {
		const struct scenario_traffic *traffic = &scenario->traffic[i];

		for (uint32_t j = 0; j < traffic->messages; j++) {
			uint64_t at = arrival_ns(traffic, j, simulate_luck(seed, i, j));

			if (at >= scenario->duration_ns)
				continue;
			messages[count] = (struct simulate_message){
				.arrival_ns = at,
				.next = (uint32_t)count,
				.queue = traffic->pool * (uint32_t)scenario->receiver_count +
					 traffic->receiver,
				.class = (uint8_t)traffic->class,
				.traffic = (uint8_t)i,
			};
			count++;
		}
	}
	qsort(messages, count, sizeof *messages, by_arrival);
	*ret = messages;
	*ret_count = count;
	return 0;
}
