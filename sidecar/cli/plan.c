/* SPDX-License-Identifier: MIT
 *
 * tollgate plan: what memory, rings and cores an installation takes, with the arithmetic.
 *
 *   tollgate plan --sources 500 --destinations 2000 --workers 64 --messages 50000/s
 *                 [--flows N] [--deferred 5%] [--asks 2] [--per-connection 20] [--minutes 60]
 *                 [--outage 2s] [--report FILE] [--json]
 *
 * Memory and rings follow from the layout (shm/layout.h), cores from the last report of `make
 * bench` on this machine: BUILD/bench/report.json beside this program, or --report; without one
 * they are not known. Defaults are on the safe side; --flows says how many pairs really send (all
 * of them by default), --asks how often a message asks on average (once refused, once admitted),
 * --outage how long rings must hold what workers report while no sidecar takes it.
 */
#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/layout.h"
#include "sidecar/base/file.h"
#include "sidecar/base/json.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/engine/engine.h"
#include "sidecar/segment/minutes.h"
#include "sidecar/segment/segment.h"

#define REPORT_MAX   (4u << 20)
#define RING_DEFAULT 1024
#define FLOWS_MAX    268435456
#define MIB	     (1024.0 * 1024.0)

struct plan_input {
	uint64_t sources, destinations, workers, flows, minutes, per_connection;
	double messages; /* a second */
	double deferred; /* share */
	double asks;
	uint64_t outage_ns;
	const char *report;
	bool json;
};

/* What the report says; 0: it does not. */
struct measured {
	double hot_ns, flow_ns; /* a decision on a hot flow; on a random one of that many */
	uint64_t flow_count;
	double report_ns; /* a worker's part of a report */
	double event_ns;  /* the sidecar's */
	char cpu[128], when[40];
	bool quick, other_machine;
};

struct answer {
	struct layout_sizes sizes;
	uint64_t limits, counters, minutes, control, trouble, rings;
	double decisions, events, worker_cores, sidecar_cores;
};

/* ---- the question -------------------------------------------------------------------------------
 */

static const char *rate_take(void *into, const char *name, char *text)
{
	struct plan_input *q = into;
	const char *reason = NULL;
	struct units_rate rate;

	if (units_rate(text, &rate, &reason) < 0)
		return reason;
	if (rate.count == 0)
		return "a rate is needed";
	q->messages = (double)rate.count * 1e9 / (double)rate.period_ns;
	return NULL;
}

static const char *share_take(void *into, const char *name, char *text)
{
	struct plan_input *q = into;
	const char *reason = NULL;
	uint32_t millionths;

	if (units_share(text, &millionths, &reason) < 0)
		return reason;
	q->deferred = millionths / 1e6;
	return NULL;
}

static const char *asks_take(void *into, const char *name, char *text)
{
	struct plan_input *q = into;
	char *end;
	double asks = strtod(text, &end);

	if (*end != '\0' || !(asks >= 1) || asks > 1000)
		return "a number from 1 to 1000";
	q->asks = asks;
	return NULL;
}

static const char *outage_take(void *into, const char *name, char *text)
{
	struct plan_input *q = into;
	const char *reason = NULL;

	return units_duration(text, &q->outage_ns, &reason) < 0 ? reason : NULL;
}

#define COUNT(name, member, max, help)                                                        \
	{                                                                                     \
		name, 0, "N", help, CLI_COUNT, offsetof(struct plan_input, member), max, NULL \
	}
#define READ(name, value, read, help)                      \
	{                                                  \
		name, 0, value, help, CLI_READ, 0, 0, read \
	}

static const struct cli_option option_rows[] = {
	COUNT("sources", sources, 1000000, "sending addresses"),
	COUNT("destinations", destinations, 10000000, "destinations that are sent to"),
	COUNT("workers", workers, 65534, "processes and threads that ask"),
	READ("messages", "RATE", rate_take, "recipients that are sent to (\"50000/s\")"),
	COUNT("flows", flows, FLOWS_MAX, "pairs that really send; all by default"),
	READ("deferred", "SHARE", share_take, "the share of deferrals; 5% by default"),
	READ("asks", "X", asks_take, "how often a message asks, on average; 2 by default"),
	COUNT("per-connection", per_connection, 65535, "messages a connection; 20 by default"),
	COUNT("minutes", minutes, 1440, "minutes of outcomes that are kept; 60 by default"),
	READ("outage", "T", outage_take,
	     "how long rings hold what comes while no sidecar takes it; 2s by default"),
	{"report", 0, "FILE",
	 "what `make bench` measured; by default its last report on this machine", CLI_TEXT,
	 offsetof(struct plan_input, report), 0, NULL},
	CLI_JSON(struct plan_input),
	{0}};

static const struct cli_syntax syntax = {
	.command = "plan",
	.wanted = "all is said by options",
	.about = "Prints the memory, ring sizes and cores that an installation needs, with the "
		 "arithmetic. --sources, --destinations, --workers and --messages are required; "
		 "tollgate(1) describes the rest.",
	.options = option_rows,
};

/* 0, or the exit status. */
static int input_read(struct plan_input *q, int argc, char **argv)
{
	char **arguments;

	options_read(&syntax, argc, argv, q, &arguments);
	if (!q->sources || !q->destinations || !q->workers || !(q->messages > 0))
		return options_wrong(
			&syntax, "--sources, --destinations, --workers and --messages are needed");
	if (q->flows == 0)
		q->flows = q->sources * q->destinations;
	if (q->flows > FLOWS_MAX)
		return options_wrong(&syntax, "more than 268,435,456 pairs: say with --flows how "
					      "many send");
	return 0;
}

/* ---- the report ---------------------------------------------------------------------------------
 */

/* BUILD/tollgate is this program, BUILD/bench/report.json the report. */
static void report_path(char *path, size_t size)
{
	char self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	snprintf(path, size, "%s/bench/report.json", dirname(self));
}

static double case_ns(const struct json *report, const char *group, const char *name)
{
	return json_get_double(json_get(json_get(report, group), name), "ns", 0);
}

/* The case with the fewest flows that are not fewer than ours, else the one with the most. */
static void flows_choose(const struct json *report, uint64_t flows, struct measured *m)
{
	static const struct {
		const char *name;
		uint64_t flows;
	} cases[] = {{"flows_1k", 1000},
		     {"flows_10k", 10000},
		     {"flows_100k", 100000},
		     {"flows_1m", 1000000},
		     {"flows_10m", 10000000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double ns = case_ns(report, "scale", cases[i].name);

		if (ns <= 0)
			continue;
		m->flow_ns = ns;
		m->flow_count = cases[i].flows;
		if (cases[i].flows >= flows)
			return;
	}
}

static bool same_machine(const struct json *machine)
{
	char line[256], cpu[128] = "unknown";
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "model name", 10) == 0 || strncmp(line, "Model", 5) == 0) {
			sscanf(strchr(line, ':') ? strchr(line, ':') + 1 : "", " %127[^\n]", cpu);
			break;
		}
	if (file)
		fclose(file);
	return strcmp(cpu, json_get_text(machine, "cpu", "")) == 0 &&
	       json_get_u64(machine, "cores", 0) == (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
}

/* 0, also where no report was asked for and none is there: then nothing is measured. */
static int report_read(const struct plan_input *q, struct measured *ret)
{
	char path[600], reason[JSON_REASON], *text = NULL;
	struct json *report = NULL;
	size_t length = 0;
	int error;

	report_path(path, sizeof(path));
	if (q->report)
		snprintf(path, sizeof(path), "%s", q->report);
	error = file_read(path, REPORT_MAX, &text, &length);
	if (error == -ENOENT && q->report == NULL)
		return 0;
	if (error < 0)
		snprintf(reason, sizeof(reason), "%s", strerror(-error));
	else
		error = json_read(text, length, &report, reason);
	free(text);
	if (error < 0) {
		fprintf(stderr, "tollgate plan: %s: %s (`make bench` writes it)\n", path, reason);
		return error;
	}
	snprintf(ret->cpu, sizeof(ret->cpu), "%s",
		 json_get_text(json_get(report, "machine"), "cpu", "unknown"));
	snprintf(ret->when, sizeof(ret->when), "%s",
		 json_get_text(json_get(report, "machine"), "when", "unknown"));
	ret->other_machine = !same_machine(json_get(report, "machine"));
	ret->quick = json_get_bool(report, "quick", false);
	ret->hot_ns = case_ns(report, "decide", "hot");
	ret->report_ns = case_ns(report, "ring", "one_producer");
	ret->event_ns = case_ns(report, "ring", "sidecar_event");
	flows_choose(report, q->flows, ret);
	json_release(report);
	if (!(ret->flow_ns > 0 && ret->report_ns > 0 && ret->event_ns > 0)) {
		fprintf(stderr, "tollgate plan: %s lacks figures: run all of `make bench`\n", path);
		return -ENODATA;
	}
	return 0;
}

/* ---- the answer ---------------------------------------------------------------------------------
 */

static uint64_t power_of_two(double min)
{
	uint64_t power = RING_DEFAULT;

	while ((double)power < min && power < UINT64_C(1) << 20)
		power *= 2;
	return power;
}

static void answer_make(const struct plan_input *q, const struct measured *m, struct answer *a)
{
	uint64_t records = q->flows + q->sources + q->destinations;
	uint64_t slots = layout_slots((uint32_t)records);

	memset(a, 0, sizeof(*a));
	a->sizes.flows = (uint32_t)records;
	a->sizes.slots = (uint32_t)slots;
	a->events = q->messages * q->deferred;
	a->sizes.ring_records =
		(uint32_t)power_of_two(a->events / (double)q->workers * (double)q->outage_ns / 1e9);
	a->limits = slots * (sizeof(struct layout_limits) + sizeof(struct layout_limits_more));
	a->counters =
		slots * (sizeof(struct layout_counters) + sizeof(struct layout_counters_more));
	/* Minutes are kept of flows that were active within them, the rest on demand. */
	a->minutes = q->flows * minutes_bytes((uint32_t)q->minutes);
	a->control = slots * sizeof(uint32_t) +
		     records * (sizeof(struct segment_slot) + sizeof(struct engine_flow));
	a->trouble = sizeof(struct engine_life) + sizeof(struct engine_replies) +
		     CONSTRAINTS * sizeof(struct constraint);
	a->rings = q->workers * a->sizes.ring_records * sizeof(struct layout_record);
	a->decisions = q->messages * q->asks + q->messages / (double)q->per_connection;
	a->worker_cores = (a->decisions * m->flow_ns + a->events * m->report_ns) / 1e9;
	a->sidecar_cores = a->events * m->event_ns / 1e9;
}

static void answer_print_memory(const struct plan_input *q, const struct answer *a)
{
	char flows[32], records[32], slots[32];
	double total = (double)(a->limits + a->counters + a->minutes + a->control + a->rings);

	units_count_text(q->flows, flows, sizeof(flows));
	units_count_text(a->sizes.flows, records, sizeof(records));
	units_count_text(a->sizes.slots, slots, sizeof(slots));
	printf("Memory\n");
	printf("  %-44s %s flows + %llu sources + %llu destinations = %s\n", "records", flows,
	       (unsigned long long)q->sources, (unsigned long long)q->destinations, records);
	printf("  %-44s records x 29/16 + 64 = %s\n", "slots", slots);
	printf("  %-44s slots x (%zu + %zu) B = %.1f MiB\n", "limits", sizeof(struct layout_limits),
	       sizeof(struct layout_limits_more), (double)a->limits / MIB);
	printf("  %-44s slots x (%zu + %zu) B = %.1f MiB\n", "counters",
	       sizeof(struct layout_counters), sizeof(struct layout_counters_more),
	       (double)a->counters / MIB);
	printf("  %-44s %s flows x %u B = %.1f MiB\n", "minutes, if every flow sent within them",
	       flows, minutes_bytes((uint32_t)q->minutes), (double)a->minutes / MIB);
	printf("  %-44s slots x %zu B + records x (%zu + %zu) B = %.1f MiB\n",
	       "the sidecar's own state", sizeof(uint32_t), sizeof(struct segment_slot),
	       sizeof(struct engine_flow), (double)a->control / MIB);
	printf("  %-44s %llu B more each (not in the sum)\n", "of flows that met trouble",
	       (unsigned long long)a->trouble);
	printf("  %-44s %llu workers x %u x %zu B = %.1f MiB\n", "rings",
	       (unsigned long long)q->workers, a->sizes.ring_records, sizeof(struct layout_record),
	       (double)a->rings / MIB);
	printf("  %-44s %.1f MiB\n\n", "together, at most", total / MIB);
}

static void answer_print_rings(const struct plan_input *q, const struct answer *a)
{
	printf("Rings\n");
	printf("  %-44s %.0f/s x %.4g = %.0f/s\n", "deferrals", q->messages, q->deferred,
	       a->events);
	printf("  %-44s %.0f/s / %llu x %.3g s = %.0f, so %u (segment.ring)\n\n",
	       "records a worker, in an outage", a->events, (unsigned long long)q->workers,
	       (double)q->outage_ns / 1e9,
	       a->events / (double)q->workers * (double)q->outage_ns / 1e9, a->sizes.ring_records);
}

static void answer_print_cores(const struct plan_input *q, const struct measured *m,
			       const struct answer *a)
{
	if (m->flow_ns == 0) {
		printf("Cores\n  not known: `make bench` measures this machine, --report names its report\n");
		return;
	}
	printf("Cores, by the report of %s (%s%s)\n", m->when, m->cpu,
	       m->quick ? ", measured with --quick" : "");
	if (m->other_machine)
		printf("  the report is of another machine than this\n");
	printf("  %-44s %.0f/s x %.3g asks + %.0f/s / %llu = %.0f/s\n", "decisions", q->messages,
	       q->asks, q->messages, (unsigned long long)q->per_connection, a->decisions);
	printf("  %-44s x %.1f ns (random flows of %llu) = %.4f cores\n", "", m->flow_ns,
	       (unsigned long long)m->flow_count, a->decisions * m->flow_ns / 1e9);
	printf("  %-44s %.0f/s x %.1f ns = %.4f cores\n", "reports", a->events, m->report_ns,
	       a->events * m->report_ns / 1e9);
	printf("  %-44s %.4f cores, %.4f %% of each worker\n", "the gate in all workers",
	       a->worker_cores, 100 * a->worker_cores / (double)q->workers);
	printf("  %-44s %.0f/s x %.0f ns = %.4f cores of one\n", "the sidecar", a->events,
	       m->event_ns, a->sidecar_cores);
	if (a->sidecar_cores > 1)
		printf("  the sidecar has one thread: beyond %.0f deferrals a second texts are "
		       "lost (not counts)\n",
		       1e9 / m->event_ns);
}

static void answer_print_json(const struct plan_input *q, const struct measured *m,
			      const struct answer *a)
{
	struct json_writer w = {0};
	double known = m->flow_ns > 0;

	json_put_object(&w, NULL);
	json_put_u64(&w, "flows", q->flows);
	json_put_u64(&w, "slots", a->sizes.slots);
	json_put_u64(&w, "limits_bytes", a->limits);
	json_put_u64(&w, "counters_bytes", a->counters);
	json_put_u64(&w, "minutes_bytes", a->minutes);
	json_put_u64(&w, "control_bytes", a->control);
	json_put_u64(&w, "trouble_bytes", a->trouble);
	json_put_u64(&w, "rings_bytes", a->rings);
	json_put_u64(&w, "ring_records", a->sizes.ring_records);
	json_put_number(&w, "decisions_per_second", a->decisions, 1);
	json_put_number(&w, "deferrals_per_second", a->events, 1);
	/* What is not finite is null: nothing was measured. */
	json_put_number(&w, "decision_ns", m->flow_ns / known, 2);
	json_put_number(&w, "report_ns", m->report_ns / known, 2);
	json_put_number(&w, "sidecar_event_ns", m->event_ns / known, 1);
	json_put_number(&w, "worker_cores", a->worker_cores / known, 6);
	json_put_number(&w, "sidecar_cores", a->sidecar_cores / known, 6);
	json_put_text(&w, "measured", known > 0 ? m->when : NULL);
	json_put_bool(&w, "this_machine", known > 0 && !m->other_machine);
	json_put_end(&w);
	json_put_newline(&w);
	if (!json_failed(&w))
		fwrite(w.text, 1, w.length, stdout);
	json_writer_free(&w);
}

int cli_plan(int argc, char **argv)
{
	struct plan_input q = {.deferred = 0.05,
			       .asks = 2,
			       .per_connection = 20,
			       .minutes = 60,
			       .outage_ns = 2 * UNITS_SECOND_NS};
	struct measured measured = {0};
	struct answer answer;
	int status;

	status = input_read(&q, argc, argv);
	if (status)
		return status;
	if (report_read(&q, &measured) < 0)
		return 1;
	answer_make(&q, &measured, &answer);
	if (q.json) {
		answer_print_json(&q, &measured, &answer);
		return 0;
	}
	answer_print_memory(&q, &answer);
	answer_print_rings(&q, &answer);
	answer_print_cores(&q, &measured, &answer);
	return 0;
}
