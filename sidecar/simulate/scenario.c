/* SPDX-License-Identifier: MIT
 *
 * From the texts of a scenario's file to what they mean, with the defaults of what is not written.
 */
#include "sidecar/simulate/scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/scenario_value.h"
#include "sidecar/simulate/scenario_yaml.h"

#define DEFAULT_DURATION (8 * UNITS_HOUR_NS)
#define DEFAULT_LATENCY	 (200 * UNITS_SECOND_NS / 1000)
#define DEFAULT_MESSAGES 1000
/* A bucket that holds what it gains in half a minute. */
#define DEFAULT_BURST_S 30

static const char default_over[] = "450 4.7.1 Rate limit exceeded, try again later";
static const char default_history[] = "451 4.7.500 Server busy. Please try again later from [%s].";
static const char default_greylist[] = "450 4.7.1 Greylisted, try again later";
static const char default_noise[] = "451 4.7.0 Temporary server error. Please try again later.";
static const char default_outage[] = "421 4.3.2 Service not available";

static const char *const class_names[] = {
	[TG_TRANSACTIONAL] = "transactional", [TG_ENGAGED] = "engaged", [TG_BULK] = "bulk", NULL};
static const char *const arrival_names[] = {[SCENARIO_POISSON] = "poisson",
					    [SCENARIO_UNIFORM] = "uniform",
					    [SCENARIO_BURST] = "burst",
					    NULL};
static const char *const window_names[] = {"fixed", "sliding", NULL};

struct scenario_file {
	struct file *file;
	char pools[SCENARIO_SOURCES_MAX][64];
};

/* ---- receivers ------------------------------------------------------------------------------- */

static int read_accept(const struct simulate_reader *reader, const char *prefix,
		       const struct file_accept *from, struct scenario_accept *ret)
{
	static const char *const keys[] = {"connections", "per_connection", "hour", "day"};
	const char *const texts[] = {from->connections, from->per_connection, from->hour,
				     from->day};
	struct scenario_accept accept = *ret;
	uint32_t *const limits[] = {&accept.connections, &accept.per_connection, &accept.hour,
				    &accept.day};
	char key[48];

	snprintf(key, sizeof key, "%srate", prefix);
	if (simulate_take_rate(reader, key, from->rate, &accept.rate) != 0)
		return -EINVAL;
	snprintf(key, sizeof key, "%sburst", prefix);
	if (simulate_take_number(reader, key, from->burst, 1, UINT32_MAX, &accept.burst) != 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		snprintf(key, sizeof key, "%s%s", prefix, keys[i]);
		if (simulate_take_limit(reader, key, texts[i], limits[i]) != 0)
			return -EINVAL;
	}
	if (accept.burst == 0)
		accept.burst = fmax(1, fmin(DEFAULT_BURST_S * accept.rate, UINT32_MAX));
	*ret = accept;
	return 0;
}

static int read_over(const struct simulate_reader *reader, const struct file_receiver *from,
		     struct scenario_receiver *to)
{
	const struct file_over none = {0}, *over = from->over ? from->over : &none;
	const char *const texts[SCENARIO_LIMITS] = {over->rate, over->connections,
						    over->per_connection, over->hour, over->day};
	static const char *const keys[SCENARIO_LIMITS] = {
		"over.rate", "over.connections", "over.per_connection", "over.hour", "over.day"};
	const char *all = default_over;

	if (simulate_take_reply(reader, "over", from->over_text, &all) != 0 ||
	    simulate_take_reply(reader, "over.rate", over->rate, &all) != 0)
		return -EINVAL;
	for (int i = 0; i < SCENARIO_LIMITS; i++) {
		to->over[i] = all;
		if (simulate_take_reply(reader, keys[i], texts[i], &to->over[i]) != 0)
			return -EINVAL;
	}
	return 0;
}

static int read_windows(const struct simulate_reader *reader, const struct file_receiver *from,
			struct scenario_receiver *to)
{
	int kind = 0;

	if (simulate_take_word(reader, "windows", from->windows_kind, window_names, &kind) != 0)
		return -EINVAL;
	if (from->windows && (simulate_take_word(reader, "windows.kind", from->windows->kind,
						 window_names, &kind) != 0 ||
			      simulate_take_duration(reader, "windows.phase", from->windows->phase,
						     &to->phase_ns) != 0))
		return -EINVAL;
	to->sliding = kind == 1;
	return 0;
}

/* "20 in 10m" */
static int take_when(const struct simulate_reader *reader, const char *text,
		     struct scenario_receiver *to)
{
	const char *in = strstr(text, " in ");
	uint64_t count = 0;
	char number[32];

	if (!in || (size_t)(in - text) >= sizeof number)
		return simulate_refuse(reader, "penalty.when",
				       "%.40s: must be written as \"20 in 10m\"", text);
	snprintf(number, sizeof number, "%.*s", (int)(in - text), text);
	if (simulate_take_count(reader, "penalty.when", number, 1, SCENARIO_PENALTY_MAX, &count) !=
		    0 ||
	    simulate_take_duration(reader, "penalty.when", in + 4, &to->penalty.window_ns) != 0)
		return -EINVAL;
	to->penalty.count = (uint32_t)count;
	return 0;
}

static int read_penalty(const struct simulate_reader *reader, const struct file_penalty *from,
			struct scenario_receiver *to)
{
	if (!from)
		return 0;
	to->penalty.hold_ns = 2 * UNITS_HOUR_NS;
	to->penalty.repeat = 1;
	to->penalty.reply = to->over[SCENARIO_RATE];
	if (take_when(reader, from->when ? from->when : "20 in 10m", to) != 0 ||
	    simulate_take_duration(reader, "penalty.hold", from->hold, &to->penalty.hold_ns) != 0 ||
	    simulate_take_number(reader, "penalty.repeat", from->repeat, 1, 1000,
				 &to->penalty.repeat) != 0 ||
	    simulate_take_reply(reader, "penalty.reply", from->reply, &to->penalty.reply) != 0)
		return -EINVAL;
	return 0;
}

static int read_history(const struct simulate_reader *reader, const struct file_history *from,
			struct scenario_receiver *to)
{
	double floor = 200.0 / 3600;

	if (!from)
		return 0;
	to->history.factor = 3;
	to->history.over = default_history;
	if (simulate_take_number(reader, "history.factor", from->factor, 1, 1e6,
				 &to->history.factor) != 0 ||
	    simulate_take_rate(reader, "history.floor", from->floor, &floor) != 0 ||
	    simulate_take_reply(reader, "history.over", from->over, &to->history.over) != 0)
		return -EINVAL;
	to->history.floor = floor * 3600;
	return 0;
}

static int read_greylist(const struct simulate_reader *reader, const struct file_greylist *from,
			 struct scenario_receiver *to)
{
	if (!from)
		return 0;
	to->greylist.delay_ns = 5 * UNITS_MINUTE_NS;
	to->greylist.reply = default_greylist;
	if (simulate_take_duration(reader, "greylist.delay", from->delay, &to->greylist.delay_ns) !=
		    0 ||
	    simulate_take_reply(reader, "greylist.reply", from->reply, &to->greylist.reply) != 0)
		return -EINVAL;
	return 0;
}

static int read_noises(const struct simulate_reader *reader, const struct file_receiver *from,
		       struct scenario_receiver *to)
{
	const struct file_noise *list = from->noise ? from->noise : from->noises;
	size_t count = from->noise ? 1 : from->noises_count;
	struct scenario_noise *noises = calloc(count + 1, sizeof *noises);

	if (!noises)
		return -ENOMEM;
	to->noises = noises;
	to->noise_count = count;
	for (size_t i = 0; i < count; i++) {
		char key[2][48];

		snprintf(key[0], sizeof key[0], from->noise ? "noise.share" : "noise[%zu].share",
			 i);
		snprintf(key[1], sizeof key[1], from->noise ? "noise.reply" : "noise[%zu].reply",
			 i);
		noises[i] = (struct scenario_noise){.share = 0.005, .reply = default_noise};
		if (simulate_take_number(reader, key[0], list[i].share, 0, 1, &noises[i].share) !=
			    0 ||
		    simulate_take_reply(reader, key[1], list[i].reply, &noises[i].reply) != 0)
			return -EINVAL;
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct scenario_change *x = a, *y = b;

	return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

/* A change names what changes; what it does not name stays as the change before it left it. So they
 * are put in the order of time first. */
static int read_changes(const struct simulate_reader *reader, const struct file_receiver *from,
			struct scenario_receiver *to)
{
	struct scenario_change *changes = calloc(from->changes_count + 1, sizeof *changes);
	struct scenario_accept accept = to->accept;

	if (!changes)
		return -ENOMEM;
	to->changes = changes;
	to->change_count = from->changes_count;
	for (size_t i = 0; i < to->change_count; i++) {
		char key[48];

		snprintf(key, sizeof key, "changes[%zu].at", i);
		if (simulate_take_duration(reader, key, from->changes[i].at, &changes[i].at_ns) !=
		    0)
			return -EINVAL;
		/* Until the order is known this says which text it came from. */
		changes[i].accept.hour = (uint32_t)i;
	}
	qsort(changes, to->change_count, sizeof *changes, by_time);
	for (size_t i = 0; i < to->change_count; i++) {
		uint32_t index = changes[i].accept.hour;
		char key[48];

		snprintf(key, sizeof key, "changes[%u].", index);
		if (read_accept(reader, key, &from->changes[index].accept, &accept) != 0)
			return -EINVAL;
		changes[i].accept = accept;
	}
	return 0;
}

static int read_outages(const struct simulate_reader *reader, const struct file_receiver *from,
			struct scenario_receiver *to)
{
	struct scenario_outage *outages = calloc(from->outages_count + 1, sizeof *outages);

	if (!outages)
		return -ENOMEM;
	to->outages = outages;
	to->outage_count = from->outages_count;
	for (size_t i = 0; i < to->outage_count; i++) {
		const struct file_outage *outage = &from->outages[i];
		char key[3][48];

		snprintf(key[0], sizeof key[0], "outage[%zu].at", i);
		snprintf(key[1], sizeof key[1], "outage[%zu].for", i);
		snprintf(key[2], sizeof key[2], "outage[%zu].reply", i);
		outages[i].for_ns = 20 * UNITS_MINUTE_NS;
		outages[i].reply = default_outage;
		if (simulate_take_duration(reader, key[0], outage->at, &outages[i].at_ns) != 0 ||
		    simulate_take_duration(reader, key[1], outage->length, &outages[i].for_ns) !=
			    0 ||
		    simulate_take_reply(reader, key[2], outage->reply, &outages[i].reply) != 0)
			return -EINVAL;
	}
	return 0;
}

static int read_receiver(const struct simulate_reader *reader, const struct file_receiver *from,
			 struct scenario_receiver *to)
{
	int rc;

	to->destination = from->destination;
	to->latency_ns = DEFAULT_LATENCY;
	rc = read_accept(reader, "accept.", &from->accept, &to->accept);
	if (!rc)
		rc = read_over(reader, from, to);
	if (!rc)
		rc = read_windows(reader, from, to);
	if (!rc)
		rc = read_penalty(reader, from->penalty, to);
	if (!rc)
		rc = read_history(reader, from->history, to);
	if (!rc)
		rc = read_greylist(reader, from->greylist, to);
	if (!rc)
		rc = read_noises(reader, from, to);
	if (!rc)
		rc = read_changes(reader, from, to);
	if (!rc)
		rc = read_outages(reader, from, to);
	if (!rc)
		rc = simulate_take_duration(reader, "latency", from->latency, &to->latency_ns);
	return rc;
}

static int read_receivers(struct simulate_reader *reader, const struct file *file,
			  struct scenario *to)
{
	if (file->receivers_count > SCENARIO_RECEIVERS_MAX)
		return simulate_refuse(reader, "receivers", "more than %d receivers",
				       SCENARIO_RECEIVERS_MAX);
	to->receivers = calloc(file->receivers_count, sizeof *to->receivers);
	if (!to->receivers)
		return -ENOMEM;
	to->receiver_count = file->receivers_count;
	for (unsigned i = 0; i < file->receivers_count; i++) {
		int rc;

		simulate_enter(reader, "receivers[%u]", i);
		for (unsigned j = 0; j < i; j++)
			if (strcmp(file->receivers[i].destination,
				   file->receivers[j].destination) == 0)
				return simulate_refuse(reader, "destination", "%s: named before",
						       file->receivers[i].destination);
		rc = read_receiver(reader, &file->receivers[i], &to->receivers[i]);
		if (rc)
			return rc;
	}
	simulate_enter(reader, "%s", "");
	return 0;
}

/* ---- sources and traffic --------------------------------------------------------------------- */

static int pool_index(const struct scenario *scenario, const char *name)
{
	for (uint32_t i = 0; i < scenario->pool_count; i++)
		if (strcmp(scenario->file->pools[i], name) == 0)
			return (int)i;
	return -1;
}

static int read_source(const struct simulate_reader *reader, const struct file_source *from,
		       struct scenario *to)
{
	struct scenario_source *source = &to->sources[to->source_count];
	const char *pool = from->pool ? from->pool : "default";
	unsigned char address[16];
	int index = pool_index(to, pool);

	source->address = from->address ? from->address : "192.0.2.1";
	if (inet_pton(AF_INET, source->address, address) != 1 &&
	    inet_pton(AF_INET6, source->address, address) != 1)
		return simulate_refuse(reader, "address", "%s: not an address", source->address);
	for (size_t i = 0; i < to->source_count; i++)
		if (strcmp(to->sources[i].address, source->address) == 0)
			return simulate_refuse(reader, "address", "%s: named before",
					       source->address);
	if (strlen(pool) >= sizeof to->file->pools[0])
		return simulate_refuse(reader, "pool", "%.20s…: longer than 63 characters", pool);
	if (index < 0) {
		index = (int)to->pool_count++;
		strcpy(to->file->pools[index], pool);
	}
	source->pool = (uint32_t)index;
	to->source_count++;
	return 0;
}

static int read_sources(struct simulate_reader *reader, const struct file *file,
			struct scenario *to)
{
	static const struct file_source one;

	if (file->sources_count > SCENARIO_SOURCES_MAX)
		return simulate_refuse(reader, "sources", "more than %d sources",
				       SCENARIO_SOURCES_MAX);
	to->sources = calloc(file->sources_count + 1, sizeof *to->sources);
	if (!to->sources)
		return -ENOMEM;
	for (unsigned i = 0; i < file->sources_count; i++) {
		simulate_enter(reader, "sources[%u]", i);
		if (read_source(reader, &file->sources[i], to) != 0)
			return -EINVAL;
	}
	simulate_enter(reader, "%s", "");
	return file->sources_count ? 0 : read_source(reader, &one, to);
}

static int read_one_traffic(const struct simulate_reader *reader, const struct file_traffic *from,
			    const struct scenario *scenario, struct scenario_traffic *to)
{
	uint64_t messages = DEFAULT_MESSAGES;
	int class = TG_BULK, arrival = SCENARIO_POISSON, pool = 0;

	if (from->pool)
		pool = pool_index(scenario, from->pool);
	if (pool < 0)
		return simulate_refuse(reader, "pool", "%s: no source is in this pool", from->pool);
	if (from->destination) {
		while (to->receiver < scenario->receiver_count &&
		       strcmp(scenario->receivers[to->receiver].destination, from->destination) !=
			       0)
			to->receiver++;
		if (to->receiver == scenario->receiver_count)
			return simulate_refuse(reader, "destination",
					       "%s: no receiver of this name", from->destination);
	}
	if (simulate_take_word(reader, "class", from->class, class_names, &class) != 0 ||
	    simulate_take_word(reader, "arrival", from->arrival, arrival_names, &arrival) != 0 ||
	    simulate_take_count(reader, "messages", from->messages, 0, SCENARIO_MESSAGES_MAX,
				&messages) != 0 ||
	    simulate_take_duration(reader, "start", from->start, &to->start_ns) != 0)
		return -EINVAL;
	to->over_ns =
		to->start_ns < scenario->duration_ns ? scenario->duration_ns - to->start_ns : 0;
	if (simulate_take_duration(reader, "over", from->over, &to->over_ns) != 0)
		return -EINVAL;
	to->pool = (uint32_t)pool;
	to->class = (enum tg_class) class;
	to->arrival = (enum scenario_arrival)arrival;
	to->messages = (uint32_t)messages;
	return 0;
}

/* Without any traffic in the file: a newsletter a little larger than each receiver takes of one
 * source, and a twentieth of that in transactional mail. */
static void default_traffic(struct scenario *scenario)
{
	double seconds = (double)scenario->duration_ns / UNITS_SECOND_NS;

	for (uint32_t i = 0; i < scenario->receiver_count; i++) {
		double max = fmin(scenario->receivers[i].accept.rate * seconds, 1e5);

		scenario->traffic[2 * i] =
			(struct scenario_traffic){.receiver = i,
						  .class = TG_BULK,
						  .arrival = SCENARIO_BURST,
						  .messages = (uint32_t)(1.25 * max),
						  .over_ns = scenario->duration_ns / 2};
		scenario->traffic[2 * i + 1] =
			(struct scenario_traffic){.receiver = i,
						  .class = TG_TRANSACTIONAL,
						  .arrival = SCENARIO_POISSON,
						  .messages = (uint32_t)(0.05 * max),
						  .over_ns = scenario->duration_ns};
	}
	scenario->traffic_count = 2 * scenario->receiver_count;
}

static int read_traffic(struct simulate_reader *reader, const struct file *file,
			struct scenario *to)
{
	if (file->traffic_count > SCENARIO_TRAFFIC_MAX)
		return simulate_refuse(reader, "traffic", "more than %d entries",
				       SCENARIO_TRAFFIC_MAX);
	to->traffic = calloc(file->traffic_count + 2 * to->receiver_count, sizeof *to->traffic);
	if (!to->traffic)
		return -ENOMEM;
	if (!file->traffic_count)
		default_traffic(to);
	for (unsigned i = 0; i < file->traffic_count; i++) {
		simulate_enter(reader, "traffic[%u]", i);
		if (read_one_traffic(reader, &file->traffic[i], to, &to->traffic[i]) != 0)
			return -EINVAL;
		to->traffic_count++;
	}
	simulate_enter(reader, "%s", "");
	for (size_t i = 0; i < to->traffic_count; i++)
		to->message_count += to->traffic[i].messages;
	if (to->message_count > SCENARIO_MESSAGES_MAX)
		return simulate_refuse(reader, "traffic", "more than %u messages in all",
				       SCENARIO_MESSAGES_MAX);
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int read_scenario(struct simulate_reader *reader, struct scenario *to)
{
	const struct file *file = to->file->file;
	int rc;

	to->duration_ns = DEFAULT_DURATION;
	to->seed = 1;
	rc = simulate_take_duration(reader, "duration", file->duration, &to->duration_ns);
	if (!rc && to->duration_ns < UNITS_MINUTE_NS)
		rc = simulate_refuse(reader, "duration", "%s: shorter than a minute",
				     file->duration);
	if (!rc)
		rc = simulate_take_count(reader, "seed", file->seed, 0, UINT64_MAX, &to->seed);
	if (!rc)
		rc = read_receivers(reader, file, to);
	if (!rc)
		rc = read_sources(reader, file, to);
	if (!rc)
		rc = read_traffic(reader, file, to);
	return rc;
}

int scenario_parse(const char *text, size_t length, const char *name, struct scenario **ret,
		   char *error, size_t size)
{
	struct scenario *scenario = calloc(1, sizeof *scenario);
	struct yaml_marks *marks = NULL;
	struct yaml_error wrong;
	struct simulate_reader reader = {.name = name, .error = error, .error_size = size};
	int rc = -ENOMEM;

	snprintf(error, size, "%s: out of memory", name);
	if (!scenario)
		return rc;
	scenario->file = calloc(1, sizeof *scenario->file);
	if (!scenario->file)
		goto out;
	rc = simulate_file_load(text, length, name, &scenario->file->file, &marks, &wrong);
	if (rc) {
		snprintf(error, size, "%s:%u:%u: %s", name, wrong.mark.line, wrong.mark.column,
			 wrong.reason);
		goto out;
	}
	reader.marks = marks;
	rc = read_scenario(&reader, scenario);
	if (rc)
		goto out;
	*ret = scenario;
	scenario = NULL;
out:
	yaml_marks_free(marks);
	scenario_free(scenario);
	return rc;
}

int scenario_read(const char *path, struct scenario **ret, char *error, size_t size)
{
	char *text = NULL;
	size_t length;
	int rc = 0;
	FILE *file = fopen(path, "re");

	if (!file) {
		rc = -errno;
		snprintf(error, size, "%s: %s", path, strerror(errno));
		return rc;
	}
	text = malloc(YAML_TEXT_MAX + 1);
	length = text ? fread(text, 1, YAML_TEXT_MAX + 1, file) : 0;
	if (!text || ferror(file)) {
		rc = text ? -EIO : -ENOMEM;
		snprintf(error, size, "%s: %s", path, strerror(-rc));
	}
	fclose(file);
	if (!rc)
		rc = scenario_parse(text, length, path, ret, error, size);
	free(text);
	return rc;
}

void scenario_free(struct scenario *scenario)
{
	if (!scenario)
		return;
	for (size_t i = 0; i < scenario->receiver_count; i++) {
		free((void *)scenario->receivers[i].noises);
		free((void *)scenario->receivers[i].changes);
		free((void *)scenario->receivers[i].outages);
	}
	if (scenario->file)
		simulate_file_free(scenario->file->file);
	free(scenario->file);
	free(scenario->receivers);
	free(scenario->sources);
	free(scenario->traffic);
	free(scenario);
}
