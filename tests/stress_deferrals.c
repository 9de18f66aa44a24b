/* SPDX-License-Identifier: MIT
 *
 * A storm of deferrals through real rings into a real sidecar: 100,000 a second from four
 * processes, for five seconds (a minute in soak). None is lost from the counts, and what finds a
 * ring full is counted.
 */
#include <inttypes.h>

#include "tests/stress_sidecar.h"

#define PROCESSES  4
#define FLOWS	   50
#define PER_SECOND 100000

static const char *const replies[] = {
	"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
	"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
	"450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents delivery",
	"451 4.7.0 Temporary server error. Please try again later. PRX4",
};

#define MILLISECOND (SECOND / 1000)

static void flows_find(struct tg *tg, uint32_t process, struct tg_flow flows[FLOWS])
{
	struct tg_destination destination;

	must(tg_destination(tg, "hotmail-com.olc.protection.outlook.com", &destination) == 0);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct tg_source source;
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%u", process * FLOWS + i + 1);
		must(tg_source(tg, address, &source) == 0 &&
		     tg_flow(tg, &source, &destination, &flows[i]) == 0);
	}
}

/* Reports its share of the storm, a millisecond's worth at a time. */
static void storm(const struct stress_sidecar *sidecar, uint32_t process, uint64_t seconds)
{
	uint64_t want = PER_SECOND / PROCESSES * seconds, done = 0, begin;
	struct tg *tg = sidecar_attach(sidecar);
	struct tg_flow flows[FLOWS];

	flows_find(tg, process, flows);
	for (begin = tg_now(tg); done < want; stress_nap(MILLISECOND)) {
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

static bool rings_empty(const struct tg *tg, struct sums *ret)
{
	*ret = sums_read(tg);
	return ret->head == ret->tail;
}

static void run(const struct stress_sidecar *sidecar, uint64_t seconds)
{
	uint64_t reports = PER_SECOND / PROCESSES * seconds * PROCESSES;
	struct tg *tg = sidecar_attach(sidecar);
	pid_t children[PROCESSES];
	struct sums sums;
	int status;

	for (uint32_t i = 0; i < PROCESSES; i++)
		if ((children[i] = stress_fork()) == 0)
			storm(sidecar, i, seconds);
	for (uint32_t i = 0; i < PROCESSES; i++)
		stress_expect(waitpid(children[i], &status, 0) > 0 && status == 0,
			      "worker %u failed: %d", i, status);
	stress_until(rings_empty(tg, &sums), "records were left on a ring");
	printf("%" PRIu64 " reported, %" PRIu64 " counted, %" PRIu64 " records taken, %" PRIu64
	       " texts lost\n",
	       reports, sums.deferred, sums.tail, sums.lost);
	tg_detach(tg);
	stress_expect(sums.deferred == reports, "counts differ");
	/* Records are reports and announcements; what found a ring full was counted. */
	stress_expect(sums.tail + sums.lost >= reports, "a record vanished");
}

int main(void)
{
	struct stress_sidecar sidecar = {.pid = 0};

	sidecar_configure(&sidecar, "{}");
	sidecar_configure_sizes(&sidecar, "flows: 2000, ring: 8192", "{adapt: true}");
	sidecar_start(&sidecar);
	run(&sidecar, stress_times(5, 60));
	must(sidecar_end(&sidecar, SIGTERM) == 0);
	sidecar_clear(&sidecar);
	return 0;
}
