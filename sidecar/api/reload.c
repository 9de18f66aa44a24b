/* SPDX-License-Identifier: MIT
 *
 * reload: as SIGHUP, with an answer: what was found, a line each, and whether it is in force.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/api/api.h"

#define PROBLEMS_MAX 100 /* as many as somebody repairs in one go; how many there are is said */

static void put_problems(const struct diagnostics *report, struct json_writer *out)
{
	char text[512];

	for (uint32_t i = 0; i < report->count && i < PROBLEMS_MAX; i++) {
		json_put_object(out, NULL);
		json_put_text(out, "problem",
			      diagnostic_text(&report->problems[i], text, sizeof(text)));
		json_put_bool(out, "error", report->problems[i].error);
		json_put_end(out);
		json_put_newline(out);
	}
}

static void put_moves(const struct engine *engine, struct json_writer *out)
{
	uint32_t count, said = 0;
	const struct engine_move *moves = engine_moves(engine, &count);

	for (uint32_t i = 0; i < count; i++) {
		if ((!moves[i].flows && !moves[i].lost) || said++ >= PROBLEMS_MAX)
			continue;
		json_put_object(out, NULL);
		json_put_text(out, "moved", moves[i].from);
		json_put_text(out, "to", moves[i].to);
		flow_json_count(out, "flows", moves[i].flows);
		flow_json_count(out, "lost", moves[i].lost);
		json_put_end(out);
		json_put_newline(out);
	}
	if (said <= PROBLEMS_MAX)
		return;
	json_put_object(out, NULL);
	flow_json_count(out, "moved_more", said - PROBLEMS_MAX);
	json_put_end(out);
	json_put_newline(out);
}

/* At first it asks; the cursor is then its ticket. */
int api_reload(void *arg, struct control_call *call)
{
	struct api_context *s = arg;
	const struct api_reload_result *result = s->reload_result;

	if (call->cursor == 0)
		call->cursor = s->reload(s->daemon);
	if (result->done < call->cursor)
		return SERVER_WAIT;
	put_problems(&result->report, call->answer);
	if (result->error) {
		snprintf(call->reason, sizeof(call->reason), "%s", result->reason);
		return result->error;
	}
	put_moves(s->engine, call->answer);
	json_put_object(call->answer, NULL);
	json_put_text(call->answer, "config",
		      s->config_path ? s->config_path : "the built-in configuration");
	flow_json_count(call->answer, "generation",
			atomic_load_explicit(&s->segment->live->generation, memory_order_relaxed));
	json_put_end(call->answer);
	json_put_newline(call->answer);
	return SERVER_DONE;
}
