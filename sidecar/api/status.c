/* SPDX-License-Identifier: MIT
 *
 * status: how the sidecar, its segment and its workers are. One line, after the known slots have
 * been counted piece by piece.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sidecar/api/api.h"
#include "sidecar/api/watch.h"
#include "sidecar/base/log_queue.h"

#define SLOTS_A_CALL 8192

struct counts {
	uint64_t of_kind[SEGMENT_STREAM + 1];
	uint64_t warmup[WARMUP_PHASES], warmup_low, warmup_back;
};

static void warmup_count_in(const struct api_context *s, uint32_t slot, struct counts *counts)
{
	const struct warmup *w = segment_block(s->segment, slot, ENGINE_WARMUP);

	if (w == NULL || w->phase >= WARMUP_PHASES || !engine_warmup_line(s->engine, slot))
		return;
	counts->warmup[w->phase]++;
	counts->warmup_low += w->low_days >= WARMUP_LOW_DAYS;
	counts->warmup_back += w->back > 0;
}

static void put_warmup(const struct counts *counts, struct json_writer *out)
{
	json_put_object(out, "warmup");
	for (int phase = 0; phase < WARMUP_PHASES; phase++)
		json_put_u64(out, warmup_phase_name((enum warmup_phase)phase),
			     counts->warmup[phase]);
	json_put_u64(out, "too_little", counts->warmup_low);
	json_put_u64(out, "stepping_back", counts->warmup_back);
	json_put_end(out);
}

static void put_sidecar(const struct api_context *s, uint64_t now_ns, struct json_writer *out)
{
	json_put_bool(out, "alive", true);
	json_put_text(out, "version", TG_VERSION);
	json_put_i64(out, "pid", getpid());
	json_put_number(out, "uptime_s", (double)(now_ns - s->started_ns) / 1e9, 1);
	json_put_text(out, "config", s->config_path);
	json_put_text(out, "start",
		      s->segment->adopted    ? "adopted"
		      : s->segment->replaced ? "replaced"
					     : "made");
	json_put_u64(out, "operators", control_socket_clients(s->server));
	json_put_u64(out, "watching", watch_clients(s->watch));
	json_put_u64(out, "log_lines_lost", log_queue_dropped());
}

static void put_counts(const struct api_context *s, const struct counts *counts,
		       struct json_writer *out)
{
	json_put_object(out, "known");
	json_put_u64(out, "flows", counts->of_kind[SEGMENT_FLOW]);
	json_put_u64(out, "sources", counts->of_kind[SEGMENT_SOURCE]);
	json_put_u64(out, "destinations", counts->of_kind[SEGMENT_DESTINATION]);
	json_put_u64(out, "streams", counts->of_kind[SEGMENT_STREAM]);
	json_put_u64(out, "capacity", s->segment->header.sizes.flows);
	json_put_end(out);
}

static void put_engine(const struct api_context *s, uint64_t now_ns, struct json_writer *out)
{
	const struct engine_totals *totals = engine_totals(s->engine);

	json_put_object(out, "rings");
	json_put_u64(out, "records", s->drained->records);
	json_put_u64(out, "damaged", s->drained->damaged);
	json_put_number(out, "records_per_s",
			rate_meter_per_s(s->recent, s->drained->records, now_ns), 3);
	json_put_end(out);
	json_put_object(out, "engine");
	json_put_u64(out, "replies", totals->replies);
	json_put_object(out, "by_class");
	for (int class = 0; class < REPLY_CLASSES; class ++)
		json_put_u64(out, reply_class_name(class), totals->by_class[class]);
	json_put_end(out);
	json_put_u64(out, "rules_fired", totals->fired);
	json_put_u64(out, "limits_changed", totals->changes);
	json_put_u64(out, "names_learned", totals->learned);
	json_put_u64(out, "registrations_rejected", totals->unfit);
	json_put_u64(out, "repairs", s->repaired(s->daemon));
	json_put_end(out);
}

static void put_memory(const struct api_context *s, struct json_writer *out)
{
	struct alloc_stats stats;

	alloc_stats(&stats);
	json_put_object(out, "memory");
	json_put_text(out, "allocator", stats.name);
	json_put_u64(out, "allocated", stats.allocated);
	json_put_u64(out, "active", stats.active);
	json_put_u64(out, "resident", stats.resident);
	json_put_u64(out, "mapped", stats.mapped);
	json_put_u64(out, "configuration",
		     s->generation->arena ? alloc_arena_bytes(s->generation->arena) : 0);
	json_put_end(out);
}

static void put_all(struct api_context *s, const struct counts *counts, struct json_writer *out)
{
	uint64_t now_ns = loop_now();
	char text[LOOP_REASON];

	json_put_object(out, NULL);
	put_sidecar(s, now_ns, out);
	put_counts(s, counts, out);
	put_warmup(counts, out);
	segment_json_put(s->segment, now_ns, out);
	json_put_bool(out, "reloading", s->reload_result->done < s->reload_result->asked);
	put_engine(s, now_ns, out);
	put_memory(s, out);
	json_put_text(out, "io_uring", loop_features(s->loop, text, sizeof(text)));
	gate_bridge_put(s->gate, out, "ebpf");
	logs_put(s->logs, out, "logs");
	door_put(s->door, out, "http");
	doors_put(s->doors, out, "doors");
	s->store(s->daemon, out);
	json_put_end(out);
	json_put_newline(out);
}

int api_status(void *arg, struct control_call *call)
{
	struct api_context *s = arg;
	struct counts *counts = call->data ? call->data : calloc(1, sizeof(*counts));
	uint32_t count = segment_count(s->segment);

	if (counts == NULL)
		return -ENOMEM;
	call->data = counts;
	for (int i = 0; i < SLOTS_A_CALL && call->cursor < count; i++) {
		uint32_t slot = segment_nth(s->segment, (uint32_t)call->cursor++);
		uint32_t kind = segment_kind(s->segment, slot);

		counts->of_kind[kind <= SEGMENT_STREAM ? kind : SEGMENT_UNKNOWN]++;
		if (kind == SEGMENT_FLOW)
			warmup_count_in(s, slot, counts);
	}
	if (call->cursor < count)
		return SERVER_MORE;
	put_all(s, counts, call->answer);
	return SERVER_DONE;
}
