/* SPDX-License-Identifier: MIT
 *
 * Every key of a scenario's file: its type, its bounds, its default, and what it is for. A test
 * holds tollgate-simulate(5) to these rows. What one key means for another is scenario.c's
 * business.
 */
#include "sidecar/simulate/scenario_keys.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/scenario_types.h"

#define PART_MAX 1000

/* ---- types ----------------------------------------------------------------------------------- */

static int refuse(struct yaml_scalar *scalar, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "60/fortnight: " and why. */
static int refuse(struct yaml_scalar *scalar, const char *format, ...)
{
	const size_t room = sizeof scalar->reason;
	va_list args;
	int used = snprintf(scalar->reason, room, "%.100s: ", scalar->text);

	va_start(args, format);
	vsnprintf(scalar->reason + used, room - (size_t)used, format, args);
	va_end(args);
	return -EINVAL;
}

/* A default in parentheses says in words what holds. */
static bool is_unset(const struct yaml_scalar *scalar)
{
	return !scalar->mark.line && scalar->text[0] == '(';
}

static int read_duration(struct yaml_scalar *scalar, void *ret)
{
	uint64_t *ns = ret;
	const char *why;

	*ns = SCENARIO_UNSET_NS;
	if (is_unset(scalar))
		return 0;
	if (units_duration(scalar->text, ns, &why) != 0)
		return refuse(scalar, "%s", why);
	if (*ns > SCENARIO_DURATION_MAX)
		return refuse(scalar, "longer than 400 days");
	return 0;
}

static int read_count(struct yaml_scalar *scalar, void *ret)
{
	const struct yaml_key *key = scalar->key;
	uint64_t *count = ret;
	const char *why;

	if (units_count(scalar->text, count, &why) != 0)
		return refuse(scalar, "%s", why);
	if (*count < key->min || *count > key->max)
		return refuse(scalar, "must be %llu to %llu", (unsigned long long)key->min,
			      (unsigned long long)key->max);
	return 0;
}

static int read_limit(struct yaml_scalar *scalar, void *ret)
{
	uint32_t *limit = ret;
	uint64_t count;

	*limit = is_unset(scalar) ? SCENARIO_UNSET_LIMIT : 0;
	if (is_unset(scalar) || strcmp(scalar->text, "unlimited") == 0)
		return 0;
	if (read_count(scalar, &count) != 0)
		return -EINVAL;
	*limit = (uint32_t)count;
	return 0;
}

static int read_number(struct yaml_scalar *scalar, void *ret)
{
	const double min = (double)scalar->key->min, max = (double)scalar->key->max;
	double *number = ret;
	char *end;

	*number = strtod(scalar->text, &end);
	if (end == scalar->text || *end || !isfinite(*number))
		return refuse(scalar, "not a number");
	if (*number < min || *number > max)
		return refuse(scalar, "must be %g to %g", min, max);
	return 0;
}

/* In messages a second; infinite: unlimited. Other than in a configuration also "2.5/min". */
static int read_rate(struct yaml_scalar *scalar, void *ret)
{
	const char *slash = strchr(scalar->text, '/');
	struct units_rate rate;
	double factor = 1;
	char whole[64], *end;
	const char *why;

	snprintf(whole, sizeof whole, "%s", scalar->text);
	if (slash && memchr(scalar->text, '.', (size_t)(slash - scalar->text))) {
		factor = strtod(scalar->text, &end);
		if (end != slash || !(factor > 0) || !isfinite(factor))
			return refuse(scalar, "not a number before the slash");
		snprintf(whole, sizeof whole, "1%s", slash);
	}
	if (units_rate(whole, &rate, &why) != 0)
		return refuse(scalar, "%s", why);
	*(double *)ret = rate.count == 0 ? INFINITY
					 : factor * (double)rate.count * UNITS_SECOND_NS /
						   (double)rate.period_ns;
	return 0;
}

static int read_word(struct yaml_scalar *scalar, void *ret)
{
	char all[128] = "";
	size_t used = 0;

	for (const struct yaml_word_value *word = scalar->key->words; word->text; word++) {
		int value = (int)word->value;

		if (strcmp(scalar->text, word->text) == 0) {
			memcpy(ret, &value, sizeof value);
			return 0;
		}
		used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "",
					 word->text);
	}
	return refuse(scalar, "must be one of %s", all);
}

static int read_reply(struct yaml_scalar *scalar, void *ret)
{
	const char *text = scalar->text;

	if (!scenario_silent(text) &&
	    ((text[0] != '4' && text[0] != '5') || strspn(text, "0123456789") != 3 ||
	     (text[3] && text[3] != ' ' && text[3] != '-')))
		return refuse(scalar, "must begin with a reply code of 4xx or 5xx");
	memcpy(ret, &text, sizeof text);
	return 0;
}

/* "20%", of what the limits let through. */
static int read_part(struct yaml_scalar *scalar, double *ret)
{
	char *end;

	*ret = strtod(scalar->text, &end) / 100;
	if (end == scalar->text || strcmp(end, "%") != 0 || !(*ret > 0 && *ret <= PART_MAX))
		return refuse(scalar, "must be more than 0%% and at most %d%%", 100 * PART_MAX);
	return 0;
}

/* "20 in 10m" or "20% in 1d", into a penalty. */
static int read_when(struct yaml_scalar *scalar, void *ret)
{
	const char *in = strstr(scalar->text, " in ");
	struct scenario_penalty *penalty = ret;
	struct yaml_scalar part = *scalar;
	uint64_t count = 0;
	char number[32];
	int rc;

	if (!in || (size_t)(in - scalar->text) >= sizeof number)
		return refuse(scalar, "must be written as \"20 in 10m\"");
	snprintf(number, sizeof number, "%.*s", (int)(in - scalar->text), scalar->text);
	part.text = number;
	rc = strchr(number, '%') ? read_part(&part, &penalty->part) : read_count(&part, &count);
	part.text = in + 4;
	if (rc == 0)
		rc = read_duration(&part, &penalty->window_ns);
	if (rc == 0 && penalty->part > 0 && penalty->window_ns < UNITS_MINUTE_NS)
		rc = refuse(&part, "shorter than a minute");
	memcpy(scalar->reason, part.reason, sizeof part.reason);
	penalty->count = (uint32_t)count;
	return rc;
}

static const struct yaml_type duration = {"duration", sizeof(uint64_t), read_duration, false};
static const struct yaml_type count = {"count", sizeof(uint64_t), read_count, false};
static const struct yaml_type limit = {"count | unlimited", sizeof(uint32_t), read_limit, false};
static const struct yaml_type number = {"number", sizeof(double), read_number, false};
static const struct yaml_type rate = {"rate", sizeof(double), read_rate, false};
static const struct yaml_type word = {"word", sizeof(int), read_word, false};
static const struct yaml_type reply = {"reply", sizeof(char *), read_reply, false};
static const struct yaml_type when = {"count or part in duration", sizeof(struct scenario_penalty),
				      read_when, false};

/* ---- rows ------------------------------------------------------------------------------------ */

#define BOUNDS(min_, max_)	   .min = (min_), .max = (max_)
#define DEFAULT(text)		   .default_text = (text)
#define COUNTED(structure, member) .count_offset = offsetof(structure, member)
#define TABLE(name, structure)                                                      \
	static const struct yaml_keys name = {name##_rows, YAML_COUNT(name##_rows), \
					      sizeof(structure), NULL}

#define LIMIT_MAX (SCENARIO_UNSET_LIMIT - 1)

/* What a receiver takes, and what of it a change says; limit_default is that of the limits. */
#define ACCEPT(structure, prefix, limit_default)                                                  \
	YAML_KEY(prefix "rate", rate, structure, accept.rate, "messages, paced evenly"),          \
		YAML_KEY(prefix "burst", number, structure, accept.burst, "messages saved up",    \
			 BOUNDS(1, UINT32_MAX)),                                                  \
		YAML_KEY(prefix "connections", limit, structure, accept.connections, "at once",   \
			 BOUNDS(1, LIMIT_MAX), DEFAULT(limit_default)),                           \
		YAML_KEY(prefix "per_connection", limit, structure, accept.per_connection,        \
			 "messages in a connection", BOUNDS(1, LIMIT_MAX),                        \
			 DEFAULT(limit_default)),                                                 \
		YAML_KEY(prefix "connection_rate", rate, structure, accept.connection_rate,       \
			 "new connections, paced evenly", DEFAULT(limit_default)),                \
		YAML_KEY(prefix "connection_burst", number, structure, accept.connection_burst,   \
			 "connections saved up", BOUNDS(1, UINT32_MAX)),                          \
		YAML_KEY(prefix "minute", limit, structure, accept.minute,                        \
			 "messages in any minute", BOUNDS(1, LIMIT_MAX), DEFAULT(limit_default)), \
		YAML_KEY(prefix "hour", limit, structure, accept.hour, "messages in an hour",     \
			 BOUNDS(1, LIMIT_MAX), DEFAULT(limit_default)),                           \
		YAML_KEY(prefix "day", limit, structure, accept.day, "messages in a day",         \
			 BOUNDS(1, LIMIT_MAX), DEFAULT(limit_default))

static const struct yaml_key source_rows[] = {
	YAML_KEY("address", yaml_text, struct scenario_source, address, "that sends",
		 DEFAULT("192.0.2.1")),
	YAML_KEY("pool", yaml_text, struct scenario_source, pool_name, "that it is in",
		 DEFAULT("default")),
	YAML_KEY("total.rate", rate, struct scenario_source, total.rate,
		 "messages to all receivers, by the sender's own will", DEFAULT("unlimited")),
	YAML_KEY("total.burst", number, struct scenario_source, total.burst, "of these saved up",
		 BOUNDS(1, UINT32_MAX)),
	YAML_KEY("total.hour", limit, struct scenario_source, total.hour, "of these in an hour",
		 BOUNDS(1, LIMIT_MAX), DEFAULT("unlimited")),
	YAML_KEY("total.day", limit, struct scenario_source, total.day, "of these in a day",
		 BOUNDS(1, LIMIT_MAX), DEFAULT("unlimited")),
};
TABLE(source, struct scenario_source);

static const struct yaml_word_value class_words[] = {
	{"transactional", TG_TRANSACTIONAL}, {"engaged", TG_ENGAGED}, {"bulk", TG_BULK}, {NULL, 0}};
static const struct yaml_word_value arrival_words[] = {{"poisson", SCENARIO_POISSON},
						       {"uniform", SCENARIO_UNIFORM},
						       {"burst", SCENARIO_BURST},
						       {NULL, 0}};

#define ROW(name, type, member, help, ...) \
	YAML_KEY(name, type, struct scenario_traffic, member, help, ##__VA_ARGS__)

static const struct yaml_key traffic_rows[] = {
	ROW("pool", yaml_text, pool_name, "whose sources send"),
	ROW("destination", yaml_text, destination, "of the messages"),
	ROW("customer", yaml_text, customer, "whose messages they are"),
	ROW("class", word, class, "of the messages", .words = class_words, DEFAULT("bulk")),
	ROW("messages", count, messages, "how many", BOUNDS(0, SCENARIO_MESSAGES_MAX),
	    DEFAULT("1000")),
	ROW("start", duration, start_ns, "when they begin to arrive", DEFAULT("0")),
	ROW("over", duration, over_ns, "how long they go on to", DEFAULT("(what is left)")),
	ROW("arrival", word, arrival, "how they arrive", .words = arrival_words,
	    DEFAULT("poisson")),
};
TABLE(traffic, struct scenario_traffic);
#undef ROW

#define ROW(name, type, member, help, ...) \
	YAML_KEY(name, type, struct scenario_penalty, member, help, ##__VA_ARGS__)

static const struct yaml_key penalty_rows[] = {
	ROW("when", when, count, "so many replies over a limit within a time",
	    BOUNDS(1, SCENARIO_PENALTY_MAX), DEFAULT("20 in 10m")),
	ROW("hold", duration, hold_ns, "how long the source is blocked", DEFAULT("2h")),
	ROW("repeat", number, repeat, "each further block is so many times longer", BOUNDS(1, 1000),
	    DEFAULT("1")),
	ROW("prolong", duration, prolong_ns, "a block lasts so long from each attempt at least",
	    DEFAULT("0")),
	ROW("reply", reply, reply, "what a blocked source hears"),
};
TABLE(penalty, struct scenario_penalty);
_Static_assert(offsetof(struct scenario_penalty, count) == 0, "read_when writes a penalty");
#undef ROW

static const struct yaml_key history_rows[] = {
	YAML_KEY("factor", number, struct scenario_history, factor,
		 "of the most that were accepted in an hour", BOUNDS(1, 1000000), DEFAULT("3")),
	YAML_KEY("floor", rate, struct scenario_history, floor, "that is always fine",
		 DEFAULT("200/hr")),
	YAML_KEY("over", reply, struct scenario_history, over, "to what is more",
		 DEFAULT("451 4.7.500 Server busy. Please try again later from [%s].")),
};
TABLE(history, struct scenario_history);

#define ROW(name, type, member, help, ...) \
	YAML_KEY(name, type, struct scenario_allowance, member, help, ##__VA_ARGS__)

static const struct yaml_key allowance_rows[] = {
	ROW("base", limit, base, "messages a day that are always fine", BOUNDS(1, LIMIT_MAX),
	    DEFAULT("200")),
	ROW("factor", number, factor, "of the most accepted on a day before", BOUNDS(1, 1000),
	    DEFAULT("2")),
	ROW("days", count, days, "that are looked back at", BOUNDS(1, SCENARIO_ALLOWANCE_DAYS - 1),
	    DEFAULT("7")),
	ROW("growth", number, growth, "more than so many times that most is punished",
	    BOUNDS(0, 1000), DEFAULT("0")),
	ROW("tolerance", number, tolerance, "as is more than so many times what is taken",
	    BOUNDS(0, 1000), DEFAULT("0")),
	ROW("hold", duration, hold_ns, "by a block that lasts so long", DEFAULT("24h")),
	ROW("reply", reply, reply, "what a blocked source hears",
	    DEFAULT("451 4.7.650 The mail server [%s] has been temporarily rate limited due to IP "
		    "reputation.")),
};
TABLE(allowance, struct scenario_allowance);
#undef ROW

static const struct yaml_key greylist_rows[] = {
	YAML_KEY("delay", duration, struct scenario_greylist, delay_ns, "since the first attempt",
		 DEFAULT("5m")),
	YAML_KEY("reply", reply, struct scenario_greylist, reply, "until then",
		 DEFAULT("450 4.7.1 Greylisted, try again later")),
};
TABLE(greylist, struct scenario_greylist);

static const struct yaml_word_value each_words[] = {{"attempt", 0}, {"message", 1}, {NULL, 0}};

static const struct yaml_key noise_rows[] = {
	YAML_KEY("share", number, struct scenario_noise, share,
		 "of the messages that every limit lets through", BOUNDS(0, 1), DEFAULT("0.005")),
	YAML_KEY("customer", yaml_text, struct scenario_noise, customer_name,
		 "whose messages alone meet it"),
	YAML_KEY("each", word, struct scenario_noise, sticky, "what chance decides anew for",
		 .words = each_words, DEFAULT("attempt")),
	YAML_KEY("reply", reply, struct scenario_noise, reply, "to these",
		 DEFAULT("451 4.7.0 Temporary server error. Please try again later.")),
};
TABLE(noise, struct scenario_noise);

static const struct yaml_key change_rows[] = {
	YAML_KEY("at", duration, struct scenario_change, at_ns, "when", DEFAULT("0")),
	ACCEPT(struct scenario_change, "", "(as before)"),
};
TABLE(change, struct scenario_change);

static const struct yaml_key outage_rows[] = {
	YAML_KEY("at", duration, struct scenario_outage, at_ns, "when", DEFAULT("0")),
	YAML_KEY("for", duration, struct scenario_outage, for_ns, "how long", DEFAULT("20m")),
	YAML_KEY("reply", reply, struct scenario_outage, reply, "to everything",
		 DEFAULT("421 4.3.2 Service not available")),
};
TABLE(outage, struct scenario_outage);

#define ROW(name, type, member, help, ...) \
	YAML_KEY(name, type, struct scenario_block, member, help, ##__VA_ARGS__)

static const struct yaml_key block_rows[] = {
	ROW("at", duration, at_ns, "when it begins", DEFAULT("0")),
	ROW("for", duration, for_ns, "how long it lasts", DEFAULT("2h")),
	ROW("prolong", duration, prolong_ns, "it lasts so long from each attempt at least",
	    DEFAULT("0")),
	ROW("address", yaml_text, address, "the source that is blocked"),
	ROW("reply", reply, reply, "what it hears",
	    DEFAULT("421 4.7.0 [%s] is temporarily blocked. Try again later.")),
};
TABLE(block, struct scenario_block);
#undef ROW

static const struct yaml_word_value grows_words[] = {{"day", SCENARIO_GROWS_DAY},
						     {"caps", SCENARIO_GROWS_CAPS},
						     {"all", SCENARIO_GROWS_ALL},
						     {NULL, 0}};

static const struct yaml_key growth_rows[] = {
	YAML_KEY("factor", number, struct scenario_growth, factor, "by a day that was used",
		 BOUNDS(1, 1000), DEFAULT("2")),
	YAML_KEY("used", number, struct scenario_growth, used, "the part of a day that must be",
		 BOUNDS(0, 1), DEFAULT("0.5")),
	YAML_KEY("of", word, struct scenario_growth, of, "what grows", .words = grows_words,
		 DEFAULT("day")),
	YAML_KEY("max", limit, struct scenario_growth, max, "messages a day that it ends at",
		 BOUNDS(1, LIMIT_MAX), DEFAULT("unlimited")),
};
TABLE(growth, struct scenario_growth);

static const struct yaml_key soft_rows[] = {
	YAML_KEY("from", number, struct scenario_soft, from,
		 "the load, as a part of the rate, at which refusals begin", BOUNDS(0, 1000),
		 DEFAULT("1")),
	YAML_KEY("full", number, struct scenario_soft, full, "and at which all is refused",
		 BOUNDS(0, 1000), DEFAULT("2")),
};
TABLE(soft, struct scenario_soft);

static const struct yaml_word_value per_words[] = {{"address", SCENARIO_ADDRESS},
						   {"network", SCENARIO_NETWORK},
						   {"pool", SCENARIO_POOL},
						   {"all", SCENARIO_ALL},
						   {NULL, 0}};
static const struct yaml_word_value window_words[] = {{"fixed", 0}, {"sliding", 1}, {NULL, 0}};

#define ROW(name, type, member, help, ...) \
	YAML_KEY(name, type, struct scenario_receiver, member, help, ##__VA_ARGS__)
#define MAP(name, shape, keys, member, help, ...) \
	YAML_KEYS(name, shape, keys, struct scenario_receiver, member, help, ##__VA_ARGS__)
#define OVER(name, limit, help, ...) ROW(name, reply, over[limit], help, ##__VA_ARGS__)

static const struct yaml_key receiver_rows[] = {
	ROW("destination", yaml_text, destination, "its name", .needed = true),
	ROW("same_as", yaml_text, same_as, "a receiver that this is another name of"),
	ACCEPT(struct scenario_receiver, "accept.", "unlimited"),
	ROW("per", word, per, "whose mail is counted together", .words = per_words,
	    DEFAULT("address")),
	ROW("windows", word, sliding, "whether hour and day slide", .words = window_words,
	    DEFAULT("fixed")),
	ROW("windows.kind", word, sliding, "the same", .words = window_words),
	ROW("windows.phase", duration, phase_ns, "when fixed ones begin, after the clock's",
	    DEFAULT("0")),
	OVER("over", SCENARIO_RATE, "the reply to what exceeds a limit",
	     DEFAULT("450 4.7.1 Rate limit exceeded, try again later")),
	OVER("over.rate", SCENARIO_RATE, "the same, and of limits without a text of their own"),
	OVER("over.connections", SCENARIO_CONNECTIONS, "to too many connections"),
	OVER("over.per_connection", SCENARIO_PER_CONNECTION, "to too many messages in one"),
	OVER("over.connection_rate", SCENARIO_CONNECTION_RATE, "to connections too often"),
	OVER("over.minute", SCENARIO_MINUTE, "to too many in a minute"),
	OVER("over.hour", SCENARIO_HOUR, "to too many in an hour"),
	OVER("over.day", SCENARIO_DAY, "to too many in a day"),
	MAP("penalty", YAML_PART, penalty, penalty, "a block after many replies over a limit"),
	MAP("history", YAML_PART, history, history, "a limit by what was accepted before"),
	MAP("allowance", YAML_PART, allowance, allowance, "a day's limit by the days before"),
	MAP("greylist", YAML_PART, greylist, greylist, "a delay at the first attempt"),
	MAP("noise", YAML_SOME, noise, noises, "replies whatever the rate",
	    COUNTED(struct scenario_receiver, noise_count)),
	MAP("changes", YAML_LIST, change, changes, "other values from a time on",
	    COUNTED(struct scenario_receiver, change_count)),
	MAP("outage", YAML_LIST, outage, outages, "times without service",
	    COUNTED(struct scenario_receiver, outage_count)),
	MAP("blocks", YAML_LIST, block, blocks, "blocks that begin by themselves",
	    COUNTED(struct scenario_receiver, block_count)),
	MAP("soft", YAML_PART, soft, soft, "a rate that is no hard limit"),
	MAP("growth", YAML_PART, growth, growth, "limits that grow with what was accepted"),
	ROW("latency", duration, latency_ns, "how long a reply takes", DEFAULT("200ms")),
	ROW("latency.idle", duration, latency_ns, "the same, without load"),
	ROW("latency.full", duration, latency_full_ns, "at a load of the rate, in proportion",
	    DEFAULT("0")),
	ROW("latency.refused", duration, latency_refused_ns, "of a refusal", DEFAULT("0")),
	ROW("timeout", duration, timeout_ns, "how long a sender waits for a reply", DEFAULT("5m")),
};
const struct yaml_keys scenario_receiver_keys = {receiver_rows, YAML_COUNT(receiver_rows),
						 sizeof(struct scenario_receiver), NULL};

#define LIST(name, keys, member, count, help, ...)                      \
	YAML_KEYS(name, YAML_LIST, keys, struct scenario, member, help, \
		  COUNTED(struct scenario, count), ##__VA_ARGS__)

static const struct yaml_word_value machine_words[] = {{"stays", 0}, {"reboots", 1}, {NULL, 0}};

static const struct yaml_key restart_rows[] = {
	YAML_KEY("at", duration, struct scenario_restart, at_ns, "when it ends", DEFAULT("0")),
	YAML_KEY("for", duration, struct scenario_restart, for_ns, "until the next one is there",
		 DEFAULT("10s")),
	YAML_KEY("machine", word, struct scenario_restart, reboot, "whether it goes down too",
		 .words = machine_words, DEFAULT("stays")),
};
TABLE(restart, struct scenario_restart);

#define BEFORE(name, type, member, help, ...) \
	YAML_KEY(name, type, struct scenario_before, member, help, ##__VA_ARGS__)

static const struct yaml_key before_rows[] = {
	BEFORE("pool", yaml_text, pool_name, "whose sources had sent it"),
	BEFORE("destination", yaml_text, destination, "to whom"),
	BEFORE("minute", count, minute, "messages of the largest minute", BOUNDS(0, UINT32_MAX),
	       DEFAULT("0")),
	BEFORE("hour", count, hour, "messages of the largest hour", BOUNDS(0, UINT32_MAX),
	       DEFAULT("0")),
	BEFORE("day", count, day, "messages of the largest day", BOUNDS(0, UINT32_MAX),
	       DEFAULT("0")),
};
TABLE(before, struct scenario_before);
#undef BEFORE

static const struct yaml_word_value worker_words[] = {{"shared", 0}, {"sleep", 1}, {NULL, 0}};

static const struct yaml_key scenario_rows[] = {
	YAML_KEY("duration", duration, struct scenario, duration_ns, "of the run", DEFAULT("8h")),
	YAML_KEY("seed", count, struct scenario, seed, "the same seed gives the same run",
		 BOUNDS(0, UINT64_MAX), DEFAULT("1")),
	YAML_KEY("workers.model", word, struct scenario, workers.sleep, "of the MTA",
		 .words = worker_words, DEFAULT("shared")),
	YAML_KEY("workers.count", count, struct scenario, workers.count,
		 "for each source, where they sleep", BOUNDS(1, SCENARIO_WORKERS_MAX),
		 DEFAULT("20")),
	LIST("restart", restart, restarts, restart_count, "times without the sidecar"),
	LIST("sources", source, sources, source_count, "sending addresses"),
	LIST("before", before, befores, before_count, "what they had sent before"),
	LIST("traffic", traffic, traffic, traffic_count, "what arrives at the MTA"),
	LIST("receivers", scenario_receiver_keys, receivers, receiver_count, "and what they hide",
	     .needed = true, .entries_min = 1),
};

const struct yaml_keys scenario_keys = {scenario_rows, YAML_COUNT(scenario_rows),
					sizeof(struct scenario), NULL};
