/* SPDX-License-Identifier: MIT */
#include "sidecar/gate/gated.h"

#include <stdlib.h>

#define SECOND_NS   UINT64_C(1000000000)
#define RECENT_S    10	/* all flows of the gate are looked at once a second */
#define CHANGED_MAX 256 /* what is beyond is told when it is looked at next */

struct gated_slot {
	uint32_t seen_s; /* 0: never */
	uint32_t kernel_slot;
};

struct gated {
	struct gated_slot *slots;
	uint32_t count;
	uint32_t changed[CHANGED_MAX];
	uint32_t changed_count;
};

struct gated *gated_create(uint32_t slots)
{
	struct gated *gated = calloc(1, sizeof(*gated));

	if (gated == NULL)
		return NULL;
	gated->count = slots;
	gated->slots = calloc(slots, sizeof(*gated->slots));
	if (gated->slots == NULL) {
		free(gated);
		return NULL;
	}
	return gated;
}

void gated_free(struct gated *gated)
{
	if (gated == NULL)
		return;
	free(gated->slots);
	free(gated);
}

void gated_see(struct gated *gated, uint32_t slot, uint32_t kernel_slot, uint64_t now_ns)
{
	if (gated && slot < gated->count)
		gated->slots[slot] =
			(struct gated_slot){(uint32_t)(now_ns / SECOND_NS) + 1, kernel_slot};
}

bool gated_has(const struct gated *gated, uint32_t slot, uint64_t now_ns)
{
	return gated && slot < gated->count && gated->slots[slot].seen_s != 0 &&
	       now_ns / SECOND_NS + 1 - gated->slots[slot].seen_s <= RECENT_S;
}

bool gated_change(struct gated *gated, uint32_t slot, uint64_t now_ns)
{
	uint32_t kernel_slot;

	if (!gated_has(gated, slot, now_ns) || gated->changed_count == CHANGED_MAX)
		return false;
	kernel_slot = gated->slots[slot].kernel_slot;
	for (uint32_t i = 0; i < gated->changed_count; i++)
		if (gated->changed[i] == kernel_slot)
			return true;
	gated->changed[gated->changed_count++] = kernel_slot;
	return true;
}

bool gated_next(struct gated *gated, uint32_t *ret_kernel_slot)
{
	if (gated == NULL || gated->changed_count == 0)
		return false;
	*ret_kernel_slot = gated->changed[--gated->changed_count];
	return true;
}
