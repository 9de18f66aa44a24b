/* SPDX-License-Identifier: MIT
 *
 * Workers as real ones are, where a scenario asks for them: each with a queue and a connection of
 * its own, one message at a time, asleep until the policy lets it go on.
 *
 * Mail is dealt to them in turn as it arrives. A worker asks for a connection before a slot, since
 * a slot that no connection is there for is lost; takes a slot shortly ahead and sleeps until its
 * time; where none is near it looks again a little later, or when the limits change, as
 * bench/lib/worker.c does with the real gate.
 * While it waits for a reply it does nothing else. Among the sources of a pool it draws as tg_pick
 * does, and stays with the one that it has a connection from while that can send.
 */
#include <errno.h>
#include <stdlib.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/mta.h"
#include "sidecar/simulate/simulate.h"

#define MILLISECOND	 (UNITS_SECOND_NS / 1000)
#define IDLE_NS		 (5 * UNITS_SECOND_NS)
#define CONNECT_AGAIN_NS UNITS_SECOND_NS
/* How far ahead a slot is worth holding, and how long a worker sleeps for one that is further off,
 * or was taken back. */
#define AHEAD_NS (500 * MILLISECOND)
#define TICK_NS	 (250 * MILLISECOND)
#define SOON_NS	 MILLISECOND
/* Nobody is told when a connection is free. */
#define CONNECTION_NS (100 * MILLISECOND)

#define NOBODY UINT32_MAX

bool mta_sleeps(const struct mta *mta)
{
	return mta->scenario->workers.sleep && !mta->policy->sees_truth;
}

static void lower(uint64_t *at_ns, uint64_t to_ns)
{
	if (to_ns < *at_ns)
		*at_ns = to_ns;
}

static uint64_t worker_luck(const struct mta *mta, struct mta_worker *worker)
{
	return simulate_luck(mta->seed, (uint64_t)(worker - mta->workers), worker->asks++);
}

/* So much later, or up to a tenth more: sleepers that wake to the nanosecond would keep step, and
 * the same one would always come first. */
static uint64_t after(const struct mta *mta, struct mta_worker *worker, uint64_t time_ns)
{
	return mta->now_ns + time_ns + worker_luck(mta, worker) % (time_ns / 10);
}

/* ---- setting up ------------------------------------------------------------------------------ */

static uint32_t pool_size(const struct scenario *scenario, uint32_t pool)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < scenario->source_count; i++)
		count += scenario->sources[i].pool == pool;
	return count;
}

int mta_workers_make(struct mta *mta)
{
	const struct scenario *scenario = mta->scenario;
	uint32_t count = (uint32_t)scenario->workers.count, first = 0;

	mta->worker_count = count * scenario->source_count;
	mta->workers = calloc(mta->worker_count, sizeof *mta->workers);
	mta->teams = calloc(scenario->pool_count, sizeof *mta->teams);
	if (!mta->workers || !mta->teams)
		return -ENOMEM;
	for (uint32_t pool = 0; pool < scenario->pool_count; pool++) {
		mta->teams[pool] = (struct mta_team){.first = first,
						     .count = count * pool_size(scenario, pool)};
		for (uint32_t i = 0; i < mta->teams[pool].count; i++)
			mta->workers[first++] = (struct mta_worker){
				.pool = pool,
				.lease = NOBODY,
				.waits_for = NOBODY,
				.wake_ns = UINT64_MAX,
			};
	}
	return 0;
}

void mta_worker_deal(struct mta *mta, uint32_t id)
{
	uint32_t receivers = mta->scenario->receiver_count;
	struct simulate_message *message = &mta->messages[id];
	struct mta_team *team = &mta->teams[message->queue / receivers];
	uint32_t worker = team->first + team->dealt[message->class]++ % team->count;

	message->queue = worker * receivers + message->queue % receivers;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void lease_end(struct mta *mta, struct mta_worker *worker)
{
	if (worker->lease == NOBODY)
		return;
	if (worker->connection.state != MTA_CONNECTION_CLOSED)
		mta_close(mta, worker->lease, &worker->connection);
	mta->flows[worker->lease].leased--;
	worker->lease = NOBODY;
}

/* The right to a connection of the flow, which the worker may have already. */
static bool lease_have(struct mta *mta, struct mta_worker *worker, uint32_t flow,
		       enum tg_class class, uint64_t *ret_at)
{
	uint64_t at;

	if (worker->lease == flow)
		return true;
	lease_end(mta, worker);
	at = mta->policy->connect(mta->self, flow, class, mta->flows[flow].leased, mta->now_ns);
	if (at < worker->connect_again_ns)
		at = worker->connect_again_ns;
	if (at > mta->now_ns) {
		lower(ret_at, at == UINT64_MAX ? after(mta, worker, CONNECTION_NS) : at);
		return false;
	}
	if (mta->policy->connected)
		mta->policy->connected(mta->self, flow, class, mta->now_ns);
	worker->lease = flow;
	worker->used_ns = mta->now_ns;
	mta->flows[flow].leased++;
	return true;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static void wait_for(struct mta *mta, struct mta_worker *worker, uint32_t flow)
{
	worker->waits_for = flow;
	worker->changes = mta->policy->changes ? mta->policy->changes(mta->self, flow) : 0;
}

/* A policy that takes no slots ahead is asked at the time it named. */
static bool slot_plain(struct mta *mta, uint32_t flow, enum tg_class class, uint64_t *ret_at)
{
	uint64_t at = mta->policy->earliest(mta->self, flow, class, mta->now_ns);

	if (at > mta->now_ns) {
		lower(ret_at, at);
		return false;
	}
	mta->policy->admit(mta->self, flow, class, mta->now_ns);
	return true;
}

/* A slot whose time has come. */
static bool slot_have(struct mta *mta, struct mta_worker *worker, uint32_t flow,
		      enum tg_class class, uint64_t *ret_at)
{
	const struct simulate_policy *policy = mta->policy;
	struct mta_slot *slot = &worker->slots[class];
	uint64_t until = mta->now_ns + AHEAD_NS, at;

	if (!policy->reserve)
		return slot_plain(mta, flow, class, ret_at);
	if (!slot->held) {
		wait_for(mta, worker, flow);
		at = policy->reserve(mta->self, flow, class, mta->now_ns, until, &slot->taken);
		if (at > until) {
			/* Not when the slot comes within reach: all would ask at that instant. */
			lower(ret_at, after(mta, worker, TICK_NS));
			return false;
		}
		*slot = (struct mta_slot){true, flow, slot->taken};
	}
	if (slot->taken.at_ns > mta->now_ns) {
		lower(ret_at, slot->taken.at_ns);
		return false;
	}
	slot->held = false;
	if (policy->redeem(mta->self, flow, class, &slot->taken, mta->now_ns))
		return true;
	lower(ret_at, mta->now_ns + SOON_NS);
	return false;
}

/* ---- a worker -------------------------------------------------------------------------------- */

/* The source of the pool to send from, as tg_pick draws it: by the room that each has now; else the
 * one that is free first. */
static uint32_t worker_draw(struct mta *mta, struct mta_worker *worker,
			    const struct mta_queue *queue, enum tg_class class)
{
	uint32_t receivers = mta->scenario->receiver_count, best = NOBODY;
	uint64_t soonest = UINT64_MAX, room = 0;

	for (size_t i = 0; i < queue->source_count; i++) {
		uint32_t flow = queue->sources[i] * receivers + queue->receiver, own = 1;
		uint64_t at = mta->policy->earliest(mta->self, flow, class, mta->now_ns);

		if (at > mta->now_ns) {
			if (room == 0 && at <= soonest) {
				soonest = at;
				best = flow;
			}
			continue;
		}
		if (mta->policy->room)
			own = mta->policy->room(mta->self, flow, class, mta->now_ns);
		room += own ? own : 1;
		if (worker_luck(mta, worker) % room < (own ? own : 1))
			best = flow;
	}
	return best;
}

static uint32_t worker_flow(struct mta *mta, struct mta_worker *worker,
			    const struct mta_queue *queue, enum tg_class class)
{
	uint32_t receivers = mta->scenario->receiver_count;

	if (worker->slots[class].held)
		return worker->slots[class].flow;
	if (queue->source_count == 1)
		return queue->sources[0] * receivers + queue->receiver;
	if (worker->lease != NOBODY && worker->lease % receivers == queue->receiver &&
	    mta->policy->earliest(mta->self, worker->lease, class, mta->now_ns) <=
		    mta->now_ns + AHEAD_NS)
		return worker->lease;
	return worker_draw(mta, worker, queue, class);
}

/* Sends a message of the class to that receiver, if it may go now. */
static bool worker_serve(struct mta *mta, uint32_t index, uint32_t receiver, enum tg_class class,
			 uint64_t *ret_at)
{
	struct mta_worker *worker = &mta->workers[index];
	uint32_t receivers = mta->scenario->receiver_count, flow;
	struct mta_queue *queue = &mta->queues[index * receivers + receiver];

	if (mta_queue_empty(queue, class))
		return false;
	flow = worker_flow(mta, worker, queue, class);
	/* A slot for another receiver's message goes first. */
	if (flow % receivers != receiver || !lease_have(mta, worker, flow, class, ret_at) ||
	    !slot_have(mta, worker, flow, class, ret_at))
		return false;
	mta_attempt(mta, mta_queue_take(mta, queue, class), flow, &worker->connection);
	return true;
}

static void worker_sleep(struct mta *mta, uint32_t index, uint64_t at_ns)
{
	struct mta_worker *worker = &mta->workers[index];

	if (worker->lease != NOBODY)
		lower(&at_ns, worker->used_ns + IDLE_NS);
	if (at_ns == worker->wake_ns)
		return;
	worker->wake_ns = at_ns;
	if (at_ns != UINT64_MAX)
		mta_event(mta, at_ns, MTA_EVENT_WORKER, 0, index);
}

void mta_worker_look(struct mta *mta, uint32_t index)
{
	uint32_t receivers = mta->scenario->receiver_count;
	struct mta_worker *worker = &mta->workers[index];
	uint64_t at = UINT64_MAX;

	if (worker->connection.state == MTA_CONNECTION_BUSY ||
	    worker->connection.state == MTA_CONNECTION_REFUSED)
		return;
	worker->waits_for = NOBODY;
	if (worker->lease != NOBODY && mta->now_ns - worker->used_ns >= IDLE_NS) {
		/* What it gives back others may want. */
		lease_end(mta, worker);
		worker_sleep(mta, index, after(mta, worker, CONNECTION_NS));
		return;
	}
	for (enum tg_class class = 0; class < TG_CLASSES; class ++)
		for (uint32_t i = 0; i < receivers; i++) {
			uint32_t receiver = (worker->turn + i) % receivers;

			if (!worker_serve(mta, index, receiver, class, &at))
				continue;
			worker->turn = receiver + 1;
			worker->wake_ns = UINT64_MAX;
			return;
		}
	worker_sleep(mta, index, at);
}

void mta_worker_replied(struct mta *mta, uint32_t index, bool closes)
{
	struct mta_worker *worker = &mta->workers[index];

	if (worker->connection.state == MTA_CONNECTION_REFUSED)
		worker->connect_again_ns = mta->now_ns + CONNECT_AGAIN_NS;
	worker->used_ns = mta->now_ns;
	if (closes)
		lease_end(mta, worker);
	else
		worker->connection.state = MTA_CONNECTION_IDLE;
}

void mta_workers_rouse(struct mta *mta)
{
	for (uint32_t i = 0; mta->policy->changes && i < mta->worker_count; i++) {
		const struct mta_worker *worker = &mta->workers[i];

		if (worker->waits_for != NOBODY &&
		    worker->changes != mta->policy->changes(mta->self, worker->waits_for))
			mta_worker_look(mta, i);
	}
}
