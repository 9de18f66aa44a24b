/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/replay.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/base/intern.h"
#include "sidecar/base/json.h"
#include "sidecar/base/units.h"
#include "sidecar/ingest/replay_control.h"

/* In 2096: nanoseconds reach further, the arithmetic on them less. */
#define SECONDS_MAX 4000000000

struct replay_flow {
	uint64_t held_until_ns;
	struct replay_control control;
};

struct replay {
	const struct classifier *classifier;
	const struct config *config;
	void (*act)(void *context, const struct replay_action *action);
	void *context;
	struct classify_scratch *scratch;
	struct rule_set *rules;
	struct rule_engine *engine;
	struct intern *destinations, *flows;
	struct replay_total *totals;
	struct replay_flow *places; /* by flow */
	unsigned total_room, flow_room;
	uint64_t line;
	char reason[JSON_REASON];
};

/* ---- time -------------------------------------------------------------------------------------
 */
/* "Z", "+01:00", "-0530": seconds east. NULL-terminated text only. */
static int zone_parse(const char *text, long *ret_seconds)
{
	unsigned hours, minutes;
	char sign;

	if (strcasecmp(text, "z") == 0) {
		*ret_seconds = 0;
		return 0;
	}
	if (sscanf(text, "%c%2u:%2u", &sign, &hours, &minutes) != 3 &&
	    sscanf(text, "%c%2u%2u", &sign, &hours, &minutes) != 3)
		return -EINVAL;
	if ((sign != '+' && sign != '-') || hours > 23 || minutes > 59)
		return -EINVAL;
	*ret_seconds = (sign == '+' ? 1 : -1) * (long)(hours * 3600 + minutes * 60);
	return 0;
}

int replay_time(const char *text, uint64_t *ret_ns)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t fraction = 0, unit = UNITS_SECOND_NS;
	long zone;
	time_t seconds;

	if (rest == NULL)
		rest = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (rest == NULL)
		return -EINVAL;
	if (*rest == '.')
		for (rest++; isdigit((unsigned char)*rest); rest++)
			fraction += (uint64_t)(*rest - '0') * (unit /= 10);
	while (*rest == ' ')
		rest++;
	if (zone_parse(rest, &zone) != 0)
		return -EINVAL;
	seconds = timegm(&tm);
	if (seconds - zone < 0 || seconds - zone > SECONDS_MAX)
		return -EINVAL;
	*ret_ns = (uint64_t)(seconds - zone) * UNITS_SECOND_NS + fraction;
	return 0;
}

const char *replay_time_text(uint64_t ns, char *text, size_t size)
{
	time_t seconds = (time_t)(ns / UNITS_SECOND_NS);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, size - n, ".%03uZ", (unsigned)(ns % UNITS_SECOND_NS / 1000000));
	return text;
}

/* ---- create -----------------------------------------------------------------------------------
 */
int replay_create(const struct classifier *classifier, const struct config *config,
		  void (*act)(void *context, const struct replay_action *action), void *context,
		  struct replay **ret_replay)
{
	struct replay *replay = calloc(1, sizeof(*replay));

	if (replay == NULL)
		return -ENOMEM;
	replay->classifier = classifier;
	replay->config = config;
	replay->act = act;
	replay->context = context;
	/* Times are the wall clock's, so days need no offset. */
	if (classify_scratch_create(classifier, &replay->scratch) != 0 ||
	    rule_set_create(classifier, &replay->rules) != 0 ||
	    rule_engine_create(0, &replay->engine) != 0 ||
	    intern_create(&replay->destinations) != 0 || intern_create(&replay->flows) != 0) {
		replay_free(replay);
		return -ENOMEM;
	}
	*ret_replay = replay;
	return 0;
}

void replay_free(struct replay *replay)
{
	if (replay == NULL)
		return;
	classify_scratch_free(replay->scratch);
	rule_set_free(replay->rules);
	rule_engine_free(replay->engine);
	intern_free(replay->destinations);
	intern_free(replay->flows);
	free(replay->totals);
	free(replay->places);
	free(replay);
}

/* ---- a line -----------------------------------------------------------------------------------
 */
struct event {
	uint64_t time_ns;
	const char *source, *pool;
	char destination[DESTINATION_NAME_MAX + 1];
	const char *text; /* the reply as logged */
	struct reply_line reply;
};

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

static int event_time(const struct json *json, uint64_t *ret_ns)
{
	const struct json *time = json_get(json, "time");
	double seconds = json_double(time, -1);

	if (json_kind(time) == JSON_KIND_TEXT)
		return replay_time(json_text(time, ""), ret_ns);
	if (!(seconds >= 0) || seconds > SECONDS_MAX)
		return -EINVAL;
	*ret_ns = (uint64_t)(seconds * 1e3 + 0.5) * 1000000;
	return 0;
}

/* As the configuration names it. */
static int event_destination(const struct replay *replay, const char *name, struct event *event)
{
	struct destination_match match;

	if (name == NULL || strlen(name) > DESTINATION_NAME_MAX)
		return -EINVAL;
	if (replay->config == NULL)
		strcpy(event->destination, name);
	else if (destination_match(replay->config->table, replay->config->table_length, name,
				   &match) != 0)
		return -EINVAL;
	else
		strcpy(event->destination, match.name);
	return 0;
}

static const char *event_pool(const struct replay *replay, const struct json *json,
			      const uint8_t source[16])
{
	const struct config_pool *pool;

	if (json_get_text(json, "pool", NULL) != NULL || replay->config == NULL)
		return json_get_text(json, "pool", NULL);
	pool = config_pool_of(replay->config, source);
	return pool != NULL ? pool->name : NULL;
}

static int event_read(const struct replay *replay, const struct json *json, struct event *event,
		      const char **ret_reason)
{
	const char *reply = json_get_text(json, "reply", "");
	uint8_t address[16];

	event->text = reply;
	if (json_kind(json) != JSON_KIND_OBJECT)
		return refuse(ret_reason, "not a JSON object");
	if (event_time(json, &event->time_ns) != 0)
		return refuse(ret_reason, "\"time\" is neither seconds since 1970 nor RFC 3339");
	event->source = json_get_text(json, "source", NULL);
	if (event->source == NULL || source_read(event->source, address) != 0)
		return refuse(ret_reason, "\"source\" is neither an address nor a source's name");
	if (event_destination(replay, json_get_text(json, "destination", NULL), event) != 0)
		return refuse(ret_reason, "\"destination\" is neither a destination's name nor a "
					  "host's, a domain or an address");
	event->pool = event_pool(replay, json, address);
	reply_line_parse(reply, strlen(reply), &event->reply);
	if (event->reply.code == 0)
		event->reply.code = (unsigned)json_get_u64(json, "code", 0) % 1000;
	if (event->reply.code == 0 && *reply == '\0')
		return refuse(ret_reason, "no \"reply\" and no \"code\"");
	return 0;
}

/* Room for one more of each. Returns the total of the destination and the number of the flow. */
static int places_find(struct replay *replay, const struct event *event,
		       struct replay_total **ret_total, unsigned *ret_flow)
{
	char key[DESTINATION_NAME_MAX + 128];
	int destination = intern_add(replay->destinations, event->destination), flow;

	snprintf(key, sizeof(key), "%.100s %s", event->source, event->destination);
	flow = intern_add(replay->flows, key);
	if (destination < 0 || flow < 0)
		return -ENOMEM;
	if ((unsigned)destination >= replay->total_room) {
		unsigned room = replay->total_room * 2 + 16;
		struct replay_total *grown = realloc(replay->totals, room * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		memset(grown + replay->total_room, 0, (room - replay->total_room) * sizeof(*grown));
		replay->totals = grown, replay->total_room = room;
	}
	if ((unsigned)flow >= replay->flow_room) {
		unsigned room = replay->flow_room * 2 + 64;
		struct replay_flow *grown = realloc(replay->places, room * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		memset(grown + replay->flow_room, 0, (room - replay->flow_room) * sizeof(*grown));
		replay->places = grown, replay->flow_room = room;
	}
	*ret_total = &replay->totals[destination];
	(*ret_total)->destination = intern_name(replay->destinations, (unsigned)destination);
	*ret_flow = (unsigned)flow;
	return 0;
}

static void action_tell(struct replay *replay, const struct event *event,
			const struct classification *found, enum rule_action_kind kind,
			const struct rule_effect *effect, struct replay_total *total,
			uint64_t *held_until_ns)
{
	total->actions[kind]++;
	total->last_ns = event->time_ns;
	if (total->first_ns == 0)
		total->first_ns = event->time_ns;
	if (kind == RULE_HOLD && effect->until_ns > *held_until_ns) {
		total->held_ns +=
			effect->until_ns -
			(*held_until_ns > event->time_ns ? *held_until_ns : event->time_ns);
		*held_until_ns = effect->until_ns;
	}
	replay->act(replay->context,
		    &(struct replay_action){event->time_ns, replay->line, event->source,
					    event->destination, kind, effect, found, event->text,
					    strlen(event->text)});
}

static void actions_tell(struct replay *replay, const struct event *event,
			 const struct classification *found, const struct rule_verdict *verdict,
			 struct replay_total *total, uint64_t *held_until_ns)
{
	for (int kind = 0; kind < RULE_ACTIONS; kind++)
		if (verdict->effect[kind].rule != NULL)
			action_tell(replay, event, found, (enum rule_action_kind)kind,
				    &verdict->effect[kind], total, held_until_ns);
}

static void control_tell(struct replay *replay, const struct event *event,
			 const struct classification *found, struct replay_total *total,
			 struct replay_flow *flow)
{
	enum rule_action_kind kind;
	struct rule_effect effect;

	if (replay->config != NULL &&
	    replay_control_take(&flow->control, replay->config, event->source, event->destination,
				found, event->time_ns, &effect, &kind))
		action_tell(replay, event, found, kind, &effect, total, &flow->held_until_ns);
}

static int event_replay(struct replay *replay, const struct event *event)
{
	struct rule_flow flow = {0, event->source, event->destination, event->pool,
				 RULE_RECENT_UNKNOWN};
	struct classification found;
	struct rule_verdict verdict;
	struct replay_total *total;
	unsigned place;
	int err = places_find(replay, event, &total, &place);

	if (err != 0)
		return err;
	flow.id = place + 1;
	classify(replay->classifier, replay->scratch, event->destination, event->reply.code,
		 event->reply.enhanced, event->reply.text, event->reply.len, &found);
	total->replies++;
	total->classes[found.class]++;
	total->while_held += event->time_ns < replay->places[place].held_until_ns;
	err = rule_engine_evaluate(replay->engine, replay->rules, &flow,
				   &(struct rule_reply){&found, event->reply.code,
							event->reply.enhanced, replay->classifier,
							replay->scratch},
				   event->time_ns, &verdict);
	if (err != 0)
		return err;
	actions_tell(replay, event, &found, &verdict, total, &replay->places[place].held_until_ns);
	control_tell(replay, event, &found, total, &replay->places[place]);
	return 0;
}

int replay_line(struct replay *replay, const char *line, size_t len, const char **ret_reason)
{
	struct event event = {0};
	struct json *json;
	int err;

	replay->line++;
	*ret_reason = replay->reason;
	err = json_read(line, len, &json, replay->reason);
	if (err != 0)
		return err;
	err = event_read(replay, json, &event, ret_reason);
	if (err == 0)
		err = event_replay(replay, &event);
	json_release(json);
	return err;
}

unsigned replay_totals(const struct replay *replay, const struct replay_total **ret_totals)
{
	*ret_totals = replay->totals;
	return intern_count(replay->destinations);
}
