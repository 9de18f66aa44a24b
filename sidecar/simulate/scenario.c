/* SPDX-License-Identifier: MIT
 *
 * A scenario's file, loaded by its rows, and what follows from one key for another: names become
 * indexes, changes are put in order, and what is not written gets what holds then.
 */
#include "sidecar/simulate/scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/scenario_keys.h"

/* A bucket that holds what it gains in half a minute. */
#define DEFAULT_BURST_S 30

struct reader {
	struct scenario *scenario;
	const struct yaml_marks *marks;
	const char *name;
	char *error;
	size_t error_size;
};

static int refuse_at(const struct reader *reader, struct yaml_mark mark, const char *reason)
{
	snprintf(reader->error, reader->error_size, "%s:%u:%u: %s", reader->name, mark.line,
		 mark.column, reason);
	return -EINVAL;
}

/* What is wrong with a key of the entry of that index in a list (NULL: with the key at the top). */
__attribute__((format(printf, 5, 6))) static int refuse(const struct reader *reader,
							const char *list, uint32_t index,
							const char *key, const char *format, ...)
{
	struct yaml_mark mark = {0, 0};
	char path[96], reason[192];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof reason, format, args);
	va_end(args);
	if (list)
		snprintf(path, sizeof path, "%s[%u].%s", list, index, key);
	else
		snprintf(path, sizeof path, "%s", key);
	while (yaml_marks_find(reader->marks, path, &mark) != 0 && strrchr(path, '.'))
		*strrchr(path, '.') = '\0';
	return refuse_at(reader, mark, reason);
}

/* ---- receivers ------------------------------------------------------------------------------- */

static void settle_burst(struct scenario_accept *accept)
{
	if (accept->burst == 0)
		accept->burst = fmax(1, fmin(DEFAULT_BURST_S * accept->rate, UINT32_MAX));
	if (accept->connection_burst == 0)
		accept->connection_burst =
			fmax(1, fmin(DEFAULT_BURST_S * accept->connection_rate, UINT32_MAX));
}

static int by_time(const void *a, const void *b)
{
	const struct scenario_change *x = a, *y = b;

	return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

/* A change names what changes; what it does not name stays as the change before it left it. So they
 * are put in the order of time first. */
static void settle_changes(struct scenario_receiver *receiver)
{
	const struct scenario_accept *before = &receiver->accept;

	if (receiver->change_count)
		qsort(receiver->changes, receiver->change_count, sizeof *receiver->changes,
		      by_time);
	for (uint32_t i = 0; i < receiver->change_count; i++) {
		struct scenario_accept *accept = &receiver->changes[i].accept;
		uint32_t *const limits[] = {&accept->connections, &accept->per_connection,
					    &accept->minute, &accept->hour, &accept->day};
		const uint32_t stay[] = {before->connections, before->per_connection,
					 before->minute, before->hour, before->day};

		if (accept->rate == 0)
			accept->rate = before->rate;
		if (accept->burst == 0)
			accept->burst = before->burst;
		if (accept->connection_rate == 0 || !isfinite(accept->connection_rate)) {
			accept->connection_rate = before->connection_rate;
			if (accept->connection_burst == 0)
				accept->connection_burst = before->connection_burst;
		}
		settle_burst(accept);
		for (size_t l = 0; l < YAML_COUNT(limits); l++)
			if (*limits[l] == SCENARIO_UNSET_LIMIT)
				*limits[l] = stay[l];
		before = accept;
	}
}

/* The source of that address, or SCENARIO_NOBODY. */
static uint32_t source_index(const struct scenario *scenario, const char *address)
{
	for (uint32_t i = 0; i < scenario->source_count; i++)
		if (strcmp(scenario->sources[i].address, address) == 0)
			return i;
	return SCENARIO_NOBODY;
}

bool scenario_silent(const char *reply)
{
	return strcmp(reply, SCENARIO_DROP) == 0 || strcmp(reply, SCENARIO_TIMEOUT) == 0;
}

/* The first entry of traffic of a customer, which stands for him; SCENARIO_NOBODY: none. */
static uint32_t scenario_customer(const struct scenario *scenario, const char *name)
{
	for (uint32_t i = 0; i < scenario->traffic_count; i++)
		if (scenario->traffic[i].customer &&
		    strcmp(scenario->traffic[i].customer, name) == 0)
			return i;
	return SCENARIO_NOBODY;
}

static int settle_blocks(const struct reader *reader, uint32_t index)
{
	struct scenario_receiver *receiver = &reader->scenario->receivers[index];

	for (uint32_t i = 0; i < receiver->block_count; i++) {
		struct scenario_block *block = &receiver->blocks[i];

		block->source = SCENARIO_NOBODY;
		if (!block->address)
			continue;
		block->source = source_index(reader->scenario, block->address);
		if (block->source == SCENARIO_NOBODY)
			return refuse(reader, "receivers", index, "blocks", "%s: no source",
				      block->address);
	}
	return 0;
}

static int settle_noises(const struct reader *reader, uint32_t index)
{
	struct scenario_receiver *receiver = &reader->scenario->receivers[index];

	for (uint32_t i = 0; i < receiver->noise_count; i++) {
		struct scenario_noise *noise = &receiver->noises[i];

		noise->customer = SCENARIO_NOBODY;
		if (!noise->customer_name)
			continue;
		noise->customer = scenario_customer(reader->scenario, noise->customer_name);
		if (noise->customer == SCENARIO_NOBODY)
			return refuse(reader, "receivers", index, "noise",
				      "%s: no traffic is of this customer", noise->customer_name);
	}
	return 0;
}

static int settle_further(const struct reader *reader, uint32_t index)
{
	const struct scenario_receiver *receiver = &reader->scenario->receivers[index];
	int rc = settle_blocks(reader, index);

	if (!rc && receiver->soft.full > 0 && !(receiver->soft.from > 0))
		rc = refuse(reader, "receivers", index, "soft", "from must be more than 0");
	if (!rc && receiver->soft.full > 0 && receiver->soft.full <= receiver->soft.from)
		rc = refuse(reader, "receivers", index, "soft", "full must be more than from");
	return rc ? rc : settle_noises(reader, index);
}

static void settle_receiver(struct scenario_receiver *receiver)
{
	for (int i = 0; i < SCENARIO_LIMITS; i++)
		if (!receiver->over[i])
			receiver->over[i] = receiver->over[SCENARIO_RATE];
	if (!receiver->penalty.reply)
		receiver->penalty.reply = receiver->over[SCENARIO_RATE];
	receiver->history.floor *= 3600; /* read as a rate */
	settle_burst(&receiver->accept);
	settle_changes(receiver);
}

/* Beside same_as nothing is said but the name. */
static int settle_alone(const struct reader *reader, uint32_t index)
{
	for (unsigned i = 0; i < scenario_receiver_keys.count; i++) {
		const char *key = scenario_receiver_keys.key[i].name;
		struct yaml_mark mark;
		char path[96];

		snprintf(path, sizeof path, "receivers[%u].%s", index, key);
		if (strcmp(key, "destination") != 0 && strcmp(key, "same_as") != 0 &&
		    yaml_marks_find(reader->marks, path, &mark) == 0)
			return refuse(reader, "receivers", index, key, "%s: stands beside same_as",
				      key);
	}
	return 0;
}

/* Another name of a receiver is that receiver but for its name. */
static int settle_same(const struct reader *reader, uint32_t index)
{
	struct scenario *scenario = reader->scenario;
	struct scenario_receiver *receiver = &scenario->receivers[index];
	const struct scenario_receiver *host = NULL;
	struct scenario_receiver same;

	for (uint32_t i = 0; i < scenario->receiver_count && !host; i++)
		if (strcmp(scenario->receivers[i].destination, receiver->same_as) == 0)
			host = &scenario->receivers[i];
	if (!host)
		return refuse(reader, "receivers", index, "same_as", "%s: no receiver of this name",
			      receiver->same_as);
	if (host->same_as)
		return refuse(reader, "receivers", index, "same_as", "%s: is another name itself",
			      receiver->same_as);
	same = *host;
	same.destination = receiver->destination;
	same.same_as = receiver->same_as;
	*receiver = same;
	return settle_alone(reader, index);
}

static int settle_hosts(const struct reader *reader)
{
	struct scenario *scenario = reader->scenario;
	int rc = 0;

	for (uint32_t i = 0; i < scenario->receiver_count && rc == 0; i++) {
		struct scenario_receiver *receiver = &scenario->receivers[i];

		receiver->host = i;
		if (receiver->same_as)
			continue;
		if (receiver->accept.rate == 0)
			rc = refuse(reader, "receivers", i, "accept.rate",
				    "a key is missing: accept.rate");
		settle_receiver(receiver);
		if (!rc)
			rc = settle_further(reader, i);
	}
	for (uint32_t i = 0; i < scenario->receiver_count && rc == 0; i++)
		if (scenario->receivers[i].same_as)
			rc = settle_same(reader, i);
	return rc;
}

static int settle_receivers(const struct reader *reader)
{
	struct scenario *scenario = reader->scenario;

	if (scenario->receiver_count > SCENARIO_RECEIVERS_MAX)
		return refuse(reader, NULL, 0, "receivers", "more than %d receivers",
			      SCENARIO_RECEIVERS_MAX);
	for (uint32_t i = 0; i < scenario->receiver_count; i++) {
		const char *destination = scenario->receivers[i].destination;

		for (uint32_t j = 0; j < i; j++)
			if (strcmp(destination, scenario->receivers[j].destination) == 0)
				return refuse(reader, "receivers", i, "destination",
					      "%s: named before", destination);
	}
	return settle_hosts(reader);
}

/* ---- sources and traffic --------------------------------------------------------------------- */

/* The index of the pool among those of the first sources, or -1. */
static int pool_index(const struct scenario *scenario, uint32_t sources, const char *name)
{
	for (uint32_t i = 0; i < sources; i++)
		if (strcmp(scenario->sources[i].pool_name, name) == 0)
			return (int)scenario->sources[i].pool;
	return -1;
}

/* The network of an address, as many bytes as a receiver counts together: their number, or 0: no
 * address. */
static size_t network_of(const char *text, unsigned char address[16])
{
	if (inet_pton(AF_INET, text, address) == 1)
		return 3;
	return inet_pton(AF_INET6, text, address) == 1 ? 8 : 0;
}

static bool same_network(const char *a, const char *b)
{
	unsigned char x[16], y[16];
	size_t length = network_of(a, x);

	return network_of(b, y) == length && memcmp(x, y, length) == 0;
}

static void settle_company(const struct scenario *scenario, uint32_t index)
{
	struct scenario_source *source = &scenario->sources[index];

	while (scenario->sources[source->pool_first].pool != source->pool)
		source->pool_first++;
	while (!same_network(scenario->sources[source->network_first].address, source->address))
		source->network_first++;
}

bool scenario_totalled(const struct scenario_source *source)
{
	return isfinite(source->total.rate) || source->total.hour || source->total.day;
}

uint32_t scenario_account(const struct scenario *scenario, uint32_t receiver, uint32_t source)
{
	switch ((enum scenario_per)scenario->receivers[receiver].per) {
	case SCENARIO_NETWORK: return scenario->sources[source].network_first;
	case SCENARIO_POOL: return scenario->sources[source].pool_first;
	case SCENARIO_ALL: return 0;
	default: return source;
	}
}

static int settle_source(const struct reader *reader, uint32_t index)
{
	struct scenario *scenario = reader->scenario;
	struct scenario_source *source = &scenario->sources[index];
	int pool = pool_index(scenario, index, source->pool_name);
	unsigned char address[16];

	if (!network_of(source->address, address))
		return refuse(reader, "sources", index, "address", "%s: not an address",
			      source->address);
	for (uint32_t i = 0; i < index; i++)
		if (strcmp(scenario->sources[i].address, source->address) == 0)
			return refuse(reader, "sources", index, "address", "%s: named before",
				      source->address);
	source->pool = pool < 0 ? scenario->pool_count++ : (uint32_t)pool;
	settle_company(scenario, index);
	settle_burst(&source->total);
	return 0;
}

static int settle_sources(const struct reader *reader)
{
	static const struct scenario_source one = {
		.address = "192.0.2.1", .pool_name = "default", .total.rate = INFINITY};
	struct scenario *scenario = reader->scenario;

	if (scenario->source_count > SCENARIO_SOURCES_MAX)
		return refuse(reader, NULL, 0, "sources", "more than %d sources",
			      SCENARIO_SOURCES_MAX);
	if (scenario->source_count == 0) {
		scenario->sources = yaml_allocate(NULL, scenario, sizeof one);
		if (!scenario->sources)
			return -ENOMEM;
		scenario->sources[scenario->source_count++] = one;
	}
	for (uint32_t i = 0; i < scenario->source_count; i++)
		if (settle_source(reader, i) != 0)
			return -EINVAL;
	return 0;
}

static int settle_traffic(const struct reader *reader, uint32_t index)
{
	const struct scenario *scenario = reader->scenario;
	struct scenario_traffic *traffic = &scenario->traffic[index];
	int pool = 0;

	if (traffic->pool_name)
		pool = pool_index(scenario, scenario->source_count, traffic->pool_name);
	if (pool < 0)
		return refuse(reader, "traffic", index, "pool", "%s: no source is in this pool",
			      traffic->pool_name);
	traffic->pool = (uint32_t)pool;
	traffic->customer_index = SCENARIO_NOBODY;
	if (traffic->customer)
		traffic->customer_index = scenario_customer(scenario, traffic->customer);
	while (traffic->destination && traffic->receiver < scenario->receiver_count &&
	       strcmp(scenario->receivers[traffic->receiver].destination, traffic->destination) !=
		       0)
		traffic->receiver++;
	if (traffic->receiver == scenario->receiver_count)
		return refuse(reader, "traffic", index, "destination",
			      "%s: no receiver of this name", traffic->destination);
	if (traffic->over_ns == SCENARIO_UNSET_NS)
		traffic->over_ns = traffic->start_ns < scenario->duration_ns
					   ? scenario->duration_ns - traffic->start_ns
					   : 0;
	return 0;
}

/* Without any traffic in the file: a newsletter a little larger than each receiver takes of one
 * source, and a twentieth of that in transactional mail. */
static int default_traffic(struct scenario *scenario)
{
	double seconds = (double)scenario->duration_ns / UNITS_SECOND_NS;

	scenario->traffic = yaml_allocate(NULL, scenario,
					  2 * scenario->receiver_count * sizeof *scenario->traffic);
	if (!scenario->traffic)
		return -ENOMEM;
	for (uint32_t i = 0; i < scenario->receiver_count; i++) {
		double max = fmin(scenario->receivers[i].accept.rate * seconds, 1e5);

		scenario->traffic[2 * i] =
			(struct scenario_traffic){.customer_index = SCENARIO_NOBODY,
						  .receiver = i,
						  .class = TG_BULK,
						  .arrival = SCENARIO_BURST,
						  .messages = (uint32_t)(1.25 * max),
						  .over_ns = scenario->duration_ns / 2};
		scenario->traffic[2 * i + 1] =
			(struct scenario_traffic){.customer_index = SCENARIO_NOBODY,
						  .receiver = i,
						  .class = TG_TRANSACTIONAL,
						  .arrival = SCENARIO_POISSON,
						  .messages = (uint32_t)(0.05 * max),
						  .over_ns = scenario->duration_ns};
	}
	scenario->traffic_count = 2 * scenario->receiver_count;
	return 0;
}

static int settle_all_traffic(const struct reader *reader)
{
	struct scenario *scenario = reader->scenario;
	int rc = 0;

	if (scenario->traffic_count > SCENARIO_TRAFFIC_MAX)
		return refuse(reader, NULL, 0, "traffic", "more than %d entries",
			      SCENARIO_TRAFFIC_MAX);
	for (uint32_t i = 0; i < scenario->traffic_count && rc == 0; i++)
		rc = settle_traffic(reader, i);
	if (scenario->traffic_count == 0)
		rc = default_traffic(scenario);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < scenario->traffic_count; i++)
		scenario->message_count += scenario->traffic[i].messages;
	if (scenario->message_count > SCENARIO_MESSAGES_MAX)
		return refuse(reader, NULL, 0, "traffic", "more than %u messages in all",
			      SCENARIO_MESSAGES_MAX);
	return 0;
}

static int restart_by_time(const void *a, const void *b)
{
	const struct scenario_restart *x = a, *y = b;

	return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

static int settle_restarts(const struct reader *reader)
{
	const struct scenario *scenario = reader->scenario;
	struct scenario_restart *restarts = scenario->restarts;

	if (scenario->restart_count)
		qsort(restarts, scenario->restart_count, sizeof *restarts, restart_by_time);
	for (uint32_t i = 1; i < scenario->restart_count; i++)
		if (restarts[i].at_ns <= restarts[i - 1].at_ns + restarts[i - 1].for_ns)
			return refuse(reader, NULL, 0, "restart",
				      "one begins before the one before it is over");
	return 0;
}

/* ---- before the run -------------------------------------------------------------------------- */

static bool receiver_named(const struct scenario *scenario, const char *name)
{
	for (uint32_t i = 0; i < scenario->receiver_count; i++)
		if (strcmp(scenario->receivers[i].destination, name) == 0)
			return true;
	return false;
}

static int settle_before(const struct reader *reader)
{
	const struct scenario *scenario = reader->scenario;

	for (uint32_t i = 0; i < scenario->before_count; i++) {
		const struct scenario_before *before = &scenario->befores[i];

		if (before->pool_name &&
		    pool_index(scenario, scenario->source_count, before->pool_name) < 0)
			return refuse(reader, "before", i, "pool", "%s: no source is in this pool",
				      before->pool_name);
		if (before->destination && !receiver_named(scenario, before->destination))
			return refuse(reader, "before", i, "destination",
				      "%s: no receiver of this name", before->destination);
	}
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int settle(const struct reader *reader)
{
	char duration[64];
	int rc = 0;

	if (reader->scenario->duration_ns < UNITS_MINUTE_NS)
		rc = refuse(reader, NULL, 0, "duration", "%s: shorter than a minute",
			    units_duration_text(reader->scenario->duration_ns, duration,
						sizeof duration));
	if (!rc)
		rc = settle_receivers(reader);
	if (!rc)
		rc = settle_sources(reader);
	if (!rc)
		rc = settle_all_traffic(reader);
	if (!rc)
		rc = settle_restarts(reader);
	if (!rc)
		rc = settle_before(reader);
	return rc;
}

int scenario_parse(const char *text, size_t length, const char *name, struct scenario **ret,
		   char *error, size_t size)
{
	const struct yaml_source source = {.text = text, .len = length, .name = name};
	struct reader reader = {.name = name, .error = error, .error_size = size};
	struct yaml_marks *marks;
	struct yaml_error wrong;
	void *loaded;
	int rc = yaml_load(&source, &scenario_keys, &loaded, &marks, &wrong);

	if (rc) {
		refuse_at(&reader, wrong.mark, wrong.reason);
		return rc;
	}
	reader.scenario = loaded;
	reader.marks = marks;
	rc = settle(&reader);
	yaml_marks_free(marks);
	if (rc == -ENOMEM)
		snprintf(error, size, "%s: out of memory", name);
	if (rc)
		scenario_free(loaded);
	else
		*ret = loaded;
	return rc;
}

int scenario_read(const char *path, struct scenario **ret, char *error, size_t size)
{
	char *text;
	size_t length;
	int rc = yaml_read(path, &text, &length);

	if (rc) {
		snprintf(error, size, "%s: %s", path, strerror(-rc));
		return rc;
	}
	rc = scenario_parse(text, length, path, ret, error, size);
	free(text);
	return rc;
}

void scenario_keys_print(FILE *out)
{
	yaml_keys_print(&scenario_keys, "", out);
}

void scenario_free(struct scenario *scenario)
{
	yaml_unload(NULL, scenario);
}
