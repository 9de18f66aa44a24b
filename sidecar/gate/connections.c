/* SPDX-License-Identifier: MIT */
#include "sidecar/gate/connections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADS	 4096u
#define NOBODY	 UINT32_MAX
#define LINE_NS	 UINT64_C(1000000000) /* from a connection's end to the line about it, at most */
#define CLOCK_NS UINT64_C(20000000)   /* the wall clock steps, and delays are rounded */

enum state { FREE, OPEN, CLOSED, FAILED };

struct connection {
	uint8_t source[16], remote[16];
	uint64_t began_ns, due_ns, ended_ns, tag;
	uint32_t slot;
	uint32_t state;	       /* enum state */
	uint32_t older, newer; /* of the same head */
};

struct connections {
	struct connection all[CONNECTIONS]; /* in turn: the oldest gives way */
	uint32_t heads[HEADS];		    /* the newest of each */
	uint32_t next;
	uint64_t known_ns;    /* what began since is known … */
	uint64_t standing_ns; /* … and what stands since */
};

static uint32_t head_of(const uint8_t remote[16])
{
	uint64_t high, low;

	memcpy(&high, remote, 8);
	memcpy(&low, remote + 8, 8);
	return (uint32_t)((high ^ low) * UINT64_C(0x9E3779B97F4A7C15) >> 40) & (HEADS - 1);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

int connections_create(uint64_t now_ns, bool open, struct connections **ret)
{
	struct connections *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < HEADS; i++)
		c->heads[i] = NOBODY;
	c->known_ns = now_ns;
	c->standing_ns = open ? now_ns + CONNECTIONS_REUSE_NS : now_ns;
	*ret = c;
	return 0;
}

void connections_free(struct connections *c)
{
	free(c);
}

void connections_lost(struct connections *c, uint64_t now_ns)
{
	c->known_ns = now_ns;
	c->standing_ns = now_ns + CONNECTIONS_REUSE_NS;
}

/* Takes the oldest off its chain. One that a line may still ask for is missed from then on. */
static struct connection *connection_take(struct connections *c, uint64_t now_ns)
{
	struct connection *one = &c->all[c->next];

	if (one->state == FREE)
		return one;
	if (one->state == OPEN || one->ended_ns + LINE_NS > now_ns)
		connections_lost(c, now_ns);
	if (one->older != NOBODY)
		c->all[one->older].newer = one->newer;
	if (one->newer != NOBODY)
		c->all[one->newer].older = one->older;
	else
		c->heads[head_of(one->remote)] = one->older;
	return one;
}

static void connection_add(struct connections *c, const struct connection_seen *seen,
			   enum state state, uint64_t now_ns)
{
	struct connection *one = connection_take(c, now_ns);
	uint32_t *head = &c->heads[head_of(seen->remote)];

	*one = (struct connection){.began_ns = seen->began_ns,
				   .due_ns = seen->due_ns,
				   .ended_ns = now_ns,
				   .tag = seen->tag,
				   .slot = seen->slot,
				   .state = state,
				   .older = *head,
				   .newer = NOBODY};
	memcpy(one->source, seen->source, 16);
	memcpy(one->remote, seen->remote, 16);
	if (*head != NOBODY)
		c->all[*head].newer = c->next;
	*head = c->next;
	c->next = (c->next + 1) % CONNECTIONS;
}

void connections_opened(struct connections *c, const struct connection_seen *seen)
{
	connection_add(c, seen, OPEN, seen->due_ns);
}

void connections_ended(struct connections *c, const struct connection_seen *seen, uint64_t ended_ns,
		       bool established)
{
	uint32_t i = c->heads[head_of(seen->remote)];

	for (; established && i != NOBODY; i = c->all[i].older) {
		struct connection *one = &c->all[i];

		if (one->state != OPEN || one->tag != seen->tag || one->slot != seen->slot ||
		    one->due_ns != seen->due_ns || memcmp(one->remote, seen->remote, 16) != 0)
			continue;
		one->state = CLOSED;
		one->ended_ns = ended_ns;
		return;
	}
	connection_add(c, seen, established ? CLOSED : FAILED, ended_ns);
}

/* ---- a line ---------------------------------------------------------------------------------- */

/* By how much what a line states may be off: a delay has two digits. */
static uint64_t slack_ns(const struct connection_query *query)
{
	return CLOCK_NS + query->spent_ns / 16;
}

static bool connection_fits(const struct connection *one, const struct connection_query *query)
{
	uint64_t slack = slack_ns(query), last = query->replied_ns + query->stamp_ns + slack;

	if (one->state != OPEN &&
	    (one->state != CLOSED || one->ended_ns + LINE_NS < query->replied_ns))
		return false;
	if (!query->fresh)
		return one->began_ns <= last;
	return one->began_ns >= less(query->replied_ns, query->spent_ns + slack) &&
	       one->began_ns <= less(last, less(query->spent_ns, query->setup_ns));
}

int connections_source(const struct connections *c, const struct connection_query *query,
		       uint8_t ret[16])
{
	const struct connection *found = NULL;

	if (query->fresh ? less(query->replied_ns, query->spent_ns + slack_ns(query)) < c->known_ns
			 : query->replied_ns < c->standing_ns)
		return -ENODATA;
	for (uint32_t i = c->heads[head_of(query->remote)]; i != NOBODY; i = c->all[i].older) {
		const struct connection *one = &c->all[i];

		if (memcmp(one->remote, query->remote, 16) != 0 || !connection_fits(one, query))
			continue;
		if (found != NULL && memcmp(found->source, one->source, 16) != 0)
			return -ENOTUNIQ;
		found = one;
	}
	if (found == NULL)
		return -ENOENT;
	memcpy(ret, found->source, 16);
	return 0;
}

bool connections_failed(const struct connections *c, const struct connection_query *query)
{
	uint64_t slack = slack_ns(query);
	uint64_t first = less(query->replied_ns, query->spent_ns + slack + LINE_NS);
	uint64_t last = query->replied_ns + query->stamp_ns + slack;

	for (uint32_t i = c->heads[head_of(query->remote)]; i != NOBODY; i = c->all[i].older) {
		const struct connection *one = &c->all[i];

		if (one->state == FAILED && memcmp(one->remote, query->remote, 16) == 0 &&
		    one->ended_ns >= first && one->ended_ns <= last)
			return true;
	}
	return false;
}
