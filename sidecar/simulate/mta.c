/* SPDX-License-Identifier: MIT
 *
 * The MTA of the simulator: queues, connections, sending.
 *
 * A queue for each pool and receiver holds mail of three classes. Within a class what is new and
 * what was deferred before take turns, each first in, first out, as in Postfix's queue manager.
 * Whenever something happened that can let mail go, the queue is dispatched: as long as its policy
 * lets a source of the pool send, and that source has an idle connection or may open one, the next
 * message of the most urgent class goes. What is deferred comes back by the retry schedule.
 */
#include "sidecar/simulate/mta.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "sidecar/base/units.h"

/* An idle connection is closed after this time. */
#define IDLE_NS (5 * UNITS_SECOND_NS)
/* The sidecar's timers are no finer than this. */
#define TICK_MIN_NS (UNITS_SECOND_NS / 1000)

void mta_event(struct mta *mta, uint64_t at_ns, enum mta_event_kind kind, uint16_t part,
	       uint32_t id)
{
	struct simulate_event event = {.at_ns = at_ns, .kind = kind, .part = part, .id = id};

	if (at_ns > mta->scenario->duration_ns)
		return;
	if (simulate_events_add(&mta->events, event) != 0)
		mta->error = -ENOMEM;
}

uint64_t mta_luck(const struct mta *mta, uint32_t id, enum mta_luck draw)
{
	const struct simulate_message *message = &mta->messages[id];

	return simulate_luck(~mta->seed, id, (uint64_t)message->attempts * MTA_LUCKS + draw);
}

/* ---- queues ---------------------------------------------------------------------------------- */

void mta_queue_put(struct mta *mta, uint32_t id)
{
	struct simulate_message *message = &mta->messages[id];
	struct mta_queue *queue = &mta->queues[message->queue];
	struct mta_list *list = message->attempts ? &queue->deferred[message->class]
						  : &queue->fresh[message->class];

	message->next = SIMULATE_NO_MESSAGE;
	if (list->first == SIMULATE_NO_MESSAGE)
		list->first = id;
	else
		mta->messages[list->last].next = id;
	list->last = id;
}

bool mta_queue_empty(const struct mta_queue *queue, enum tg_class class)
{
	return queue->fresh[class].first == SIMULATE_NO_MESSAGE &&
	       queue->deferred[class].first == SIMULATE_NO_MESSAGE;
}

uint32_t mta_queue_take(struct mta *mta, struct mta_queue *queue, enum tg_class class)
{
	struct mta_list *list = &queue->fresh[class];
	uint32_t id;

	if (list->first == SIMULATE_NO_MESSAGE ||
	    (queue->deferred_next[class] && queue->deferred[class].first != SIMULATE_NO_MESSAGE))
		list = &queue->deferred[class];
	queue->deferred_next[class] = list == &queue->fresh[class];
	id = list->first;
	list->first = mta->messages[id].next;
	return id;
}

/* ---- connections ----------------------------------------------------------------------------- */

void mta_close(struct mta *mta, uint32_t index, struct mta_connection *connection)
{
	struct mta_flow *flow = &mta->flows[index];
	size_t receivers = mta->scenario->receiver_count;

	if (connection->state == MTA_CONNECTION_REFUSED) {
		flow->refused--;
	} else {
		flow->open--;
		receiver_close(mta->receivers[index % receivers], index / receivers);
	}
	connection->state = MTA_CONNECTION_CLOSED;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* A connection that the flow can send over: an idle one, else the place for a new one. NULL: none;
 * then *ret_at is lowered to when there may be one, where that is known. */
static struct mta_connection *flow_connection(struct mta *mta, uint32_t index, enum tg_class class,
					      uint64_t *ret_at)
{
	struct mta_flow *flow = &mta->flows[index];
	struct mta_connection *closed = NULL;
	uint64_t at;

	for (size_t i = 0; i < POLICY_WORKERS; i++) {
		if (flow->connections[i].state == MTA_CONNECTION_IDLE)
			return &flow->connections[i];
		if (!closed && flow->connections[i].state == MTA_CONNECTION_CLOSED)
			closed = &flow->connections[i];
	}
	if (!closed)
		return NULL;
	at = later(flow->connect_again_ns,
		   mta->policy->connect(mta->self, index, class, flow->open + flow->refused,
					mta->now_ns));
	if (at <= mta->now_ns)
		return closed;
	if (at < *ret_at)
		*ret_at = at;
	return NULL;
}

void mta_idle(struct mta *mta, uint32_t index, struct mta_connection *connection)
{
	struct mta_flow *flow = &mta->flows[index];

	connection->state = MTA_CONNECTION_IDLE;
	connection->idle_ns = mta->now_ns;
	if (flow->idle_timer_ns != UINT64_MAX)
		return;
	flow->idle_timer_ns = mta->now_ns + IDLE_NS;
	mta_event(mta, flow->idle_timer_ns, MTA_EVENT_IDLE, 0, index);
}

/* Closes what has been idle for long, and sets the timer for what is idle still. */
void mta_idle_timer(struct mta *mta, uint32_t index)
{
	struct mta_flow *flow = &mta->flows[index];
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < POLICY_WORKERS; i++) {
		struct mta_connection *connection = &flow->connections[i];

		if (connection->state != MTA_CONNECTION_IDLE)
			continue;
		if (mta->now_ns - connection->idle_ns >= IDLE_NS)
			mta_close(mta, index, connection);
		else if (connection->idle_ns < oldest)
			oldest = connection->idle_ns;
	}
	flow->idle_timer_ns = oldest == UINT64_MAX ? oldest : oldest + IDLE_NS;
	if (oldest != UINT64_MAX)
		mta_event(mta, flow->idle_timer_ns, MTA_EVENT_IDLE, 0, index);
}

void mta_timer(struct mta *mta)
{
	uint64_t wake;

	if (!mta->policy->wake)
		return;
	wake = mta->policy->wake(mta->self);
	if (wake >= mta->tick_ns)
		return;
	if (wake < mta->now_ns + TICK_MIN_NS)
		wake = mta->now_ns + TICK_MIN_NS;
	mta->tick_ns = wake;
	mta_event(mta, wake, MTA_EVENT_TICK, 0, 0);
}

/* ---- sending --------------------------------------------------------------------------------- */

static uint64_t mta_latency(const struct mta *mta, uint32_t id, bool connecting)
{
	const struct simulate_message *message = &mta->messages[id];
	size_t receivers = mta->scenario->receiver_count;
	double mean = (double)receiver_latency(mta->receivers[message->flow % receivers],
					       message->flow / receivers,
					       (enum receiver_cause)message->cause, message->text);
	double spread = 0.75 + 0.5 * simulate_draw(mta_luck(mta, id, MTA_LUCK_LATENCY));

	/* Patience has no chance in it. */
	if (message->text && strcmp(message->text, SCENARIO_TIMEOUT) == 0)
		return (uint64_t)mean;
	return 1 + (uint64_t)(mean * spread * (connecting ? 2 : 1));
}

static struct receiver_message mta_shows(const struct mta *mta, uint32_t id, uint32_t place)
{
	const struct simulate_message *message = &mta->messages[id];

	return (struct receiver_message){
		.place = place,
		.first_seen_ns = message->first_seen_ns,
		.draw = mta_luck(mta, id, MTA_LUCK_NOISE),
		.content = simulate_luck(~mta->seed, id, UINT64_MAX),
		.customer = mta->scenario->traffic[message->traffic].customer_index,
	};
}

void mta_attempt(struct mta *mta, uint32_t id, uint32_t index, struct mta_connection *connection)
{
	size_t source = index / mta->scenario->receiver_count;
	struct sim_receiver *receiver = mta->receivers[index % mta->scenario->receiver_count];
	struct simulate_message *message = &mta->messages[id];
	struct mta_flow *flow = &mta->flows[index];
	bool connecting = connection->state == MTA_CONNECTION_CLOSED;
	enum receiver_cause cause = RECEIVER_ACCEPTED;

	message->text = NULL;
	message->sent_ns = mta->now_ns;
	message->flow = index;
	if (!mta_sleeps(mta))
		message->connection = (uint8_t)(connection - flow->connections);
	message->stage = TG_STAGE_MESSAGE;
	if (connecting) {
		connection->used = 0;
		if (mta->policy->connected && !mta_sleeps(mta))
			mta->policy->connected(mta->self, index, message->class, mta->now_ns);
		cause = receiver_connect(receiver, source, mta->now_ns, &message->text);
		*(cause ? &flow->refused : &flow->open) += 1;
	}
	connection->state = cause ? MTA_CONNECTION_REFUSED : MTA_CONNECTION_BUSY;
	if (cause) {
		message->stage =
			scenario_silent(message->text) ? TG_STAGE_CONNECT : TG_STAGE_GREETING;
	} else {
		struct receiver_message seen = mta_shows(mta, id, ++connection->used);

		cause = receiver_take(receiver, source, &seen, mta->now_ns, &message->text);
	}
	if (cause == RECEIVER_GREYLIST && !message->first_seen_ns)
		message->first_seen_ns = mta->now_ns + 1;
	message->cause = (uint8_t)cause;
	mta->result->attempts++;
	mta_event(mta, mta->now_ns + mta_latency(mta, id, connecting), MTA_EVENT_REPLY, 0, id);
}

/* The flow of the queue's pool that a message of the class can go over now, or none; then *ret_at
 * is lowered to when there may be one. */
static int64_t queue_choose(struct mta *mta, struct mta_queue *queue, enum tg_class class,
			    struct mta_connection **ret_connection, uint64_t *ret_at)
{
	const struct simulate_policy *policy = mta->policy;
	double lowest = INFINITY;
	int64_t chosen = -1;

	for (size_t i = 0; i < queue->source_count; i++) {
		uint32_t index = queue->sources[i] * (uint32_t)mta->scenario->receiver_count +
				 queue->receiver;
		uint64_t at = policy->earliest(mta->self, index, class, mta->now_ns);
		struct mta_connection *connection;
		double rank;

		if (at > mta->now_ns) {
			if (at < *ret_at)
				*ret_at = at;
			continue;
		}
		connection = flow_connection(mta, index, class, ret_at);
		if (!connection)
			continue;
		rank = policy->rank ? policy->rank(mta->self, index, mta->now_ns)
				    : mta->flows[index].open;
		if (rank >= lowest)
			continue;
		lowest = rank;
		chosen = index;
		*ret_connection = connection;
	}
	return chosen;
}

static bool class_send(struct mta *mta, struct mta_queue *queue, enum tg_class class,
		       uint64_t *ret_at)
{
	struct mta_connection *connection = NULL;
	int64_t index;

	if (mta_queue_empty(queue, class))
		return false;
	index = queue_choose(mta, queue, class, &connection, ret_at);
	if (index < 0)
		return false;
	mta->policy->admit(mta->self, (uint32_t)index, class, mta->now_ns);
	mta_attempt(mta, mta_queue_take(mta, queue, class), (uint32_t)index, connection);
	mta_timer(mta);
	return true;
}

static uint32_t queue_host(const struct mta *mta, const struct mta_queue *queue)
{
	return mta->scenario->receivers[queue->receiver].host;
}

/* A message of the class from any of the queues that are counted together with this one. */
static bool company_send(struct mta *mta, const struct mta_queue *queue, enum tg_class class,
			 uint64_t *ret_at)
{
	for (size_t i = 0; i < mta->queue_count; i++)
		if ((mta->totals || queue_host(mta, &mta->queues[i]) == queue_host(mta, queue)) &&
		    class_send(mta, &mta->queues[i], class, ret_at))
			return true;
	return false;
}

static bool queue_send(struct mta *mta, struct mta_queue *queue, uint64_t *ret_at)
{
	bool together = mta->policy->sees_truth && queue->shared;

	for (int class = 0; class < TG_CLASSES; class ++)
		if (together ? company_send(mta, queue, class, ret_at)
			     : class_send(mta, queue, class, ret_at))
			return true;
	return false;
}

void mta_dispatch(struct mta *mta, uint32_t index)
{
	struct mta_queue *queue = &mta->queues[index];
	uint64_t at = UINT64_MAX;

	if (mta_sleeps(mta)) {
		mta_worker_look(mta, index / mta->scenario->receiver_count);
		return;
	}
	while (queue_send(mta, queue, &at) && !mta->error)
		at = UINT64_MAX;
	if (at >= queue->wake_ns)
		return;
	queue->wake_ns = at;
	mta_event(mta, at, MTA_EVENT_WAKE, 0, index);
}
