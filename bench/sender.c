/* SPDX-License-Identifier: MIT
 *
 * sender: a fleet of worker processes that deliver real messages over SMTP sessions on loopback.
 *
 *   sender --source ADDRESS… --route NAME=ADDRESS:PORT… [options]
 *
 *   --source 127.1.0.1   a sending IP (repeatable; an IPv4 address "127.1.0.1-8" is eight)
 *   --workers 3          processes for each source
 *   --route NAME=A:P     a destination: its MX name, and where its model listens (repeatable)
 *   --bulk 2000          messages that are there at once, over the whole fleet
 *   --transactional 400  messages that come evenly while --arrive lasts, over the whole fleet
 *   --seconds 40         the run ends then, whatever still waits; sooner if nothing does
 *   --arrive 32          seconds; by default four fifths of --seconds
 *   --retry 2s           the first wait of a deferred message; doubled each time
 *   --retry-max 15s      the longest
 *   --gate FOLDER        ask the gate whose segment is there; else as fast as they can
 *   --fixed 10/min       no more than that for each source and route, whatever the receiver answers
 *   --live LABEL         a line on the terminal that shows progress
 *   --seed 1 --json FILE
 *
 * Ends with 1 if a worker failed or any message went missing in the count.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/now.h"
#include "bench/lib/worker.h"
#include "sidecar/base/units.h"
#include "sidecar/cli/options.h"

#define SOURCES 256
#define WORKERS 1024

struct fleet {
	char sources[SOURCES][INET6_ADDRSTRLEN];
	struct worker_route routes[WORKER_ROUTES];
	uint32_t source_count, route_count, count;
	uint64_t per_source, bulk, transactional, run_s, arrive_s, seed;
	uint64_t run_ns, arrive_ns, retry_ns, retry_max_ns;
	const char *segment, *json, *live;
	struct units_rate fixed_rate; /* count 0: none */
	struct fixed *fixed;	      /* source * routes + route; shared with the workers */
	size_t tally_size;
	char *tallies; /* shared with the workers */
	pid_t workers[WORKERS];
	uint64_t begin_ns, end_ns;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

/* ---- options ------------------------------------------------------------------------------------
 */

static const char *source_add(struct fleet *fleet, const char *text)
{
	if (fleet->source_count == SOURCES)
		return "too many sources";
	if (strlen(text) >= INET6_ADDRSTRLEN)
		return "not a source";
	strcpy(fleet->sources[fleet->source_count++], text);
	return NULL;
}

/* "127.1.0.1" or "127.1.0.1-8" */
static const char *source_take(void *into, const char *name, char *text)
{
	const char *dash = strchr(text, '-'), *dot = strrchr(text, '.'), *why = NULL;
	unsigned first, last;
	char address[64];

	if (!dash)
		return source_add(into, text);
	if (!dot || dot > dash || dot - text > 40 || sscanf(dot + 1, "%u-%u", &first, &last) != 2 ||
	    last > 255 || first > last)
		return "not a source";
	for (; !why && first <= last; first++) {
		snprintf(address, sizeof(address), "%.*s.%u", (int)(dot - text), text, first);
		why = source_add(into, address);
	}
	return why;
}

static const char *route_take(void *into, const char *name, char *text)
{
	struct fleet *fleet = into;
	struct worker_route *route = &fleet->routes[fleet->route_count];
	struct sockaddr_in *v4 = (struct sockaddr_in *)&route->peer;
	const char *equals = strchr(text, '=');
	char address[64];
	unsigned port;

	if (fleet->route_count == WORKER_ROUTES)
		return "too many routes";
	if (!equals || (size_t)(equals - text) >= sizeof(route->name) ||
	    sscanf(equals + 1, "%63[0-9.]:%u", address, &port) != 2 || port > 65535 ||
	    inet_pton(AF_INET, address, &v4->sin_addr) != 1)
		return "not NAME=ADDRESS:PORT";
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	memcpy(route->name, text, (size_t)(equals - text));
	fleet->route_count++;
	return NULL;
}

static const char *count_take(void *into, const char *name, char *text)
{
	struct fleet *fleet = into;
	struct {
		const char *name;
		uint64_t *value, max;
	} counts[] = {
		{"workers", &fleet->per_source, WORKERS},
		{"bulk", &fleet->bulk, 10000000},
		{"transactional", &fleet->transactional, 10000000},
		{"seconds", &fleet->run_s, 100000},
		{"arrive", &fleet->arrive_s, 100000},
		{"seed", &fleet->seed, UINT32_MAX},
	};
	const char *why = NULL;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (strcmp(name, counts[i].name) == 0) {
			if (units_count(text, counts[i].value, &why) < 0)
				return why;
			return *counts[i].value > counts[i].max ? "out of range" : NULL;
		}
	return "no such number";
}

static const char *time_take(void *into, const char *name, char *text)
{
	struct fleet *fleet = into;
	const char *why = NULL;

	units_duration(text, strcmp(name, "retry") == 0 ? &fleet->retry_ns : &fleet->retry_max_ns,
		       &why);
	return why;
}

static const char *rate_take(void *into, const char *name, char *text)
{
	struct fleet *fleet = into;
	const char *why = NULL;

	if (units_rate(text, &fleet->fixed_rate, &why) < 0)
		return why;
	return fleet->fixed_rate.count == 0 || fleet->fixed_rate.count > FIXED_MAX
		       ? "no rate that can be kept"
		       : NULL;
}

#define TEXT(member, name, value, help)                                                 \
	{                                                                               \
		name, 0, value, help, CLI_TEXT, offsetof(struct fleet, member), 0, NULL \
	}
#define READ(name, value, take, help)                      \
	{                                                  \
		name, 0, value, help, CLI_READ, 0, 0, take \
	}

static const struct cli_option option_rows[] = {
	{"source", 0, "ADDRESS", "a sending IP, or several as 127.1.0.1-8; may be given again",
	 CLI_READ, 0, 0, source_take},
	{"route", 0, "NAME=ADDRESS:PORT",
	 "a destination: its MX name, and where its model listens; may be given again", CLI_READ, 0,
	 0, route_take},
	READ("workers", "N", count_take, "processes for each source"),
	READ("bulk", "N", count_take, "messages that are there at once, over the whole fleet"),
	READ("transactional", "N", count_take, "messages that come evenly, over the whole fleet"),
	READ("seconds", "N", count_take, "the run ends then at the latest"),
	READ("arrive", "N", count_take,
	     "seconds over which messages come; four fifths of --seconds by default"),
	READ("retry", "T", time_take, "the first wait of a deferred message, doubled each time"),
	READ("retry-max", "T", time_take, "the longest wait"),
	READ("seed", "N", count_take, "of the random numbers"),
	TEXT(segment, "gate", "DIR", "ask the gate whose segment is there"),
	{"fixed", 0, "RATE", "no more than this for each source and route", CLI_READ, 0, 0,
	 rate_take},
	TEXT(live, "live", "LABEL", "show progress on the terminal"),
	TEXT(json, "json", "FILE", "write the figures there"),
	{0}};

static const struct cli_syntax syntax = {
	.program = "sender",
	.about = "A fleet of worker processes that deliver real messages over SMTP sessions on "
		 "loopback. --source and --route are needed.",
	.options = option_rows,
};

static void command_line_read(struct fleet *fleet, int argc, char **argv)
{
	char **arguments;

	options_read(&syntax, argc, argv, fleet, &arguments);
	if (fleet->source_count == 0 || fleet->route_count == 0)
		exit(options_wrong(&syntax, "--source and --route are needed"));
	fleet->count = fleet->source_count * (uint32_t)fleet->per_source;
	if (fleet->count == 0 || fleet->count > WORKERS)
		exit(options_wrong(&syntax, "between 1 and 1024 workers"));
	fleet->run_ns = fleet->run_s * SECOND_NS;
	fleet->arrive_ns = fleet->arrive_s * SECOND_NS;
	if (fleet->arrive_ns == 0 || fleet->arrive_ns > fleet->run_ns)
		fleet->arrive_ns = fleet->run_ns * 4 / 5;
}

/* ---- the fleet ----------------------------------------------------------------------------------
 */

static struct worker_tally *tally_of(const struct fleet *fleet, uint32_t worker)
{
	return (struct worker_tally *)(fleet->tallies + worker * fleet->tally_size);
}

/* The share of worker number i of what the whole fleet sends. */
static uint32_t share(uint64_t whole, uint32_t count, uint32_t i)
{
	return (uint32_t)(whole / count + (i < whole % count));
}

static int fixed_prepare(struct fleet *fleet)
{
	uint32_t count = fleet->source_count * fleet->route_count;
	int error = 0;

	fleet->fixed = mmap(NULL, count * sizeof(*fleet->fixed), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fleet->fixed == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < count && error == 0; i++)
		error = fixed_init(&fleet->fixed[i], (uint32_t)fleet->fixed_rate.count,
				   fleet->fixed_rate.period_ns);
	return error;
}

static int fleet_prepare(struct fleet *fleet)
{
	uint32_t room;

	if (fleet->count == 0)
		return -EINVAL;
	room = share(fleet->transactional, fleet->count, 0);
	fleet->tally_size = (sizeof(struct worker_tally) + room * sizeof(uint32_t) + 127) & ~63ul;
	fleet->tallies = mmap(NULL, fleet->tally_size * fleet->count, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fleet->tallies == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < fleet->count; i++)
		tally_of(fleet, i)->delay_room = room;
	return fleet->fixed_rate.count ? fixed_prepare(fleet) : 0;
}

static void worker_process(const struct fleet *fleet, uint32_t i)
{
	struct worker_plan plan = {
		.source = fleet->sources[i / fleet->per_source],
		.routes = fleet->routes,
		.route_count = fleet->route_count,
		.bulk = share(fleet->bulk, fleet->count, i),
		.transactional = share(fleet->transactional, fleet->count, i),
		.segment = fleet->segment,
		.fixed = fleet->fixed ? fleet->fixed + i / fleet->per_source * fleet->route_count
				      : NULL,
		.begin_ns = fleet->begin_ns,
		.end_ns = fleet->end_ns,
		.arrive_ns = fleet->arrive_ns,
		.retry_ns = fleet->retry_ns,
		.retry_max_ns = fleet->retry_max_ns,
		.seed = fleet->seed * 100003 + i,
	};
	int error;

	/* Nobody is left behind if the parent is killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	error = worker_run(&plan, tally_of(fleet, i));
	if (error < 0)
		tally_of(fleet, i)->error = (uint64_t)-error;
	_exit(error < 0);
}

static int fleet_start(struct fleet *fleet)
{
	fleet->begin_ns = now_monotonic();
	fleet->end_ns = fleet->begin_ns + fleet->run_ns;
	for (uint32_t i = 0; i < fleet->count; i++) {
		fleet->workers[i] = fork();
		if (fleet->workers[i] < 0)
			return -errno;
		if (fleet->workers[i] == 0)
			worker_process(fleet, i);
	}
	return 0;
}

static void tally_sum(const struct fleet *fleet, struct worker_tally *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint32_t i = 0; i < fleet->count; i++) {
		const struct worker_tally *one = tally_of(fleet, i);

		for (int class = 0; class < TG_CLASSES; class ++)
			sum->delivered[class] += one->delivered[class];
		for (int reason = 0; reason < TG_REASONS; reason++)
			sum->verdicts[reason] += one->verdicts[reason];
		sum->deferred += one->deferred;
		sum->bounced += one->bounced;
		sum->unreachable += one->unreachable;
		sum->attempts += one->attempts;
		sum->connections += one->connections;
		sum->waiting += one->waiting;
		sum->delay_count += one->delay_count;
		if (one->error)
			sum->error = one->error;
	}
}

static uint64_t verdicts_all(const struct worker_tally *sum)
{
	uint64_t all = 0;

	for (int reason = 0; reason < TG_REASONS; reason++)
		all += sum->verdicts[reason];
	return all;
}

static void live_show(const struct fleet *fleet, uint64_t now_ns)
{
	struct worker_tally sum;
	uint64_t delivered;

	tally_sum(fleet, &sum);
	delivered = sum.delivered[TG_TRANSACTIONAL] + sum.delivered[TG_BULK];
	fprintf(stderr,
		"%s%-14s %3.0f of %3.0f s   delivered %6llu   deferred %6llu   asked %7llu%s",
		isatty(2) ? "\r" : "", fleet->live, (double)(now_ns - fleet->begin_ns) / 1e9,
		(double)fleet->run_ns / 1e9, (unsigned long long)delivered,
		(unsigned long long)sum.deferred, (unsigned long long)verdicts_all(&sum),
		isatty(2) ? "\x1b[K" : "\n");
	fflush(stderr);
}

/* Waits for the workers, showing how far they are; on a signal they are ended. Returns how many
 * failed. */
static uint32_t fleet_wait(struct fleet *fleet)
{
	uint64_t show_ns = isatty(2) ? SECOND_NS / 4 : 5 * SECOND_NS, shown = now_monotonic();
	uint32_t left = fleet->count, failed = 0;
	bool told = false;

	while (left > 0) {
		struct timespec pause = {0, 50000000};
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			left--;
			failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
			continue;
		}
		if (stop && !told)
			for (uint32_t i = 0; i < fleet->count; i++)
				kill(fleet->workers[i], SIGKILL);
		told = stop;
		nanosleep(&pause, NULL);
		if (fleet->live && now_monotonic() - shown >= show_ns) {
			shown = now_monotonic();
			live_show(fleet, shown);
		}
	}
	if (fleet->live && isatty(2))
		fprintf(stderr, "\r\x1b[K");
	return failed;
}

/* ---- the result ---------------------------------------------------------------------------------
 */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Exact percentiles of all delays, in milliseconds; 0 where there is none. */
static int delays_of(const struct fleet *fleet, uint32_t count, uint32_t *ret_p50,
		     uint32_t *ret_p99)
{
	uint32_t *all = calloc(count ? count : 1, sizeof(*all));
	uint32_t n = 0;

	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < fleet->count; i++) {
		const struct worker_tally *one = tally_of(fleet, i);

		memcpy(all + n, one->delay_ms, one->delay_count * sizeof(*all));
		n += one->delay_count;
	}
	qsort(all, n, sizeof(*all), by_value);
	*ret_p50 = n ? all[n / 2] : 0;
	*ret_p99 = n ? all[(uint64_t)n * 99 / 100] : 0;
	free(all);
	return 0;
}

static void result_print(const struct fleet *fleet, const struct worker_tally *sum, uint32_t p50,
			 uint32_t p99, double seconds, FILE *out)
{
	const char *comma = "";

	fprintf(out,
		"{\"gate\": %s, \"seconds\": %.3f, \"messages\": %llu, \"delivered\": %llu, "
		"\"delivered_transactional\": %llu, \"delivered_bulk\": %llu, \"deferred\": %llu, "
		"\"bounced\": %llu, \"unreachable\": %llu, \"waiting\": %llu, \"attempts\": %llu, "
		"\"connections\": %llu, \"transactional_p50_s\": %.3f, \"transactional_p99_s\": "
		"%.3f, "
		"\"decisions\": %llu, \"verdicts\": {",
		fleet->segment ? "true" : "false", seconds,
		(unsigned long long)(fleet->bulk + fleet->transactional),
		(unsigned long long)(sum->delivered[TG_TRANSACTIONAL] + sum->delivered[TG_BULK]),
		(unsigned long long)sum->delivered[TG_TRANSACTIONAL],
		(unsigned long long)sum->delivered[TG_BULK], (unsigned long long)sum->deferred,
		(unsigned long long)sum->bounced, (unsigned long long)sum->unreachable,
		(unsigned long long)sum->waiting, (unsigned long long)sum->attempts,
		(unsigned long long)sum->connections, p50 / 1e3, p99 / 1e3,
		(unsigned long long)verdicts_all(sum));
	for (int reason = 0; reason < TG_REASONS; reason++) {
		if (!sum->verdicts[reason])
			continue;
		fprintf(out, "%s\"%s\": %llu", comma, tg_reason_name(reason),
			(unsigned long long)sum->verdicts[reason]);
		comma = ", ";
	}
	fprintf(out, "}}\n");
}

static int result_write(const struct fleet *fleet, double seconds)
{
	FILE *out = fleet->json ? fopen(fleet->json, "we") : stdout;
	struct worker_tally sum;
	uint32_t p50, p99;
	uint64_t counted;

	if (!out)
		return -errno;
	tally_sum(fleet, &sum);
	if (delays_of(fleet, sum.delay_count, &p50, &p99) < 0)
		return -ENOMEM;
	result_print(fleet, &sum, p50, p99, seconds, out);
	if (fleet->json && fclose(out) != 0)
		return -errno;
	counted =
		sum.delivered[0] + sum.delivered[1] + sum.delivered[2] + sum.bounced + sum.waiting;
	return counted == fleet->bulk + fleet->transactional ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	static struct fleet fleet = {
		.per_source = 3,
		.bulk = 2000,
		.transactional = 400,
		.seed = 1,
		.run_s = 40,
		.retry_ns = 2 * SECOND_NS,
		.retry_max_ns = 15 * SECOND_NS,
	};
	struct sigaction action = {.sa_handler = on_signal};
	uint32_t failed;
	int error;

	command_line_read(&fleet, argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	error = fleet_prepare(&fleet);
	if (error == 0)
		error = fleet_start(&fleet);
	failed = error == 0 ? fleet_wait(&fleet) : 0;
	if (error == 0)
		error = result_write(&fleet, (double)(now_monotonic() - fleet.begin_ns) / 1e9);
	for (uint32_t i = 0; i < fleet.count; i++)
		if (fleet.tallies && tally_of(&fleet, i)->error) {
			fprintf(stderr, "sender: worker %u: %s\n", i,
				strerror((int)tally_of(&fleet, i)->error));
			break;
		}
	if (error < 0)
		fprintf(stderr, "sender: %s\n", strerror(-error));
	return error < 0 || failed > 0;
}
