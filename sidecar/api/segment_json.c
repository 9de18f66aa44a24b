/* SPDX-License-Identifier: MIT
 *
 * The segment as a whole, for `status`.
 */
#include <sys/stat.h>

#include "sidecar/api/flow_json.h"
#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"

#define load(word) \
	atomic_load_explicit(word, memory_order_relaxed) /* each word is valid by itself */

static void put_files(const struct segment *s, struct json_writer *out)
{
	uint64_t used = 0, bytes = 0;
	struct stat st;

	json_put_object(out, "bytes");
	for (int file = 0; file < LAYOUT_FILES; file++) {
		if (s->fds[file] < 0)
			continue;
		json_put_u64(out, segment_file_names[file], s->bytes[file]);
		bytes += s->bytes[file];
		used += fstat(s->fds[file], &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
	}
	json_put_u64(out, "all", bytes);
	json_put_u64(out, "in_memory", used);
	json_put_end(out);
}

static void put_sizes(const struct segment *s, struct json_writer *out)
{
	const struct layout_sizes *sizes = &s->header.sizes;

	json_put_object(out, "sizes");
	json_put_u64(out, "flows", sizes->flows);
	json_put_u64(out, "slots", sizes->slots);
	json_put_u64(out, "workers", sizes->workers);
	json_put_u64(out, "ring_records", sizes->ring_records);
	json_put_u64(out, "minutes", sizes->minutes);
	json_put_u64(out, "leases", sizes->leases);
	json_put_end(out);
}

/* Sums over worker slots: what a worker counted stays in its slot when it has gone. */
static void put_decisions(const struct segment *s, struct json_writer *out)
{
	uint64_t sums[TG_REASONS] = {0};

	for (uint32_t w = 0; w < s->header.sizes.workers; w++)
		/* Who never attached has touched no page; reading it would bring zeroes into
		 * memory. */
		for (int shard = 0; load(&s->workers[w].attached_ns) && shard < LAYOUT_SHARDS;
		     shard++) {
			const struct layout_shard *at = &s->workers[w].shards[shard];

			for (int reason = 0; reason < TG_REASONS; reason++)
				sums[reason] += load(&at->verdicts[reason]);
		}
	json_put_object(out, "decisions");
	flow_json_count(out, "admitted", sums[TG_ADMITTED]);
	json_put_object(out, "refused");
	for (int reason = TG_ADMITTED + 1; reason < TG_REASONS; reason++)
		flow_json_count(out, tg_reason_name((enum tg_reason)reason), sums[reason]);
	json_put_end(out);
	json_put_end(out);
}

static void put_workers(const struct segment *s, struct json_writer *out)
{
	uint64_t attached = 0, records = 0, lost = 0, repairs = 0;

	for (uint32_t w = 0; w < s->header.sizes.workers; w++) {
		const struct layout_worker *worker = &s->workers[w];

		attached += load(&worker->owner) != 0;
		records += load(&worker->head);
		lost += load(&worker->lost);
		repairs += load(&worker->repairs);
	}
	json_put_object(out, "workers");
	json_put_u64(out, "attached", attached);
	json_put_u64(out, "capacity", s->header.sizes.workers);
	flow_json_count(out, "records", records);
	flow_json_count(out, "ring_overflows", lost);
	flow_json_count(out, "damage_met", repairs);
	json_put_end(out);
}

static void put_clock(const struct segment *s, uint64_t now_ns, struct json_writer *out)
{
	const struct layout_live *live = s->live;
	const struct layout_scale *scale = &live->scale[load(&live->scale_index) & 1];
	uint64_t heartbeat = load(&live->heartbeat_ns);
	static const char *const actions[] = {"keep", "fail-open", "fail-closed"};
	uint32_t on_down = load(&live->on_down);

	json_put_text(out, "clock", load(&scale->span) ? "counter" : "vdso");
	if (heartbeat)
		json_put_number(out, "heartbeat_age_s",
				now_ns > heartbeat ? (double)(now_ns - heartbeat) / 1e9 : 0, 3);
	else
		json_put_null(out, "heartbeat_age_s");
	json_put_text(out, "on_sidecar_down", on_down < 3 ? actions[on_down] : "invalid");
	json_put_number(out, "sidecar_timeout_s", (double)load(&live->down_after_ns) / 1e9, 3);
	flow_json_count(out, "generation", load(&live->generation));
}

void segment_json_put(const struct segment *s, uint64_t now_ns, struct json_writer *out)
{
	static const char *const states[] = {"new", "live", "retired"};
	uint32_t state = load(&s->live->state);

	json_put_object(out, "segment");
	json_put_text(out, "path", s->path);
	json_put_text(out, "state", state < 3 ? states[state] : "invalid");
	json_put_u64(out, "version", s->header.version);
	put_sizes(s, out);
	put_files(s, out);
	json_put_end(out);
	put_workers(s, out);
	put_decisions(s, out);
	put_clock(s, now_ns, out);
}
