/* SPDX-License-Identifier: MIT
 *
 * Connections at once, and messages in one connection: the limit hit is the limit changed. How often
 * they are opened: connection_rate.c.
 */
#include "sidecar/control/state.h"

#define CONNECTIONS_TOP	 20   /* where the configuration names no bound */
#define CONNECTIONS_WAIT 10   /* seconds between two raises */
#define MEMORY_SECONDS	 3600 /* for so long the number that met trouble is not tried again */
#define PLACE_SECONDS	 7200 /* … and a number of messages that was guessed */
#define IDLE_SHARE_MUCH	 16   /* sixty-fourths of the rate: connections may be what holds it up */

static uint32_t highest(const struct control_bounds *bounds)
{
	return bounds->connections ? bounds->connections : CONNECTIONS_TOP;
}

static bool limit_class(enum reply_class class)
{
	return class == REPLY_RATE || class == REPLY_REPUTATION || class == REPLY_VOLUME_SPIKE;
}

/* The probe met another limit than the one it was to test: it tells nothing, the next may go at
 * once. */
static void probe_spoiled(struct control_step *step)
{
	pressure_add(step);
	if (step->fc->flags & FLAG_HELD && step->admitted_ns >= step->fc->hold_until_ns)
		step->fc->hold_until_ns = step->now_ns + seconds_ns(1);
}

static void too_many_connections(struct control_step *step, uint32_t open)
{
	struct flow_control *fc = step->fc;

	/* Some of those that were open when it was refused may have been closed by now. */
	if (open < fc->connections / 2u)
		open = fc->connections / 2u;
	if (open < 1)
		open = 1;
	if (open < fc->connections)
		fc->connections = (uint16_t)open;
	fc->connections_at = step->now;
	fc->connections_opened = 0;
	fc->flags |= FLAG_CONNECTIONS;
	probe_spoiled(step);
}

/* One connection at a time, or one message in each, and refused all the same: what cannot be obeyed
 * any further is not what is limited. */
static bool incurable(const struct control_step *step, const struct control_observation *seen)
{
	const struct flow_control *fc = step->fc;

	if (seen->limit == REPLY_LIMIT_PER_CONNECTION)
		return seen->place == 1 && fc->per_connection == 1;
	return seen->open_connections == 0 && fc->connections == 1 &&
	       (int32_t)(stamp_of(step->admitted_ns) - fc->connections_at) > 0;
}

/* Twice the same place, and nothing accepted there or further on meanwhile, is not chance. */
static bool same_place(struct control_step *step, uint32_t place)
{
	struct flow_control *fc = step->fc;

	if (place <= 2)
		return false;
	if (place != fc->last_place)
		fc->places = 0;
	fc->last_place = (uint16_t)(place < UINT16_MAX ? place : UINT16_MAX);
	if (++fc->places < (noise_known(fc) ? 3 : 2))
		return false;
	fc->per_connection = (uint16_t)(place - 1);
	fc->place_at = step->now;
	fc->place_guessed = true;
	fc->last_place = 0;
	fc->places = 0;
	probe_spoiled(step);
	return true;
}

/* True if the reply was about connections, and has been dealt with. */
bool connections_deferred(struct control_step *step, const struct control_observation *seen)
{
	struct flow_control *fc = step->fc;
	bool refused = seen->stage != TG_STAGE_MESSAGE && seen->open_connections >= 1;

	if (!limit_class(seen->class))
		return false;
	if (connection_rate_deferred(step, seen)) {
		probe_spoiled(step);
		return true;
	}
	/* Refused at the door while others are inside: whatever the text says. */
	if ((seen->limit == REPLY_LIMIT_CONNECTIONS && !incurable(step, seen)) ||
	    (refused && seen->open_connections < fc->connections)) {
		too_many_connections(step, seen->open_connections);
		return true;
	}
	if (seen->limit == REPLY_LIMIT_PER_CONNECTION && !incurable(step, seen)) {
		fc->per_connection = (uint16_t)(seen->place > 1 ? seen->place - 1 : 1);
		fc->place_guessed = false;
		probe_spoiled(step);
		return true;
	}
	if (step->admitted_ns < fc->hold_until_ns)
		return false;
	return same_place(step, seen->place);
}

/* What no text has named may have been a coincidence: some time later, more are tried again. */
static void place_again(struct control_step *step)
{
	struct flow_control *fc = step->fc;
	uint32_t most = PER_CONNECTION_START;

	if (!fc->place_guessed || since(step->now, fc->place_at) < PLACE_SECONDS)
		return;
	if (step->bounds->per_connection && step->bounds->per_connection < most)
		most = step->bounds->per_connection;
	fc->per_connection =
		(uint16_t)(2u * fc->per_connection < most ? 2u * fc->per_connection : most);
	fc->place_guessed = fc->per_connection < most;
}

/* A message was accepted. When all connections are taken and the rate is not used, more may help.
 */
void connections_accepted(struct control_step *step, const struct control_observation *seen)
{
	struct flow_control *fc = step->fc;
	uint32_t max = highest(step->bounds);

	if (seen->place >= fc->last_place)
		fc->places = 0;
	place_again(step);
	connection_rate_opened(step, seen);
	/* More at once do not help where opening them is what takes time. */
	if (fc->connection_rate || fc->idle_share < IDLE_SHARE_MUCH ||
	    seen->open_connections + 1 < fc->connections || fc->connections >= max ||
	    fc->connections >= UINT16_MAX)
		return;
	if (since(step->now, fc->connections_at) <
	    (fc->flags & FLAG_CONNECTIONS ? MEMORY_SECONDS : CONNECTIONS_WAIT))
		return;
	fc->connections++;
	fc->connections_at = step->now;
	fc->connections_opened = 0;
}
