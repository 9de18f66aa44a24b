/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/base/units.h"

#define NAMES_MIN (UINT32_C(1) << 20)
#define WORK_MAX  16

/* ---- the segment ----------------------------------------------------------------------------- */

/* The files stay open and mapped; without their names nothing is left behind, however a run ends.
 */
static void folder_vanish(const struct segment *segment)
{
	int fd = openat(segment->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!folder && fd >= 0)
		close(fd);
	while (folder && (entry = readdir(folder)))
		unlinkat(segment->folder, entry->d_name, 0);
	if (folder)
		closedir(folder);
	rmdir(segment->path);
}

static int place_try(const char *place, struct segment_options *options, struct segment **ret,
		     char reason[SEGMENT_REASON])
{
	char path[64];
	int error;

	snprintf(path, sizeof(path), "%s/tollgate-scratch-XXXXXX", place);
	if (!mkdtemp(path)) {
		error = -errno;
		snprintf(reason, SEGMENT_REASON, "%s: no place for a folder", place);
		return error;
	}
	options->path = path;
	error = segment_open(options, ret, reason);
	options->path = NULL;
	if (error == 0)
		folder_vanish(*ret);
	else
		rmdir(path);
	return error;
}

static int segment_make(const struct scratch_setup *setup, struct segment **ret)
{
	static const char *const places[] = {"/dev/shm", "/tmp"};
	const struct config *config = setup->config;
	char reason[SEGMENT_REASON] = "";
	struct segment_options options = {
		.owner = -1,
		.group = -1,
		.reserve_max_ns = config->segment.max_reservation.value,
		.sizes = {.flows = setup->flows,
			  .workers = 1,
			  .ring_records = 2,
			  .minutes = (uint32_t)config->segment.minutes.value,
			  .leases = 1,
			  .names_bytes = NAMES_MIN},
	};
	int error = -ENOENT;

	engine_shape(&options);
	while (options.sizes.names_bytes < config->table_length * 2)
		options.sizes.names_bytes *= 2;
	for (size_t i = 0; error && i < sizeof(places) / sizeof(places[0]); i++)
		error = place_try(places[i], &options, ret, reason);
	if (error)
		log_error("segment", "%s", reason);
	else
		(*ret)->clock = NULL; /* debts are not measured by the machine's time */
	return error;
}

/* ---- making ---------------------------------------------------------------------------------- */

int scratch_adopt(struct scratch *scratch, const struct scratch_setup *setup, uint64_t now_ns)
{
	int error = engine_create(scratch->segment, &scratch->engine);

	scratch->second_ns = scratch->work_ns = now_ns;
	if (error)
		return error;
	engine_wall_offset(scratch->engine, setup->wall_offset_ns);
	return engine_configure(scratch->engine, setup->config, setup->classifier, setup->rules,
				now_ns);
}

void scratch_end(struct scratch *scratch)
{
	engine_free(scratch->engine);
	scratch->engine = NULL;
}

int scratch_open(const struct scratch_setup *setup, struct scratch *ret)
{
	int error;

	*ret = (struct scratch){.engine = NULL};
	error = segment_make(setup, &ret->segment);
	return error ? error : scratch_adopt(ret, setup, SCRATCH_EPOCH_NS);
}

void scratch_close(struct scratch *scratch)
{
	engine_free(scratch->engine);
	segment_close(scratch->segment, false);
	*scratch = (struct scratch){.engine = NULL};
}

/* ---- its loop -------------------------------------------------------------------------------- */

void scratch_work(struct scratch *scratch, uint64_t now_ns)
{
	/* Piece by piece, as the loop calls it; what is due again at this instant waits for the
	 * next. */
	for (int i = 0; i < WORK_MAX; i++) {
		scratch->work_ns = engine_work(scratch->engine, now_ns);
		if (scratch->work_ns > now_ns)
			return;
	}
}

uint64_t scratch_wake(const struct scratch *scratch)
{
	uint64_t second_ns = scratch->second_ns + UNITS_SECOND_NS;

	if (!scratch->engine)
		return UINT64_MAX;

	return scratch->counted && second_ns < scratch->work_ns ? second_ns : scratch->work_ns;
}

void scratch_run(struct scratch *scratch, uint64_t now_ns)
{
	if (scratch->counted && now_ns >= scratch->second_ns + UNITS_SECOND_NS) {
		engine_housekeep(scratch->engine, now_ns);
		scratch->second_ns = now_ns;
		scratch->counted = false;
	}
	scratch_work(scratch, now_ns);
}
