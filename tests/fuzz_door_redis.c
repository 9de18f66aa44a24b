/* SPDX-License-Identifier: MIT
 *
 * Fuzzes what a Redis client may send. There is no gate: keys that name flows are read, and refused.
 */
#include "sidecar/doors/redis_door.h"
#include "tests/fuzz_doors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gatekeeper *gate;
	static struct redis_door *door;

	if (door == NULL && (gatekeeper_create("/nonexistent", -1, &gate) != 0 ||
			     redis_door_create(gate, 64, &door) != 0))
		abort();
	fuzz_door(&redis_protocol, door, data, size);
	return 0;
}
