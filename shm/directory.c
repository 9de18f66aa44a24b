/* SPDX-License-Identifier: MIT
 *
 * The directory: from a key to its slot, found or claimed without a lock from any process.
 *
 * Linear probing. A slot belongs to the pair of its key's halves once both are set, and for ever. A
 * claimer sets the first half by compare-and-swap from 0, then the second; whoever finds the first
 * half alone sets the second for its own key if the first fits, so a claimer that dies in between
 * leaves nothing stuck: the same key completes the claim.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/handle.h"
#include "shm/name.h"
#include "shm/source.h"
#include "shm/unmap.h"

uint32_t directory_find(const struct view *view, const struct hash_key *key, bool claim)
{
	uint32_t slot = hash_slot(key, view->slots);
	uint32_t probes = view->slots < DIRECTORY_PROBES ? view->slots : DIRECTORY_PROBES;

	for (uint32_t i = 0; i < probes; i++, slot = slot + 1 < view->slots ? slot + 1 : 0) {
		_Atomic uint64_t *half = view->counters[slot].key;
		/* Relaxed: a half never changes once set, and publishes nothing but itself. */
		uint64_t first = atomic_load_explicit(&half[0], memory_order_relaxed);
		uint64_t second = 0;

		if (first == 0 && !claim)
			return LAYOUT_NONE;
		if (first == 0 && atomic_compare_exchange_strong_explicit(
					  &half[0], &first, key->half[0], memory_order_relaxed,
					  memory_order_relaxed))
			first = key->half[0];
		if (first != key->half[0])
			continue;
		second = atomic_load_explicit(&half[1], memory_order_relaxed);
		if (second == 0 && !claim)
			return LAYOUT_NONE;
		if (second == 0 && atomic_compare_exchange_strong_explicit(
					   &half[1], &second, key->half[1], memory_order_relaxed,
					   memory_order_relaxed))
			second = key->half[1];
		if (second == key->half[1])
			return slot;
	}
	return LAYOUT_NONE;
}

static __attribute__((noinline, cold)) void announce_put(struct tg *tg,
							 enum layout_record_kind kind,
							 const struct tg_flow *flow,
							 const void *text, size_t length)
{
	struct layout_record record = {.kind = kind,
				       .slot = flow->slot,
				       .source = flow->source,
				       .destination = flow->destination};

	ring_put(tg, &record, text, length);
}

/* Tells the sidecar a slot's text, until it has filled the slot: the ring may have been full
 * before. Whether it is filled is read from the line that the decision reads next, and the record
 * is made out of line: clearing it would hold up the loads of the next lookups. */
static inline void announce(struct tg *tg, enum layout_record_kind kind, const struct tg_flow *flow,
			    const void *text, size_t length)
{
	if (__builtin_expect(
		    atomic_load_explicit(&tg->view.limits[flow->slot].rate[TG_TRANSACTIONAL],
					 memory_order_relaxed) == 0,
		    0))
		announce_put(tg, kind, flow, text, length);
}

static uint32_t slot_of_text(struct tg *tg, enum hash_kind kind, enum layout_record_kind record,
			     const void *text, size_t length, struct hash_key *ret_key)
{
	struct hash_key key = hash_bytes(kind, text, length, tg->header.seed);
	struct tg_flow flow = {LAYOUT_NONE, LAYOUT_NONE, LAYOUT_NONE, LAYOUT_NONE};

	flow.slot = directory_find(&tg->view, &key, true);
	if (flow.slot != LAYOUT_NONE)
		announce(tg, record, &flow, text, length);
	*ret_key = key;
	return flow.slot;
}

int directory_source(struct tg *tg, const uint8_t address[16], struct tg_source *ret)
{
	struct tg_source source = {0};
	struct hash_key key;

	memcpy(source.address, address, sizeof(source.address));
	source.slot = slot_of_text(tg, HASH_SOURCE, LAYOUT_RECORD_SOURCE, source.address,
				   sizeof(source.address), &key);
	memcpy(source.key, key.half, sizeof(source.key));
	*ret = source;
	return source.slot == LAYOUT_NONE ? -ENOSPC : 0;
}

/* The destination table has two copies: one is read, and read again if it was replaced meanwhile,
 * which a writer does once a reload. The bound keeps a reader from ever waiting. */
static int pools_have(struct tg *tg, const uint8_t source[16])
{
	int error = -ENOENT;

	for (int tries = 0; tries < 4; tries++) {
		/* N1 pairs with N0 in sidecar/segment/directory.c. */
		uint32_t index = atomic_load_explicit(&tg->live->names_index, memory_order_acquire);

		error = destination_pools_have(tg->names[index & 1], tg->header.sizes.names_bytes,
					       source);
		/* N3 pairs with N2 in sidecar/segment/directory.c. */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&tg->live->names_index, memory_order_relaxed) == index)
			break;
	}
	return error;
}

int tg_source(struct tg *tg, const char *name, struct tg_source *ret)
{
	uint8_t bytes[16];
	int error = name ? source_read(name, bytes) : -EINVAL;

	if (!error && source_is_name(bytes))
		error = pools_have(tg, bytes);
	return error ? error : directory_source(tg, bytes, ret);
}

int tg_source_text(const struct tg_source *source, char *text, size_t size)
{
	char whole[64];

	destination_address_text(source->address, whole, sizeof(whole));
	return snprintf(text, size, "%s", whole);
}

/* As pools_have. */
static int match(struct tg *tg, const char *name, struct destination_match *ret)
{
	int error = -EINVAL;

	for (int tries = 0; tries < 4; tries++) {
		/* N1 pairs with N0 in sidecar/segment/directory.c. */
		uint32_t index = atomic_load_explicit(&tg->live->names_index, memory_order_acquire);

		error = destination_match(tg->names[index & 1], tg->header.sizes.names_bytes, name,
					  ret);
		/* N3 pairs with N2 in sidecar/segment/directory.c: what was read of a copy that was
		 * being written shows another index here. */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&tg->live->names_index, memory_order_relaxed) == index)
			break;
	}
	return error;
}

int tg_destination(struct tg *tg, const char *name, struct tg_destination *ret)
{
	struct destination_match found;
	struct tg_destination destination = {0};
	struct hash_key key;
	int error = name ? match(tg, name, &found) : -EINVAL;

	if (error)
		return error;
	destination.slot = slot_of_text(tg, HASH_DESTINATION, LAYOUT_RECORD_DESTINATION, found.name,
					found.length, &key);
	memcpy(destination.key, key.half, sizeof(destination.key));
	*ret = destination;
	return destination.slot == LAYOUT_NONE ? -ENOSPC : 0;
}

int tg_destination_name(struct tg *tg, const char *name, char *text, size_t size)
{
	struct destination_match found;
	int error = name ? match(tg, name, &found) : -EINVAL;
	size_t length, fits;

	if (error)
		return error;
	length = found.length;
	if (size > 0) {
		fits = length < size ? length : size - 1;
		memcpy(text, found.name, fits);
		text[fits] = '\0';
	}
	return (int)length;
}

static __attribute__((noinline)) int flow_claim(struct tg *tg, const struct hash_key *key,
						const struct tg_source *source, struct tg_flow *ret)
{
	ret->slot = directory_find(&tg->view, key, true);
	if (ret->slot == LAYOUT_NONE)
		return -ENOSPC;
	announce(tg, LAYOUT_RECORD_FLOW, ret, source->address, sizeof(source->address));
	return 0;
}

/* Few instructions, since what counts where flows are many is how many of these the processor has
 * under way at once: both lines are asked for first, and a key that stands where its search begins
 * is found without a call. */
int tg_flow(struct tg *tg, const struct tg_source *source, const struct tg_destination *destination,
	    struct tg_flow *ret)
{
	struct hash_key key = hash_pair(source->key, destination->key);
	uint32_t slot = hash_slot(&key, tg->view.slots);
	const struct layout_counters *counters = &tg->view.counters[slot];

	__builtin_prefetch(counters, 1);
	__builtin_prefetch(&tg->view.limits[slot]);
	ret->slot = slot;
	ret->source = source->slot;
	ret->destination = destination->slot;
	ret->stream = LAYOUT_NONE;
	if (__builtin_expect(
		    atomic_load_explicit(&counters->key[0], memory_order_relaxed) != key.half[0] ||
			    atomic_load_explicit(&counters->key[1], memory_order_relaxed) !=
				    key.half[1],
		    0))
		return flow_claim(tg, &key, source, ret);
	announce(tg, LAYOUT_RECORD_FLOW, ret, source->address, sizeof(source->address));
	unmap_more(&tg->before);
	if (__builtin_expect(unsaid_any(&tg->unsaid), 0))
		ring_say_unsaid(tg);
	return 0;
}

int tg_stream(struct tg *tg, const struct tg_flow *flow, const char *name, struct tg_flow *ret)
{
	struct hash_key key;
	struct tg_flow with = *flow;
	size_t length = name ? strnlen(name, LAYOUT_TEXT + 1) : 0;

	if (!name_plain(name, length))
		return -EINVAL;
	with.stream = slot_of_text(tg, HASH_STREAM, LAYOUT_RECORD_STREAM, name, length, &key);
	if (with.stream == LAYOUT_NONE)
		return -ENOSPC;
	*ret = with;
	return 0;
}
