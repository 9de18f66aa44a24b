/* SPDX-License-Identifier: MIT */
#include "sidecar/api/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/destination.h"
#include "sidecar/api/flow_json.h"
#include "sidecar/engine/change_text.h"

#define EVENTS_A_CALL 64
#define WAKE_NS	      UINT64_C(20000000)
#define CODE_DEFERRED 400
#define CODE_BOUNCED  500

struct watch_event {
	uint8_t source[16];
	size_t length;
	char *destination; /* behind the line */
	char line[];
};

struct event_feed {
	struct api_context *context;
	struct watch_event **ring; /* WATCH_EVENTS; NULL while nobody watches */
	uint64_t written;	   /* events in all: the next is ring[written % WATCH_EVENTS] */
	uint64_t forgotten;	   /* of these: too little memory to keep them */
	uint32_t clients;
	int timer;
	bool waking;
};

/* What a client is at; its call's own. */
struct watch_client {
	struct event_feed *watch;
	uint64_t next, forgotten;
	struct flow_json_filter filter;
	char destination[DESTINATION_NAME_MAX + 1];
};

/* ---- events ---------------------------------------------------------------------------------- */

static void wake(void *arg, uint64_t now_ns)
{
	struct event_feed *watch = arg;

	watch->waking = false;
	control_socket_wake(watch->context->server);
}

static void wake_soon(struct event_feed *watch, uint64_t now_ns)
{
	if (!watch->waking)
		loop_timer_set(watch->context->loop, watch->timer, now_ns + WAKE_NS);
	watch->waking = true;
}

static double wall_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The members that every event of a flow has. */
static void event_begin(const struct event_feed *watch, uint32_t slot, const char *kind,
			struct json_writer *line)
{
	json_put_object(line, NULL);
	json_put_number(line, "at", wall_s(), 3);
	json_put_text(line, "event", kind);
	flow_json_put_names(watch->context->segment, slot, line);
}

/* Ends the line and keeps it, in the place of the oldest. */
static void event_keep(struct event_feed *watch, uint32_t slot, struct json_writer *line,
		       uint64_t now_ns)
{
	struct segment *segment = watch->context->segment;
	struct watch_event **place = &watch->ring[watch->written % WATCH_EVENTS], *event = NULL;
	char name[DESTINATION_NAME_MAX + 1];

	segment_name(segment, segment_slot(segment, slot)->destination, name, sizeof(name));
	json_put_end(line);
	json_put_newline(line);
	if (!json_failed(line))
		event = malloc(sizeof(*event) + line->length + strlen(name) + 1);
	if (event) {
		memcpy(event->source, segment_address(segment, slot), sizeof(event->source));
		event->length = line->length;
		memcpy(event->line, line->text, line->length);
		event->destination = strcpy(event->line + line->length, name);
		free(*place);
		*place = event;
		watch->written++;
	} else {
		watch->forgotten++;
	}
	json_writer_free(line);
	wake_soon(watch, now_ns);
}

static void delivered_seen(void *arg, uint32_t slot, uint32_t messages, uint64_t now_ns)
{
	struct json_writer line = {0};

	event_begin(arg, slot, "delivered", &line);
	json_put_u64(&line, "messages", messages);
	event_keep(arg, slot, &line, now_ns);
}

static const char *outcome_of(unsigned code)
{
	return code >= CODE_BOUNCED ? "bounced" : code >= CODE_DEFERRED ? "deferred" : "failed";
}

static void reply_seen(void *arg, const struct layout_record *reply,
		       const struct classification *classification, uint64_t now_ns)
{
	static const char *const traffics[] = {"transactional", "engaged", "bulk"};
	struct json_writer line = {0};

	event_begin(arg, reply->slot, "reply", &line);
	json_put_text(&line, "outcome", outcome_of(reply->code));
	json_put_u64(&line, "code", reply->code);
	if (reply->enhanced[0])
		json_put_format(&line, "enhanced", "%u.%u.%u", reply->enhanced[0],
				reply->enhanced[1], reply->enhanced[2]);
	else
		json_put_null(&line, "enhanced");
	json_put_text(&line, "class", reply_class_name(classification->class));
	json_put_text(&line, "limit", reply_limit_name(classification->limit));
	json_put_text(&line, "rule", classification->rule);
	json_put_text(&line, "traffic",
		      reply->traffic < TG_CLASSES ? traffics[reply->traffic] : "invalid");
	json_put_bytes(&line, "text", reply->text, reply->length);
	event_keep(arg, reply->slot, &line, now_ns);
}

static void change_seen(void *arg, const struct engine_change *change, uint64_t now_ns)
{
	struct event_feed *watch = arg;
	struct json_writer line = {0};
	struct change_text words;

	change_text_make(watch->context->engine, change, now_ns, &words);
	if (words.length == 0)
		return;
	event_begin(watch, change->slot,
		    words.was_held == words.is_held ? "limits"
		    : words.is_held		    ? "hold"
						    : "release",
		    &line);
	json_put_text(&line, "what", words.what);
	json_put_text(&line, "decided_by", words.decided_by);
	json_put_text(&line, "reason", words.reason);
	if (change->reply)
		json_put_bytes(&line, "reply", change->reply->text, change->reply->length);
	else
		json_put_null(&line, "reply");
	event_keep(watch, change->slot, &line, now_ns);
}

/* ---- clients --------------------------------------------------------------------------------- */

static void ring_free(struct event_feed *watch)
{
	for (int i = 0; watch->ring && i < WATCH_EVENTS; i++)
		free(watch->ring[i]);
	free(watch->ring);
	watch->ring = NULL;
}

/* The engine tells while somebody listens. */
static int listen_begin(struct event_feed *watch)
{
	const struct engine_watcher watcher = {.arg = watch,
					       .delivered = delivered_seen,
					       .reply = reply_seen,
					       .change = change_seen};
	int error;

	watch->ring = calloc(WATCH_EVENTS, sizeof(*watch->ring));
	if (watch->ring == NULL)
		return -ENOMEM;
	error = engine_watch(watch->context->engine, &watcher);
	if (error)
		ring_free(watch);
	return error;
}

static void client_gone(void *data)
{
	struct watch_client *client = data;
	struct event_feed *watch = client->watch;

	if (--watch->clients > 0)
		return;
	engine_unwatch(watch->context->engine, watch);
	ring_free(watch);
}

static int client_begin(struct api_context *s, struct control_call *call)
{
	struct event_feed *watch = s->watch;
	struct watch_client *client = calloc(1, sizeof(*client));
	int error =
		client ? flow_json_filter_read(s->segment, call->request, client->destination,
					       &client->filter, call->reason, sizeof(call->reason))
		       : -ENOMEM;

	if (!error && watch->clients == 0)
		error = listen_begin(watch);
	if (error) {
		free(client);
		return error;
	}
	watch->clients++;
	client->watch = watch;
	client->next = watch->written;
	client->forgotten = watch->forgotten;
	call->data = client;
	call->gone = client_gone;
	return SERVER_WAIT;
}

static bool wanted(const struct watch_client *client, const struct watch_event *event)
{
	const struct flow_json_filter *filter = &client->filter;

	return (!filter->by_source || memcmp(filter->source, event->source, 16) == 0) &&
	       (!filter->destination || strcmp(filter->destination, event->destination) == 0);
}

/* Of those that were driven out nobody knows whether the client wanted them. */
static void lost_tell(struct watch_client *client, struct json_writer *answer)
{
	struct event_feed *watch = client->watch;
	uint64_t lost = watch->forgotten - client->forgotten;

	client->forgotten = watch->forgotten;
	if (watch->written - client->next > WATCH_EVENTS) {
		lost += watch->written - client->next - WATCH_EVENTS;
		client->next = watch->written - WATCH_EVENTS;
	}
	if (lost == 0)
		return;
	json_put_object(answer, NULL);
	json_put_number(answer, "at", wall_s(), 3);
	json_put_text(answer, "event", "lost");
	json_put_u64(answer, "events", lost);
	json_put_end(answer);
	json_put_newline(answer);
}

int api_watch(void *arg, struct control_call *call)
{
	struct api_context *s = arg;
	struct watch_client *client = call->data;

	if (client == NULL)
		return client_begin(s, call);
	lost_tell(client, call->answer);
	for (int i = 0; i < EVENTS_A_CALL && client->next < s->watch->written; i++) {
		const struct watch_event *event = s->watch->ring[client->next++ % WATCH_EVENTS];

		if (wanted(client, event))
			json_put_lines(call->answer, event->line, event->length);
	}
	return client->next < s->watch->written ? SERVER_MORE : SERVER_WAIT;
}

/* ---- making ---------------------------------------------------------------------------------- */

int watch_create(struct api_context *context, struct event_feed **ret)
{
	struct event_feed *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return -ENOMEM;
	watch->context = context;
	watch->timer = loop_timer(context->loop, wake, watch);
	if (watch->timer < 0) {
		free(watch);
		return -ENOMEM;
	}
	*ret = watch;
	return 0;
}

uint32_t watch_clients(const struct event_feed *watch)
{
	return watch->clients;
}

void watch_free(struct event_feed *watch)
{
	if (watch == NULL)
		return;
	loop_timer_drop(watch->context->loop, watch->timer);
	free(watch);
}
