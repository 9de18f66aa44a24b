/* SPDX-License-Identifier: MIT
 *
 * warmup: a line a flow that warms up; warmup_order: what the operator wants of one, or of all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shm/destination.h"
#include "sidecar/api/api.h"
#include "sidecar/base/log.h"

#define DAY_S 86400

static const char *const orders[WARMUP_ORDERS] = {[WARMUP_START] = "start",
						  [WARMUP_PAUSE] = "pause",
						  [WARMUP_RESUME] = "resume",
						  [WARMUP_SKIP] = "skip",
						  [WARMUP_RESTART] = "restart"};

/* ---- a flow's -------------------------------------------------------------------------------- */

/* Of a day's number, from 1 on, as warm-up counts them. */
static void put_date(struct json_writer *out, const char *key, uint32_t day)
{
	time_t noon = ((time_t)day - 1) * DAY_S + DAY_S / 2;
	struct tm date;
	char text[32] = "";

	if (day && gmtime_r(&noon, &date) && strftime(text, sizeof(text), "%F", &date))
		json_put_text(out, key, text);
	else
		json_put_null(out, key);
}

static void put_share(struct json_writer *out, const struct warmup_day *day)
{
	if (day->sent)
		json_put_number(out, "deferred_share", (double)day->deferred / day->sent, 6);
	else
		json_put_null(out, "deferred_share");
}

static void put_day(struct json_writer *out, const struct warmup_day *day)
{
	json_put_object(out, NULL);
	put_date(out, "date", day->day);
	json_put_u64(out, "cap", day->cap);
	json_put_u64(out, "sent", day->sent);
	json_put_u64(out, "delivered", day->delivered);
	json_put_u64(out, "deferred", day->deferred);
	json_put_bool(out, "wall", day->flags & WARMUP_WALL);
	json_put_bool(out, "trouble", day->flags & WARMUP_TROUBLE);
	json_put_bool(out, "stepped_back", day->flags & WARMUP_STEPPED_BACK);
	json_put_end(out);
}

/* The oldest first, today last. */
static void put_days(struct json_writer *out, const struct warmup *w)
{
	json_put_array(out, "days");
	for (uint32_t i = WARMUP_DAYS; i-- > 0;)
		if (warmup_before(w, i))
			put_day(out, warmup_before(w, i));
	put_day(out, warmup_today(w));
	json_put_end(out);
}

static void put_forecast(struct json_writer *out, const struct engine_warmup *warmup)
{
	uint32_t day = warmup_forecast(warmup->state, &warmup->plan);

	put_date(out, "full_volume_on", day);
	if (day)
		json_put_u64(out, "full_volume_in_days", day - warmup_today(warmup->state)->day);
	else
		json_put_null(out, "full_volume_in_days");
}

void warmup_json_put(struct json_writer *out, const struct engine_warmup *warmup)
{
	const struct warmup *w = warmup->state;
	const struct warmup_day *today = warmup_today(w);

	json_put_text(out, "schedule", warmup->schedule);
	json_put_text(out, "state", warmup_phase_name((enum warmup_phase)w->phase));
	json_put_u64(out, "day", w->step + 1);
	json_put_u64(out, "schedule_days", warmup->plan.count);
	json_put_u64(out, "volume", warmup->plan.volume);
	json_put_u64(out, "cap", today->cap);
	if (warmup->caps.hour[TG_TRANSACTIONAL] != UINT32_MAX)
		json_put_u64(out, "hour_cap", warmup->caps.hour[TG_TRANSACTIONAL]);
	else
		json_put_null(out, "hour_cap");
	json_put_u64(out, "sent", today->sent);
	json_put_u64(out, "delivered", today->delivered);
	json_put_u64(out, "deferred", today->deferred);
	put_share(out, today);
	json_put_u64(out, "to_show", warmup_to_show(w));
	json_put_u64(out, "peak", warmup_peak(w));
	json_put_number(out, "growth", (double)w->growth, 3);
	put_forecast(out, warmup);
	json_put_bool(out, "too_little", w->low_days >= WARMUP_LOW_DAYS);
	json_put_bool(out, "wall", today->flags & WARMUP_WALL);
	json_put_bool(out, "trouble", today->flags & WARMUP_TROUBLE);
	json_put_u64(out, "steps_back_for", w->back);
}

static void put_flow(const struct segment *segment, uint32_t slot,
		     const struct engine_warmup *warmup, struct json_writer *out)
{
	json_put_object(out, NULL);
	flow_json_put_names(segment, slot, out);
	warmup_json_put(out, warmup);
	put_days(out, warmup->state);
	json_put_end(out);
	json_put_newline(out);
}

/* ---- the commands ---------------------------------------------------------------------------- */

static int refuse(struct control_call *call, const char *what, const char *why)
{
	snprintf(call->reason, sizeof(call->reason), "%.100s: %.100s", what, why);
	return -EINVAL;
}

/* A flow that warms up is told; with an order that is one of enum warmup_order, after it. */
static void visit(struct api_context *s, struct control_call *call, uint32_t slot, void *arg)
{
	const int *order = arg;
	struct engine_warmup warmup;
	uint64_t now_ns = loop_now();

	if (*order < WARMUP_ORDERS &&
	    engine_warmup_order(s->engine, slot, (enum warmup_order) * order, now_ns) != 0)
		return;
	if (engine_warmup(s->engine, slot, now_ns, &warmup) == 0)
		put_flow(s->segment, slot, &warmup, call->answer);
}

int api_warmup(void *arg, struct control_call *call)
{
	int none = WARMUP_ORDERS;

	return api_each_flow(arg, call, visit, &none);
}

static int member_check(void *arg, const char *key, const struct json *value)
{
	static const char *const known[] = {"command", "source", "destination", "order"};
	struct control_call *call = arg;
	bool found = false;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		found |= strcmp(key, known[i]) == 0;
	if (!found)
		return refuse(call, key, "no such member of this command");
	if (json_kind(value) != JSON_KIND_TEXT)
		return refuse(call, key, "must be a string");
	return 0;
}

int api_warmup_order(void *arg, struct control_call *call)
{
	const char *text = json_get_text(call->request, "order", "");
	bool first = call->cursor == 0;
	int order = 0, status = json_each(call->request, member_check, call);

	while (order < WARMUP_ORDERS && strcmp(orders[order], text) != 0)
		order++;
	if (status)
		return status;
	if (order == WARMUP_ORDERS)
		return refuse(call, text, "must be start, pause, resume, skip or restart");
	if (json_get(call->request, "source") == NULL ||
	    json_get(call->request, "destination") == NULL)
		return refuse(call, text,
			      "name a source and a destination, or \"*\" for all that are known");
	status = api_each_flow(arg, call, visit, &order);
	if (first && status >= 0)
		log_notice("operator", "uid %u: warmup %s %.64s at %.255s", (unsigned)call->uid,
			   text, json_get_text(call->request, "source", "*"),
			   json_get_text(call->request, "destination", "*"));
	return status;
}
