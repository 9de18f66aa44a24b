/* SPDX-License-Identifier: MIT
 *
 * The MTA of the simulator and its clock.
 *
 * A queue for each pool and receiver holds mail of three classes. Within a class what is new and what
 * was deferred before take turns, each first in, first out, as in Postfix's queue manager. Whenever
 * something happened that can let mail go, the queue is dispatched: as long as its policy lets a source
 * of the pool send, and that source has an idle connection or may open one, the next message of the
 * most urgent class goes. What is deferred comes back by the retry schedule.
 */
#include "sidecar/simulate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/simulate_event.h"
#include "sidecar/simulate_traffic.h"
#include "sidecar/units.h"

/* An idle connection is closed after this time. */
#define IDLE_NS (5 * UNITS_SECOND_NS)
/* After a refused connection the next one to the same host waits. */
#define CONNECT_AGAIN_NS UNITS_SECOND_NS
/* The sidecar's timers are no finer than this. */
#define TICK_LEAST_NS (UNITS_SECOND_NS / 1000)
/* A retry comes up to a tenth later than the schedule says, never earlier. */
#define RETRY_JITTER 0.1
/* What a policy sees of a reply. */
#define REPLY_MAX 1024

static const uint16_t retry_minutes[] = {5, 10, 20, 40, 60, 60, 120, 120, 240};

enum { LUCK_NOISE, LUCK_LATENCY, LUCK_RETRY, LUCKS };

enum event_kind { EVENT_REPLY, EVENT_RETRY, EVENT_WAKE, EVENT_IDLE, EVENT_TICK, EVENT_CHANGE, EVENT_SAMPLE };

enum connection_state { CONNECTION_CLOSED, CONNECTION_IDLE, CONNECTION_BUSY, CONNECTION_REFUSED };

struct connection {
	enum connection_state state;
	uint32_t used; /* messages, the one under way included */
	uint64_t idle_ns;
};

struct flow {
	struct connection connections[POLICY_WORKERS];
	uint32_t open;	  /* connections that the receiver holds a place for */
	uint32_t refused; /* connections that it does not, the refusal being under way */
	uint64_t connect_again_ns;
	uint64_t idle_timer_ns; /* UINT64_MAX: not set; so are the following */
	uint64_t tick_ns;
	uint32_t queue;
};

struct list {
	uint32_t first;
	uint32_t last; /* undefined where there is no first */
};

struct queue {
	struct list fresh[TG_CLASSES];
	struct list deferred[TG_CLASSES];
	bool deferred_next[TG_CLASSES];
	uint64_t wake_ns;
	uint32_t receiver;
	const uint32_t *sources; /* of the pool */
	size_t source_count;
};

struct mta {
	const struct scenario *scenario;
	const struct policy *policy;
	void *self; /* the policy's */
	uint64_t seed;
	uint64_t now_ns;
	int error; /* of an event that could not be added: ends the run */
	struct simulate_events events;
	struct simulate_message *messages;
	size_t message_count;
	size_t arrived;
	struct receiver *receivers;
	struct flow *flows;
	struct queue *queues;
	size_t queue_count;
	uint32_t *pool_sources; /* of all pools, one after the other */
	struct simulate_result *result;
	uint64_t last_delivery_ns;
};

static void mta_event(struct mta *mta, uint64_t at_ns, enum event_kind kind, uint16_t part, uint32_t id)
{
	struct simulate_event event = {.at_ns = at_ns, .kind = kind, .part = part, .id = id};

	if (at_ns > mta->scenario->duration_ns)
		return;
	if (simulate_events_add(&mta->events, event) != 0)
		mta->error = -ENOMEM;
}

static uint64_t mta_luck(const struct mta *mta, uint32_t id, int draw)
{
	const struct simulate_message *message = &mta->messages[id];

	return simulate_luck(~mta->seed, id, (uint64_t)message->attempts * LUCKS + draw);
}

/* ---- queues --------------------------------------------------------------------------------------- */

static void queue_put(struct mta *mta, uint32_t id)
{
	struct simulate_message *message = &mta->messages[id];
	struct queue *queue = &mta->queues[message->queue];
	struct list *list = message->attempts ? &queue->deferred[message->class]
					      : &queue->fresh[message->class];

	message->next = SIMULATE_NO_MESSAGE;
	if (list->first == SIMULATE_NO_MESSAGE)
		list->first = id;
	else
		mta->messages[list->last].next = id;
	list->last = id;
}

static bool queue_empty(const struct queue *queue, enum tg_class class)
{
	return queue->fresh[class].first == SIMULATE_NO_MESSAGE &&
	       queue->deferred[class].first == SIMULATE_NO_MESSAGE;
}

/* The next message of a class that is not empty. */
static uint32_t queue_take(struct mta *mta, struct queue *queue, enum tg_class class)
{
	struct list *list = &queue->fresh[class];
	uint32_t id;

	if (list->first == SIMULATE_NO_MESSAGE ||
	    (queue->deferred_next[class] && queue->deferred[class].first != SIMULATE_NO_MESSAGE))
		list = &queue->deferred[class];
	queue->deferred_next[class] = list == &queue->fresh[class];
	id = list->first;
	list->first = mta->messages[id].next;
	return id;
}

/* ---- connections ---------------------------------------------------------------------------------- */

static void flow_close(struct mta *mta, uint32_t index, struct connection *connection)
{
	struct flow *flow = &mta->flows[index];
	size_t receivers = mta->scenario->receiver_count;

	if (connection->state == CONNECTION_REFUSED) {
		flow->refused--;
	} else {
		flow->open--;
		receiver_close(&mta->receivers[index % receivers], index / receivers);
	}
	connection->state = CONNECTION_CLOSED;
}

/* A connection that the flow can send over: an idle one, else the place for a new one. NULL: none; then
 * *ret_at is lowered to when there may be one, where that is known. */
static struct connection *flow_connection(struct mta *mta, uint32_t index, uint64_t *ret_at)
{
	struct flow *flow = &mta->flows[index];
	struct connection *closed = NULL;

	for (size_t i = 0; i < POLICY_WORKERS; i++) {
		if (flow->connections[i].state == CONNECTION_IDLE)
			return &flow->connections[i];
		if (!closed && flow->connections[i].state == CONNECTION_CLOSED)
			closed = &flow->connections[i];
	}
	if (!closed || flow->open + flow->refused >= mta->policy->connections(mta->self, index))
		return NULL;
	if (mta->now_ns >= flow->connect_again_ns)
		return closed;
	if (flow->connect_again_ns < *ret_at)
		*ret_at = flow->connect_again_ns;
	return NULL;
}

static void flow_idle(struct mta *mta, uint32_t index, struct connection *connection)
{
	struct flow *flow = &mta->flows[index];

	connection->state = CONNECTION_IDLE;
	connection->idle_ns = mta->now_ns;
	if (flow->idle_timer_ns != UINT64_MAX)
		return;
	flow->idle_timer_ns = mta->now_ns + IDLE_NS;
	mta_event(mta, flow->idle_timer_ns, EVENT_IDLE, 0, index);
}

/* Closes what has been idle for long, and sets the timer for what is idle still. */
static void flow_idle_timer(struct mta *mta, uint32_t index)
{
	struct flow *flow = &mta->flows[index];
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < POLICY_WORKERS; i++) {
		struct connection *connection = &flow->connections[i];

		if (connection->state != CONNECTION_IDLE)
			continue;
		if (mta->now_ns - connection->idle_ns >= IDLE_NS)
			flow_close(mta, index, connection);
		else if (connection->idle_ns < oldest)
			oldest = connection->idle_ns;
	}
	flow->idle_timer_ns = oldest == UINT64_MAX ? oldest : oldest + IDLE_NS;
	if (oldest != UINT64_MAX)
		mta_event(mta, flow->idle_timer_ns, EVENT_IDLE, 0, index);
}

static void flow_timer(struct mta *mta, uint32_t index)
{
	struct flow *flow = &mta->flows[index];
	uint64_t wake;

	if (!mta->policy->wake)
		return;
	wake = mta->policy->wake(mta->self, index);
	if (wake >= flow->tick_ns)
		return;
	if (wake < mta->now_ns + TICK_LEAST_NS)
		wake = mta->now_ns + TICK_LEAST_NS;
	flow->tick_ns = wake;
	mta_event(mta, wake, EVENT_TICK, 0, index);
}

/* ---- sending -------------------------------------------------------------------------------------- */

static uint64_t mta_latency(const struct mta *mta, uint32_t id, uint32_t receiver, bool connecting)
{
	double mean = (double)mta->scenario->receivers[receiver].latency_ns;
	double spread = 0.75 + 0.5 * simulate_chance(mta_luck(mta, id, LUCK_LATENCY));

	return 1 + (uint64_t)(mean * spread * (connecting ? 2 : 1));
}

static void mta_attempt(struct mta *mta, uint32_t id, uint32_t index, struct connection *connection)
{
	size_t source = index / mta->scenario->receiver_count;
	uint32_t receiver_index = index % mta->scenario->receiver_count;
	struct receiver *receiver = &mta->receivers[receiver_index];
	struct simulate_message *message = &mta->messages[id];
	struct flow *flow = &mta->flows[index];
	bool connecting = connection->state == CONNECTION_CLOSED;
	enum receiver_cause cause = RECEIVER_ACCEPTED;

	message->text = NULL;
	message->sent_ns = mta->now_ns;
	message->flow = index;
	message->connection = (uint8_t)(connection - flow->connections);
	message->stage = TG_STAGE_MESSAGE;
	if (connecting) {
		connection->used = 0;
		cause = receiver_connect(receiver, source, mta->now_ns, &message->text);
		*(cause ? &flow->refused : &flow->open) += 1;
	}
	connection->state = cause ? CONNECTION_REFUSED : CONNECTION_BUSY;
	if (cause) {
		message->stage = TG_STAGE_GREETING;
	} else {
		struct receiver_message seen = {++connection->used, message->first_seen_ns,
						mta_luck(mta, id, LUCK_NOISE)};

		cause = receiver_take(receiver, source, &seen, mta->now_ns, &message->text);
	}
	if (cause == RECEIVER_GREYLIST && !message->first_seen_ns)
		message->first_seen_ns = mta->now_ns + 1;
	message->cause = (uint8_t)cause;
	mta->result->attempts++;
	mta_event(mta, mta->now_ns + mta_latency(mta, id, receiver_index, connecting), EVENT_REPLY, 0, id);
}

/* The flow of the queue's pool that a message of the class can go over now, or none; then *ret_at is
 * lowered to when there may be one. */
static int64_t queue_choose(struct mta *mta, struct queue *queue, enum tg_class class,
			    struct connection **ret_connection, uint64_t *ret_at)
{
	const struct policy *policy = mta->policy;
	double lowest = INFINITY;
	int64_t chosen = -1;

	for (size_t i = 0; i < queue->source_count; i++) {
		uint32_t index =
			queue->sources[i] * (uint32_t)mta->scenario->receiver_count + queue->receiver;
		uint64_t at = policy->earliest(mta->self, index, class, mta->now_ns);
		struct connection *connection;
		double rank;

		if (at > mta->now_ns) {
			if (at < *ret_at)
				*ret_at = at;
			continue;
		}
		connection = flow_connection(mta, index, ret_at);
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

static bool queue_send(struct mta *mta, struct queue *queue, uint64_t *ret_at)
{
	for (int class = 0; class < TG_CLASSES; class++) {
		struct connection *connection = NULL;
		int64_t index;

		if (queue_empty(queue, class))
			continue;
		index = queue_choose(mta, queue, class, &connection, ret_at);
		if (index < 0)
			continue;
		mta->policy->admit(mta->self, (uint32_t)index, class, mta->now_ns);
		mta_attempt(mta, queue_take(mta, queue, class), (uint32_t)index, connection);
		flow_timer(mta, (uint32_t)index);
		return true;
	}
	return false;
}

static void mta_dispatch(struct mta *mta, uint32_t index)
{
	struct queue *queue = &mta->queues[index];
	uint64_t at = UINT64_MAX;

	while (queue_send(mta, queue, &at) && !mta->error)
		at = UINT64_MAX;
	if (at >= queue->wake_ns)
		return;
	queue->wake_ns = at;
	mta_event(mta, at, EVENT_WAKE, 0, index);
}

/* ---- what happens --------------------------------------------------------------------------------- */

static struct simulate_series *mta_series(const struct mta *mta, uint32_t flow)
{
	struct simulate_series *series = mta->result->series;

	return series ? &series[flow % mta->scenario->receiver_count] : NULL;
}

static size_t mta_slot(const struct mta *mta, uint64_t at_ns)
{
	size_t slot = (size_t)((double)at_ns / (double)mta->scenario->duration_ns * SIMULATE_SLOTS);

	return slot < SIMULATE_SLOTS ? slot : SIMULATE_SLOTS - 1;
}

static void mta_retry(struct mta *mta, uint32_t id)
{
	struct simulate_message *message = &mta->messages[id];
	size_t most = sizeof retry_minutes / sizeof *retry_minutes - 1;
	size_t step = message->attempts < most ? message->attempts : most;
	double late = 1 + RETRY_JITTER * simulate_chance(mta_luck(mta, id, LUCK_RETRY));

	if (message->attempts < UINT8_MAX)
		message->attempts++;
	mta_event(mta, mta->now_ns + (uint64_t)((double)(retry_minutes[step] * UNITS_MINUTE_NS) * late),
		  EVENT_RETRY, 0, id);
}

static void mta_deferred(struct mta *mta, uint32_t id)
{
	struct simulate_message *message = &mta->messages[id];
	struct simulate_series *series = mta_series(mta, message->flow);

	mta->result->deferrals++;
	mta->result->avoidable += message->cause >= RECEIVER_AVOIDABLE;
	if (series)
		series->deferred[mta_slot(mta, message->sent_ns)]++;
	if (message->text[0] == '5') {
		mta->result->bounced++;
		message->finished = true;
		return;
	}
	mta_retry(mta, id);
}

static void mta_delivered(struct mta *mta, uint32_t id)
{
	struct simulate_message *message = &mta->messages[id];
	struct simulate_series *series = mta_series(mta, message->flow);

	mta->result->delivered++;
	mta->last_delivery_ns = mta->now_ns;
	message->finished = true;
	/* From here on: when it was delivered. */
	message->sent_ns = mta->now_ns;
	if (series)
		series->accepted[mta_slot(mta, mta->now_ns)]++;
}

/* Whether the connection is at its end with this reply: the receiver said goodbye, or there is nothing
 * more to expect on it. */
static bool reply_closes(const struct simulate_message *message)
{
	if (message->cause == RECEIVER_ACCEPTED)
		return false;
	return message->cause >= RECEIVER_OUTAGE || strncmp(message->text, "421", 3) == 0;
}

/* The text as the receiver sends it: %s stands for the source's address. */
static const char *reply_render(const struct mta *mta, const struct simulate_message *message,
				char *text, size_t size)
{
	const char *place = message->text ? strstr(message->text, "%s") : NULL;

	if (!place)
		return message->text;
	snprintf(text, size, "%.*s%s%s", (int)(place - message->text), message->text,
		 mta->scenario->sources[message->flow / mta->scenario->receiver_count].address, place + 2);
	return text;
}

static void mta_reply(struct mta *mta, uint32_t id)
{
	char text[REPLY_MAX];
	struct simulate_message *message = &mta->messages[id];
	uint32_t index = message->flow;
	struct flow *flow = &mta->flows[index];
	struct connection *connection = &flow->connections[message->connection];
	bool refused = connection->state == CONNECTION_REFUSED;
	struct policy_reply reply = {
		.delivered = message->cause == RECEIVER_ACCEPTED,
		.text = reply_render(mta, message, text, sizeof text),
		.stage = message->stage,
		.traffic = message->class,
		.place = refused ? 0 : connection->used,
		.open_connections = flow->open - !refused,
		.admitted_ns = message->sent_ns,
	};

	mta->result->causes[message->cause]++;
	mta->policy->reply(mta->self, index, &reply, mta->now_ns);
	if (refused)
		flow->connect_again_ns = mta->now_ns + CONNECT_AGAIN_NS;
	if (refused || reply_closes(message) ||
	    connection->used >= mta->policy->per_connection(mta->self, index))
		flow_close(mta, index, connection);
	else
		flow_idle(mta, index, connection);
	if (reply.delivered)
		mta_delivered(mta, id);
	else
		mta_deferred(mta, id);
	flow_timer(mta, index);
	mta_dispatch(mta, flow->queue);
}

static void mta_tick(struct mta *mta, uint32_t index)
{
	mta->flows[index].tick_ns = UINT64_MAX;
	mta->policy->tick(mta->self, index, mta->now_ns);
	flow_timer(mta, index);
	mta_dispatch(mta, mta->flows[index].queue);
}

static void mta_change(struct mta *mta, uint16_t receiver, uint32_t index)
{
	receiver_change(&mta->receivers[receiver], &mta->scenario->receivers[receiver].changes[index],
			mta->now_ns);
	/* The oracle knows at once; the others are asked again and know nothing new. */
	for (uint32_t i = 0; i < mta->queue_count; i++)
		if (mta->queues[i].receiver == receiver)
			mta_dispatch(mta, i);
}

static void mta_sample(struct mta *mta, uint32_t slot)
{
	size_t receivers = mta->scenario->receiver_count;

	for (uint32_t i = 0; i < mta->scenario->source_count * receivers; i++)
		if (mta->policy->rate)
			mta->result->series[i % receivers].allowed[slot] +=
				(float)mta->policy->rate(mta->self, i);
	if (++slot < SIMULATE_SLOTS)
		mta_event(mta, mta->scenario->duration_ns / SIMULATE_SLOTS * slot, EVENT_SAMPLE, 0, slot);
}

static void mta_handle(struct mta *mta, const struct simulate_event *event)
{
	switch ((enum event_kind)event->kind) {
	case EVENT_REPLY:
		mta_reply(mta, event->id);
		break;
	case EVENT_RETRY:
		queue_put(mta, event->id);
		mta_dispatch(mta, mta->messages[event->id].queue);
		break;
	case EVENT_WAKE:
		if (mta->queues[event->id].wake_ns != event->at_ns)
			break;
		mta->queues[event->id].wake_ns = UINT64_MAX;
		mta_dispatch(mta, event->id);
		break;
	case EVENT_IDLE:
		flow_idle_timer(mta, event->id);
		mta_dispatch(mta, mta->flows[event->id].queue);
		break;
	case EVENT_TICK:
		if (mta->flows[event->id].tick_ns == event->at_ns)
			mta_tick(mta, event->id);
		break;
	case EVENT_CHANGE:
		mta_change(mta, event->part, event->id);
		break;
	case EVENT_SAMPLE:
		mta_sample(mta, event->id);
		break;
	}
}

/* All that arrives at one instant is queued before anything of it is sent. */
static void mta_arrivals(struct mta *mta)
{
	size_t from = mta->arrived;

	while (mta->arrived < mta->message_count &&
	       mta->messages[mta->arrived].arrival_ns == mta->now_ns)
		queue_put(mta, (uint32_t)mta->arrived++);
	for (size_t i = from; i < mta->arrived; i++)
		if (i == from || mta->messages[i].queue != mta->messages[i - 1].queue)
			mta_dispatch(mta, mta->messages[i].queue);
}

static int mta_loop(struct mta *mta)
{
	struct simulate_event event;

	while (!mta->error) {
		uint64_t arrival = mta->arrived < mta->message_count
					   ? mta->messages[mta->arrived].arrival_ns
					   : UINT64_MAX;

		if (arrival <= simulate_events_next(&mta->events)) {
			if (arrival == UINT64_MAX)
				break;
			mta->now_ns = arrival;
			mta_arrivals(mta);
		} else {
			simulate_events_take(&mta->events, &event);
			mta->now_ns = event.at_ns;
			mta_handle(mta, &event);
		}
	}
	return mta->error;
}

/* ---- setting up ----------------------------------------------------------------------------------- */

static void mta_queues(struct mta *mta)
{
	const struct scenario *scenario = mta->scenario;
	uint32_t *sources = mta->pool_sources;

	for (uint32_t pool = 0; pool < scenario->pool_count; pool++) {
		uint32_t count = 0;

		for (uint32_t i = 0; i < scenario->source_count; i++)
			if (scenario->sources[i].pool == pool)
				sources[count++] = i;
		for (uint32_t r = 0; r < scenario->receiver_count; r++) {
			uint32_t index = pool * (uint32_t)scenario->receiver_count + r;
			struct queue *queue = &mta->queues[index];

			*queue = (struct queue){.wake_ns = UINT64_MAX, .receiver = r,
						.sources = sources, .source_count = count};
			for (int class = 0; class < TG_CLASSES; class++)
				queue->fresh[class].first = queue->deferred[class].first =
					SIMULATE_NO_MESSAGE;
			for (uint32_t i = 0; i < count; i++)
				mta->flows[sources[i] * scenario->receiver_count + r].queue = index;
		}
		sources += count;
	}
}

static int mta_policy(struct mta *mta)
{
	const struct scenario *scenario = mta->scenario;
	const char *addresses[SCENARIO_SOURCES_MAX];
	const char *destinations[SCENARIO_RECEIVERS_MAX];
	struct policy_world world = {
		.source_count = scenario->source_count,
		.receiver_count = scenario->receiver_count,
		.addresses = addresses,
		.destinations = destinations,
		.seed = mta->seed,
		.receivers = mta->policy->sees_hidden ? mta->receivers : NULL,
	};

	for (size_t i = 0; i < scenario->source_count; i++)
		addresses[i] = scenario->sources[i].address;
	for (size_t i = 0; i < scenario->receiver_count; i++)
		destinations[i] = scenario->receivers[i].destination;
	return mta->policy->create(&world, &mta->self);
}

static int mta_allocate(struct mta *mta, bool with_series)
{
	const struct scenario *scenario = mta->scenario;
	size_t flow_count = scenario->source_count * scenario->receiver_count;

	mta->queue_count = scenario->pool_count * scenario->receiver_count;
	mta->receivers = calloc(scenario->receiver_count, sizeof *mta->receivers);
	mta->flows = calloc(flow_count, sizeof *mta->flows);
	mta->queues = calloc(mta->queue_count, sizeof *mta->queues);
	mta->pool_sources = calloc(scenario->source_count, sizeof *mta->pool_sources);
	if (with_series)
		mta->result->series = calloc(scenario->receiver_count, sizeof *mta->result->series);
	if (!mta->receivers || !mta->flows || !mta->queues || !mta->pool_sources ||
	    (with_series && !mta->result->series))
		return -ENOMEM;
	for (size_t i = 0; i < flow_count; i++)
		mta->flows[i].tick_ns = mta->flows[i].idle_timer_ns = UINT64_MAX;
	for (size_t i = 0; i < scenario->receiver_count; i++)
		if (receiver_init(&mta->receivers[i], &scenario->receivers[i], scenario->source_count,
				  scenario->duration_ns) != 0)
			return -ENOMEM;
	return 0;
}

static int mta_start(struct mta *mta, bool with_series)
{
	const struct scenario *scenario = mta->scenario;
	int error = mta_allocate(mta, with_series);

	if (!error)
		error = simulate_traffic(scenario, mta->seed, &mta->messages, &mta->message_count);
	if (!error)
		error = mta_policy(mta);
	if (error)
		return error;
	mta_queues(mta);
	for (uint16_t r = 0; r < scenario->receiver_count; r++)
		for (uint32_t i = 0; i < scenario->receivers[r].change_count; i++)
			mta_event(mta, scenario->receivers[r].changes[i].at_ns, EVENT_CHANGE, r, i);
	for (uint32_t i = 0; i < scenario->source_count * scenario->receiver_count; i++)
		flow_timer(mta, i);
	if (with_series)
		mta_event(mta, 0, EVENT_SAMPLE, 0, 0);
	return 0;
}

static void mta_end(struct mta *mta)
{
	if (mta->receivers)
		for (size_t i = 0; i < mta->scenario->receiver_count; i++)
			receiver_free(&mta->receivers[i]);
	mta->policy->destroy(mta->self);
	simulate_events_free(&mta->events);
	free(mta->receivers);
	free(mta->messages);
	free(mta->flows);
	free(mta->queues);
	free(mta->pool_sources);
}

/* ---- the outcome ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The delay of transactional mail; what has not been delivered counts with its age. */
static int mta_delays(const struct mta *mta, struct simulate_result *result)
{
	double *delays = malloc((mta->message_count + 1) * sizeof *delays);
	size_t count = 0;

	if (!delays)
		return -ENOMEM;
	for (size_t i = 0; i < mta->message_count; i++) {
		const struct simulate_message *message = &mta->messages[i];
		bool delivered = message->finished && message->cause == RECEIVER_ACCEPTED;
		uint64_t end = delivered ? message->sent_ns : mta->scenario->duration_ns;

		if (message->class == TG_TRANSACTIONAL)
			delays[count++] = (double)(end - message->arrival_ns) / UNITS_SECOND_NS;
	}
	qsort(delays, count, sizeof *delays, by_value);
	result->transactional_p50_s = count ? delays[count / 2] : NAN;
	result->transactional_p99_s = count ? delays[(size_t)((double)count * 0.99)] : NAN;
	free(delays);
	return 0;
}

static bool pool_writes(const struct scenario *scenario, uint32_t pool, uint32_t receiver)
{
	for (size_t i = 0; i < scenario->traffic_count; i++)
		if (scenario->traffic[i].pool == pool && scenario->traffic[i].receiver == receiver)
			return true;
	return false;
}

static void mta_blocks(const struct mta *mta, struct simulate_result *result)
{
	const struct scenario *scenario = mta->scenario;
	double blocked = 0, late = 0, pairs = 0;

	for (uint32_t r = 0; r < scenario->receiver_count; r++)
		for (size_t s = 0; s < scenario->source_count; s++) {
			blocked += (double)mta->receivers[r].sources[s].blocked_ns;
			late += (double)mta->receivers[r].sources[s].blocked_late_ns;
			pairs += pool_writes(scenario, scenario->sources[s].pool, r);
		}
	result->blocked_ip_hours = blocked / UNITS_HOUR_NS;
	result->blocked_after_first_hour = late / UNITS_HOUR_NS;
	result->blocked_share = pairs > 0 ? blocked / (pairs * (double)scenario->duration_ns) : 0;
}

int simulate_run(const struct scenario *scenario, const struct policy *policy, uint64_t seed,
		 bool with_series, struct simulate_result *ret)
{
	struct simulate_result result = {.policy = policy->name};
	struct mta mta = {.scenario = scenario, .policy = policy, .seed = seed, .result = &result};
	int error = mta_start(&mta, with_series);

	if (!error)
		error = mta_loop(&mta);
	if (!error)
		error = mta_delays(&mta, &result);
	if (!error) {
		result.arrived = mta.message_count;
		result.makespan_s = result.delivered == result.arrived
					    ? (double)mta.last_delivery_ns / UNITS_SECOND_NS
					    : NAN;
		mta_blocks(&mta, &result);
		*ret = result;
	} else {
		simulate_result_free(&result);
	}
	mta_end(&mta);
	return error;
}
