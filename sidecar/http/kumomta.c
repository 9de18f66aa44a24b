/* SPDX-License-Identifier: MIT */
#include "sidecar/http/kumomta.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/base/log.h"
#include "sidecar/http/kumomta_flows.h"
#include "sidecar/http/kumomta_shaping.h"
#include "sidecar/segment/publish.h"
#include "sidecar/serve/websocket.h"

#define LOOK_NS	     UINT64_C(1000000000) /* holds are looked for */
#define SOON_NS	     UINT64_C(10000000)	  /* after a refusal: the engine has published by then */
#define SHAPING_NS   UINT64_C(1000000000) /* a file that was made is good for so long */
#define FLOWS_A_LOOK 256

enum form { EVENT, SUSPENSION, FORMS };

struct kumomta_listener {
	struct kumomta *kumomta;
	struct websocket *websocket; /* NULL: free */
	enum form form;
};

struct kumomta {
	struct loop *loop;
	struct segment *segment;
	struct engine *engine;
	const struct config *config;
	struct kumomta_flows *flows;
	struct kumomta_listener listeners[KUMOMTA_LISTENERS];
	int timer;
	uint32_t looked; /* at so many flows in this round */
	char *shaping;	 /* as it was last made; NULL: not */
	size_t shaping_length;
	uint64_t shaping_ns;
	struct intake intake;
	uint64_t requests, bad, told, dropped;
};

/* ---- holds ----------------------------------------------------------------------------------- */

/* Until when nothing of bulk goes; 0: it is not held. */
static uint64_t held_until(const struct kumomta *kumomta, const struct kumomta_flow *flow,
			   uint64_t now_ns)
{
	struct publish_in_force force = publish_in_force(kumomta->segment, flow->flow.slot);
	/* Relaxed: each word is valid by itself, and we are who writes them. */
	uint64_t all = atomic_load_explicit(&force.limits->hold_until_ns, memory_order_relaxed);
	uint64_t lower = atomic_load_explicit(&force.more->hold_lower_ns, memory_order_relaxed);
	uint64_t until = all > lower ? all : lower;

	return until > now_ns ? until : 0;
}

static void expires_put(struct json_writer *out, uint64_t until_ns, uint64_t now_ns)
{
	struct timespec wall;
	struct tm utc;
	uint64_t ms;

	clock_gettime(CLOCK_REALTIME, &wall);
	ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000 +
	     (until_ns - now_ns) / 1000000;
	wall.tv_sec = (time_t)(ms / 1000);
	gmtime_r(&wall.tv_sec, &utc);
	json_put_format(out, "expires", "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", utc.tm_year + 1900,
			utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
			(unsigned)(ms % 1000));
}

static void suspension_put(struct json_writer *out, const char *key,
			   const struct kumomta_flow *flow, const struct kumomta_site *site,
			   uint64_t until_ns, uint64_t now_ns)
{
	json_put_object(out, key);
	json_put_format(out, "rule_hash", "tollgate-%s-%s", flow->flow.destination, flow->egress);
	json_put_text(out, "site_name", site->name);
	json_put_text(out, "reason", "tollgate holds this flow");
	json_put_text(out, "source", flow->egress);
	expires_put(out, until_ns, now_ns);
	json_put_end(out);
}

static void listener_close(struct kumomta_listener *listener)
{
	struct websocket *websocket = listener->websocket;

	listener->websocket = NULL;
	websocket_free(websocket);
}

static void listener_tell(struct kumomta_listener *listener, const struct kumomta_flow *flow,
			  const struct kumomta_site *site, uint64_t until_ns, uint64_t now_ns)
{
	static const char *const names[FORMS] = {"ReadyQSuspension", "ReadyQ"};
	struct json_writer out = {0};
	int error = -ENOMEM;

	json_put_object(&out, NULL);
	suspension_put(&out, names[listener->form], flow, site, until_ns, now_ns);
	json_put_end(&out);
	if (!json_failed(&out))
		error = websocket_send(listener->websocket, out.text, out.length);
	json_writer_free(&out);
	if (!error) {
		listener->kumomta->told++;
		return;
	}
	if (listener->kumomta->dropped++ == 0)
		log_warning("kumomta", "who listens to holds does not take them and is dropped "
				       "(said once, counted in status)");
	listener_close(listener);
}

/* Tells all who listen of the queues that have not heard yet, or whose time is half over. */
static void hold_tell(struct kumomta *kumomta, struct kumomta_flow *flow, uint64_t now_ns)
{
	uint64_t held_ns = held_until(kumomta, flow, now_ns), until_ns = now_ns + KUMOMTA_HOLD_NS;

	if (held_ns == 0)
		return;
	until_ns = held_ns < until_ns ? held_ns : until_ns;
	for (uint32_t i = 0; i < flow->site_count; i++) {
		struct kumomta_site *site = &flow->sites[i];

		if (site->told_until_ns >= until_ns ||
		    site->told_until_ns > now_ns + KUMOMTA_HOLD_NS / 2)
			continue;
		site->told_until_ns = until_ns;
		for (int j = 0; j < KUMOMTA_LISTENERS; j++)
			if (kumomta->listeners[j].websocket)
				listener_tell(&kumomta->listeners[j], flow, site, until_ns, now_ns);
	}
}

/* All that is in force, to one that has just come. */
static void holds_tell(struct kumomta_listener *listener, uint64_t now_ns)
{
	struct kumomta *kumomta = listener->kumomta;

	for (uint32_t i = 0; i < kumomta_flows_count(kumomta->flows); i++) {
		struct kumomta_flow *flow = kumomta_flows_nth(kumomta->flows, i);

		for (uint32_t j = 0; j < flow->site_count && listener->websocket; j++)
			if (flow->sites[j].told_until_ns > now_ns &&
			    held_until(kumomta, flow, now_ns))
				listener_tell(listener, flow, &flow->sites[j],
					      flow->sites[j].told_until_ns, now_ns);
	}
}

static bool listened_to(const struct kumomta *kumomta)
{
	for (int i = 0; i < KUMOMTA_LISTENERS; i++)
		if (kumomta->listeners[i].websocket)
			return true;
	return false;
}

/* A piece of a round over all flows; whether more of it is left. */
static bool look(struct kumomta *kumomta, uint64_t now_ns)
{
	uint32_t count = kumomta_flows_count(kumomta->flows);

	for (int i = 0; i < FLOWS_A_LOOK && kumomta->looked < count; i++)
		hold_tell(kumomta, kumomta_flows_nth(kumomta->flows, kumomta->looked++), now_ns);
	if (kumomta->looked < count)
		return true;
	kumomta->looked = 0;
	kumomta_flows_forget(kumomta->flows, now_ns);
	return false;
}

static void look_due(void *arg, uint64_t now_ns)
{
	struct kumomta *kumomta = arg;
	bool more = false;

	for (int i = 0; i < KUMOMTA_LISTENERS; i++)
		if (kumomta->listeners[i].websocket &&
		    !websocket_alive(kumomta->listeners[i].websocket, now_ns))
			listener_close(&kumomta->listeners[i]);
	if (listened_to(kumomta))
		more = look(kumomta, now_ns);
	loop_timer_set(kumomta->loop, kumomta->timer, more ? now_ns : now_ns + LOOK_NS);
}

/* ---- who asks -------------------------------------------------------------------------------- */

/* KumoMTA has no token to bring. */
static void allowed(void *arg, struct http_request *request, struct http_reply *reply)
{
	const struct kumomta *kumomta = arg;

	if (!kumomta->config->http.kumomta.value)
		http_say(reply, 404, "KumoMTA is not answered: http.kumomta is false");
	else if (!request->local)
		http_say(reply, 403, "only this host may ask");
}

static void record_take(struct kumomta *kumomta, struct ingest_event *event)
{
	struct intake_place place;
	struct kumomta_flow *known;
	struct timespec now;
	uint64_t now_ns = loop_now();

	clock_gettime(CLOCK_REALTIME, &now);
	kumomta->intake.engine = kumomta->engine;
	kumomta->intake.config = kumomta->config;
	kumomta->intake.log = &kumomta->config->http.names;
	if (!intake_take(&kumomta->intake, event,
			 (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, now_ns, &place))
		return;
	known = kumomta_flows_learn(kumomta->flows, &place.flow, event, now_ns);
	/* The hold of a refusal is published by the engine's next work. */
	if (known && event->outcome != INGEST_DELIVERED)
		loop_timer_set(kumomta->loop, kumomta->timer, now_ns + SOON_NS);
}

static void publish_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	struct kumomta *kumomta = arg;
	struct ingest_stream stream = {0};
	struct ingest_line line = {request->body, request->length, 0, 0};
	struct ingest_event event;
	enum ingest_result result;

	allowed(arg, request, reply);
	if (reply->status != 200)
		return;
	kumomta->requests++;
	result = kumomta_parse(&stream, &line, &event);
	if (result == INGEST_EVENT)
		record_take(kumomta, &event);
	else if (result == INGEST_BAD && kumomta->bad++ == 0)
		log_warning("kumomta", "a record was not understood and is left out (said once, "
				       "counted in status)");
}

static void shaping_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	struct kumomta *kumomta = arg;
	uint64_t now_ns = loop_now();

	allowed(arg, request, reply);
	if (reply->status != 200)
		return;
	if (kumomta->shaping == NULL || now_ns - kumomta->shaping_ns >= SHAPING_NS) {
		free(kumomta->shaping);
		if (kumomta_shaping_make(kumomta->flows, kumomta->engine, kumomta->config, now_ns,
					 &kumomta->shaping, &kumomta->shaping_length) != 0)
			kumomta->shaping = NULL;
		kumomta->shaping_ns = now_ns;
	}
	reply->body = kumomta->shaping ? malloc(kumomta->shaping_length) : NULL;
	if (reply->body == NULL) {
		http_say(reply, 503, "out of memory: try again later");
		return;
	}
	memcpy(reply->body, kumomta->shaping, kumomta->shaping_length);
	reply->length = kumomta->shaping_length;
	reply->type = "application/toml";
}

static void json_reply(struct json_writer *out, struct http_reply *reply)
{
	if (json_failed(out)) {
		json_writer_free(out);
		http_say(reply, 503, "out of memory: try again later");
		return;
	}
	reply->type = "application/json";
	reply->body = out->text;
	reply->length = out->length;
}

static void suspended_put(struct kumomta *kumomta, struct json_writer *out)
{
	uint64_t now_ns = loop_now();

	for (uint32_t i = 0; i < kumomta_flows_count(kumomta->flows); i++) {
		const struct kumomta_flow *flow = kumomta_flows_nth(kumomta->flows, i);

		for (uint32_t j = 0; j < flow->site_count && held_until(kumomta, flow, now_ns); j++)
			if (flow->sites[j].told_until_ns > now_ns)
				suspension_put(out, NULL, flow, &flow->sites[j],
					       flow->sites[j].told_until_ns, now_ns);
	}
}

static void suspended_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	struct json_writer out = {0};

	allowed(arg, request, reply);
	if (reply->status != 200)
		return;
	json_put_object(&out, NULL);
	json_put_array(&out, "ready_q");
	suspended_put(arg, &out);
	json_put_end(&out);
	json_put_array(&out, "sched_q");
	json_put_end(&out);
	json_put_end(&out);
	json_reply(&out, reply);
}

static void bounced_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	struct json_writer out = {0};

	allowed(arg, request, reply);
	if (reply->status != 200)
		return;
	json_put_array(&out, NULL);
	json_put_end(&out);
	json_reply(&out, reply);
}

static void status_run(void *arg, struct http_request *request, struct http_reply *reply)
{
	allowed(arg, request, reply);
	if (reply->status == 200)
		http_say(reply, 200, "TSA Daemon OK");
}

static void gone(void *arg, struct websocket *websocket)
{
	listener_close(arg);
}

static void listener_begin(struct kumomta *kumomta, enum form form, int fd, void (*close)(void *),
			   void *handle)
{
	struct websocket_options options = {.loop = kumomta->loop,
					    .fd = fd,
					    .close_fd = close,
					    .close_arg = handle,
					    .gone = gone};
	struct kumomta_listener *listener = kumomta->listeners;
	uint64_t now_ns = loop_now();

	while (listener < kumomta->listeners + KUMOMTA_LISTENERS && listener->websocket)
		listener++;
	if (listener == kumomta->listeners + KUMOMTA_LISTENERS) {
		log_warning("kumomta", "%d listen to holds already: one was turned away",
			    KUMOMTA_LISTENERS);
		close(handle);
		return;
	}
	*listener = (struct kumomta_listener){.kumomta = kumomta, .form = form};
	options.arg = listener;
	if (websocket_create(&options, &listener->websocket) != 0) {
		listener->websocket = NULL;
		return;
	}
	holds_tell(listener, now_ns);
	loop_timer_set(kumomta->loop, kumomta->timer, now_ns);
}

static void event_upgraded(void *arg, int fd, void (*close)(void *), void *handle)
{
	listener_begin(arg, EVENT, fd, close, handle);
}

static void suspension_upgraded(void *arg, int fd, void (*close)(void *), void *handle)
{
	listener_begin(arg, SUSPENSION, fd, close, handle);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int routes_make(struct kumomta *kumomta, struct http *http)
{
	static const struct {
		const char *method, *path;
		http_run *run;
	} routes[] = {
		{"POST", "/publish_log_v1", publish_run},
		{"GET", "/get_config_v1/shaping.toml", shaping_run},
		{"GET", "/get_suspension_v1/suspended.json", suspended_run},
		{"GET", "/get_bounce_v1/bounced.json", bounced_run},
		{"GET", "/tsa/status", status_run},
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]) && !error; i++)
		error = http_handle(http, routes[i].method, routes[i].path, routes[i].run, kumomta);
	if (!error)
		error = http_handle_websocket(http, "/subscribe_event_v1", allowed, event_upgraded,
					      kumomta);
	if (!error)
		error = http_handle_websocket(http, "/subscribe_suspension_v1", allowed,
					      suspension_upgraded, kumomta);
	return error;
}

int kumomta_create(struct loop *loop, struct http *http, struct segment *segment,
		   struct engine *engine, struct kumomta **ret)
{
	struct kumomta *kumomta = calloc(1, sizeof(*kumomta));
	int error;

	if (kumomta == NULL)
		return -ENOMEM;
	kumomta->loop = loop;
	kumomta->segment = segment;
	kumomta->engine = engine;
	kumomta->timer = loop_timer(loop, look_due, kumomta);
	error = kumomta->timer < 0 ? -ENOMEM : kumomta_flows_create(&kumomta->flows);
	if (!error)
		error = routes_make(kumomta, http);
	if (error) {
		kumomta_free(kumomta);
		return error;
	}
	*ret = kumomta;
	return 0;
}

void kumomta_free(struct kumomta *kumomta)
{
	if (kumomta == NULL)
		return;
	for (int i = 0; i < KUMOMTA_LISTENERS; i++)
		if (kumomta->listeners[i].websocket)
			listener_close(&kumomta->listeners[i]);
	if (kumomta->timer >= 0)
		loop_timer_set(kumomta->loop, kumomta->timer, LOOP_NEVER);
	kumomta_flows_free(kumomta->flows);
	free(kumomta->shaping);
	free(kumomta);
}

void kumomta_configure(struct kumomta *kumomta, const struct config *config)
{
	kumomta->config = config;
	kumomta->looked = 0;
	free(kumomta->shaping);
	kumomta->shaping = NULL;
	loop_timer_set(kumomta->loop, kumomta->timer,
		       config->http.kumomta.value ? loop_now() + LOOK_NS : LOOP_NEVER);
}

void kumomta_renewed(struct kumomta *kumomta)
{
	uint64_t now_ns = loop_now();

	for (uint32_t i = 0; i < kumomta_flows_count(kumomta->flows); i++) {
		struct intake_flow *flow = &kumomta_flows_nth(kumomta->flows, i)->flow;

		flow->slot = engine_claim(kumomta->engine, flow->source, flow->destination, now_ns);
	}
}

void kumomta_put(const struct kumomta *kumomta, struct json_writer *writer, const char *key)
{
	uint32_t listeners = 0;

	for (int i = 0; i < KUMOMTA_LISTENERS; i++)
		listeners += kumomta->listeners[i].websocket != NULL;
	json_put_object(writer, key);
	json_put_u64(writer, "requests", kumomta->requests);
	json_put_u64(writer, "not_understood", kumomta->bad);
	json_put_u64(writer, "flows", kumomta_flows_count(kumomta->flows));
	json_put_u64(writer, "unfit_names", kumomta_flows_unfit(kumomta->flows));
	json_put_u64(writer, "listeners", listeners);
	json_put_u64(writer, "listeners_dropped", kumomta->dropped);
	json_put_u64(writer, "holds_told", kumomta->told);
	intake_totals_put(&kumomta->intake.totals, writer);
	json_put_end(writer);
}
