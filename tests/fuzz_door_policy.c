/* SPDX-License-Identifier: MIT
 *
 * Fuzzes what may be sent to the policy service. There is no gate: all that is understood passes.
 */
#include "sidecar/doors/policy_door.h"
#include "tests/fuzz_doors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct config_policy config = {.source = "192.0.2.1"};
	static struct gatekeeper *gate;
	static struct policy_door *door;

	if (door == NULL) {
		if (gatekeeper_create("/nonexistent", -1, &gate) != 0 ||
		    policy_door_create(gate, &door) != 0)
			abort();
		policy_door_configure(door, &config);
	}
	fuzz_door(&policy_protocol, door, data, size);
	return 0;
}
