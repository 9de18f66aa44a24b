/* SPDX-License-Identifier: MIT
 *
 * Connections at once, and messages in one connection: the limit hit is the limit changed.
 */
#include "sidecar/control/state.h"

#define CONNECTIONS_TOP	 20   /* where the configuration names no bound */
#define CONNECTIONS_WAIT 10   /* seconds between two raises */
#define MEMORY_SECONDS	 3600 /* for so long the number that met trouble is not tried again */
#define UNUSED_MUCH	 16   /* sixty-fourths of the rate: connections may be what holds it up */

static uint32_t highest(const struct control_bounds *bounds)
{
	return bounds->connections ? bounds->connections : CONNECTIONS_TOP;
}

static bool limit_class(enum reply_class class)
{
	return class == REPLY_RATE || class == REPLY_REPUTATION || class == REPLY_PATTERN;
}

/* The probe met another limit than the one it was to test: it tells nothing, the next may go at
 * once. */
static void probe_spoiled(struct turn *turn)
{
	pressure_add(turn);
	if (turn->life->flags & FLAG_HELD && turn->admitted_ns >= turn->life->hold_until_ns)
		turn->life->hold_until_ns = turn->now_ns + seconds_ns(1);
}

static void too_many_connections(struct turn *turn, uint32_t open)
{
	struct life *life = turn->life;

	/* Some of those that were open when it was refused may have been closed by now. */
	if (open < life->connections / 2u)
		open = life->connections / 2u;
	if (open < 1)
		open = 1;
	if (open < life->connections)
		life->connections = (uint16_t)open;
	life->connections_at = turn->now;
	life->flags |= FLAG_CONNECTIONS;
	probe_spoiled(turn);
}

/* Twice the same place, and nothing accepted there or further on meanwhile, is not chance. */
static bool same_place(struct turn *turn, uint32_t place)
{
	struct life *life = turn->life;

	if (place <= 2)
		return false;
	if (place != life->last_place)
		life->places = 0;
	life->last_place = (uint16_t)(place < UINT16_MAX ? place : UINT16_MAX);
	if (++life->places < (noise_known(life) ? 3 : 2))
		return false;
	life->per_connection = (uint16_t)(place - 1);
	life->last_place = 0;
	life->places = 0;
	probe_spoiled(turn);
	return true;
}

/* True if the reply was about connections, and has been dealt with. */
bool connection_trouble(struct turn *turn, const struct control_observation *seen)
{
	struct life *life = turn->life;
	bool refused = seen->stage != TG_STAGE_MESSAGE && seen->open_connections >= 1;

	if (!limit_class(seen->class))
		return false;
	/* Refused at the door while others are inside: whatever the text says. */
	if (seen->limit == REPLY_LIMIT_CONNECTIONS ||
	    (refused && seen->open_connections < life->connections)) {
		too_many_connections(turn, seen->open_connections);
		return true;
	}
	if (seen->limit == REPLY_LIMIT_PER_CONNECTION) {
		life->per_connection = (uint16_t)(seen->place > 1 ? seen->place - 1 : 1);
		probe_spoiled(turn);
		return true;
	}
	if (turn->admitted_ns < life->hold_until_ns)
		return false;
	return same_place(turn, seen->place);
}

/* A message was accepted. When all connections are taken and the rate is not used, more may help.
 */
void connection_fine(struct turn *turn, const struct control_observation *seen)
{
	struct life *life = turn->life;
	uint32_t most = highest(turn->bounds);

	if (seen->place >= life->last_place)
		life->places = 0;
	if (life->unused < UNUSED_MUCH || seen->open_connections + 1 < life->connections ||
	    life->connections >= most || life->connections >= UINT16_MAX)
		return;
	if (since(turn->now, life->connections_at) <
	    (life->flags & FLAG_CONNECTIONS ? MEMORY_SECONDS : CONNECTIONS_WAIT))
		return;
	life->connections++;
	life->connections_at = turn->now;
}
