/* SPDX-License-Identifier: MIT
 *
 * One worker process of the fleet: see worker.h.
 *
 * The part between "the gate" and "sending" is all that an MTA needs to add: tg_connect before a
 * connection, tg_reserve before a message, tg_report after a reply, tg_disconnect at the end. Where
 * nothing may go it sleeps in tg_wait, for the message that may go first.
 */
#include "bench/lib/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/now.h"
#include "bench/lib/outbox.h"
#include "bench/lib/smtpc.h"
#include "sidecar/base/random.h"

#define TIMEOUT_MS   10000
#define IDLE_NS	     (5 * SECOND_NS) /* a connection without work is closed after this */
#define RESERVE_NS   (SECOND_NS / 2) /* a slot further ahead is not worth holding */
#define TICK_NS	     (SECOND_NS / 4) /* the longest sleep */
#define BODY_BYTES   3000
#define RETRY_SHIFTS 16

struct route {
	struct smtpc smtp;
	uint64_t used_ns;
	uint32_t place; /* messages on this connection */
	bool leased;	/* the gate counts this connection */
	struct tg_lease lease;
	struct tg_flow flow;
};

struct queue {
	struct outbox box;
	uint64_t ask_ns; /* the gate, or a reservation, says: not before */
	bool reserved;
	bool granted; /* tg_wait has taken a slot: the next message goes now */
	struct tg_reservation reservation;
};

struct worker {
	const struct worker_plan *plan;
	struct worker_tally *tally;
	struct tg *tg;
	struct sockaddr_storage source;
	struct route *routes;
	struct queue *queues; /* route * TG_CLASSES + class */
	uint32_t turn;
	uint64_t random;
	char body[BODY_BYTES + 128];
	size_t body_length;
};

/* ---- the gate -----------------------------------------------------------------------------------
 */

static int gate_resolve(struct worker *w)
{
	struct tg_source source;
	struct tg_destination destination;
	int error = tg_source(w->tg, w->plan->source, &source);

	for (uint32_t i = 0; i < w->plan->route_count && error == 0; i++) {
		error = tg_destination(w->tg, w->plan->routes[i].name, &destination);
		if (error == 0)
			error = tg_flow(w->tg, &source, &destination, &w->routes[i].flow);
		if (error == -ENOSPC)
			error = 0; /* every verdict says so */
	}
	return error;
}

/* The segment was replaced: its successor may take a moment. Leases live on in it, reservations do
 * not. */
static void gate_renew(struct worker *w)
{
	if (tg_renew(w->tg) < 0 || gate_resolve(w) < 0)
		return;
	for (uint32_t i = 0; i < w->plan->route_count * TG_CLASSES; i++)
		w->queues[i].reserved = w->queues[i].granted = false;
}

/* True: admitted, and now. Otherwise the queue knows when to ask again. */
static bool gate_heed(struct worker *w, struct queue *queue, const struct tg_verdict *verdict,
		      uint64_t now_ns)
{
	w->tally->verdicts[verdict->reason < TG_REASONS ? verdict->reason : 0]++;
	queue->ask_ns = verdict->at_ns;
	if (verdict->reason == TG_RETIRED) {
		gate_renew(w);
		queue->ask_ns = now_ns + 10000000;
	}
	return verdict->reason == TG_ADMITTED && verdict->at_ns <= tg_now(w->tg);
}

/* A slot for one message, at or before its time. True: it is now. */
static bool gate_slot(struct worker *w, struct route *route, struct queue *queue,
		      enum tg_class traffic, uint64_t now_ns)
{
	struct tg_verdict verdict;

	if (queue->granted)
		return true;
	if (queue->reserved) {
		/* Its time has come; a hold may have come, too, or a limit over all destinations.
		 */
		verdict = tg_redeem(w->tg, &queue->reservation);
		return gate_heed(w, queue, &verdict, now_ns);
	}
	verdict = tg_reserve(w->tg, &route->flow, traffic, 1, RESERVE_NS, &queue->reservation);
	queue->reserved = verdict.reason == TG_ADMITTED;
	return gate_heed(w, queue, &verdict, now_ns);
}

static bool fixed_pass(struct worker *w, const struct route *route, struct queue *queue,
		       uint64_t now_ns)
{
	return fixed_take(&w->plan->fixed[route - w->routes], now_ns, &queue->ask_ns);
}

/* May a message of the queue go over the route now? The connection comes before the slot: a slot
 * that no connection is there for is lost if somebody has taken a later one since, and where fewer
 * connections than workers are allowed that is most of them. A lease that finds no slot is kept for
 * the next one, and given back when it has been idle. */
static bool gate_pass(struct worker *w, struct route *route, struct queue *queue,
		      enum tg_class traffic, uint64_t now_ns)
{
	struct tg_verdict verdict;

	if (w->plan->fixed && !fixed_pass(w, route, queue, now_ns))
		return false;
	if (!w->tg)
		return true;
	if (!route->leased) {
		verdict = tg_connect(w->tg, &route->flow, traffic, &route->lease);
		route->leased = gate_heed(w, queue, &verdict, now_ns);
		if (!route->leased)
			return false;
		route->used_ns = now_ns;
		route->place = 0;
	}
	if (!gate_slot(w, route, queue, traffic, now_ns))
		return false;
	queue->reserved = queue->granted = false;
	return true;
}

static void gate_report(struct worker *w, struct route *route, enum tg_class traffic,
			enum tg_stage stage, int code, uint64_t admitted_ns)
{
	struct tg_reply reply = {0};

	if (!w->tg)
		return;
	if (code)
		tg_reply_parse(route->smtp.reply, route->smtp.reply_length, &reply);
	reply.stage = (uint8_t)stage;
	reply.place = stage == TG_STAGE_MESSAGE ? (uint16_t)route->place : 0;
	reply.traffic = (uint8_t)traffic;
	reply.n = 1;
	reply.admitted_ns = admitted_ns;
	tg_report(w->tg, &route->flow, &reply);
}

/* ---- sending ------------------------------------------------------------------------------------
 */

static void route_close(struct worker *w, struct route *route)
{
	smtpc_close(&route->smtp);
	route->place = 0;
	if (route->leased)
		tg_disconnect(w->tg, &route->lease);
	route->leased = false;
}

/* A connection, if there is none: 250, or what the receiver said, or 0. */
static int route_open(struct worker *w, struct route *route, const struct worker_route *where,
		      enum tg_class traffic, uint64_t admitted_ns)
{
	int code;

	if (route->smtp.fd >= 0)
		return 250;
	w->tally->connections++;
	route->place = 0;
	code = smtpc_open(&route->smtp, &w->source, &where->peer, TIMEOUT_MS);
	if (code != 250)
		gate_report(w, route, traffic, code ? TG_STAGE_GREETING : TG_STAGE_CONNECT, code,
			    admitted_ns);
	return code;
}

static int message_send(struct worker *w, struct route *route, const struct outbox_message *message,
			const char *name, enum tg_class traffic)
{
	static const char *const classes[TG_CLASSES] = {"transactional", "engaged", "bulk"};
	char header[512], recipient[300];
	struct smtpc_message out = {"bounce@fleet.tollgate.example", recipient, header, w->body,
				    w->body_length};

	snprintf(recipient, sizeof(recipient), "user%u@%.250s", message->number, name);
	snprintf(header, sizeof(header),
		 "From: <news@fleet.tollgate.example>\r\nTo: <%.280s>\r\n"
		 "Message-ID: <%u.%s@fleet.tollgate.example>\r\nSubject: %s %u\r\n\r\n",
		 recipient, message->number, w->plan->source, classes[traffic], message->number);
	route->place++;
	return smtpc_send(&route->smtp, &out);
}

static void delay_note(struct worker *w, uint64_t arrival_ns, uint64_t now_ns)
{
	struct worker_tally *tally = w->tally;

	if (tally->delay_count < tally->delay_room)
		tally->delay_ms[tally->delay_count++] = (uint32_t)((now_ns - arrival_ns) / 1000000);
}

/* What the reply means for the message: delivered and bounced are final, the rest waits. */
static void message_settle(struct worker *w, struct queue *queue, struct outbox_message *message,
			   enum tg_class traffic, int code, uint64_t now_ns)
{
	const struct worker_plan *plan = w->plan;
	uint64_t wait;

	if (code >= 200 && code < 300) {
		w->tally->delivered[traffic]++;
		if (traffic == TG_TRANSACTIONAL)
			delay_note(w, message->arrival_ns, now_ns);
		return;
	}
	if (code >= 500) {
		w->tally->bounced++;
		return;
	}
	if (code)
		w->tally->deferred++;
	else
		w->tally->unreachable++;
	wait = plan->retry_ns << (message->attempts < RETRY_SHIFTS ? message->attempts
								   : RETRY_SHIFTS);
	if (wait > plan->retry_max_ns)
		wait = plan->retry_max_ns;
	message->attempts++;
	/* A little early or late, or all that was deferred together comes back together. */
	message->due_ns = now_ns + wait * 7 / 8 + random_below(&w->random, wait / 4 + 1);
	outbox_push(&queue->box, message);
}

/* Tries one message of a queue, if the gate lets it. False: it does not, nothing was done. */
static bool queue_serve(struct worker *w, uint32_t index, uint64_t now_ns)
{
	struct queue *queue = &w->queues[index];
	struct route *route = &w->routes[index / TG_CLASSES];
	const struct worker_route *where = &w->plan->routes[index / TG_CLASSES];
	enum tg_class traffic = index % TG_CLASSES;
	struct outbox_message message;
	uint32_t max;
	int code;

	if (!gate_pass(w, route, queue, traffic, now_ns))
		return false;
	message = outbox_pop(&queue->box);
	w->tally->attempts++;
	code = route_open(w, route, where, traffic, now_ns);
	if (code == 250) {
		code = message_send(w, route, &message, where->name, traffic);
		gate_report(w, route, traffic, TG_STAGE_MESSAGE, code, now_ns);
	}
	now_ns = now_monotonic();
	message_settle(w, queue, &message, traffic, code, now_ns);
	route->used_ns = now_ns;
	max = route->leased ? route->lease.advice.messages_per_connection : 0;
	if (route->smtp.fd < 0 || (max && route->place >= max))
		route_close(w, route);
	return true;
}

/* ---- the loop -----------------------------------------------------------------------------------
 */

static uint64_t queue_due(const struct queue *queue)
{
	const struct outbox_message *first = outbox_first(&queue->box);

	if (!first)
		return UINT64_MAX;
	return first->due_ns > queue->ask_ns ? first->due_ns : queue->ask_ns;
}

/* One message, transactional mail first, destinations in turn. False: nothing can go now. */
static bool worker_step(struct worker *w, uint64_t now_ns)
{
	uint32_t count = w->plan->route_count;

	for (uint32_t traffic = 0; traffic < TG_CLASSES; traffic++)
		for (uint32_t i = 0; i < count; i++) {
			uint32_t route = (w->turn + i) % count;
			uint32_t index = route * TG_CLASSES + traffic;

			if (queue_due(&w->queues[index]) > now_ns)
				continue;
			if (queue_serve(w, index, now_ns)) {
				w->turn = route + 1;
				return true;
			}
		}
	return false;
}

/* The queue that is due first, and when the next one after it is. */
static uint32_t queue_first(const struct worker *w, uint64_t *ret_next_ns)
{
	uint64_t first_ns = UINT64_MAX, next_ns = UINT64_MAX;
	uint32_t first = 0;

	for (uint32_t i = 0; i < w->plan->route_count * TG_CLASSES; i++) {
		uint64_t due_ns = queue_due(&w->queues[i]);

		if (due_ns >= first_ns) {
			next_ns = due_ns < next_ns ? due_ns : next_ns;
			continue;
		}
		next_ns = first_ns;
		first_ns = due_ns;
		first = i;
	}
	*ret_next_ns = next_ns;
	return first;
}

/* Sleeps at the gate, until the queue's message may go or wake_ns has come; a change of the limits
 * is an end, too. Only over a connection that is there. False: the gate does not know when. */
static bool gate_sleep(struct worker *w, uint32_t index, uint64_t now_ns, uint64_t wake_ns)
{
	struct queue *queue = &w->queues[index];
	struct route *route = &w->routes[index / TG_CLASSES];
	const struct outbox_message *message = outbox_first(&queue->box);
	struct tg_verdict verdict;

	if (!w->tg || !route->leased || queue->reserved || !message || message->due_ns > now_ns)
		return false;
	verdict = tg_wait(w->tg, &route->flow, index % TG_CLASSES, 1, wake_ns);
	queue->granted = gate_heed(w, queue, &verdict, now_ns);
	return true;
}

static void worker_sleep(struct worker *w, uint64_t now_ns)
{
	uint64_t wake = now_ns + TICK_NS, next_ns;
	uint32_t first = queue_first(w, &next_ns);
	struct timespec until;

	for (uint32_t i = 0; i < w->plan->route_count; i++)
		if (w->routes[i].smtp.fd >= 0 || w->routes[i].leased) {
			if (now_ns - w->routes[i].used_ns >= IDLE_NS)
				route_close(w, &w->routes[i]);
		}
	if (gate_sleep(w, first, now_ns, next_ns < wake ? next_ns : wake))
		return;
	if (queue_due(&w->queues[first]) < wake)
		wake = queue_due(&w->queues[first]);
	until = (struct timespec){(time_t)(wake / SECOND_NS), (long)(wake % SECOND_NS)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint64_t worker_waiting(const struct worker *w)
{
	uint64_t waiting = 0;

	for (uint32_t i = 0; i < w->plan->route_count * TG_CLASSES; i++)
		waiting += w->queues[i].box.heap.count;
	return waiting;
}

static void worker_loop(struct worker *w)
{
	uint64_t now = now_monotonic();

	while (now < w->plan->end_ns && (w->tally->waiting = worker_waiting(w)) > 0) {
		if (!worker_step(w, now))
			worker_sleep(w, now);
		now = now_monotonic();
	}
	w->tally->waiting = worker_waiting(w);
	for (uint32_t i = 0; i < w->plan->route_count; i++) {
		struct queue *queue = &w->queues[i * TG_CLASSES + TG_TRANSACTIONAL];

		route_close(w, &w->routes[i]);
		while (outbox_first(&queue->box)) {
			struct outbox_message message = outbox_pop(&queue->box);

			if (message.arrival_ns < now)
				delay_note(w, message.arrival_ns, now);
		}
	}
}

/* ---- set-up -------------------------------------------------------------------------------------
 */

/* A newsletter is there at once; transactional mail comes evenly. Destinations are dealt in turn,
 * from a random first one. */
static void traffic_fill(struct worker *w)
{
	const struct worker_plan *plan = w->plan;
	uint32_t first = (uint32_t)random_below(&w->random, plan->route_count);
	struct outbox_message message = {0};

	for (uint32_t i = 0; i < plan->bulk; i++) {
		message = (struct outbox_message){plan->begin_ns, plan->begin_ns, i, 0};
		outbox_push(&w->queues[(first + i) % plan->route_count * TG_CLASSES + TG_BULK].box,
			    &message);
	}
	for (uint32_t i = 0; i < plan->transactional; i++) {
		uint64_t step = plan->arrive_ns / plan->transactional;
		uint64_t at = plan->begin_ns + i * step + random_below(&w->random, step + 1);

		message = (struct outbox_message){at, at, plan->bulk + i, 0};
		outbox_push(&w->queues[(first + i) % plan->route_count * TG_CLASSES].box, &message);
	}
}

static void body_fill(struct worker *w)
{
	static const char *const words[] = {"gate ", "mail ", "pace ", "flow ", "slot "};

	while (w->body_length < BODY_BYTES) {
		size_t column = 0;

		if (random_below(&w->random, 16) == 0)
			w->body_length += (size_t)sprintf(w->body + w->body_length, "..");
		while (column++ < 12)
			w->body_length += (size_t)sprintf(w->body + w->body_length, "%s",
							  words[random_below(&w->random, 5)]);
		w->body_length += (size_t)sprintf(w->body + w->body_length, "\r\n");
	}
}

static int source_parse(const char *text, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		ret->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		ret->ss_family = AF_INET6;
	else
		return -EINVAL;
	return 0;
}

static int worker_prepare(struct worker *w)
{
	const struct worker_plan *plan = w->plan;
	struct tg_options options = {
		.size = sizeof(options), .segment = plan->segment, .owner = -1};
	int error = source_parse(plan->source, &w->source);

	if (error < 0)
		return error;
	w->routes = calloc(plan->route_count, sizeof(*w->routes));
	w->queues = calloc(plan->route_count * TG_CLASSES, sizeof(*w->queues));
	if (!w->routes || !w->queues)
		return -ENOMEM;
	for (uint32_t i = 0; i < plan->route_count; i++)
		w->routes[i].smtp.fd = -1;
	for (uint32_t i = 0; i < plan->route_count * TG_CLASSES; i++)
		if (outbox_new(&w->queues[i].box, plan->bulk + plan->transactional) < 0)
			return -ENOMEM;
	body_fill(w);
	traffic_fill(w);
	if (!plan->segment)
		return 0;
	error = tg_attach(&options, &w->tg);
	return error < 0 ? error : gate_resolve(w);
}

int worker_run(const struct worker_plan *plan, struct worker_tally *tally)
{
	struct worker *w = calloc(1, sizeof(*w));
	int error;

	if (!w)
		return -ENOMEM;
	w->plan = plan;
	w->tally = tally;
	w->random = plan->seed;
	error = worker_prepare(w);
	if (error == 0)
		worker_loop(w);
	tg_detach(w->tg);
	for (uint32_t i = 0; w->queues && i < plan->route_count * TG_CLASSES; i++)
		outbox_free(&w->queues[i].box);
	free(w->queues);
	free(w->routes);
	free(w);
	return error;
}
