/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/base/log.h"

/* Each by itself: a follower keeps its address. */
struct one_log {
	struct logs *logs;
	struct follow *follow;
	struct intake intake; /* .log: its configuration */
	struct intake_memory memory;
};

struct logs {
	struct loop *loop;
	struct engine *engine;
	const struct config *config;
	struct intake_gate gate;
	int folder, timer;
	struct one_log **logs;
	uint32_t count;
};

static void event_take(void *arg, const struct ingest_event *event)
{
	struct one_log *log = arg;
	struct intake_place place;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	log->intake.config = log->logs->config;
	intake_take(&log->intake, event, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
		    loop_now(), &place);
}

static void look_due(void *arg, uint64_t now_ns)
{
	struct logs *logs = arg;
	bool more = false;

	for (uint32_t i = 0; i < logs->count; i++)
		more |= follow_look(logs->logs[i]->follow);
	if (logs->count > 0)
		loop_timer_set(logs->loop, logs->timer, more ? now_ns : now_ns + FOLLOW_LOOK_NS);
}

int logs_create(struct loop *loop, int folder, struct engine *engine,
		const struct intake_gate *gate, struct logs **ret)
{
	struct logs *logs = calloc(1, sizeof(*logs));

	if (logs == NULL)
		return -ENOMEM;
	*logs = (struct logs){.loop = loop, .engine = engine, .gate = *gate, .folder = folder};
	logs->timer = loop_timer(loop, look_due, logs);
	if (logs->timer < 0) {
		free(logs);
		return -ENOMEM;
	}
	*ret = logs;
	return 0;
}

static void one_free(struct one_log *log)
{
	if (log == NULL)
		return;
	follow_free(log->follow);
	free(log);
}

void logs_free(struct logs *logs)
{
	if (logs == NULL)
		return;
	for (uint32_t i = 0; i < logs->count; i++)
		one_free(logs->logs[i]);
	free(logs->logs);
	free(logs);
}

/* The log of that path and format that is read already, taken out of the old set; NULL: none. */
static struct one_log *one_take(struct logs *logs, const struct config_mta_log *config)
{
	for (uint32_t i = 0; i < logs->count; i++) {
		struct one_log *log = logs->logs[i];

		if (log == NULL || strcmp(follow_path(log->follow), config->path) != 0 ||
		    strcmp(follow_format(log->follow)->name, config->format.text) != 0)
			continue;
		logs->logs[i] = NULL;
		log->intake.log = config;
		return log;
	}
	return NULL;
}

static struct one_log *one_create(struct logs *logs, const struct config_mta_log *config)
{
	const struct ingest_format *format = ingest_format_named(config->format.text);
	struct one_log *log = format != NULL ? calloc(1, sizeof(*log)) : NULL;
	int error = -ENOMEM;

	if (log != NULL) {
		log->logs = logs;
		log->intake = (struct intake){.engine = logs->engine,
					      .log = config,
					      .gate = logs->gate,
					      .memory = &log->memory};
		const struct follow_options options = {.loop = logs->loop,
						       .timer = logs->timer,
						       .folder = logs->folder,
						       .path = config->path,
						       .format = format,
						       .event = event_take,
						       .arg = log};

		error = follow_create(&options, &log->follow);
	}
	if (error == 0)
		return log;
	log_error("log", "%s: cannot be followed: %s", config->path, strerror(-error));
	free(log);
	return NULL;
}

void logs_configure(struct logs *logs, const struct config *config)
{
	struct one_log **next = calloc(config->logs_count + 1, sizeof(struct one_log *));
	uint32_t count = 0;

	/* Without memory for it, the old ones cannot go on either: their configuration is going. */
	for (uint32_t i = 0; next != NULL && i < config->logs_count; i++) {
		next[count] = one_take(logs, &config->logs[i]);
		count += next[count] != NULL;
	}
	for (uint32_t i = 0; i < logs->count; i++)
		one_free(logs->logs[i]);
	free(logs->logs);
	logs->logs = next;
	logs->count = count;
	logs->config = config;
	for (uint32_t i = 0; next != NULL && i < config->logs_count; i++) {
		bool there = false;

		for (uint32_t j = 0; j < count && !there; j++)
			there = next[j]->intake.log == &config->logs[i];
		if (!there && (next[logs->count] = one_create(logs, &config->logs[i])) != NULL)
			logs->count++;
	}
	loop_timer_set(logs->loop, logs->timer, logs->count > 0 ? loop_now() : LOOP_NEVER);
}

static void one_put(const struct one_log *log, struct json_writer *writer)
{
	const struct follow_totals *read = follow_totals(log->follow);

	json_put_object(writer, NULL);
	json_put_text(writer, "path", follow_path(log->follow));
	json_put_text(writer, "format", follow_format(log->follow)->name);
	json_put_bool(writer, "open", read->open);
	json_put_text(writer, "error", read->error ? strerror(-read->error) : NULL);
	json_put_u64(writer, "lines", read->lines);
	json_put_u64(writer, "not_understood", read->bad);
	json_put_u64(writer, "rotations", read->rotations);
	json_put_u64(writer, "files_lost", read->lost_files);
	intake_totals_put(&log->intake.totals, writer);
	json_put_end(writer);
}

void logs_put(const struct logs *logs, struct json_writer *writer, const char *key)
{
	json_put_array(writer, key);
	for (uint32_t i = 0; i < logs->count; i++)
		one_put(logs->logs[i], writer);
	json_put_end(writer);
}
