/* SPDX-License-Identifier: MIT
 *
 * The clock of the simulator: what arrives, what is answered, what is tried again.
 *
 * An attempt is decided when it arrives and answered a round trip later. What was deferred is tried
 * again by the retry schedule of a common MTA; what was refused for good is gone.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/mta.h"
#include "sidecar/simulate/simulate.h"

/* After a refused connection the next one to the same host waits. */
#define CONNECT_AGAIN_NS UNITS_SECOND_NS
/* A retry comes up to a tenth later than the schedule says, never earlier. */
#define RETRY_JITTER 0.1
/* What a policy sees of a reply. */
#define REPLY_MAX 1024

static const uint16_t retry_minutes[] = {5, 10, 20, 40, 60, 60, 120, 120, 240};

/* ---- what happens ---------------------------------------------------------------------------- */

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
	size_t max = sizeof retry_minutes / sizeof *retry_minutes - 1;
	size_t step = message->attempts < max ? message->attempts : max;
	double late = 1 + RETRY_JITTER * simulate_draw(mta_luck(mta, id, MTA_LUCK_RETRY));

	if (message->attempts < UINT8_MAX)
		message->attempts++;
	mta_event(mta,
		  mta->now_ns + (uint64_t)((double)(retry_minutes[step] * UNITS_MINUTE_NS) * late),
		  MTA_EVENT_RETRY, 0, id);
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
	mta->result->delivered_by_day[mta->now_ns / UNITS_DAY_NS]++;
	mta->last_delivery_ns = mta->now_ns;
	message->finished = true;
	/* From here on: when it was delivered. */
	message->sent_ns = mta->now_ns;
	if (series)
		series->accepted[mta_slot(mta, mta->now_ns)]++;
}

/* Whether the connection is at its end with this reply: the receiver said goodbye, or there is
 * nothing more to expect on it. */
static bool reply_closes(const struct simulate_message *message)
{
	if (message->cause == RECEIVER_ACCEPTED)
		return false;
	return message->cause >= RECEIVER_OUTAGE || scenario_silent(message->text) ||
	       strncmp(message->text, "421", 3) == 0;
}

/* The text as the receiver sends it: %s stands for the source's address. */
static const char *reply_render(const struct mta *mta, const struct simulate_message *message,
				char *text, size_t size)
{
	const char *place = message->text ? strstr(message->text, "%s") : NULL;

	if (message->text && scenario_silent(message->text))
		return NULL;
	if (!place)
		return message->text;
	snprintf(text, size, "%.*s%s%s", (int)(place - message->text), message->text,
		 mta->scenario->sources[message->flow / mta->scenario->receiver_count].address,
		 place + 2);
	return text;
}

static struct mta_connection *reply_connection(const struct mta *mta,
					       const struct simulate_message *message)
{
	if (mta_sleeps(mta))
		return &mta->workers[message->queue / mta->scenario->receiver_count].connection;
	return &mta->flows[message->flow].connections[message->connection];
}

static void mta_reply(struct mta *mta, uint32_t id)
{
	uint32_t receivers = mta->scenario->receiver_count;
	bool closes;
	char text[REPLY_MAX];
	struct simulate_message *message = &mta->messages[id];
	uint32_t index = message->flow;
	struct mta_flow *flow = &mta->flows[index];
	struct mta_connection *connection = reply_connection(mta, message);
	bool refused = connection->state == MTA_CONNECTION_REFUSED;
	struct policy_reply reply = {
		.delivered = message->cause == RECEIVER_ACCEPTED,
		.text = reply_render(mta, message, text, sizeof text),
		.stage = message->stage,
		.traffic = message->class,
		.place = refused ? 0 : connection->used,
		.open_connections = mta_sleeps(mta) ? flow->leased - 1 : flow->open - !refused,
		.admitted_ns = message->sent_ns,
	};

	mta->result->causes[message->cause]++;
	mta->policy->reply(mta->self, index, &reply, mta->now_ns);
	closes = refused || reply_closes(message) ||
		 connection->used >= mta->policy->per_connection(mta->self, index);
	if (mta_sleeps(mta))
		mta_worker_replied(mta, message->queue / receivers, closes);
	else if (closes)
		mta_close(mta, index, connection);
	else
		mta_idle(mta, index, connection);
	if (refused)
		flow->connect_again_ns = mta->now_ns + CONNECT_AGAIN_NS;
	if (reply.delivered)
		mta_delivered(mta, id);
	else
		mta_deferred(mta, id);
	mta_timer(mta);
	mta_dispatch(mta, mta_sleeps(mta) ? message->queue : flow->queue);
	if (mta_sleeps(mta))
		mta_workers_rouse(mta);
}

static void mta_tick(struct mta *mta)
{
	mta->tick_ns = UINT64_MAX;
	mta->policy->tick(mta->self, mta->now_ns);
	mta_timer(mta);
	if (mta_sleeps(mta))
		mta_workers_rouse(mta);
	else
		for (uint32_t i = 0; i < mta->queue_count; i++)
			mta_dispatch(mta, i);
}

static void mta_change(struct mta *mta, uint16_t receiver, uint32_t index)
{
	receiver_change(mta->receivers[receiver],
			&mta->scenario->receivers[receiver].changes[index], mta->now_ns);
	/* The oracle knows at once; the others are asked again and know nothing new. */
	for (uint32_t i = 0; i < mta->queue_count; i++)
		if (mta->scenario->receivers[mta->queues[i].receiver].host == receiver)
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
		mta_event(mta, mta->scenario->duration_ns / SIMULATE_SLOTS * slot, MTA_EVENT_SAMPLE,
			  0, slot);
}

static void mta_handle(struct mta *mta, const struct simulate_event *event)
{
	switch ((enum mta_event_kind)event->kind) {
	case MTA_EVENT_REPLY: mta_reply(mta, event->id); break;
	case MTA_EVENT_RETRY:
		mta_queue_put(mta, event->id);
		mta_dispatch(mta, mta->messages[event->id].queue);
		break;
	case MTA_EVENT_WAKE:
		if (mta->queues[event->id].wake_ns != event->at_ns)
			break;
		mta->queues[event->id].wake_ns = UINT64_MAX;
		mta_dispatch(mta, event->id);
		break;
	case MTA_EVENT_IDLE:
		mta_idle_timer(mta, event->id);
		mta_dispatch(mta, mta->flows[event->id].queue);
		break;
	case MTA_EVENT_TICK:
		if (mta->tick_ns == event->at_ns)
			mta_tick(mta);
		break;
	case MTA_EVENT_CHANGE: mta_change(mta, event->part, event->id); break;
	case MTA_EVENT_SAMPLE: mta_sample(mta, event->id); break;
	case MTA_EVENT_WORKER:
		if (mta->workers[event->id].wake_ns != event->at_ns)
			break;
		mta->workers[event->id].wake_ns = UINT64_MAX;
		mta_worker_look(mta, event->id);
		break;
	}
}

/* All that arrives at one instant is queued before anything of it is sent. */
static void mta_arrivals(struct mta *mta)
{
	size_t from = mta->arrived;

	while (mta->arrived < mta->message_count &&
	       mta->messages[mta->arrived].arrival_ns == mta->now_ns) {
		if (mta_sleeps(mta))
			mta_worker_deal(mta, (uint32_t)mta->arrived);
		mta_queue_put(mta, (uint32_t)mta->arrived++);
	}
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

/* ---- setting up ------------------------------------------------------------------------------ */

static void queue_init(struct mta *mta, struct mta_queue *queue, uint32_t receiver,
		       const uint32_t *sources, uint32_t count)
{
	*queue = (struct mta_queue){.wake_ns = UINT64_MAX,
				    .receiver = receiver,
				    .sources = sources,
				    .source_count = count};
	for (int class = 0; class < TG_CLASSES; class ++)
		queue->fresh[class].first = queue->deferred[class].first = SIMULATE_NO_MESSAGE;
}

/* Of each worker of the pool, where they sleep. */
static void team_queues(struct mta *mta, uint32_t pool, const uint32_t *sources, uint32_t count)
{
	const struct mta_team *team = &mta->teams[pool];
	uint32_t receivers = mta->scenario->receiver_count;

	for (uint32_t i = 0; i < team->count * receivers; i++)
		queue_init(mta, &mta->queues[team->first * receivers + i], i % receivers, sources,
			   count);
}

static void mta_queues(struct mta *mta)
{
	const struct scenario *scenario = mta->scenario;
	uint32_t *sources = mta->pool_sources;

	for (uint32_t pool = 0; pool < scenario->pool_count; pool++) {
		uint32_t count = 0;

		for (uint32_t i = 0; i < scenario->source_count; i++)
			if (scenario->sources[i].pool == pool)
				sources[count++] = i;
		if (mta_sleeps(mta))
			team_queues(mta, pool, sources, count);
		for (uint32_t r = 0; r < scenario->receiver_count && !mta_sleeps(mta); r++) {
			uint32_t index = pool * (uint32_t)scenario->receiver_count + r;

			queue_init(mta, &mta->queues[index], r, sources, count);
			for (uint32_t i = 0; i < count; i++)
				mta->flows[sources[i] * scenario->receiver_count + r].queue = index;
		}
		sources += count;
	}
}

/* Whether mail of another queue is counted together with this one's. */
static bool queue_shares(const struct mta *mta, size_t index)
{
	const struct scenario_receiver *receiver =
		&mta->scenario->receivers[mta->queues[index].receiver];

	for (size_t i = 0; i < mta->queue_count; i++) {
		uint32_t other = mta->queues[i].receiver;

		if (i != index && mta->totals)
			return true;
		if (i != index && mta->scenario->receivers[other].host == receiver->host &&
		    (other != mta->queues[index].receiver || receiver->per != SCENARIO_ADDRESS))
			return true;
	}
	return false;
}

static int mta_policy(struct mta *mta)
{
	const struct scenario *scenario = mta->scenario;
	const char **addresses = calloc(scenario->source_count, sizeof *addresses);
	const char **destinations = calloc(scenario->receiver_count, sizeof *destinations);
	const char **pools = calloc(scenario->source_count, sizeof *pools);

	mta->env.source_count = scenario->source_count;
	mta->env.receiver_count = scenario->receiver_count;
	mta->env.restarts = scenario->restarts;
	mta->env.restart_count = scenario->restart_count;
	mta->env.addresses = addresses;
	mta->env.destinations = destinations;
	mta->env.pools = pools;
	mta->env.befores = scenario->befores;
	mta->env.before_count = scenario->before_count;
	mta->env.receivers = mta->policy->sees_truth ? mta->receivers : NULL;
	mta->env.scenario = mta->policy->sees_truth ? scenario : NULL;
	if (!addresses || !destinations || !pools)
		return -ENOMEM;
	for (size_t i = 0; i < scenario->source_count; i++) {
		addresses[i] = scenario->sources[i].address;
		pools[i] = scenario->sources[i].pool_name;
	}
	for (size_t i = 0; i < scenario->receiver_count; i++)
		destinations[i] = scenario->receivers[i].destination;
	return mta->policy->create(&mta->env, &mta->self);
}

static int mta_allocate(struct mta *mta, bool with_series)
{
	const struct scenario *scenario = mta->scenario;
	size_t flow_count = scenario->source_count * scenario->receiver_count;

	if (mta_sleeps(mta) && mta_workers_make(mta) != 0)
		return -ENOMEM;
	mta->queue_count = mta_sleeps(mta) ? (size_t)mta->worker_count * scenario->receiver_count
					   : scenario->pool_count * scenario->receiver_count;
	mta->hosts = calloc(scenario->receiver_count, sizeof *mta->hosts);
	mta->receivers = calloc(scenario->receiver_count, sizeof *mta->receivers);
	mta->flows = calloc(flow_count, sizeof *mta->flows);
	mta->queues = calloc(mta->queue_count + 1, sizeof *mta->queues);
	mta->pool_sources = calloc(scenario->source_count, sizeof *mta->pool_sources);
	if (with_series)
		mta->result->series = calloc(scenario->receiver_count, sizeof *mta->result->series);
	if (!mta->hosts || !mta->receivers || !mta->flows || !mta->queues || !mta->pool_sources ||
	    (with_series && !mta->result->series))
		return -ENOMEM;
	for (size_t i = 0; i < flow_count; i++)
		mta->flows[i].idle_timer_ns = UINT64_MAX;
	for (uint32_t i = 0; i < scenario->receiver_count; i++) {
		mta->receivers[i] = &mta->hosts[scenario->receivers[i].host];
		if (scenario->receivers[i].host == i &&
		    receiver_init(&mta->hosts[i], scenario, i) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int mta_start(struct mta *mta, bool with_series)
{
	const struct scenario *scenario = mta->scenario;
	int error = mta_allocate(mta, with_series);

	for (uint32_t i = 0; i < scenario->source_count; i++)
		mta->totals |= scenario_totalled(&scenario->sources[i]);

	if (!error)
		error = simulate_traffic(scenario, mta->seed, &mta->messages, &mta->message_count);
	if (!error)
		error = mta_policy(mta);
	if (error)
		return error;
	mta_queues(mta);
	for (size_t i = 0; mta->policy->sees_truth && i < mta->queue_count; i++)
		mta->queues[i].shared = queue_shares(mta, i);
	for (uint16_t r = 0; r < scenario->receiver_count; r++) {
		const struct scenario_receiver *receiver = &scenario->receivers[r];

		for (uint32_t i = 0; receiver->host == r && i < receiver->change_count; i++)
			mta_event(mta, receiver->changes[i].at_ns, MTA_EVENT_CHANGE, r, i);
	}
	mta_timer(mta);
	if (with_series)
		mta_event(mta, 0, MTA_EVENT_SAMPLE, 0, 0);
	return 0;
}

static void mta_end(struct mta *mta)
{
	if (mta->hosts)
		for (size_t i = 0; i < mta->scenario->receiver_count; i++)
			receiver_free(&mta->hosts[i]);
	mta->policy->destroy(mta->self);
	free((void *)mta->env.addresses);
	free((void *)mta->env.destinations);
	free((void *)mta->env.pools);
	simulate_events_free(&mta->events);
	free(mta->hosts);
	free(mta->receivers);
	free(mta->messages);
	free(mta->flows);
	free(mta->queues);
	free(mta->pool_sources);
	free(mta->workers);
	free(mta->teams);
}

int simulate_run(const struct scenario *scenario, const struct simulate_policy *policy,
		 struct simulate_config *config, const struct simulate_options *options,
		 struct simulate_result *ret)
{
	struct simulate_result result = {.policy = policy->name};
	struct mta mta = {
		.scenario = scenario,
		.policy = policy,
		.env.config = config,
		.env.trace = options->trace,
		.seed = options->seed,
		.tick_ns = UINT64_MAX,
		.result = &result,
	};
	int error = mta_start(&mta, options->series);

	if (!error)
		error = mta_loop(&mta);
	if (!error)
		error = simulate_result_of(&mta, &result);
	if (!error)
		*ret = result;
	else
		simulate_result_free(&result);
	mta_end(&mta);
	return error;
}
