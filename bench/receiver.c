/* SPDX-License-Identifier: MIT
 *
 * receiver: an SMTP server on loopback that throttles per source IP as large providers do.
 *
 *   receiver [limits] --listen ADDRESS:PORT… [--destination NAME [limits] --listen ADDRESS:PORT…]…
 *
 * Limits, of each source and hidden from it:
 *
 *   --rate 60/min --burst 30 --hour 3000 --day 40000 --connections 5 --per-connection 50
 *   --penalty "20 in 10m, hold 2h, repeat 2" --greylist 5m --noise 0.005
 *   --family microsoft|yahoo|google|apple|comcast|orange --text ANSWER=REPLY
 *
 * All listeners of one --destination share its limits, as the MX hosts of a provider do; a
 * destination begins with the limits given before the first one.
 *
 * Of the whole:
 *
 *   --latency 20ms --idle 5m --size 10000000 --duration 60s --seed 1 --json FILE
 *   --log FILE   a JSON line an event
 *   --control    commands on standard input
 *
 * Prints "listen NAME ADDRESS PORT" for each listener (port 0 asks for any), then "ready". At the
 * end (SIGTERM, SIGINT, --duration, "quit") the statistics go to --json FILE, or to standard
 * output.
 *
 * Commands: "stats" prints them now; "set NAME KEY=VALUE…" changes limits (rate, burst,
 * connections, per-connection, hour, day …); "quit", or the end of the input, ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/now.h"
#include "bench/lib/server.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/options.h"

#define DESTINATIONS 64
#define LISTENERS    256

struct destination {
	char name[128];
	struct smtpd_host host;
	struct throttle_limits limits;
	const char *texts[THROTTLE_ANSWERS];
};

struct listen {
	const char *address;
	struct destination *destination;
};

struct receiver_program {
	struct destination destinations[DESTINATIONS];
	struct listen listens[LISTENERS];
	uint32_t destination_count, listen_count;
	struct server_options options;
	struct smtp_server *server;
	uint64_t begin_ns, duration_ns, size_max, seed;
	const char *json;
	FILE *log;
	bool control;
	size_t command_length;
	char command[512];
};

static volatile int stop;

static void on_signal(int number)
{
	stop = 1;
}

/* ---- limits -------------------------------------------------------------------------------------
 */

/* A whole number within [least, most]. */
static int number_set(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t number;

	if (units_count(text, &number, NULL) < 0 || number < min || number > max)
		return -EINVAL;
	*ret = number;
	return 0;
}

static int rate_set(const char *text, double *ret_per_second)
{
	struct units_rate rate;

	if (units_rate(text, &rate, NULL) < 0)
		return -EINVAL;
	*ret_per_second = rate.count ? (double)rate.count * 1e9 / (double)rate.period_ns : 0;
	return 0;
}

/* "20 in 10m, hold 2h, repeat 2" */
static int penalty_parse(const char *text, struct throttle_limits *limits)
{
	char window[16], hold[16];
	unsigned hits;
	double repeat = 1;
	int fields = sscanf(text, "%u in %15[^,], hold %15[^,], repeat %lf", &hits, window, hold,
			    &repeat);

	if (fields < 3 || hits < 1 || hits > 4096 || repeat < 1)
		return -EINVAL;
	if (units_duration(window, &limits->penalty_window_ns, NULL) < 0 ||
	    units_duration(hold, &limits->penalty_hold_ns, NULL) < 0)
		return -EINVAL;
	limits->penalty_hits = hits;
	limits->penalty_repeat = repeat;
	return 0;
}

/* The limit of that name set from text. -ENOENT: no such limit. -EINVAL: not a value of it. */
static int limit_set(struct throttle_limits *limits, const char *name, const char *text)
{
	struct {
		const char *name;
		uint32_t *value;
	} numbers[] = {
		{"burst", &limits->burst},
		{"hour", &limits->hour},
		{"day", &limits->day},
		{"connections", &limits->connections},
		{"per-connection", &limits->per_connection},
	};
	uint64_t number;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(name, numbers[i].name) == 0) {
			if (number_set(text, 0, UINT32_MAX, &number) < 0)
				return -EINVAL;
			*numbers[i].value = (uint32_t)number;
			return 0;
		}
	if (strcmp(name, "rate") == 0)
		return rate_set(text, &limits->rate);
	if (strcmp(name, "greylist") == 0)
		return units_duration(text, &limits->greylist_ns, NULL);
	if (strcmp(name, "penalty") == 0)
		return penalty_parse(text, limits);
	if (strcmp(name, "noise") == 0) {
		limits->noise = atof(text);
		return limits->noise >= 0 && limits->noise <= 1 ? 0 : -EINVAL;
	}
	return -ENOENT;
}

/* ---- statistics ---------------------------------------------------------------------------------
 */

static uint64_t deferred_of(const struct throttle_counts *counts)
{
	uint64_t sum = 0;

	for (int i = THROTTLE_RATE; i < THROTTLE_ANSWERS; i++)
		sum += counts->answers[i];
	return sum;
}

static void address_print(FILE *out, const uint8_t *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (memcmp(a, mapped, 12) == 0) {
		fprintf(out, "%u.%u.%u.%u", a[12], a[13], a[14], a[15]);
		return;
	}
	for (int i = 0; i < 16; i += 2)
		fprintf(out, "%s%x", i ? ":" : "", (unsigned)a[i] << 8 | a[i + 1]);
}

static void counts_add(struct throttle_counts *sum, const struct throttle_counts *one)
{
	sum->messages += one->messages;
	sum->connections += one->connections;
	sum->penalties += one->penalties;
	sum->blocked_ns += one->blocked_ns;
	sum->open += one->open;
	for (int i = 0; i < THROTTLE_ANSWERS; i++)
		sum->answers[i] += one->answers[i];
}

static void counts_print(FILE *out, const struct throttle_counts *counts)
{
	fprintf(out,
		"\"attempted\": %llu, \"deferred\": %llu, \"connections\": %llu, \"open\": %u, "
		"\"penalties\": %llu, \"blocked_s\": %.3f, \"by\": {",
		(unsigned long long)counts->messages, (unsigned long long)deferred_of(counts),
		(unsigned long long)counts->connections, counts->open,
		(unsigned long long)counts->penalties, (double)counts->blocked_ns / 1e9);
	for (int i = THROTTLE_RATE; i < THROTTLE_ANSWERS; i++)
		fprintf(out, "%s\"%s\": %llu", i > THROTTLE_RATE ? ", " : "",
			throttle_answer_name(i), (unsigned long long)counts->answers[i]);
	fprintf(out, "}");
}

/* One object a destination, its sources in it; adds to sum. */
static void destination_print(FILE *out, const struct destination *destination, uint64_t now_ns,
			      struct throttle_counts *sum)
{
	const struct throttle *table = destination->host.throttle;
	struct throttle_counts counts, here = {0};
	const char *comma = "";

	fprintf(out, "{\"destination\": \"%s\", \"sources\": [", destination->name);
	for (struct throttle_entry *e = throttle_next(table, NULL); e;
	     e = throttle_next(table, e)) {
		throttle_counts(table, e, now_ns, &counts);
		counts_add(&here, &counts);
		fprintf(out, "%s{\"source\": \"", comma);
		address_print(out, throttle_address(e));
		fprintf(out, "\", \"peak_open\": %u, ", counts.peak_open);
		counts_print(out, &counts);
		fprintf(out, "}");
		comma = ", ";
	}
	fprintf(out, "], \"delivered\": %llu, ", (unsigned long long)destination->host.delivered);
	counts_print(out, &here);
	fprintf(out, "}");
	counts_add(sum, &here);
}

static void statistics_print(const struct receiver_program *r, FILE *out)
{
	struct throttle_counts sum = {0};
	uint64_t now = now_monotonic(), delivered = 0, bytes = 0, errors = 0;
	const char *comma = "";

	fprintf(out, "{\"destinations\": [");
	for (uint32_t i = 0; i < r->destination_count; i++) {
		const struct destination *destination = &r->destinations[i];

		if (!destination->host.throttle)
			continue;
		delivered += destination->host.delivered;
		bytes += destination->host.bytes;
		errors += destination->host.errors;
		fprintf(out, "%s", comma);
		comma = ", ";
		destination_print(out, destination, now, &sum);
	}
	fprintf(out,
		"], \"seconds\": %.3f, \"delivered\": %llu, \"bytes\": %llu, \"errors\": %llu, "
		"\"sessions\": %u, ",
		(double)(now - r->begin_ns) / 1e9, (unsigned long long)delivered,
		(unsigned long long)bytes, (unsigned long long)errors, server_sessions(r->server));
	counts_print(out, &sum);
	fprintf(out, "}\n");
	fflush(out);
}

/* ---- log and control ----------------------------------------------------------------------------
 */

static struct receiver_program *logging; /* the host of an event does not know its receiver */

static void on_event(struct smtpd_host *host, const struct smtpd *session,
		     const struct smtpd_event *event, uint64_t now_ns)
{
	FILE *out = logging->log;

	fprintf(out,
		"{\"t\": %.6f, \"event\": \"%s\", \"destination\": \"%s\", \"source\": \"%s\", "
		"\"answer\": \"%s\", \"place\": %u",
		(double)now_ns / 1e9, event->what, host->name, session->address,
		throttle_answer_name(event->answer), event->place);
	if (strcmp(event->what, "delivered") == 0)
		fprintf(out, ", \"bytes\": %llu, \"crc32\": %u, \"to\": \"%s\"",
			(unsigned long long)event->bytes, event->crc, session->to);
	fprintf(out, "}\n");
}

/* "set NAME key=value …" */
static void command_set(struct receiver_program *r, char *words)
{
	const char *name = strtok(words, " ");
	struct throttle_limits limits;
	char *word;

	for (uint32_t i = 0; name && i < r->destination_count; i++) {
		struct throttle *table = r->destinations[i].host.throttle;

		if (!table || strcmp(r->destinations[i].name, name) != 0)
			continue;
		limits = *throttle_limits(table);
		while ((word = strtok(NULL, " "))) {
			char *value = strchr(word, '=');

			if (value)
				*value++ = '\0';
			if (!value || limit_set(&limits, word, value) < 0) {
				printf("error: %s\n", word);
				return;
			}
		}
		throttle_change(table, &limits);
		printf("ok\n");
		return;
	}
	printf("error: no such destination\n");
}

static void command_do(struct receiver_program *r, char *line)
{
	if (strcmp(line, "stats") == 0)
		statistics_print(r, stdout);
	else if (strcmp(line, "quit") == 0)
		stop = 1;
	else if (strncmp(line, "set ", 4) == 0)
		command_set(r, line + 4);
	else
		printf("error: unknown command\n");
	fflush(stdout);
}

static void on_control(void *context)
{
	struct receiver_program *r = context;
	ssize_t n = read(STDIN_FILENO, r->command + r->command_length,
			 sizeof(r->command) - 1 - r->command_length);
	char *line = r->command, *end;

	if (n <= 0) {
		stop = 1;
		return;
	}
	r->command_length += (size_t)n;
	r->command[r->command_length] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		command_do(r, line);
		line = end + 1;
	}
	r->command_length = strlen(line);
	memmove(r->command, line, r->command_length);
	if (r->command_length == sizeof(r->command) - 1)
		r->command_length = 0; /* no command is that long */
}

/* ---- options ------------------------------------------------------------------------------------
 */

static struct destination *destination_now(struct receiver_program *r)
{
	return &r->destinations[r->destination_count - 1];
}

static const char *destination_take(void *into, const char *name, char *text)
{
	struct receiver_program *r = into;
	struct destination *destination = &r->destinations[r->destination_count];

	if (r->destination_count == DESTINATIONS)
		return "too many destinations";
	if (strcspn(text, " \"\\") != strlen(text) || strlen(text) >= sizeof(destination->name))
		return "not a name";
	if (r->destination_count++ > 0)
		*destination = r->destinations[0];
	snprintf(destination->name, sizeof(destination->name), "%s", text);
	return NULL;
}

static const char *family_take(void *into, const char *name, char *text)
{
	const char *const *family = smtpd_family(text);

	if (!family)
		return "no such family";
	memcpy(destination_now(into)->texts, family, sizeof(destination_now(into)->texts));
	return NULL;
}

static const char *text_take(void *into, const char *name, char *text)
{
	const char *equals = strchr(text, '=');
	const char *hole = equals ? strchr(equals, '%') : NULL;

	for (int i = 0; equals && i < THROTTLE_ANSWERS; i++) {
		const char *answer = throttle_answer_name(i);

		if (strlen(answer) != (size_t)(equals - text) ||
		    strncmp(answer, text, strlen(answer)) != 0)
			continue;
		if (hole && hole[1] != 's')
			break;
		destination_now(into)->texts[i] = equals + 1;
		return NULL;
	}
	return "not ANSWER=REPLY";
}

static const char *listen_take(void *into, const char *name, char *text)
{
	struct receiver_program *r = into;

	if (r->listen_count == LISTENERS)
		return "too many listeners";
	if (strchr(text, ':') == NULL)
		return "not ADDRESS:PORT";
	r->listens[r->listen_count++] = (struct listen){text, destination_now(r)};
	return NULL;
}

/* A line is there to be read when its event has happened. */
static const char *log_take(void *into, const char *name, char *path)
{
	struct receiver_program *r = into;

	r->log = fopen(path, "we");
	if (r->log == NULL)
		return strerror(errno);
	setvbuf(r->log, NULL, _IOLBF, BUFSIZ);
	return NULL;
}

static const char *limit_take(void *into, const char *name, char *text)
{
	return limit_set(&destination_now(into)->limits, name, text) == 0 ? NULL : "no such value";
}

static const char *time_take(void *into, const char *name, char *text)
{
	struct receiver_program *r = into;
	struct {
		const char *name;
		uint64_t *value;
	} times[] = {
		{"latency", &r->options.latency_ns},
		{"idle", &r->options.idle_ns},
		{"duration", &r->duration_ns},
	};
	const char *why = "no such time";

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (strcmp(name, times[i].name) == 0)
			return units_duration(text, times[i].value, &why) < 0 ? why : NULL;
	return why;
}

static const char *seed_take(void *into, const char *name, char *text)
{
	struct receiver_program *r = into;

	return number_set(text, 0, UINT32_MAX, &r->seed) < 0 ? "no such number" : NULL;
}

#define READ(name, value, take, help)                      \
	{                                                  \
		name, 0, value, help, CLI_READ, 0, 0, take \
	}
#define LIMIT(name, value, help) READ(name, value, limit_take, help)
#define MEMBER(name)		 offsetof(struct receiver_program, name)

static const struct cli_option option_rows[] = {
	READ("listen", "ADDRESS:PORT", listen_take, "listen there; may be given again"),
	READ("destination", "NAME", destination_take,
	     "what follows is of this destination; it begins with what stands before the first"),
	READ("family", "NAME", family_take,
	     "whose texts it answers: microsoft, yahoo, google, apple, comcast, orange"),
	READ("text", "ANSWER=REPLY", text_take, "another text for one answer"),
	LIMIT("rate", "RATE", "messages, of each source, as all limits are"),
	LIMIT("burst", "N", "of these saved up"),
	LIMIT("hour", "N", "messages in an hour"),
	LIMIT("day", "N", "messages in a day"),
	LIMIT("connections", "N", "open at once"),
	LIMIT("per-connection", "N", "messages in a connection"),
	LIMIT("penalty", "TEXT", "\"20 in 10m, hold 2h, repeat 2\": a block for exceeding"),
	LIMIT("greylist", "T", "refuse what is new for so long"),
	LIMIT("noise", "SHARE", "refuse so much whatever the rate"),
	READ("latency", "T", time_take, "between a command and its answer"),
	READ("idle", "T", time_take, "close a session that is silent for so long"),
	{"size", 0, "BYTES", "of the largest message", CLI_COUNT, MEMBER(size_max),
	 UINT64_C(1) << 40, NULL},
	READ("duration", "T", time_take, "end after this"),
	READ("seed", "N", seed_take, "of the random numbers"),
	{"json", 0, "FILE", "write the statistics there", CLI_TEXT, MEMBER(json), 0, NULL},
	READ("log", "FILE", log_take, "write a line of JSON for each event there"),
	{"control", 0, NULL, "read commands from standard input", CLI_FLAG, MEMBER(control), 0,
	 NULL},
	{0}};

static const struct cli_syntax syntax = {
	.program = "receiver",
	.about = "An SMTP server on loopback that throttles each source IP as large providers do, "
		 "and does not tell its limits. --listen is needed.",
	.options = option_rows,
};

static void command_line_read(struct receiver_program *r, int argc, char **argv)
{
	char name[] = "default", family[] = "microsoft";
	char **arguments;

	destination_take(r, NULL, name);
	family_take(r, NULL, family);
	options_read(&syntax, argc, argv, r, &arguments);
	if (r->listen_count == 0)
		exit(options_wrong(&syntax, "--listen is needed"));
}

/* ---- the whole ----------------------------------------------------------------------------------
 */

static int destinations_open(struct receiver_program *r)
{
	for (uint32_t i = 0; i < r->listen_count; i++) {
		struct destination *destination = r->listens[i].destination;
		struct smtpd_host *host = &destination->host;
		uint16_t port;
		int error;

		host->name = destination->name;
		host->texts = destination->texts;
		host->size_max = r->size_max;
		host->event = r->log ? on_event : NULL;
		if (!host->throttle)
			host->throttle = throttle_new(&destination->limits, r->seed, r->begin_ns);
		if (!host->throttle)
			return -ENOMEM;
		error = server_listen(r->server, host, r->listens[i].address, &port);
		if (error < 0) {
			fprintf(stderr, "receiver: %s: %s\n", r->listens[i].address,
				strerror(-error));
			return error;
		}
		printf("listen %s %.*s %u\n", destination->name,
		       (int)(strrchr(r->listens[i].address, ':') - r->listens[i].address),
		       r->listens[i].address, port);
	}
	printf("ready\n");
	fflush(stdout);
	return 0;
}

static int statistics_write(const struct receiver_program *r)
{
	FILE *out = r->json ? fopen(r->json, "we") : stdout;

	if (!out)
		return -errno;
	statistics_print(r, out);
	return r->json && fclose(out) != 0 ? -errno : 0;
}

static int receiver_run(struct receiver_program *r)
{
	int error = server_new(&r->options, &r->server);

	if (error < 0)
		return error;
	r->begin_ns = now_monotonic();
	logging = r;
	error = destinations_open(r);
	if (error == 0 && r->control)
		error = server_watch(r->server, STDIN_FILENO, on_control, r);
	if (error == 0)
		error = server_run(r->server,
				   r->duration_ns ? r->begin_ns + r->duration_ns : UINT64_MAX,
				   &stop);
	if (error == 0)
		error = statistics_write(r);
	server_free(r->server);
	for (uint32_t i = 0; i < r->destination_count; i++)
		throttle_free(r->destinations[i].host.throttle);
	return error;
}

int main(int argc, char **argv)
{
	static struct receiver_program receiver = {
		.options.idle_ns = 300 * SECOND_NS,
		.size_max = 10000000,
		.seed = 1,
	};
	struct sigaction action = {.sa_handler = on_signal};
	int error;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	command_line_read(&receiver, argc, argv);
	error = receiver_run(&receiver);
	if (receiver.log)
		fclose(receiver.log);
	if (error < 0)
		fprintf(stderr, "receiver: %s\n", strerror(-error));
	return error < 0;
}
