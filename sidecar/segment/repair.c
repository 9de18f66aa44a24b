/* SPDX-License-Identifier: MIT
 *
 * Mending what a broken or hostile worker left in the files that it may write.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/headroom.h"
#include "shm/lease.h"
#include "shm/window.h"
#include "sidecar/segment/publish.h"
#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"

static uint32_t key_repair(struct segment *s, uint32_t slot)
{
	const struct segment_slot *known = segment_slot(s, slot);
	uint32_t repaired = 0;

	for (int half = 0; half < 2; half++)
		if (atomic_load_explicit(&s->view.counters[slot].key[half], memory_order_relaxed) !=
		    known->key[half]) {
			atomic_store_explicit(&s->view.counters[slot].key[half], known->key[half],
					      memory_order_relaxed);
			repaired++;
		}
	return repaired;
}

static bool tat_sound(uint64_t tat, uint64_t rate, uint64_t longest_ns, uint64_t now_ns)
{
	uint64_t max = gcra_burst(rate) * gcra_interval(rate);

	return gcra_clamp(tat, now_ns, max + max / 8 + longest_ns + WINDOW_SECOND_NS) == tat;
}

/* Whether a state can be an honest writer's. Between two publications it is in its rate's epoch; in
 * another it lies far ahead here. Under a default that has changed it may be in the epoch `before`.
 */
static bool state_sound(uint64_t word, uint64_t rate, uint32_t before, uint64_t longest_ns,
			uint64_t now_ns)
{
	uint64_t epoch = gcra_epoch(word);

	if (word == 0 || tat_sound(word ^ gcra_epoch(rate), rate, longest_ns, now_ns))
		return true;
	return gcra_interval(before) != 0 && epoch + GCRA_EPOCH_ONE == gcra_epoch(rate) &&
	       tat_sound(word ^ epoch, (uint64_t)gcra_burst(rate) << 32 | before, longest_ns,
			 now_ns);
}

/* A state beyond any bound becomes a full bucket. `before`: the price before of a default, 0 of a
 * slot that is filled. */
static uint32_t tat_repair(const struct segment *s, _Atomic uint64_t *tat, uint64_t rate,
			   uint32_t before, uint64_t longest_ns, uint64_t now_ns)
{
	uint64_t word = atomic_load_explicit(tat, memory_order_relaxed);

	/* Without an interval nobody reads it, and what was used before the limit went must not be
	 * forgotten. */
	if (gcra_interval(rate) == 0 || state_sound(word, rate, before, longest_ns, now_ns))
		return 0;
	now_ns = segment_now_after_load(s, now_ns);
	if (state_sound(word, rate, before, longest_ns, now_ns))
		return 0;
	return atomic_compare_exchange_strong_explicit(
		tat, &word, (now_ns + gcra_burst(rate) * gcra_interval(rate)) | gcra_epoch(rate),
		memory_order_relaxed, memory_order_relaxed);
}

/* Between a worker's look at the calendar and ours it may have moved a little. */
#define CALENDAR_SLACK_NS (60 * WINDOW_SECOND_NS)

/* No worker counts in a period that is still to come, unless that begins this moment; but after the
 * wall clock was set back the words are of a time that was none. */
static bool window_sound(uint64_t word, uint32_t present, uint64_t end_ns, uint64_t now_ns)
{
	uint32_t period = (uint32_t)(word >> 32);

	return (uint32_t)word != UINT32_MAX &&
	       (period <= present ||
		(period == present + 1 && end_ns - now_ns <= CALENDAR_SLACK_NS));
}

static uint32_t period_of(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

/* What an unsound word is replaced by. Damage: what was last seen sound there. The clock: the count
 * holds for the present period, whether the word is a little ahead (a zone that changed) or what is
 * remembered is itself of a time that the clock has left again. */
static uint64_t window_instead(uint64_t seen, uint64_t remembered, bool remembered_sound,
			       uint32_t present, bool *ret_damage)
{
	bool counted = (uint32_t)seen != UINT32_MAX;

	*ret_damage = false;
	if (counted && (period_of(seen) == present + 1 ||
			(!remembered_sound && period_of(seen) == period_of(remembered))))
		return (uint64_t)present << 32 | (uint32_t)seen;
	if (!remembered_sound)
		return (uint64_t)present << 32 | (uint32_t)remembered;
	*ret_damage = true;
	return remembered;
}

/* A period that cannot be is repaired; sound ones are remembered. */
static uint32_t window_repair(const struct segment *s, struct layout_counters *counters, bool hour,
			      uint64_t flags, uint64_t *remembered, uint64_t now_ns)
{
	const struct layout_calendar *calendar = s->calendar;
	_Atomic uint64_t *word = hour ? &counters->hour : &counters->day;
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed), end_ns;
	uint32_t present;
	bool damage;

	now_ns = segment_now_after_load(s, now_ns);
	present = hour ? window_hour(calendar, flags, now_ns) : window_day(calendar, flags, now_ns);
	end_ns = hour ? window_hour_end(calendar, flags, present)
		      : window_day_end(calendar, flags, present);
	if (window_sound(seen, present, end_ns, now_ns)) {
		*remembered = seen;
		return 0;
	}
	*remembered = window_instead(seen, *remembered,
				     window_sound(*remembered, present, end_ns, now_ns), present,
				     &damage);
	return atomic_compare_exchange_strong_explicit(
		       word, &seen, *remembered, memory_order_relaxed, memory_order_relaxed) &&
	       damage;
}

static uint32_t headroom_repair(const struct segment *s, _Atomic uint64_t *word, uint64_t now_ns)
{
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
	uint64_t sound = headroom_sound(seen, segment_now_after_load(s, now_ns));

	return sound != seen &&
	       atomic_compare_exchange_strong_explicit(word, &seen, sound, memory_order_relaxed,
						       memory_order_relaxed);
}

static uint32_t slot_sweep(struct segment *s, uint32_t slot, uint64_t now_ns)
{
	struct layout_counters *counters = &s->view.counters[slot];
	struct segment_slot *known = segment_slot(s, slot);
	struct publish_in_force in_force = publish_in_force(s, slot);
	uint64_t flags = atomic_load_explicit(&in_force.limits->flags, memory_order_relaxed);
	uint64_t rate = atomic_load_explicit(&in_force.limits->rate[TG_TRANSACTIONAL],
					     memory_order_relaxed);
	uint64_t longest = s->header.reserve_max_ns;
	uint64_t reserved = atomic_load_explicit(&counters->reserved_until, memory_order_relaxed);
	uint32_t repaired = key_repair(s, slot);

	bool filled = in_force.limits == &s->limits[slot];

	repaired += tat_repair(
		s, &counters->tat, rate,
		filled ? 0 : atomic_load_explicit(&in_force.more->before, memory_order_relaxed),
		longest, now_ns);
	repaired += tat_repair(
		s, &counters->connection_tat,
		atomic_load_explicit(&in_force.more->connection_rate, memory_order_relaxed),
		filled ? 0
		       : atomic_load_explicit(&in_force.more->connection_before,
					      memory_order_relaxed),
		0, now_ns);
	if (reserved > segment_now_after_load(s, now_ns) + longest + WINDOW_SECOND_NS)
		repaired += atomic_compare_exchange_strong_explicit(
			&counters->reserved_until, &reserved, 0, memory_order_relaxed,
			memory_order_relaxed);
	repaired += headroom_repair(s, &counters->headroom, now_ns);
	repaired += window_repair(s, counters, true, flags, &known->hour, now_ns);
	repaired += window_repair(s, counters, false, flags, &known->day, now_ns);
	return repaired;
}

uint32_t segment_repair(struct segment *s, uint32_t first, uint32_t count, uint64_t now_ns)
{
	uint32_t repaired = 0;

	for (uint32_t slot = first; slot < s->view.slots && slot - first < count; slot++)
		if (segment_kind(s, slot) != SEGMENT_UNKNOWN)
			repaired += slot_sweep(s, slot, now_ns);
	return repaired;
}

bool segment_file_mend(const struct segment *s, int fd, enum layout_file file)
{
	struct layout_header header = s->header, found = {0};
	struct stat st;

	header.file = file;
	header.bytes = segment_file_bytes(&s->header.sizes, file);
	if (fstat(fd, &st) != 0 || ((uint64_t)st.st_size == header.bytes &&
				    pread(fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
				    memcmp(&found, &header, sizeof(header)) == 0))
		return false;
	if (ftruncate(fd, (off_t)header.bytes) != 0 ||
	    pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return false;
	/* As much as there is: without it the file is whole all the same. */
	segment_allocate(fd, &s->header.sizes, file);
	return true;
}

uint32_t segment_repair_files(struct segment *s)
{
	uint32_t repaired = 0;

	for (int file = LAYOUT_COUNTERS; file <= LAYOUT_RINGS; file++)
		repaired += segment_file_mend(s, s->fds[file], (enum layout_file)file);
	return repaired;
}

static void word_refill(_Atomic uint64_t *word, uint64_t known)
{
	uint64_t lost = 0;

	atomic_compare_exchange_strong_explicit(word, &lost, known, memory_order_relaxed,
						memory_order_relaxed);
}

void segment_refill(struct segment *s)
{
	for (uint32_t slot = 0; slot < s->view.slots; slot++) {
		struct layout_counters *counters = &s->view.counters[slot];
		const struct segment_slot *known = segment_slot(s, slot);

		if (known->kind == SEGMENT_UNKNOWN)
			continue;
		word_refill(&counters->key[0], known->key[0]);
		word_refill(&counters->key[1], known->key[1]);
		word_refill(&counters->hour, known->hour);
		word_refill(&counters->day, known->day);
	}
}

#define UNSURE UINT16_MAX

/* How many leases each slot has; UNSURE where one is being taken or returned. */
static void leases_count(const struct segment *s, uint16_t *counts)
{
	const struct layout_sizes *sizes = &s->header.sizes;

	for (uint32_t w = 0; w < sizes->workers; w++) {
		/* Not by the owner word alone: that of a living worker may have been written over.
		 */
		if (!s->used[w] &&
		    atomic_load_explicit(&s->workers[w].owner, memory_order_relaxed) == 0)
			continue;
		for (uint32_t i = 0; i < sizes->leases; i++) {
			uint64_t entry = atomic_load_explicit(
				&s->leases[(uint64_t)w * sizes->leases + i], memory_order_relaxed);
			uint32_t slot = lease_slot(entry);

			if (lease_state(entry) == LEASE_FREE || slot >= s->view.slots)
				continue;
			if (lease_state(entry) != LEASE_HELD || counts[slot] >= UNSURE - 1)
				counts[slot] = UNSURE;
			else
				counts[slot]++;
		}
	}
}

uint32_t segment_repair_gauges(struct segment *s, uint32_t first, uint32_t count)
{
	uint16_t *counts = calloc(s->view.slots, sizeof(*counts));
	uint32_t repaired = 0;

	if (s->gauge_mismatch == NULL)
		s->gauge_mismatch = calloc(s->view.slots, sizeof(*s->gauge_mismatch));
	if (counts == NULL || s->gauge_mismatch == NULL) {
		free(counts);
		return 0;
	}
	leases_count(s, counts);
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t slot = segment_nth(s, i);
		_Atomic uint64_t *gauge = &s->view.counters_more[slot].gauge;
		uint64_t seen = atomic_load_explicit(gauge, memory_order_relaxed);

		if (seen == 0 && counts[slot] == 0)
			continue;
		if (counts[slot] == UNSURE || lease_count(seen) == counts[slot])
			s->gauge_mismatch[slot] = 0;
		else if (s->gauge_mismatch[slot] != seen + 1)
			s->gauge_mismatch[slot] = seen + 1;
		else
			repaired += atomic_compare_exchange_strong_explicit(
				gauge, &seen, (uint64_t)counts[slot] << 48, memory_order_relaxed,
				memory_order_relaxed);
	}
	free(counts);
	return repaired;
}
