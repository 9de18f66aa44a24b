/* SPDX-License-Identifier: MIT
 *
 * See reload.h.
 */
#include "sidecar/daemon/reload.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/log.h"
#include "sidecar/daemon/settings.h"
#include "sidecar/daemon/types.h"

static int put_in_force(struct sidecar *s, struct generation *next, char *reason)
{
	int error = engine_configure(s->engine, next->config, next->classifier, next->rules,
				     loop_now());

	if (error) {
		snprintf(reason, API_REASON,
			 "the configuration cannot be put in force: %s; nothing was changed",
			 strerror(-error));
		generation_free(next);
		return error;
	}
	if (settings_need_restart(s, next->config))
		log_warning(
			"reload",
			"a changed path, owner or size of the segment is taken up at the next start");
	settings_parts(s, next->config);
	generation_free(&s->generation);
	s->generation = *next;
	settings_log(s->generation.config);
	settings_publish(s);
	loop_timer_set(s->loop, s->work_timer, engine_work(s->engine, loop_now()));
	log_notice("reload", "configuration in force, generation %llu",
		   (unsigned long long)atomic_load(&s->segment->live->generation));
	return 0;
}

/* Why nothing can be put in force. */
static void refused(struct reload *reload, int error)
{
	if (reload->result.report.errors)
		snprintf(reload->result.reason, API_REASON,
			 "the configuration has %u error%s; nothing was changed",
			 reload->result.report.errors,
			 reload->result.report.errors == 1 ? "" : "s");
	else
		snprintf(reload->result.reason, API_REASON,
			 "the configuration cannot be read: %s; nothing was changed",
			 strerror(-error));
}

static void finish(struct sidecar *s, int error)
{
	struct reload *reload = &s->reload;

	if (error)
		log_error("reload", "%s", reload->result.reason);
	reload->result.error = error;
	reload->result.done = reload->loads;
	control_socket_wake(s->server);
}

static void begin(struct sidecar *s);

static void loaded(void *arg, int revents)
{
	struct sidecar *s = arg;
	struct reload *reload = &s->reload;
	struct generation next;
	int error;

	/* On an error the watch is gone already; the job ends all the same, and is waited for. */
	if (revents >= 0)
		loop_unwatch(s->loop, reload->watch);
	diagnostics_free(&reload->result.report);
	error = generation_job_end(reload->job, &next, &reload->result.report);
	reload->job = NULL;
	*reload->result.reason = '\0';
	generation_log(&reload->result.report);
	if (error)
		refused(reload, error);
	else
		error = put_in_force(s, &next, reload->result.reason);
	finish(s, error);
	if (reload->job == NULL && reload->result.done < reload->result.asked)
		begin(s);
}

static void begin(struct sidecar *s)
{
	struct reload *reload = &s->reload;
	int done, error = generation_job_begin(s->config_path, &reload->job, &done);

	reload->loads = reload->result.asked;
	if (!error) {
		reload->watch = loop_watch(s->loop, done, POLLIN, loaded, s);
		if (reload->watch >= 0)
			return;
		error = reload->watch;
		reload_end(s);
	}
	diagnostics_free(&reload->result.report);
	refused(reload, error);
	finish(s, error);
}

uint64_t reload_ask(struct sidecar *s)
{
	uint64_t ticket = ++s->reload.result.asked;

	if (s->reload.job == NULL)
		begin(s);
	return ticket;
}

void reload_end(struct sidecar *s)
{
	struct generation next;
	struct diagnostics report;

	if (s->reload.job == NULL)
		return;
	loop_unwatch(s->loop, s->reload.watch);
	if (generation_job_end(s->reload.job, &next, &report) == 0)
		generation_free(&next);
	diagnostics_free(&report);
	s->reload.job = NULL;
}
