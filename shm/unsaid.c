/* SPDX-License-Identifier: MIT
 *
 * See unsaid.h. A worker may resolve a name for each message while the sidecar is down, so what is
 * kept is looked for first; there are never more than slots without limits.
 */
#include "shm/unsaid.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 1024

static void count_add(struct unsaid *u, uint32_t n)
{
	atomic_store_explicit(&u->count, atomic_load_explicit(&u->count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

void unsaid_return(struct unsaid *u, struct unsaid_name *name)
{
	struct unsaid_name **chain = &u->chains[name->slot % CHAINS];

	name->next = *chain;
	/* Last: a child that is forked meanwhile finds the chain whole. */
	atomic_signal_fence(memory_order_release);
	*chain = name;
	count_add(u, 1);
}

void unsaid_keep(struct unsaid *u, uint16_t kind, uint32_t slot, const void *text, size_t length)
{
	struct unsaid_name *name;

	if (u->chains == NULL)
		u->chains = calloc(CHAINS, sizeof(struct unsaid_name *));
	if (u->chains == NULL || length > UINT16_MAX)
		return;
	for (name = u->chains[slot % CHAINS]; name; name = name->next)
		if (name->slot == slot)
			return;
	name = malloc(sizeof(*name) + length);
	if (name == NULL)
		return;
	name->slot = slot;
	name->kind = kind;
	name->length = (uint16_t)length;
	memcpy(name->text, text, length);
	unsaid_return(u, name);
}

struct unsaid_name *unsaid_take(struct unsaid *u)
{
	for (uint32_t i = 0; u->chains && i < CHAINS; i++) {
		struct unsaid_name *name = u->chains[i];

		if (name == NULL)
			continue;
		u->chains[i] = name->next;
		count_add(u, UINT32_MAX);
		return name;
	}
	return NULL;
}

void unsaid_free(struct unsaid *u)
{
	for (struct unsaid_name *name; (name = unsaid_take(u)) != NULL;)
		free(name);
	free(u->chains);
	*u = (struct unsaid){0};
}
