/* SPDX-License-Identifier: MIT
 *
 * tollgate replay [--json] [-c FILE] [--rules FILE] LOG
 *
 * A real log through classes and rules under its own timestamps: what would have been held and
 * slowed, when, and why. LOG is "-" for standard input, or a file of one JSON object a line
 * (tollgate-rules(5)).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sidecar/base/json.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/rules_source.h"
#include "sidecar/ingest/replay.h"

#define COMPLAINTS_MAX 10 /* lines that are none are counted; the first are shown */

static const char usage[] =
	"usage: tollgate replay [--json] [-c FILE] [--rules FILE] LOG\n"
	"LOG (\"-\": standard input) has one JSON object a line: time, source, destination, "
	"reply.\n"
	"  --json        every action, a line each\n"
	"  -c FILE       destinations and pools of this configuration, and its rules\n"
	"  --rules FILE  these rules in front of ours (instead of the configuration's)\n";

static void put_value(struct json_writer *writer, const struct replay_action *action)
{
	double value = action->effect->value;
	char until[40];

	if (action->kind == RULE_ALERT)
		return;
	if (action->kind == RULE_HOLD)
		json_put_number(writer, "seconds", value / 1e9, 3);
	else
		json_put_number(writer, action->kind == RULE_RATE ? "per_second" : "value", value,
				6);
	if (action->kind != RULE_WARMUP_STEP_BACK)
		json_put_text(writer, "until",
			      replay_time_text(action->effect->until_ns, until, sizeof(until)));
}

static void act_json(void *context, const struct replay_action *action)
{
	struct json_writer *writer = context;
	char time[40];

	json_writer_clear(writer);
	json_put_object(writer, NULL);
	json_put_text(writer, "time", replay_time_text(action->time_ns, time, sizeof(time)));
	json_put_text(writer, "source", action->source);
	json_put_text(writer, "destination", action->destination);
	json_put_text(writer, "action", rule_action_name(action->kind));
	put_value(writer, action);
	json_put_text(writer, "rule", action->effect->rule->name);
	json_put_text(writer, "class", reply_class_name(action->classification->class));
	json_put_bytes(writer, "reply", action->reply,
		       action->reply_len < 512 ? action->reply_len : 512);
	json_put_u64(writer, "line", action->line);
	json_put_end(writer);
	json_put_newline(writer);
	fwrite(writer->text, 1, writer->length, stdout);
}

/* As exact as somebody who reads it can use. */
static uint64_t rounded(uint64_t ns)
{
	uint64_t step = ns < 10 * UNITS_SECOND_NS ? UNITS_SECOND_NS / 10 : UNITS_SECOND_NS;

	return (ns + step / 2) / step * step;
}

static void act_text(void *context, const struct replay_action *action)
{
	char time[40], value[64] = "", hold[64];
	struct units_rate rate = {0};

	switch (action->kind) {
	case RULE_HOLD:
		snprintf(value, sizeof(value), " for %s",
			 units_duration_text(rounded((uint64_t)action->effect->value), hold,
					     sizeof(hold)));
		break;
	case RULE_RATE:
		rate.count = (uint64_t)(action->effect->value * 3600 + 0.5),
		rate.period_ns = UNITS_HOUR_NS;
		snprintf(value, sizeof(value), " at most %s",
			 units_rate_text(&rate, hold, sizeof(hold)));
		break;
	case RULE_ALERT: break;
	default: snprintf(value, sizeof(value), " %g", action->effect->value);
	}
	printf("%s %s -> %s: %s%s by %s\n", replay_time_text(action->time_ns, time, sizeof(time)),
	       action->source, action->destination, rule_action_name(action->kind), value,
	       action->effect->rule->name);
}

static void totals_print(const struct replay *replay)
{
	const struct replay_total *totals;
	unsigned count = replay_totals(replay, &totals);

	printf("\n%-24s %9s %9s %6s %6s %6s %6s %6s %10s %10s\n", "destination", "replies",
	       "delivered", "limit", "holds", "slowed", "back", "alerts", "held", "while held");
	for (unsigned i = 0; i < count; i++) {
		const struct replay_total *t = &totals[i];
		char held[64];

		printf("%-24s %9" PRIu64 " %9" PRIu64 " %6" PRIu64 " %6" PRIu64 " %6" PRIu64
		       " %6" PRIu64 " %6" PRIu64 " %10s %10" PRIu64 "\n",
		       t->destination, t->replies, t->classes[REPLY_DELIVERED],
		       t->classes[REPLY_RATE] + t->classes[REPLY_REPUTATION] +
			       t->classes[REPLY_VOLUME_SPIKE],
		       t->actions[RULE_HOLD],
		       t->actions[RULE_SCALE] + t->actions[RULE_RATE] +
			       t->actions[RULE_CONNECTIONS] + t->actions[RULE_PER_CONNECTION],
		       t->actions[RULE_WARMUP_STEP_BACK], t->actions[RULE_ALERT],
		       units_duration_text(t->held_ns / UNITS_SECOND_NS * UNITS_SECOND_NS, held,
					   sizeof(held)),
		       t->while_held);
	}
}

/* 0, or -errno; lines that are none are counted. */
static int log_replay(struct replay *replay, FILE *in, const char *name, uint64_t *ret_bad,
		      uint64_t *ret_good)
{
	char *text = NULL;
	size_t room = 0;
	ssize_t len;
	int err = 0;

	for (uint64_t line = 1; err == 0 && (len = getline(&text, &room, in)) >= 0; line++) {
		const char *reason;

		if (strspn(text, " \t\r\n") == (size_t)len)
			continue;
		err = replay_line(replay, text, (size_t)len, &reason);
		*ret_good += err == 0;
		if (err != -EINVAL)
			continue;
		err = 0;
		if ((*ret_bad)++ < COMPLAINTS_MAX)
			fprintf(stderr, "%s:%" PRIu64 ": %s\n", name, line, reason);
	}
	if (err == 0 && ferror(in))
		err = -EIO;
	free(text);
	return err;
}

static int replay_run(const struct loaded_rules *rules, const struct config *config,
		      const char *path, bool json)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	struct json_writer writer = {0};
	struct replay *replay = NULL;
	uint64_t bad = 0, good = 0;
	struct stat st;
	int err = in == NULL ? -errno : 0;

	if (err == 0 && fstat(fileno(in), &st) == 0 && S_ISDIR(st.st_mode))
		err = -EISDIR;

	if (err == 0)
		err = replay_create(rules->classifier, config, json ? act_json : act_text, &writer,
				    &replay);
	if (err == 0)
		err = log_replay(replay, in, path, &bad, &good);
	if (err == 0 && !json)
		totals_print(replay);
	if (err != 0)
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
	if (bad > 0)
		fprintf(stderr, "%s: %" PRIu64 " line%s could not be read\n", path, bad,
			bad == 1 ? "" : "s");
	replay_free(replay);
	json_writer_free(&writer);
	if (in != NULL && in != stdin)
		fclose(in);
	/* A log of which nothing could be read is the wrong file. */
	return err == 0 && fflush(stdout) == 0 && (good > 0 || bad == 0) ? 0 : 1;
}

int cli_replay(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"config", required_argument, NULL, 'c'},
						{"rules", required_argument, NULL, 'r'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *config_path = NULL, *rules_path = NULL;
	struct loaded_rules rules;
	struct config *config;
	bool json = false;
	int option, status = 1;

	optind = 0;
	while ((option = getopt_long(argc, argv, "c:r:h", options, NULL)) != -1) {
		switch (option) {
		case 'j': json = true; break;
		case 'c': config_path = optarg; break;
		case 'r': rules_path = optarg; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (optind + 1 != argc) {
		fputs(usage, stderr);
		return 2;
	}
	config = rules_source_config(config_path);
	if (config == NULL)
		return 1;
	if (rules_source_load_with(rules_path, rules_path == NULL ? &config->rules : NULL,
				   &rules) == 0)
		status = replay_run(&rules, config, argv[optind], json);
	rules_source_free(&rules);
	config_free(config);
	return status;
}
