/* SPDX-License-Identifier: MIT
 *
 * See keeper.h. A snapshot goes through the slots that have changed since the last one; when it is
 * through, all that happened before it began is in the batch, which says so (db_alive).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm/window.h"
#include "sidecar/base/file.h"
#include "sidecar/base/log.h"
#include "sidecar/daemon/keeper.h"
#include "sidecar/daemon/keeper_state.h"
#include "sidecar/engine/saved.h"
#include "sidecar/segment/publish.h"

#define BOOT_PATH   "/proc/sys/kernel/random/boot_id"
#define PIECE	    128	  /* flows a call: a tenth of a millisecond or so */
#define GROUP	    16	  /* of these, whose memory is asked for at once */
#define BATCH_FLOWS 65536 /* a transaction */
#define EVERY_NS    UINT64_C(900000000)
#define IDLE_NS	    UINT64_C(5000000000) /* where nothing changes */

/* ---- making ---------------------------------------------------------------------------------- */

static void boot_read(char *text, size_t size)
{
	file_read_into(BOOT_PATH, text, size);
	text[strcspn(text, "\n")] = '\0';
}

static void store_begin(struct keeper *k, const char *folder, bool wanted)
{
	char names[SAVED_NAMES_BYTES];
	struct stat st;

	snprintf(k->folder, sizeof(k->folder), "%s", folder);
	if (!wanted && stat(folder, &st) != 0) {
		snprintf(k->reason, sizeof(k->reason), "%s", strerror(errno));
		log_notice("store",
			   "nothing is kept for after a reboot: %s: %s (it is not made unasked; "
			   "`state` in the configuration names another)",
			   folder, k->reason);
		return;
	}
	if (store_open(folder, saved_names(names), &k->store, k->reason) != 0) {
		k->store = NULL;
		log_error("store", "nothing is kept for after a reboot: %s: %s", folder, k->reason);
	}
}

int keeper_create(struct segment *segment, struct engine *engine, const char *folder, bool wanted,
		  struct keeper **ret)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return -ENOMEM;
	k->segment = segment;
	k->engine = engine;
	boot_read(k->alive.boot, sizeof(k->alive.boot));
	if (folder == NULL)
		snprintf(k->reason, sizeof(k->reason), "the configuration wants none");
	else
		store_begin(k, folder, wanted);
	if (k->store && engine_track(engine) != 0) {
		keeper_free(k);
		return -ENOMEM;
	}
	*ret = k;
	return 0;
}

/* Nothing ended in order from now on, whatever comes; what is kept is as old as it was. */
static int alive_begin(struct keeper *k, uint64_t now_ns)
{
	struct db *db = store_db(k->store);
	struct db_alive before;
	int error = db_alive(db, &before);

	k->alive.at_ns = error ? (int64_t)now_ns + k->wall_offset_ns : before.at_ns;
	k->alive.clean = false;
	error = error == -ENOENT ? 0 : error;
	if (!error)
		error = db_begin(db);
	if (!error) {
		error = db_put_alive(db, &k->alive);
		error = error ? error : db_end(db, true);
	}
	if (error)
		log_error("store", "%s cannot be written: %s; it is tried again, decisions go on",
			  k->folder, db_error_text(db));
	return error;
}

int keeper_run(struct keeper *k, int64_t wall_offset_ns, uint64_t now_ns)
{
	const struct engine_watcher watcher = {.arg = k, .change = keeper_change};

	if (k->store == NULL)
		return 0;
	k->wall_offset_ns = wall_offset_ns;
	k->error = alive_begin(k, now_ns);
	return engine_watch(k->engine, &watcher) == 0 ? store_run(k->store) : -ENOSPC;
}

void keeper_renewed(struct keeper *k)
{
	k->ahead_count = 0;
	k->cursor = 0;
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	if (k->store)
		engine_unwatch(k->engine, k);
	store_batch_free(k->batch);
	store_close(k->store);
	free(k->ahead);
	free(k);
}

/* ---- a slot ---------------------------------------------------------------------------------- */

/* Bytes of a slot, while it is put in a batch. */
struct slot_bytes {
	char name[LAYOUT_TEXT + 1];
	uint8_t life[SAVED_LIFE_BYTES], effects[SAVED_EFFECT_BYTES], shared[SAVED_SHARED_BYTES],
		warmup[SAVED_WARMUP_BYTES];
};

static void slot_name(const struct keeper *k, uint32_t slot, struct slot_bytes *bytes)
{
	const struct segment_slot *known = segment_slot(k->segment, slot);

	if (known->kind == SEGMENT_FLOW && known->destination < k->segment->view.slots)
		slot = known->destination;
	segment_name(k->segment, slot, bytes->name, sizeof(bytes->name));
}

static int64_t wall_s(const struct keeper *k, uint64_t ns)
{
	return ((int64_t)ns + k->wall_offset_ns) / INT64_C(1000000000);
}

static void flow_fill(const struct keeper *k, uint32_t slot, struct slot_bytes *bytes,
		      uint64_t now_ns, struct db_flow *ret)
{
	const struct engine_flow *flow = segment_engine(k->segment, slot);
	const struct engine_life *life = segment_block(k->segment, slot, ENGINE_LIFE);
	const struct engine_shared *shared = segment_block(k->segment, slot, ENGINE_SHARED);
	const struct warmup *warmup = segment_block(k->segment, slot, ENGINE_WARMUP);

	if (flow->seen_s)
		ret->seen_s = wall_s(k, flow->seen_s * WINDOW_SECOND_NS);
	if (life) {
		ret->life = bytes->life;
		ret->life_length = saved_life_write(life, k->wall_offset_ns, bytes->life);
	}
	ret->effects_length = saved_effects_write(engine_effects(k->engine, slot),
						  k->wall_offset_ns, now_ns, bytes->effects);
	ret->effects = ret->effects_length ? bytes->effects : NULL;
	if (shared) {
		ret->shared = bytes->shared;
		ret->shared_length = saved_shared_write(shared, k->wall_offset_ns, bytes->shared);
	}
	if (warmup) {
		ret->warmup = bytes->warmup;
		ret->warmup_length = saved_warmup_write(warmup, bytes->warmup);
	}
}

static void slot_fill(const struct keeper *k, uint32_t slot, struct slot_bytes *bytes,
		      uint64_t now_ns, struct db_flow *ret)
{
	const struct segment_slot *known = segment_slot(k->segment, slot);
	const struct layout_counters_more *totals = &k->segment->view.counters_more[slot];
	struct publish_limits limits;

	publish_read(k->segment, slot, &limits);
	slot_name(k, slot, bytes);
	*ret = (struct db_flow){
		.kind = known->kind,
		.name = bytes->name,
		.name_length = strlen(bytes->name),
		.seen_s = wall_s(k, now_ns),
		/* Relaxed: sums. */
		.delivered = atomic_load_explicit(&totals->delivered, memory_order_relaxed),
		.deferred = atomic_load_explicit(&totals->deferred, memory_order_relaxed),
		.bounced = atomic_load_explicit(&totals->bounced, memory_order_relaxed),
		/* As they were last seen sound. */
		.hour = known->hour,
		.day = known->day,
		.interval_ns = limits.interval_ns,
		.burst = limits.burst[TG_TRANSACTIONAL],
		.hour_cap = limits.hour_cap[TG_TRANSACTIONAL],
		.day_cap = limits.day_cap[TG_TRANSACTIONAL],
	};
	memcpy(ret->source, segment_address(k->segment, slot), sizeof(ret->source));
	if (known->kind == SEGMENT_FLOW)
		flow_fill(k, slot, bytes, now_ns, ret);
}

_Static_assert(DB_KIND_FLOW == SEGMENT_FLOW, "flows are put by their kind");

static bool slot_put(struct keeper *k, uint32_t slot, uint64_t now_ns)
{
	struct slot_bytes bytes;
	struct db_flow row;

	slot_fill(k, slot, &bytes, now_ns, &row);
	return store_batch_flow(k->batch, &row);
}

/* ---- a snapshot ------------------------------------------------------------------------------ */

static int64_t day_now(const struct keeper *k, uint64_t now_ns)
{
	return window_day(k->segment->calendar, 0, now_ns);
}

static void batch_put(struct keeper *k, uint64_t now_ns)
{
	store_put(k->store, k->batch, &k->alive, day_now(k, now_ns));
	k->batch = NULL;
	k->flows = k->changes = 0;
	k->put_ns = now_ns;
}

/* Once, when it begins and when it ends. */
static void trouble_tell(struct keeper *k)
{
	struct store_state state;

	store_state(k->store, &state);
	if (state.error && !k->error)
		log_error("store", "%s cannot be written: %s; it is tried again, decisions go on",
			  k->folder, state.reason);
	if (!state.error && k->error)
		log_notice("store", "%s is written again", k->folder);
	k->error = state.error;
}

static bool batch_there(struct keeper *k)
{
	if (k->batch == NULL)
		k->batch = store_batch_begin();
	return k->batch != NULL;
}

void keeper_beat(struct keeper *k, int64_t wall_offset_ns, uint64_t valid_ns, uint64_t now_ns)
{
	k->wall_offset_ns = wall_offset_ns;
	if (k->store == NULL)
		return;
	trouble_tell(k);
	if (k->walking || now_ns < k->put_ns + EVERY_NS || !store_ready(k->store) ||
	    !batch_there(k))
		return;
	k->walking = true;
	k->walk_valid_ns = valid_ns;
	k->cursor = 0;
}

static void walk_end(struct keeper *k, uint64_t now_ns)
{
	k->walking = false;
	k->whole = true;
	if (k->walk_valid_ns)
		k->alive.at_ns = (int64_t)k->walk_valid_ns + k->wall_offset_ns;
	k->alive.clean = k->quiet;
	if (k->flows || k->changes || now_ns >= k->put_ns + IDLE_NS)
		batch_put(k, now_ns);
}

/* The next slots that have changed, with their memory on its way. Fewer than are wanted: no more. */
static int slots_next(struct keeper *k, uint32_t slots[GROUP])
{
	int count = 0;

	while (count < GROUP &&
	       (slots[count] = engine_changed(k->engine, &k->cursor)) != LAYOUT_NONE)
		segment_expect_slot(k->segment, slots[count++]);
	for (int i = 0; i < count; i++)
		__builtin_prefetch(segment_engine(k->segment, slots[i]));
	return count;
}

bool keeper_work(struct keeper *k, uint64_t now_ns)
{
	for (int done = 0; done < PIECE && k->walking; done += GROUP) {
		uint32_t slots[GROUP];
		int count;

		/* The rest is of the next, which begins when this one is written. */
		if (k->flows >= BATCH_FLOWS) {
			k->walking = false;
			batch_put(k, now_ns);
			break;
		}
		count = slots_next(k, slots);
		for (int i = 0; i < count; i++)
			k->flows += slot_put(k, slots[i], now_ns);
		if (count < GROUP)
			walk_end(k, now_ns);
	}
	return k->walking;
}

static void wait_ready(struct keeper *k)
{
	struct timespec moment = {.tv_nsec = 1000000};
	struct store_state state;

	for (int i = 0; i < 5000 && !store_ready(k->store); i++) {
		store_state(k->store, &state);
		if (state.error)
			return;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
	}
}

/* Goes through all that has changed, however many batches that takes. False: the disk does not. */
static bool walk_whole(struct keeper *k, uint64_t valid_ns, uint64_t now_ns)
{
	wait_ready(k);
	if (!store_ready(k->store) || !batch_there(k))
		return false;
	k->put_ns = 0;
	k->walking = true;
	k->whole = false;
	k->walk_valid_ns = valid_ns;
	k->cursor = 0;
	while (keeper_work(k, now_ns))
		;
	return k->whole || walk_whole(k, valid_ns, now_ns);
}

void keeper_end(struct keeper *k, bool quiet, uint64_t valid_ns, uint64_t now_ns)
{
	if (k == NULL || k->store == NULL)
		return;
	while (keeper_work(k, now_ns))
		;
	k->quiet = quiet;
	if (!walk_whole(k, valid_ns, now_ns))
		log_warning("store", "%s: what came last is not kept", k->folder);
	wait_ready(k);
}

/* ---- for status ------------------------------------------------------------------------------ */

void keeper_put(const struct keeper *k, struct json_writer *out, const char *key)
{
	struct store_state state = {.error = 0};

	if (k->store)
		store_state(k->store, &state);
	json_put_object(out, key);
	json_put_bool(out, "on", k->store != NULL);
	json_put_text(out, "folder", *k->folder ? k->folder : NULL);
	json_put_text(out, "error",
		      k->store == NULL ? k->reason
		      : state.error    ? state.reason
				       : NULL);
	json_put_u64(out, "flows_restored", k->restored);
	json_put_u64(out, "flows_written", state.flows);
	json_put_u64(out, "changes_written", state.changes);
	json_put_u64(out, "changes_lost", k->changes_lost);
	json_put_number(out, "as_of", (double)state.at_ns / 1e9, 3);
	json_put_end(out);
}
