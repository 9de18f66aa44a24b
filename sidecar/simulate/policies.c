/* SPDX-License-Identifier: MIT
 *
 * The policies that tollgate is compared with: what people build today, and the oracle.
 *
 * none            no pacing at all: as many messages as the connections carry
 * sliding-window  ten messages in any minute per source and destination, as they are counted with a
 *                 sorted set in Redis
 * cooldown        a reply that names a limit sets 1/min for 90 minutes, then full speed: an
 *                 automation rule with a duration
 * backoff         such a reply sets 1/min until an hour has passed or the first message sent since
 *                 then is accepted: a back-off mode that ends on delivery
 * oracle          reads the receiver's state: sends whatever will be accepted, nothing else
 */
#include "sidecar/simulate/policies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/receiver.h"
#include "sidecar/simulate/sim_config.h"

#define FIXED_COUNT  10
#define TIMED_HOLD   (90 * UNITS_MINUTE_NS)
#define BACKOFF_HOLD UNITS_HOUR_NS
#define SLOW_PERIOD  UNITS_MINUTE_NS
#define LOOK_AGAIN   (UNITS_SECOND_NS / 10)

const struct simulate_policy *const simulate_policies[] = {
	&policy_tollgate, &policy_none, &policy_sliding_window, &policy_cooldown, &policy_backoff,
	&policy_oracle,	  NULL,
};

const struct simulate_policy *simulate_policy_find(const char *name)
{
	for (size_t i = 0; simulate_policies[i]; i++)
		if (strcmp(simulate_policies[i]->name, name) == 0)
			return simulate_policies[i];
	return strcmp(policy_calendar.name, name) == 0 ? &policy_calendar : NULL;
}

static uint64_t default_connect(void *self, uint32_t flow, enum tg_class traffic, uint32_t open,
				uint64_t now_ns)
{
	return open < POLICY_CONNECTIONS ? now_ns : UINT64_MAX;
}

static uint32_t default_per_connection(void *self, uint32_t flow)
{
	return POLICY_PER_CONNECTION;
}

static void ignore_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
}

static void ignore_reply(void *self, uint32_t flow, const struct policy_reply *reply,
			 uint64_t now_ns)
{
}

/* ---- none ------------------------------------------------------------------------------------ */

static int none_create(const struct sim_env *env, void **ret)
{
	*ret = NULL;
	return 0;
}

static uint64_t none_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	return now_ns;
}

const struct simulate_policy policy_none = {
	.name = "none",
	.create = none_create,
	.destroy = free,
	.earliest = none_earliest,
	.admit = ignore_admit,
	.reply = ignore_reply,
	.connect = default_connect,
	.per_connection = default_per_connection,
};

/* ---- fixed: a sliding window of ten a minute ------------------------------------------------- */

struct fixed_flow {
	uint64_t next_ns[FIXED_COUNT]; /* a minute after each of the last ten */
	uint32_t at;
};

static int fixed_create(const struct sim_env *env, void **ret)
{
	*ret = calloc(env->source_count * env->receiver_count, sizeof(struct fixed_flow));
	return *ret ? 0 : -ENOMEM;
}

static uint64_t fixed_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	struct fixed_flow *fixed = (struct fixed_flow *)self + flow;
	uint64_t next = fixed->next_ns[fixed->at % FIXED_COUNT];

	return next > now_ns ? next : now_ns;
}

static void fixed_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	struct fixed_flow *fixed = (struct fixed_flow *)self + flow;

	fixed->next_ns[fixed->at++ % FIXED_COUNT] = now_ns + UNITS_MINUTE_NS;
}

const struct simulate_policy policy_sliding_window = {
	.name = "sliding-window",
	.create = fixed_create,
	.destroy = free,
	.earliest = fixed_earliest,
	.admit = fixed_admit,
	.reply = ignore_reply,
	.connect = default_connect,
	.per_connection = default_per_connection,
};

/* ---- cooldown and backoff: a reply slows, something ends it -------------------------------------
 */

struct slow_flow {
	uint64_t since_ns;
	uint64_t until_ns;
	uint64_t next_ns;
};

struct slow {
	const struct sim_env *env;
	struct slow_flow flows[];
};

static int slow_create(const struct sim_env *env, void **ret)
{
	size_t count = env->source_count * env->receiver_count;
	struct slow *slow = calloc(1, sizeof *slow + count * sizeof slow->flows[0]);

	if (!slow)
		return -ENOMEM;
	slow->env = env;
	*ret = slow;
	return 0;
}

static struct slow_flow *slow_flow(void *self, uint32_t flow)
{
	return &((struct slow *)self)->flows[flow];
}

static uint64_t slow_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	const struct slow_flow *slow = slow_flow(self, flow);

	return now_ns < slow->until_ns && now_ns < slow->next_ns ? slow->next_ns : now_ns;
}

static void slow_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	slow_flow(self, flow)->next_ns = now_ns + SLOW_PERIOD;
}

static bool names_a_limit(void *self, uint32_t flow, const struct policy_reply *reply)
{
	const struct sim_env *env = ((struct slow *)self)->env;
	struct classification class;

	if (reply->delivered || !reply->text)
		return false;
	simulate_classify(env->config, env->destinations[flow % env->receiver_count], reply->text,
			  &class);
	return class.lowers_cap;
}

static void cooldown_reply(void *self, uint32_t flow, const struct policy_reply *reply,
			   uint64_t now_ns)
{
	if (names_a_limit(self, flow, reply))
		slow_flow(self, flow)->until_ns = now_ns + TIMED_HOLD;
}

static void backoff_reply(void *self, uint32_t flow, const struct policy_reply *reply,
			  uint64_t now_ns)
{
	struct slow_flow *slow = slow_flow(self, flow);

	if (now_ns < slow->until_ns) {
		if (reply->delivered && reply->admitted_ns >= slow->since_ns)
			slow->until_ns = now_ns;
		return;
	}
	if (!names_a_limit(self, flow, reply))
		return;
	slow->since_ns = now_ns;
	slow->until_ns = now_ns + BACKOFF_HOLD;
	slow->next_ns = now_ns + SLOW_PERIOD;
}

const struct simulate_policy policy_cooldown = {
	.name = "cooldown",
	.create = slow_create,
	.destroy = free,
	.earliest = slow_earliest,
	.admit = slow_admit,
	.reply = cooldown_reply,
	.connect = default_connect,
	.per_connection = default_per_connection,
};

const struct simulate_policy policy_backoff = {
	.name = "backoff",
	.create = slow_create,
	.destroy = free,
	.earliest = slow_earliest,
	.admit = slow_admit,
	.reply = backoff_reply,
	.connect = default_connect,
	.per_connection = default_per_connection,
};

/* ---- oracle ---------------------------------------------------------------------------------- */

struct oracle {
	struct sim_receiver *const *receivers;
	size_t receiver_count;
	size_t source_count;
	/* What each source may send in all is kept as if it were a receiver of everything. */
	struct scenario world;
	struct scenario_receiver *truths;
	struct sim_receiver *totals; /* one without a total is empty */
};

static void oracle_destroy(void *self)
{
	struct oracle *oracle = self;

	if (!oracle)
		return;
	for (size_t i = 0; oracle->totals && i < oracle->source_count; i++)
		receiver_free(&oracle->totals[i]);
	free(oracle->totals);
	free(oracle->truths);
	free(oracle);
}

static int oracle_totals(struct oracle *oracle, const struct scenario *scenario)
{
	oracle->truths = calloc(oracle->source_count, sizeof *oracle->truths);
	oracle->totals = calloc(oracle->source_count, sizeof *oracle->totals);
	if (!oracle->truths || !oracle->totals)
		return -ENOMEM;
	oracle->world = (struct scenario){.duration_ns = scenario->duration_ns,
					  .source_count = 1,
					  .receivers = oracle->truths};
	for (uint32_t i = 0; i < oracle->source_count; i++) {
		oracle->truths[i].accept = scenario->sources[i].total;
		if (scenario_totalled(&scenario->sources[i]) &&
		    receiver_init(&oracle->totals[i], &oracle->world, i) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int oracle_create(const struct sim_env *env, void **ret)
{
	struct oracle *oracle = calloc(1, sizeof *oracle);
	int rc = -ENOMEM;

	if (oracle) {
		oracle->receivers = env->receivers;
		oracle->receiver_count = env->receiver_count;
		oracle->source_count = env->source_count;
		rc = oracle_totals(oracle, env->scenario);
	}
	if (rc)
		oracle_destroy(oracle);
	else
		*ret = oracle;
	return rc;
}

static struct sim_receiver *oracle_receiver(const struct oracle *oracle, uint32_t flow)
{
	return oracle->receivers[flow % oracle->receiver_count];
}

static uint64_t oracle_earliest(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	struct oracle *oracle = self;
	size_t source = flow / oracle->receiver_count;
	uint64_t at = receiver_earliest(oracle_receiver(oracle, flow), source, now_ns);
	uint64_t total_at = now_ns;

	if (oracle->totals[source].sources)
		total_at = receiver_earliest(&oracle->totals[source], 0, now_ns);
	return at > total_at ? at : total_at;
}

static void oracle_admit(void *self, uint32_t flow, enum tg_class traffic, uint64_t now_ns)
{
	struct oracle *oracle = self;
	struct sim_receiver *total = &oracle->totals[flow / oracle->receiver_count];
	struct receiver_message message = {.place = 1, .customer = SCENARIO_NOBODY};
	const char *text;

	if (total->sources)
		receiver_take(total, 0, &message, now_ns, &text);
}

static uint64_t oracle_connect(void *self, uint32_t flow, enum tg_class traffic, uint32_t open,
			       uint64_t now_ns)
{
	const struct oracle *oracle = self;
	struct sim_receiver *receiver = oracle_receiver(oracle, flow);
	uint32_t truth = receiver->accept.connections;
	uint32_t held = receiver->sources[flow / oracle->receiver_count].open;

	if (!truth || held < truth)
		return receiver_connect_earliest(receiver, flow / oracle->receiver_count, now_ns);
	/* Those of another name of the receiver end without a word to this one. */
	return held > open ? now_ns + LOOK_AGAIN : UINT64_MAX;
}

static uint32_t oracle_per_connection(void *self, uint32_t flow)
{
	uint32_t truth = oracle_receiver(self, flow)->accept.per_connection;

	return truth ? truth : 100;
}

/* The source with most room first. */
static double oracle_rank(void *self, uint32_t flow, uint64_t now_ns)
{
	struct oracle *oracle = self;

	return -oracle_receiver(oracle, flow)
			->sources[flow / oracle->receiver_count]
			.account->tokens;
}

const struct simulate_policy policy_oracle = {
	.name = "oracle",
	.sees_truth = true,
	.create = oracle_create,
	.destroy = oracle_destroy,
	.earliest = oracle_earliest,
	.admit = oracle_admit,
	.reply = ignore_reply,
	.connect = oracle_connect,
	.per_connection = oracle_per_connection,
	.rank = oracle_rank,
};
