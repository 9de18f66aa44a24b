/* SPDX-License-Identifier: MIT
 *
 * What the sidecar knows of each slot: its text, announced by workers and checked against its key.
 */
#include <errno.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/handle.h"
#include "shm/name.h"
#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"

uint32_t segment_find(struct segment *s, const struct hash_key *key, bool claim)
{
	return directory_find(&s->view, key, claim);
}

static void slot_name(struct segment *s, uint32_t slot, const struct segment_slot *filled,
		      const struct hash_key *key)
{
	struct segment_slot value = *filled;

	memcpy(value.key, key->half, sizeof(value.key));
	segment_slot_set(s, slot, &value, NULL, 0);
}

static bool key_stands(const struct segment *s, uint32_t slot, const struct hash_key *key)
{
	return atomic_load_explicit(&s->view.counters[slot].key[0], memory_order_relaxed) ==
		       key->half[0] &&
	       atomic_load_explicit(&s->view.counters[slot].key[1], memory_order_relaxed) ==
		       key->half[1];
}

static int heap_add(struct segment *s, const char *text, size_t length, uint32_t *ret)
{
	uint64_t at = s->strings->used;

	if (at + length > s->strings->bytes)
		return -ENOSPC;
	memcpy(s->strings_text + at, text, length);
	segment_step();
	s->strings->used = at + length;
	*ret = (uint32_t)at;
	return 0;
}

static int learn_key(struct segment *s, uint32_t slot, enum segment_kind kind,
		     const struct hash_key *key, const char *text, size_t length)
{
	struct segment_slot filled = {.kind = kind, .length = (uint32_t)length};
	int error;

	if (!key_stands(s, slot, key))
		return -EBADMSG;
	if (segment_kind(s, slot) != SEGMENT_UNKNOWN)
		return -EALREADY;
	error = heap_add(s, text, length, &filled.name);
	if (error)
		return error;
	slot_name(s, slot, &filled, key);
	return 0;
}

static int learn_text(struct segment *s, uint32_t slot, enum segment_kind kind, enum hash_kind hash,
		      const char *text, size_t length)
{
	struct hash_key key = hash_bytes(hash, text, length, s->header.seed);

	return learn_key(s, slot, kind, &key, text, length);
}

static struct hash_key destination_key(const struct segment *s, uint32_t destination)
{
	struct hash_key key;

	memcpy(key.half, segment_slot(s, destination)->key, sizeof(key.half));
	return key;
}

static int learn_flow(struct segment *s, uint32_t slot, const uint8_t address[16], uint32_t source,
		      uint32_t destination)
{
	struct hash_key source_key = hash_bytes(HASH_SOURCE, address, 16, s->header.seed);
	struct segment_slot filled = {
		.kind = SEGMENT_FLOW, .source = source, .destination = destination};
	struct hash_key key;
	int error;

	if (destination >= s->view.slots || source >= s->view.slots ||
	    !key_stands(s, source, &source_key))
		return -EBADMSG;
	if (segment_kind(s, destination) != SEGMENT_DESTINATION)
		return -EAGAIN;
	key = destination_key(s, destination);
	key = hash_flow(address, key.half, s->header.seed);
	if (!key_stands(s, slot, &key))
		return -EBADMSG;
	if (segment_kind(s, slot) != SEGMENT_UNKNOWN)
		return -EALREADY;
	/* Its source's own announcement may have been lost. */
	error = learn_text(s, source, SEGMENT_SOURCE, HASH_SOURCE, (const char *)address, 16);
	if (error && error != -EALREADY)
		return error;
	slot_name(s, slot, &filled, &key);
	return 0;
}

/* A flow by one of its replies: what its source is called tells its address. */
static int learn_by_reply(struct segment *s, const struct layout_record *record)
{
	uint8_t address[16];

	if (record->source >= s->view.slots || segment_kind(s, record->source) != SEGMENT_SOURCE)
		return -EAGAIN;
	memcpy(address, segment_address(s, record->source), sizeof(address));
	return learn_flow(s, record->slot, address, record->source, record->destination);
}

int segment_learn(struct segment *s, const struct layout_record *record)
{
	size_t length = record->length;

	if (record->slot >= s->view.slots || length > LAYOUT_TEXT)
		return -EBADMSG;
	if (record->kind == LAYOUT_RECORD_REPLY)
		return learn_by_reply(s, record);
	if (length != record->length_original)
		return -EBADMSG;
	switch (record->kind) {
	case LAYOUT_RECORD_SOURCE:
		return learn_text(s, record->slot, SEGMENT_SOURCE, HASH_SOURCE, record->text,
				  length);
	case LAYOUT_RECORD_DESTINATION:
		if (length > DESTINATION_NAME_MAX || !name_plain(record->text, length))
			return -EBADMSG;
		return learn_text(s, record->slot, SEGMENT_DESTINATION, HASH_DESTINATION,
				  record->text, length);
	case LAYOUT_RECORD_STREAM:
		if (!name_plain(record->text, length))
			return -EBADMSG;
		return learn_text(s, record->slot, SEGMENT_STREAM, HASH_STREAM, record->text,
				  length);
	case LAYOUT_RECORD_FLOW:
		if (length != 16)
			return -EBADMSG;
		return learn_flow(s, record->slot, (const uint8_t *)record->text, record->source,
				  record->destination);
	default: return -EBADMSG;
	}
}

static uint32_t claim_text(struct segment *s, enum segment_kind kind, enum hash_kind hash,
			   const void *text, size_t length)
{
	struct hash_key key = hash_bytes(hash, text, length, s->header.seed);
	uint32_t slot = directory_find(&s->view, &key, true);
	int error;

	if (slot == LAYOUT_NONE)
		return LAYOUT_NONE;
	error = learn_key(s, slot, kind, &key, text, length);
	return error && error != -EALREADY ? LAYOUT_NONE : slot;
}

uint32_t segment_source(struct segment *s, const uint8_t address[16])
{
	return claim_text(s, SEGMENT_SOURCE, HASH_SOURCE, address, 16);
}

uint32_t segment_destination(struct segment *s, const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > DESTINATION_NAME_MAX)
		return LAYOUT_NONE;
	return claim_text(s, SEGMENT_DESTINATION, HASH_DESTINATION, name, length);
}

uint32_t segment_destination_find(const struct segment *s, const char *name)
{
	struct hash_key key = hash_bytes(HASH_DESTINATION, name, strlen(name), s->header.seed);
	uint32_t slot = directory_find(&s->view, &key, false);

	return slot != LAYOUT_NONE && segment_kind(s, slot) == SEGMENT_DESTINATION ? slot
										   : LAYOUT_NONE;
}

uint32_t segment_stream(struct segment *s, const char *name)
{
	size_t length = strlen(name);

	if (length > LAYOUT_TEXT || !name_plain(name, length))
		return LAYOUT_NONE;
	return claim_text(s, SEGMENT_STREAM, HASH_STREAM, name, length);
}

/* Both are known, so their keys are there. */
static struct hash_key flow_key(const struct segment *s, uint32_t source, uint32_t destination)
{
	return hash_pair(segment_slot(s, source)->key, segment_slot(s, destination)->key);
}

uint32_t segment_flow_between(struct segment *s, uint32_t source, uint32_t destination)
{
	struct segment_slot filled = {
		.kind = SEGMENT_FLOW, .source = source, .destination = destination};
	struct hash_key key = flow_key(s, source, destination);
	uint32_t slot = directory_find(&s->view, &key, true);

	if (slot != LAYOUT_NONE && segment_kind(s, slot) == SEGMENT_UNKNOWN)
		slot_name(s, slot, &filled, &key);
	return slot;
}

void segment_expect_flow(const struct segment *s, uint32_t source, uint32_t destination)
{
	struct hash_key key = flow_key(s, source, destination);
	uint32_t slot = hash_slot(&key, s->view.slots);

	__builtin_prefetch(&s->view.counters[slot], 1);
	__builtin_prefetch(&s->view.counters_more[slot], 1);
	__builtin_prefetch(&s->index[slot], 1);
}

uint32_t segment_flow(struct segment *s, const uint8_t address[16], const char *destination)
{
	uint32_t to = segment_destination(s, destination);
	uint32_t source = segment_source(s, address);

	return to == LAYOUT_NONE || source == LAYOUT_NONE ? LAYOUT_NONE
							  : segment_flow_between(s, source, to);
}

const char *segment_name(const struct segment *s, uint32_t slot, char *text, size_t size)
{
	const struct segment_slot *known = slot < s->view.slots ? segment_slot(s, slot) : NULL;
	size_t length = 0;

	if (known && (known->kind == SEGMENT_DESTINATION || known->kind == SEGMENT_STREAM) &&
	    (uint64_t)known->name + known->length <= s->strings->bytes) {
		length = known->length < size ? known->length : size - 1;
		memcpy(text, s->strings_text + known->name, length);
	}
	text[length] = '\0';
	return text;
}

int segment_publish_names(struct segment *s, const void *table, size_t length)
{
	uint32_t index = atomic_load_explicit(&s->live->names_index, memory_order_relaxed) + 1;

	if (length > s->header.sizes.names_bytes)
		return -EMSGSIZE;
	/* N2 pairs with N3 in shm/directory.c: the index that took readers away from this copy is
	 * there before the copy changes. */
	atomic_thread_fence(memory_order_release);
	for (size_t done = 0; done < length; done += LAYOUT_PAGE) {
		segment_step();
		memcpy(s->names[index & 1] + done, (const char *)table + done,
		       length - done < LAYOUT_PAGE ? length - done : LAYOUT_PAGE);
	}
	segment_step();
	/* N0 pairs with N1 in shm/directory.c: the copy is whole before the index names it. */
	atomic_store_explicit(&s->live->names_index, index, memory_order_release);
	return 0;
}
