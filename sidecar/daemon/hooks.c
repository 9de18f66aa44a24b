/* SPDX-License-Identifier: MIT */
#include "sidecar/daemon/hooks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "shm/destination.h"
#include "sidecar/base/log.h"
#include "sidecar/engine/change_text.h"

#define SAY_NS UINT64_C(60000000000)

struct hook_event {
	TAILQ_ENTRY(hook_event) order;
	bool held;
	char source[64];
	char destination[DESTINATION_NAME_MAX + 1];
	char until[24];	   /* seconds since 1970; "" of a release, or of a hold without end */
	const char *which; /* "all", "bulk" */
	char class[24];
	char rule[64];
	char reply[LAYOUT_TEXT + 1];
};
TAILQ_HEAD(hook_queue, hook_event);

struct hooks {
	struct segment *segment;
	struct engine *engine;
	const struct config *config;
	struct alerts *running;
	struct hook_event *places[HOOKS_AT_ONCE]; /* what runs in each */
	struct hook_queue queue;
	uint32_t waiting;
	uint64_t started, failed, lost, said_ns;
};

/* ---- starting -------------------------------------------------------------------------------- */

static bool command_of(const struct hooks *h, const struct hook_event *event,
		       struct rule_alert *ret)
{
	const struct config_hooks *hooks = &h->config->hooks;

	*ret = (struct rule_alert){.command = event->held ? hooks->hold : hooks->release,
				   .command_count =
					   event->held ? hooks->hold_count : hooks->release_count};
	return ret->command_count > 0;
}

/* Of its flow one runs: it would overtake that. */
static bool is_behind(const struct hooks *h, const struct hook_event *event)
{
	for (int i = 0; i < HOOKS_AT_ONCE; i++)
		if (h->places[i] && strcmp(h->places[i]->source, event->source) == 0 &&
		    strcmp(h->places[i]->destination, event->destination) == 0)
			return true;
	return false;
}

/* Its place; -ENODATA: it has no command any more; or why it cannot be started. */
static int event_start(struct hooks *h, const struct hook_event *event)
{
	const struct alert_command_about about = {.rule = event->rule,
						  .source = event->source,
						  .destination = event->destination,
						  .class = event->class,
						  .reply = event->reply,
						  .event = event->held ? "hold" : "release",
						  .held = event->which,
						  .until = event->until};
	struct rule_alert command;
	char what[256];

	if (!command_of(h, event, &command))
		return -ENODATA;
	snprintf(what, sizeof(what), "the hook of the %s of %s to %.128s", about.event,
		 event->source, event->destination);
	return alerts_run(h->running, what, &command, h->config->hooks.timeout.value, &about);
}

static void event_drop(struct hooks *h, struct hook_event *event)
{
	TAILQ_REMOVE(&h->queue, event, order);
	h->waiting--;
	free(event);
}

static void queue_work(struct hooks *h)
{
	struct hook_event *event = TAILQ_FIRST(&h->queue), *next;

	for (; event; event = next) {
		int place = is_behind(h, event) ? -EBUSY : event_start(h, event);

		next = TAILQ_NEXT(event, order);
		if (place == -EAGAIN)
			return;
		if (place == -EBUSY)
			continue;
		if (place < 0) {
			h->failed += place != -ENODATA;
			event_drop(h, event);
			continue;
		}
		TAILQ_REMOVE(&h->queue, event, order);
		h->waiting--;
		h->started++;
		h->places[place] = event;
	}
}

static void ended(void *arg, int place)
{
	struct hooks *h = arg;

	free(h->places[place]);
	h->places[place] = NULL;
	queue_work(h);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void lost_say(struct hooks *h, uint64_t now_ns)
{
	h->lost++;
	if (h->said_ns && now_ns - h->said_ns < SAY_NS)
		return;
	h->said_ns = now_ns;
	log_warning("hooks", "%d hooks wait to be started: %" PRIu64 " were not taken, in all",
		    HOOKS_MAX, h->lost);
}

static void until_put(struct hook_event *event, uint64_t until_ns, uint64_t now_ns)
{
	struct timespec wall;

	if (!event->held || until_ns == UINT64_MAX)
		return;
	clock_gettime(CLOCK_REALTIME, &wall);
	snprintf(event->until, sizeof(event->until), "%" PRIu64,
		 (uint64_t)wall.tv_sec + (until_ns - now_ns + UINT64_C(999999999)) / 1000000000);
}

static void event_fill(const struct hooks *h, const struct engine_change *change,
		       const struct change_text *words, uint64_t now_ns, struct hook_event *event)
{
	const struct segment_slot *known = segment_slot(h->segment, change->slot);
	const struct publish_limits *limits = &change->now->limits;
	bool all = limits->hold_until_ns > now_ns;

	event->held = words->is_held;
	event->which = !event->held ? "" : all ? "all" : "bulk";
	destination_address_text(segment_address(h->segment, change->slot), event->source,
				 sizeof(event->source));
	segment_name(h->segment, known->destination, event->destination,
		     sizeof(event->destination));
	until_put(event, all ? limits->hold_until_ns : limits->hold_lower_ns, now_ns);
	snprintf(event->rule, sizeof(event->rule), "%s",
		 words->reason ? words->reason : words->decided_by);
	snprintf(event->class, sizeof(event->class), "%s", words->class ? words->class : "");
	if (change->reply)
		memcpy(event->reply, change->reply->text, change->reply->length);
}

static void change_seen(void *arg, const struct engine_change *change, uint64_t now_ns)
{
	struct hooks *h = arg;
	struct hook_event *event;
	struct change_text words;
	struct rule_alert command;

	if (h->config == NULL)
		return;
	change_text_make(h->engine, change, now_ns, &words);
	if (words.was_held == words.is_held ||
	    !command_of(h, &(struct hook_event){.held = words.is_held}, &command))
		return;
	event = h->waiting < HOOKS_MAX ? calloc(1, sizeof(*event)) : NULL;
	if (event == NULL) {
		lost_say(h, now_ns);
		return;
	}
	event_fill(h, change, &words, now_ns, event);
	TAILQ_INSERT_TAIL(&h->queue, event, order);
	h->waiting++;
	queue_work(h);
}

/* ---- making ---------------------------------------------------------------------------------- */

int hooks_create(struct loop *loop, struct segment *segment, struct engine *engine,
		 struct hooks **ret)
{
	struct hooks *h = calloc(1, sizeof(*h));
	const struct engine_watcher watcher = {.arg = h, .change = change_seen};
	int error = h ? alerts_create(loop, &h->running) : -ENOMEM;

	if (!error)
		error = engine_watch(engine, &watcher);
	if (error) {
		if (h)
			alerts_free(h->running);
		free(h);
		return error;
	}
	h->segment = segment;
	h->engine = engine;
	TAILQ_INIT(&h->queue);
	alerts_on_end(h->running, ended, h);
	*ret = h;
	return 0;
}

void hooks_free(struct hooks *h)
{
	struct hook_event *event, *next;

	if (h == NULL)
		return;
	engine_unwatch(h->engine, h);
	alerts_free(h->running);
	for (event = TAILQ_FIRST(&h->queue); event != NULL; event = next) {
		next = TAILQ_NEXT(event, order);
		free(event);
	}
	for (int i = 0; i < HOOKS_AT_ONCE; i++)
		free(h->places[i]);
	free(h);
}

void hooks_configure(struct hooks *h, const struct config *config)
{
	h->config = config;
	queue_work(h);
}

void hooks_put(const struct hooks *h, struct json_writer *out, const char *key)
{
	uint32_t running = 0;

	for (int i = 0; i < HOOKS_AT_ONCE; i++)
		running += h->places[i] != NULL;
	json_put_object(out, key);
	json_put_bool(out, "hold", h->config && h->config->hooks.hold_count > 0);
	json_put_bool(out, "release", h->config && h->config->hooks.release_count > 0);
	json_put_u64(out, "running", running);
	json_put_u64(out, "waiting", h->waiting);
	json_put_u64(out, "started", h->started);
	json_put_u64(out, "failed", h->failed);
	json_put_u64(out, "lost", h->lost);
	json_put_end(out);
}
