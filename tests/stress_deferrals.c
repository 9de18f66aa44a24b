/* SPDX-License-Identifier: MIT
 *
 * A storm of deferrals through real rings into a real sidecar: 100,000 a second from four
 * processes, for five seconds (a minute in soak). None is lost from the counts, and what finds a
 * ring full is counted.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/handle.h"

#define PROCESSES  4
#define FLOWS	   50
#define PER_SECOND 100000
#define MAIN	   "stress_deferrals"

static char segment[64], config[96];
static const char *const replies[] = {
	"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
	"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
	"450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents delivery",
	"451 4.7.0 Temporary server error. Please try again later. PRX4",
};

static int fail(const char *what)
{
	fprintf(stderr, MAIN ": %s\n", what);
	return 1;
}

static void millisecond(void)
{
	struct timespec pause = {.tv_nsec = 1000000};

	nanosleep(&pause, NULL);
}

static int attach(struct tg **ret)
{
	struct tg_options options = {sizeof(options), segment, -1, TG_CLOCK_AUTO, 0};

	for (int i = 0; i < 20000; i++) {
		if (tg_attach(&options, ret) == 0)
			return 0;
		millisecond();
	}
	return fail("cannot attach");
}

static pid_t sidecar_start(void)
{
	const char *build = getenv("TG_BUILD");
	char program[256];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(program, sizeof(program), "%s/tollgated", build ? build : "build");
	execl(program, "tollgated", "-c", config, "--remove", (char *)NULL);
	_exit(127);
}

/* Reports its share of the storm, a millisecond's worth at a time. */
static int storm(int process, int seconds)
{
	uint64_t want = (uint64_t)PER_SECOND / PROCESSES * (uint64_t)seconds, done = 0, begin;
	struct tg_flow flows[FLOWS];
	struct tg_destination destination;
	struct tg *tg;

	if (attach(&tg) != 0 ||
	    tg_destination(tg, "hotmail-com.olc.protection.outlook.com", &destination) != 0)
		return 1;
	for (int i = 0; i < FLOWS; i++) {
		struct tg_source source;
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", process * FLOWS + i + 1);
		if (tg_source(tg, address, &source) != 0 ||
		    tg_flow(tg, &source, &destination, &flows[i]) != 0)
			return fail("no flow");
	}
	for (begin = tg_now(tg); done < want; millisecond()) {
		uint64_t due = (tg_now(tg) - begin) / 1000 * (PER_SECOND / PROCESSES) / 1000000;

		for (; done < want && done < due; done++) {
			const char *text = replies[done % 4];
			struct tg_reply reply = {0};

			tg_reply_parse(text, strlen(text), &reply);
			reply.admitted_ns = tg_now(tg);
			reply.place = 1;
			tg_report(tg, &flows[done % FLOWS], &reply);
		}
	}
	/* It ends without detaching: what is left on its ring must be taken all the same. */
	_exit(0);
}

struct sums {
	uint64_t deferred, head, tail, lost;
};

static struct sums sums_read(const struct tg *tg)
{
	struct sums sums = {0};

	for (uint32_t slot = 0; slot < tg->view.slots; slot++)
		sums.deferred += atomic_load(&tg->view.counters_more[slot].deferred);
	for (uint32_t i = 0; i < tg->header.sizes.workers; i++) {
		sums.head += atomic_load(&tg->workers[i].head);
		sums.tail += atomic_load(&tg->workers[i].tail);
		sums.lost += atomic_load(&tg->workers[i].lost);
	}
	return sums;
}

static int run(int seconds)
{
	uint64_t reports = (uint64_t)PER_SECOND / PROCESSES * (uint64_t)seconds * PROCESSES;
	pid_t children[PROCESSES];
	struct sums sums;
	struct tg *tg;
	int status;

	if (attach(&tg) != 0)
		return 1;
	for (int i = 0; i < PROCESSES; i++)
		if ((children[i] = fork()) == 0)
			exit(storm(i, seconds));
	for (int i = 0; i < PROCESSES; i++)
		if (waitpid(children[i], &status, 0) < 0 || status != 0)
			return fail("a worker failed");
	for (int i = 0; i < 5000; i++) {
		sums = sums_read(tg);
		if (sums.head == sums.tail)
			break;
		millisecond();
	}
	printf("%" PRIu64 " reported, %" PRIu64 " counted, %" PRIu64 " records taken, %" PRIu64
	       " texts lost\n",
	       reports, sums.deferred, sums.tail, sums.lost);
	tg_detach(tg);
	if (sums.deferred != reports)
		return fail("counts differ");
	if (sums.head != sums.tail)
		return fail("records were left on a ring");
	/* Records are reports and announcements; what found a ring full was counted. */
	if (sums.tail + sums.lost < reports)
		return fail("a record vanished");
	return 0;
}

int main(void)
{
	int seconds = getenv("TG_SOAK") ? 60 : 5;
	int result, status = 0;
	pid_t sidecar;
	FILE *file;

	snprintf(segment, sizeof(segment), "/dev/shm/tollgate-storm-%d", (int)getpid());
	snprintf(config, sizeof(config), "%s.yaml", segment);
	file = fopen(config, "w");
	if (file == NULL)
		return fail("cannot write a configuration");
	fprintf(file,
		"segment: {path: %s, flows: 2000, workers: 16, ring: 8192}\nlog: {level: error}\n",
		segment);
	fclose(file);
	sidecar = sidecar_start();
	result = run(seconds);
	kill(sidecar, SIGTERM);
	waitpid(sidecar, &status, 0);
	unlink(config);
	if (status != 0)
		return fail("the sidecar did not end in order");
	return result;
}
