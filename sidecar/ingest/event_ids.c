/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/event_ids.h"

/* FNV-1a, mixed: ids differ in their last characters. */
static uint64_t hash_of(const struct ingest_text *id)
{
	uint64_t hash = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < id->length; i++)
		hash = (hash ^ (uint8_t)id->at[i]) * UINT64_C(0x100000001B3);
	hash = (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 29;
}

bool event_ids_first(struct event_ids *ids, const struct ingest_text *id)
{
	uint64_t hash, bucket;

	if (id->at == NULL || id->length == 0)
		return true;
	hash = hash_of(id);
	bucket = hash >> 40 & (EVENT_IDS / EVENT_IDS_BUCKET - 1);
	hash |= 1; /* 0 is a free place */
	for (int i = 0; i < EVENT_IDS_BUCKET; i++)
		if (ids->seen[bucket][i] == hash)
			return false;
	ids->seen[bucket][ids->next[bucket]] = hash;
	ids->next[bucket] = (uint8_t)((ids->next[bucket] + 1) % EVENT_IDS_BUCKET);
	return true;
}
