/* SPDX-License-Identifier: MIT
 *
 * See halon.h. Flows are looked at in turn, a piece at a time, a round a second; what is told of one
 * is kept by its name, since slots change.
 *
 * A suspension cannot be prolonged there: before one ends another is told, under a number of its
 * own.
 */
#include "sidecar/http/halon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "shm/source.h"
#include "sidecar/base/hash_table.h"
#include "sidecar/base/log.h"
#include "sidecar/segment/publish.h"
#include "sidecar/serve/subscribers.h"

#define SECOND_NS    UINT64_C(1000000000)
#define HOUR_NS	     (3600 * SECOND_NS)
#define DAY_NS	     (24 * HOUR_NS)
#define FLOWS_A_LOOK 256
#define AT_ONCE_NS   (SECOND_NS / 10) /* of a rate, that may go in one lump */
#define VERSION	     1

struct halon_flow {
	UT_hash_handle hh;
	uint64_t interval_ns, until_ns;
	uint64_t held_until_ns, before_until_ns; /* of the last suspension, and of that before */
	uint32_t connections, holds; /* holds: the number of the last suspension; 0: none */
	uint32_t round;
	const char *field; /* "grouping" or "recipientdomain" */
	char source[64], destination[DESTINATION_NAME_MAX + 1];
	char id[64 + DESTINATION_NAME_MAX + 16];
};

struct halon {
	struct loop *loop;
	struct segment *segment;
	const struct config *config;
	struct subscribers listeners;
	struct halon_flow *flows; /* by id */
	int timer;
	uint32_t looked, round;
};

/* ---- what is said ---------------------------------------------------------------------------- */

static void said_begin(struct json_writer *out, const char *action, const char *what,
		       const char *id)
{
	json_put_object(out, NULL);
	json_put_text(out, "action", action);
	json_put_object(out, what);
	json_put_text(out, "id", id);
}

static void said_end(struct json_writer *out)
{
	json_put_end(out);
	json_put_end(out);
}

static void flow_put(struct json_writer *out, const struct halon_flow *t)
{
	json_put_text(out, "localip", t->source);
	json_put_text(out, t->field, t->destination);
}

static void fields_put(struct json_writer *out, const struct halon_flow *t)
{
	json_put_array(out, "fields");
	json_put_text(out, NULL, "LOCALIP");
	json_put_text(out, NULL, *t->field == 'g' ? "GROUPING" : "RECIPIENTDOMAIN");
	json_put_end(out);
	json_put_object(out, "if");
	flow_put(out, t);
	json_put_end(out);
}

static void then_put(struct json_writer *out, const struct halon_flow *t)
{
	uint64_t count = t->interval_ns ? AT_ONCE_NS / t->interval_ns : 0;

	count = count ? count : 1;
	json_put_object(out, "then");
	if (t->connections)
		json_put_u64(out, "concurrency", t->connections);
	if (t->interval_ns) {
		json_put_object(out, "rate");
		json_put_u64(out, "count", count);
		json_put_number(out, "interval", (double)(count * t->interval_ns) / 1e9, 6);
		json_put_text(out, "algorithm", "TOKENBUCKET");
		json_put_end(out);
	}
	json_put_bool(out, "stop", false);
	json_put_bool(out, "cluster", false);
	json_put_end(out);
}

static double seconds_left(uint64_t until_ns, uint64_t now_ns)
{
	return until_ns > now_ns ? (double)(until_ns - now_ns) / 1e9 : 0.001;
}

static void policy_say(struct json_writer *out, const struct halon_flow *t, bool create,
		       uint64_t now_ns)
{
	said_begin(out, create ? "CREATE" : "UPDATE", "policy", t->id);
	if (create) {
		json_put_text(out, "type", "DYNAMIC");
		fields_put(out, t);
	}
	then_put(out, t);
	json_put_number(out, "ttl", seconds_left(t->until_ns, now_ns), 3);
	said_end(out);
}

static void hold_say(struct json_writer *out, const struct halon_flow *t, const char *action,
		     uint32_t number, uint64_t now_ns)
{
	char id[sizeof(t->id) + 16];

	snprintf(id, sizeof(id), "%s-hold-%u", t->id, number);
	said_begin(out, action, "suspend", id);
	if (now_ns) {
		flow_put(out, t);
		json_put_text(out, "tag", "tollgate holds this flow");
		json_put_number(out, "ttl", seconds_left(t->held_until_ns, now_ns), 3);
	}
	said_end(out);
}

/* To all, or to one; the text is done with then. */
static void tell(struct halon *halon, struct subscriber *only, struct json_writer *out)
{
	for (int i = 0; i < SUBSCRIBERS; i++)
		if (only == NULL || only == &halon->listeners.each[i])
			subscriber_send(&halon->listeners.each[i],
					json_failed(out) ? NULL : out->text, out->length);
	json_writer_free(out);
	*out = (struct json_writer){0};
}

/* ---- flows ----------------------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Of all limits of messages the strictest, as an interval; 0: none. */
static uint64_t strictest(const struct publish_limits *l)
{
	uint32_t hour = l->hour_cap[TG_TRANSACTIONAL], day = l->day_cap[TG_TRANSACTIONAL];
	uint64_t interval_ns = l->interval_ns;

	if (hour != PUBLISH_NO_CAP)
		interval_ns = later(interval_ns, HOUR_NS / (hour ? hour : 1));
	if (day != PUBLISH_NO_CAP)
		interval_ns = later(interval_ns, DAY_NS / (day ? day : 1));
	return interval_ns;
}

/* NULL: it has no local address, or there is no room. */
static struct halon_flow *told_of(struct halon *halon, uint32_t slot)
{
	const uint8_t *address = segment_address(halon->segment, slot);
	struct halon_flow key, *found;

	if (source_is_name(address))
		return NULL;
	destination_address_text(address, key.source, sizeof(key.source));
	segment_name(halon->segment, segment_slot(halon->segment, slot)->destination,
		     key.destination, sizeof(key.destination));
	snprintf(key.id, sizeof(key.id), "tollgate-%s-%s", key.source, key.destination);
	HASH_FIND_STR(halon->flows, key.id, found);
	if (found || HASH_COUNT(halon->flows) >= HALON_FLOWS)
		return found;
	found = calloc(1, sizeof(*found));
	if (found == NULL)
		return NULL;
	memcpy(found->source, key.source, sizeof(key.source));
	memcpy(found->destination, key.destination, sizeof(key.destination));
	memcpy(found->id, key.id, sizeof(key.id));
	found->field = config_destination_named(halon->config, key.destination) ? "grouping"
										: "recipientdomain";
	HASH_ADD_STR(halon->flows, id, found);
	if (hash_table_lacks(found)) {
		free(found);
		return NULL;
	}
	return found;
}

/* Both that have not ended yet, where one was to take over from the other. */
static void hold_end(struct halon *halon, struct halon_flow *t, uint64_t now_ns)
{
	struct json_writer out = {0};

	hold_say(&out, t, "DELETE", t->holds, 0);
	tell(halon, NULL, &out);
	if (t->before_until_ns > now_ns) {
		hold_say(&out, t, "DELETE", t->holds - 1, 0);
		tell(halon, NULL, &out);
	}
	t->held_until_ns = t->before_until_ns = 0;
}

static void hold_look(struct halon *halon, struct halon_flow *t, uint64_t held_ns, uint64_t now_ns)
{
	struct json_writer out = {0};
	uint64_t until_ns = now_ns + HALON_HOLD_S * SECOND_NS;

	held_ns = held_ns > now_ns ? held_ns : 0;
	until_ns = held_ns < until_ns ? held_ns : until_ns;
	/* Released, or for less time than was told. */
	if (t->held_until_ns > now_ns && until_ns < t->held_until_ns)
		hold_end(halon, t, now_ns);
	if (until_ns <= t->held_until_ns ||
	    t->held_until_ns > now_ns + HALON_HOLD_S / 2 * SECOND_NS)
		return;
	t->before_until_ns = t->held_until_ns;
	t->held_until_ns = until_ns;
	hold_say(&out, t, "CREATE", ++t->holds, now_ns);
	tell(halon, NULL, &out);
}

static void flow_look(struct halon *halon, uint32_t slot, uint64_t now_ns)
{
	struct halon_flow *t = told_of(halon, slot);
	struct json_writer out = {0};
	struct publish_limits limits;
	uint64_t interval_ns;
	bool create;

	if (t == NULL)
		return;
	t->round = halon->round;
	publish_read(halon->segment, slot, &limits);
	interval_ns = strictest(&limits);
	create = t->until_ns <= now_ns;
	if (create || t->interval_ns != interval_ns ||
	    t->connections != limits.connections[TG_BULK] ||
	    t->until_ns < now_ns + HALON_TTL_S / 2 * SECOND_NS) {
		t->interval_ns = interval_ns;
		t->connections = limits.connections[TG_BULK];
		t->until_ns = now_ns + HALON_TTL_S * SECOND_NS;
		policy_say(&out, t, create, now_ns);
		tell(halon, NULL, &out);
	}
	hold_look(halon, t, later(limits.hold_until_ns, limits.hold_lower_ns), now_ns);
}

/* Those that were not met in this round are no flows any more. */
static void round_end(struct halon *halon)
{
	struct json_writer out = {0};
	struct halon_flow *t = NULL, *next = NULL;

	HASH_ITER(hh, halon->flows, t, next)
	{
		if (t->round == halon->round)
			continue;
		said_begin(&out, "DELETE", "policy", t->id);
		said_end(&out);
		tell(halon, NULL, &out);
		HASH_DEL(halon->flows, t);
		free(t);
	}
	halon->looked = 0;
	halon->round++;
}

static void look_due(void *arg, uint64_t now_ns)
{
	struct halon *halon = arg;
	uint32_t count = segment_count(halon->segment);
	bool more;

	subscribers_look(&halon->listeners, now_ns);
	for (int i = 0; i < FLOWS_A_LOOK && halon->looked < count; i++) {
		uint32_t slot = segment_nth(halon->segment, halon->looked++);

		if (segment_kind(halon->segment, slot) == SEGMENT_FLOW)
			flow_look(halon, slot, now_ns);
	}
	more = halon->looked < count;
	if (!more)
		round_end(halon);
	loop_timer_set(halon->loop, halon->timer, more ? now_ns : now_ns + SECOND_NS);
}

/* ---- who listens ----------------------------------------------------------------------------- */

/* Halon has no token to bring. */
static void allowed(void *arg, struct http_request *request, struct http_reply *reply)
{
	const struct halon *halon = arg;

	if (!halon->config->http.halon.value)
		http_say(reply, 404, "Halon is not answered: http.halon is false");
	else if (!request->local)
		http_say(reply, 403, "only this host may listen");
}

/* What is in force, between its version and the word that this is all: until then Halon waits. */
static void all_tell(struct halon *halon, struct subscriber *listener, uint64_t now_ns)
{
	struct json_writer out = {0};

	json_put_object(&out, NULL);
	json_put_text(&out, "action", "VERSION");
	json_put_u64(&out, "version", VERSION);
	json_put_end(&out);
	tell(halon, listener, &out);
	for (struct halon_flow *t = halon->flows; t && listener->websocket; t = t->hh.next) {
		if (t->until_ns > now_ns) {
			policy_say(&out, t, true, now_ns);
			tell(halon, listener, &out);
		}
		if (t->held_until_ns > now_ns) {
			hold_say(&out, t, "CREATE", t->holds, now_ns);
			tell(halon, listener, &out);
		}
	}
	json_put_object(&out, NULL);
	json_put_text(&out, "action", "SYNCED");
	json_put_end(&out);
	tell(halon, listener, &out);
}

static void upgraded(void *arg, int fd, void (*close)(void *), void *handle)
{
	struct halon *halon = arg;
	struct subscriber *listener = subscribers_add(&halon->listeners, 0, fd, close, handle);

	if (listener)
		all_tell(halon, listener, loop_now());
}

/* ---- the whole ------------------------------------------------------------------------------- */

int halon_create(struct loop *loop, struct http *http, struct segment *segment, struct halon **ret)
{
	struct halon *halon = calloc(1, sizeof(*halon));
	int error;

	if (halon == NULL)
		return -ENOMEM;
	halon->loop = loop;
	halon->segment = segment;
	halon->listeners = (struct subscribers){.loop = loop, .name = "halon"};
	halon->timer = loop_timer(loop, look_due, halon);
	error = halon->timer < 0
			? -ENOMEM
			: http_handle_websocket(http, "/policyd", allowed, upgraded, halon);
	if (error) {
		halon_free(halon);
		return error;
	}
	*ret = halon;
	return 0;
}

void halon_free(struct halon *halon)
{
	struct halon_flow *t, *next;

	if (halon == NULL)
		return;
	subscribers_close(&halon->listeners);
	if (halon->timer >= 0)
		loop_timer_set(halon->loop, halon->timer, LOOP_NEVER);
	t = halon->flows;
	HASH_CLEAR(hh, halon->flows);
	for (; t; t = next) {
		next = t->hh.next;
		free(t);
	}
	free(halon);
}

void halon_configure(struct halon *halon, const struct config *config)
{
	halon->config = config;
	loop_timer_set(halon->loop, halon->timer,
		       config->http.halon.value ? loop_now() : LOOP_NEVER);
}

void halon_put(const struct halon *halon, struct json_writer *writer, const char *key)
{
	json_put_object(writer, key);
	json_put_u64(writer, "flows", HASH_COUNT(halon->flows));
	json_put_u64(writer, "listeners", subscribers_count(&halon->listeners));
	json_put_u64(writer, "listeners_dropped", halon->listeners.dropped);
	json_put_u64(writer, "told", halon->listeners.sent);
	json_put_end(writer);
}
