/* SPDX-License-Identifier: MIT
 *
 * What the sidecar keeps of known slots, in `control`: records and blocks, side by side.
 *
 * A slot is learned in this order: its record, its blocks, the index, the count. A sidecar that
 * dies in between leaves a record beyond the count, which is nobody's; the next one clears what
 * the index says of it. A block is taken if a record names it, so nothing else is kept of that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"

#define ENGINE_MAX   UINT32_C(65536)
#define WORD_BITS    64
#define BLOCKS_ASKED 64 /* at once */

bool segment_shape_valid(const struct segment_shape *shape)
{
	uint32_t numbers = 0;

	for (uint32_t pool = 0; pool < SEGMENT_POOLS; pool++) {
		if (shape->block_bytes[pool] % 8 || shape->block_bytes[pool] > ENGINE_MAX)
			return false;
		if (shape->block_bytes[pool])
			numbers = (pool + 1) * sizeof(uint32_t);
	}
	return shape->engine_bytes % 8 == 0 && shape->engine_bytes >= numbers &&
	       shape->engine_bytes <= ENGINE_MAX;
}

void segment_control_point(struct segment *s, char *control)
{
	struct segment_control_offsets o = segment_control_offsets(&s->header.sizes, &s->shape);

	s->tails = (void *)(control + o.tails);
	s->index = (void *)(control + o.index);
	s->known = (void *)(control + o.known);
	s->known_room = s->header.sizes.slots + 1;
	s->engine = control + o.engine;
	s->strings = (void *)(control + o.strings);
	s->strings_text = control + o.strings_text;
	for (int pool = 0; pool < SEGMENT_POOLS; pool++)
		s->pools[pool] = (struct segment_pool){.blocks = control + o.pools[pool],
						       .bytes = s->shape.block_bytes[pool],
						       .room = s->header.sizes.slots};
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static uint32_t *block_number(const struct segment *s, uint32_t record, uint32_t pool)
{
	return (uint32_t *)(s->engine + (uint64_t)record * s->shape.engine_bytes) + pool;
}

static char *block_at(const struct segment_pool *pool, uint32_t number)
{
	return pool->blocks + (uint64_t)(number - 1) * pool->bytes;
}

static uint32_t block_find(struct segment_pool *pool)
{
	uint32_t words = (pool->room + WORD_BITS - 1) / WORD_BITS;

	for (uint32_t word = pool->next / WORD_BITS; word < words; word++) {
		uint32_t bit;

		if (pool->taken[word] == UINT64_MAX)
			continue;
		bit = word * WORD_BITS + (uint32_t)__builtin_ctzll(~pool->taken[word]);
		if (bit >= pool->room)
			return 0;
		pool->taken[word] |= UINT64_C(1) << (bit % WORD_BITS);
		pool->next = bit + 1;
		return bit + 1;
	}
	return 0;
}

static bool block_claim(struct segment_pool *pool, uint32_t number)
{
	uint64_t bit = UINT64_C(1) << ((number - 1) % WORD_BITS);
	uint64_t *word;

	if (number > pool->room)
		return false;
	word = &pool->taken[(number - 1) / WORD_BITS];
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}

void *segment_block(const struct segment *s, uint32_t slot, uint32_t pool)
{
	uint32_t number = s->index[slot] ? *block_number(s, s->index[slot], pool) : 0;

	/* Bounded here for who looks at another process's segment. */
	return number && number <= s->pools[pool].room ? block_at(&s->pools[pool], number) : NULL;
}

void *segment_block_fill(struct segment *s, uint32_t slot, uint32_t pool, const void *bytes)
{
	uint32_t number;
	void *block = segment_block(s, slot, pool);

	if (block)
		return block;
	number = s->index[slot] ? block_find(&s->pools[pool]) : 0;
	if (number == 0)
		return NULL;
	block = block_at(&s->pools[pool], number);
	if (bytes)
		memcpy(block, bytes, s->pools[pool].bytes);
	else
		memset(block, 0, s->pools[pool].bytes);
	segment_step();
	*block_number(s, s->index[slot], pool) = number;
	return block;
}

void *segment_block_take(struct segment *s, uint32_t slot, uint32_t pool)
{
	return segment_block_fill(s, slot, pool, NULL);
}

void segment_block_drop(struct segment *s, uint32_t slot, uint32_t pool)
{
	uint32_t *at = block_number(s, s->index[slot], pool);
	uint32_t number = *at;

	if (s->index[slot] == 0 || number == 0)
		return;
	segment_step();
	*at = 0;
	s->pools[pool].taken[(number - 1) / WORD_BITS] &=
		~(UINT64_C(1) << ((number - 1) % WORD_BITS));
	/* The lowest first, so that what is in memory stays together. */
	if (number - 1 < s->pools[pool].next)
		s->pools[pool].next = number - 1;
}

/* ---- records --------------------------------------------------------------------------------- */

/* Blocks are taken one after the other while a segment is copied. */
static void block_copy(struct segment_pool *to, uint32_t number, const void *block, uint32_t bytes)
{
	uint32_t first = number - 1;
	char *at = block_at(to, number);

	if (first % BLOCKS_ASKED == 0)
		segment_pages_ask(to->blocks, to->bytes, first,
				  to->room - first < BLOCKS_ASKED ? to->room - first
								  : BLOCKS_ASKED);
	if (bytes < to->bytes)
		memset(at, 0, to->bytes);
	memcpy(at, block, bytes < to->bytes ? bytes : to->bytes);
}

/* Blocks of another segment's slot into blocks of this record. */
static void blocks_copy(struct segment *s, uint32_t record, const struct segment *other,
			uint32_t from)
{
	for (uint32_t pool = 0; pool < SEGMENT_POOLS; pool++) {
		struct segment_pool *to = &s->pools[pool];
		uint32_t bytes = other->pools[pool].bytes, number = 0;
		const void *block = bytes ? segment_block(other, from, pool) : NULL;

		if (to->bytes == 0)
			continue;
		if (block)
			number = block_find(to);
		if (number)
			block_copy(to, number, block, bytes);
		*block_number(s, record, pool) = number;
	}
}

static void engine_fill(struct segment *s, uint32_t record, const struct segment *other,
			uint32_t from)
{
	char *to = s->engine + (uint64_t)record * s->shape.engine_bytes;
	uint32_t bytes = s->shape.engine_bytes;

	if (other == NULL || other->shape.engine_bytes < bytes)
		memset(to, 0, bytes);
	if (other == NULL)
		return;
	if (other->shape.engine_bytes < bytes)
		bytes = other->shape.engine_bytes;
	memcpy(to, segment_engine(other, from), bytes);
	blocks_copy(s, record, other, from);
}

void segment_slot_set(struct segment *s, uint32_t slot, const struct segment_slot *filled,
		      const struct segment *other, uint32_t from)
{
	uint32_t record = segment_count(s) + 1;

	segment_step();
	s->known[record] = *filled;
	s->known[record].slot = slot;
	engine_fill(s, record, other, from);
	segment_step();
	s->index[slot] = record;
	segment_step();
	s->strings->records = record;
}

const uint8_t *segment_address(const struct segment *s, uint32_t slot)
{
	static const uint8_t unknown[16];
	const struct segment_slot *known = slot < s->view.slots ? segment_slot(s, slot) : s->known;

	if (known->kind == SEGMENT_FLOW)
		known = known->source < s->view.slots ? segment_slot(s, known->source) : s->known;
	return known->kind == SEGMENT_SOURCE && (uint64_t)known->name + 16 <= s->strings->bytes
		       ? (const uint8_t *)s->strings_text + known->name
		       : unknown;
}

/* ---- what was found -------------------------------------------------------------------------- */

static bool record_sound(const struct segment *s, uint32_t record)
{
	const struct segment_slot *known = &s->known[record];

	if (known->slot >= s->view.slots || s->index[known->slot] != record)
		return false;
	switch (known->kind) {
	case SEGMENT_FLOW: return true; /* its parents are bounded where they are used */
	case SEGMENT_SOURCE:
		return known->length == 16 && (uint64_t)known->name + 16 <= s->strings->used;
	case SEGMENT_DESTINATION:
	case SEGMENT_STREAM: return (uint64_t)known->name + known->length <= s->strings->used;
	default: return false;
	}
}

/* What the index says of records that do not count. */
static void index_clear(struct segment *s)
{
	const struct segment_array index = {LAYOUT_CONTROL, s->index, sizeof(*s->index)};

	for (uint32_t slot = 0, end = 0; segment_resident_slots(s, &index, end, &slot, &end);)
		for (; slot < end; slot++)
			if (s->index[slot] > s->strings->records)
				s->index[slot] = 0;
}

static void blocks_claim(struct segment *s, uint32_t record)
{
	for (uint32_t pool = 0; pool < SEGMENT_POOLS; pool++) {
		uint32_t *number;

		if (s->pools[pool].bytes == 0)
			continue;
		number = block_number(s, record, pool);
		/* Of two that name the same block the second has lost its own. */
		if (*number && !block_claim(&s->pools[pool], *number))
			*number = 0;
	}
}

int segment_records_check(struct segment *s, char *reason)
{
	for (int pool = 0; pool < SEGMENT_POOLS; pool++) {
		struct segment_pool *at = &s->pools[pool];

		if (at->bytes &&
		    (at->taken = calloc(at->room / WORD_BITS + 1, sizeof(*at->taken))) == NULL)
			return -ENOMEM;
	}
	s->known[0] = (struct segment_slot){.slot = LAYOUT_NONE};
	if (s->strings->bytes !=
		    segment_control_offsets(&s->header.sizes, &s->shape).strings_bytes ||
	    s->strings->used > s->strings->bytes || s->strings->records >= s->known_room) {
		snprintf(reason, SEGMENT_REASON, "control has damaged records");
		return -EBADMSG;
	}
	index_clear(s);
	for (uint32_t record = 1; record <= s->strings->records; record++) {
		if (!record_sound(s, record)) {
			snprintf(reason, SEGMENT_REASON, "control has a damaged record");
			return -EBADMSG;
		}
		blocks_claim(s, record);
	}
	return 0;
}

void segment_records_free(struct segment *s)
{
	for (int pool = 0; pool < SEGMENT_POOLS; pool++) {
		free(s->pools[pool].taken);
		s->pools[pool].taken = NULL;
	}
}
