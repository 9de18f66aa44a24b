/* SPDX-License-Identifier: MIT
 *
 * Fuzzes what may be sent to the socketmaps, down to the flows of an engine on a segment of its own.
 */
#include <stdio.h>
#include <unistd.h>

#include "sidecar/config/generation.h"
#include "sidecar/doors/maps_door.h"
#include "tests/fuzz_doors.h"

static const char configuration[] =
	"builtin: false\n" /* and no built-in rules, whose expressions take longer than all else */
	"builtin_rules: false\n"
	"pools: [{name: all, sources: [192.0.2.1, 192.0.2.2]}]\n"
	"postfix_maps: {pool: all, sources: [{name: a, address: 192.0.2.1}]}\n";

static struct segment *segment;
static struct generation generation;
static struct engine *engine;
static struct maps_door *door;

static void gone(void)
{
	segment_close(segment, true);
}

static int segment_begin(void)
{
	static char path[64];
	char reason[SEGMENT_REASON];
	struct segment_options options = {
		.path = path,
		.owner = -1,
		.group = -1,
		.sizes = {.flows = 1000,
			  .workers = 2,
			  .ring_records = 16,
			  .minutes = 2,
			  .leases = 4,
			  .names_bytes = 1 << 20},
	};

	engine_shape(&options);
	snprintf(path, sizeof(path), "/dev/shm/tollgate-fuzz-%d", (int)getpid());
	return segment_open(&options, &segment, reason);
}

static int configured(void)
{
	struct diagnostics report = {0};
	char file[64];
	FILE *out;
	int error;

	snprintf(file, sizeof(file), "/tmp/tollgate-fuzz-%d.yaml", (int)getpid());
	out = fopen(file, "w");
	if (out == NULL || fputs(configuration, out) < 0 || fclose(out) != 0)
		return -1;
	error = generation_load(file, &generation, &report);
	diagnostics_free(&report);
	unlink(file);
	return error;
}

static void begin(void)
{
	struct gatekeeper *gate;

	if (segment_begin() != 0 || configured() != 0 || engine_create(segment, &engine) != 0)
		abort();
	atexit(gone);
	engine_wall_offset(engine, 0);
	if (engine_configure(engine, generation.config, generation.classifier, generation.rules,
			     loop_now()) != 0 ||
	    gatekeeper_create("/nonexistent", -1, &gate) != 0 ||
	    maps_door_create(gate, engine, &(struct intake_gate){0}, &door) != 0)
		abort();
	maps_door_configure(door, generation.config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (door == NULL)
		begin();
	fuzz_door(&maps_protocol, door, data, size);
	return 0;
}
