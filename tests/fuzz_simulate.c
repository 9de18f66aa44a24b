/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a scenario: an error with its place, or a scenario that keeps its bounds; never a
 * crash.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/simulate/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
	if (!condition)
		abort();
}

static void check_receiver(const struct scenario_receiver *receiver)
{
	expect(receiver->accept.rate > 0 && receiver->accept.burst >= 1);
	expect(receiver->history.factor >= 0 && receiver->penalty.count <= SCENARIO_PENALTY_MAX);
	for (int i = 0; i < SCENARIO_LIMITS; i++)
		expect(receiver->over[i] != NULL);
	for (size_t i = 0; i < receiver->change_count; i++) {
		expect(i == 0 || receiver->changes[i].at_ns >= receiver->changes[i - 1].at_ns);
		expect(receiver->changes[i].accept.rate > 0);
	}
	for (size_t i = 0; i < receiver->noise_count; i++)
		expect(receiver->noises[i].share >= 0 && receiver->noises[i].share <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scenario *scenario = NULL;
	char error[512] = "";

	if (scenario_parse((const char *)data, size, "fuzz", &scenario, error, sizeof error) != 0) {
		expect(scenario == NULL && strncmp(error, "fuzz:", 5) == 0);
		return 0;
	}
	expect(scenario->source_count >= 1 && scenario->receiver_count >= 1);
	expect(scenario->message_count <= SCENARIO_MESSAGES_MAX);
	for (size_t i = 0; i < scenario->traffic_count; i++)
		expect(scenario->traffic[i].pool < scenario->pool_count &&
		       scenario->traffic[i].receiver < scenario->receiver_count);
	for (size_t i = 0; i < scenario->receiver_count; i++)
		check_receiver(&scenario->receivers[i]);
	scenario_free(scenario);
	return 0;
}
