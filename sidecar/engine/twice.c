/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/twice.h"

#include <errno.h>
#include <stdlib.h>

#define SETS 4096
#define WAYS 4 /* places of a set */

/* Those of a kind within a span of time. */
struct count {
	uint64_t kind; /* with the span mixed in; 0: free */
	uint64_t span;
	uint32_t taken;		   /* as the first of their number */
	uint32_t told[TWICE_WAYS]; /* by each way; none is above taken */
};

struct heard_twice {
	struct count counts[SETS][WAYS];
};

int twice_create(struct heard_twice **ret)
{
	struct heard_twice *twice = calloc(1, sizeof(*twice));

	if (twice == NULL)
		return -ENOMEM;
	*ret = twice;
	return 0;
}

void twice_free(struct heard_twice *twice)
{
	free(twice);
}

static uint64_t spanned(uint64_t kind, uint64_t span)
{
	return twice_mix(kind, span) | 1;
}

static struct count *find(struct heard_twice *twice, uint64_t kind, uint64_t span)
{
	uint64_t key = spanned(kind, span);
	struct count *set = twice->counts[key >> 32 & (SETS - 1)];

	for (int i = 0; i < WAYS; i++)
		if (set[i].kind == key && set[i].span == span)
			return &set[i];
	return NULL;
}

/* In the place of the one longest ago. */
static struct count *make(struct heard_twice *twice, uint64_t kind, uint64_t span)
{
	uint64_t key = spanned(kind, span);
	struct count *set = twice->counts[key >> 32 & (SETS - 1)], *place = &set[0];

	for (int i = 1; i < WAYS; i++)
		if (set[i].span < place->span)
			place = &set[i];
	*place = (struct count){.kind = key, .span = span};
	return place;
}

bool twice_first(struct heard_twice *twice, uint64_t kind, unsigned way, uint64_t time_ns)
{
	uint64_t span = time_ns / TWICE_SPAN_NS + 1;
	const uint64_t spans[] = {span, span - 1, span + 1}; /* one way's clock may be behind */
	struct count *count;

	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		count = find(twice, kind, spans[i]);
		if (count && count->told[way] < count->taken) {
			count->told[way]++;
			return false;
		}
	}
	count = find(twice, kind, span);
	if (count == NULL)
		count = make(twice, kind, span);
	count->taken++;
	count->told[way]++;
	return true;
}
