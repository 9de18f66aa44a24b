/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/webhook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/base/crypto.h"
#include "sidecar/base/json_scan.h"
#include "sidecar/ingest/event_ids.h"

#define SIGNATURE "X-Twilio-Email-Event-Webhook-Signature"
#define TIMESTAMP "X-Twilio-Email-Event-Webhook-Timestamp"

enum { SENDGRID, EVENTS, HOOKS };

struct hook {
	struct webhook *webhook;
	struct intake intake;
	uint64_t requests, bad; /* what was not understood: bodies, lines, elements */
};

struct webhook {
	struct engine *engine;
	const struct config *config;
	struct crypto_key *key; /* of the configuration; NULL: none */
	struct event_ids ids;
	struct hook hooks[HOOKS];
};

/* ---- who may --------------------------------------------------------------------------------- */

/* Whether a request may come in: it brings the token, or there is none and it is of this host; else
 * the reply says so. */
static bool webhook_allowed(const struct config *config, const struct http_request *request,
			    struct http_reply *reply)
{
	const char *header = http_header(request, "Authorization");
	const char *given = http_argument(request, "token");

	if (config->http.token == NULL) {
		if (request->local)
			return true;
		http_say(reply, 403, "without a token only this host may ask");
		return false;
	}
	if (header && strncasecmp(header, "Bearer ", 7) == 0)
		given = header + 7 + strspn(header + 7, " ");
	if (given && crypto_same(given, config->http.token))
		return true;
	http_say(reply, 401, given ? "the token is wrong" : "a token is needed");
	return false;
}

/* By SendGrid's signature where its key is known, else by the token. */
static bool sendgrid_allowed(const struct webhook *webhook, const struct http_request *request,
			     struct http_reply *reply)
{
	const char *signature = http_header(request, SIGNATURE);
	const char *stamp = http_header(request, TIMESTAMP);

	if (webhook->config->http.sendgrid_key == NULL)
		return webhook_allowed(webhook->config, request, reply);
	if (webhook->key == NULL) {
		http_say(reply, 503, "out of memory: try again later");
		return false;
	}
	if (signature == NULL || stamp == NULL) {
		http_say(reply, 401, "it is not signed");
		return false;
	}
	if (crypto_signed(webhook->key, signature, stamp, strlen(stamp), request->body,
			  request->length))
		return true;
	http_say(reply, 403, "the signature is not of the configured key");
	return false;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void event_take(struct hook *hook, struct ingest_event *event)
{
	struct webhook *webhook = hook->webhook;
	const struct ingest_text none = {0};
	struct intake_place place;
	struct timespec now;

	if (!event_ids_first(&webhook->ids, &event->id)) {
		hook->intake.totals.events++;
		hook->intake.totals.repeated++;
		return;
	}
	event->id = none;
	clock_gettime(CLOCK_REALTIME, &now);
	hook->intake.engine = webhook->engine;
	hook->intake.config = webhook->config;
	hook->intake.log = &webhook->config->http.names;
	intake_take(&hook->intake, event, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
		    loop_now(), &place);
}

/* What was taken, counted; 400 where nothing of it could be read. */
static void answer(struct hook *hook, const struct intake_totals *before, uint64_t bad,
		   struct http_reply *reply)
{
	const struct intake_totals *now = &hook->intake.totals;
	struct json_writer out = {0};

	hook->bad += bad;
	if (bad > 0 && now->events == before->events) {
		http_say(reply, 400, "not understood");
		return;
	}
	json_put_object(&out, NULL);
	json_put_u64(&out, "events", now->events - before->events);
	json_put_u64(&out, "heard", now->heard - before->heard);
	json_put_u64(&out, "repeated", now->repeated - before->repeated);
	json_put_u64(&out, "no_source", now->no_source - before->no_source);
	json_put_u64(&out, "no_destination", now->no_destination - before->no_destination);
	json_put_u64(&out, "not_understood", bad);
	json_put_end(&out);
	json_put_newline(&out);
	if (json_failed(&out)) {
		json_writer_free(&out);
		return;
	}
	reply->type = "application/json";
	reply->body = out.text;
	reply->length = out.length;
}

static void sendgrid_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	struct hook *hook = arg;
	struct intake_totals before = hook->intake.totals;
	struct ingest_stream stream = {0};
	struct ingest_line line = {request->body, request->length, 0, 0};
	enum ingest_result result;

	hook->requests++;
	if (!sendgrid_allowed(hook->webhook, request, reply))
		return;
	do {
		struct ingest_event event;

		result = sendgrid_parse(&stream, &line, &event);
		if (result == INGEST_EVENT)
			event_take(hook, &event);
	} while (result == INGEST_EVENT);
	answer(hook, &before, result == INGEST_BAD, reply);
}

/* One of our own. Returns 1 where it is not understood. */
static uint64_t own_take(struct hook *hook, struct ingest_stream *stream, char *at, size_t length)
{
	struct ingest_line line = {at, length, 0, 0};
	struct ingest_event event;
	enum ingest_result result = json_log_parse(stream, &line, &event);

	if (result == INGEST_EVENT)
		event_take(hook, &event);
	return result == INGEST_BAD;
}

static uint64_t lines_take(struct hook *hook, char *at, char *end)
{
	struct ingest_stream stream = {0};
	uint64_t bad = 0;

	while (at < end) {
		char *stop = memchr(at, '\n', (size_t)(end - at));

		stop = stop ? stop : end;
		bad += own_take(hook, &stream, at, (size_t)(stop - at));
		at = stop + 1;
	}
	return bad;
}

/* Nothing is told of an array that was cut off. */
static bool array_whole(struct json_scan scan)
{
	while (json_scan_next(&scan))
		json_scan_value(&scan);
	return json_scan_done(&scan);
}

static uint64_t array_take(struct hook *hook, struct json_scan *scan)
{
	struct ingest_stream stream = {0};
	uint64_t bad = 0;

	if (!array_whole(*scan))
		return 1;
	while (json_scan_next(scan)) {
		struct json_slice value = json_scan_value(scan);

		bad += own_take(hook, &stream, value.at, value.length);
	}
	return bad;
}

static void events_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	struct hook *hook = arg;
	struct intake_totals before = hook->intake.totals;
	struct json_scan scan = {request->body, request->body + request->length, false};
	uint64_t bad;

	hook->requests++;
	if (!webhook_allowed(hook->webhook->config, request, reply))
		return;
	if (json_scan_enter(&scan, '['))
		bad = array_take(hook, &scan);
	else
		bad = lines_take(hook, request->body, request->body + request->length);
	answer(hook, &before, bad, reply);
}

/* ---- the whole ------------------------------------------------------------------------------- */

int webhook_create(struct http *http, struct engine *engine, struct webhook **ret)
{
	struct webhook *webhook = calloc(1, sizeof(*webhook));
	int error;

	if (webhook == NULL)
		return -ENOMEM;
	webhook->engine = engine;
	for (int i = 0; i < HOOKS; i++)
		webhook->hooks[i].webhook = webhook;
	error = http_handle(http, "POST", "/sendgrid", sendgrid_run, &webhook->hooks[SENDGRID]);
	if (!error)
		error = http_handle(http, "POST", "/events", events_run, &webhook->hooks[EVENTS]);
	if (error) {
		free(webhook);
		return error;
	}
	*ret = webhook;
	return 0;
}

void webhook_free(struct webhook *webhook)
{
	if (webhook == NULL)
		return;
	crypto_key_free(webhook->key);
	free(webhook);
}

void webhook_configure(struct webhook *webhook, const struct config *config)
{
	webhook->config = config;
	crypto_key_free(webhook->key);
	webhook->key = NULL;
	if (config->http.sendgrid_key)
		crypto_key_read(config->http.sendgrid_key, &webhook->key);
}

void webhook_put(const struct webhook *webhook, struct json_writer *writer)
{
	static const char *const names[HOOKS] = {"sendgrid", "events"};

	for (int i = 0; i < HOOKS; i++) {
		const struct hook *hook = &webhook->hooks[i];

		json_put_object(writer, names[i]);
		json_put_u64(writer, "requests", hook->requests);
		json_put_u64(writer, "not_understood", hook->bad);
		intake_totals_put(&hook->intake.totals, writer);
		json_put_end(writer);
	}
}
