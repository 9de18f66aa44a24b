/* SPDX-License-Identifier: MIT
 *
 * The sidecar killed with SIGKILL at random points, starting up too, while workers go on: the
 * segment is adopted each time, over the whole run no flow sends more than its rate and burst
 * allow, and nothing that was counted is lost.
 */
#include "tests/stress_sidecar.h"

#define WORKERS 3
#define FLOWS	4
#define BURST	50
#define T	(SECOND / 200)

struct kill_sidecar_shared {
	struct stress_sidecar sidecar;
	_Atomic uint32_t stop;
	_Atomic uint64_t admitted[FLOWS];
	_Atomic uint64_t reported[FLOWS];
};

static void work(struct kill_sidecar_shared *shared, uint64_t seed)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	struct tg_flow flows[FLOWS];
	struct tg_reply reply = {.code = 250};
	struct tg_lease lease;

	for (int i = 0; i < FLOWS; i++) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i + 1);
		must(sidecar_flow(tg, address, &flows[i]));
	}
	while (!atomic_load(&shared->stop)) {
		uint32_t which = (uint32_t)(random_next(&seed) % FLOWS);
		struct tg_verdict verdict = tg_admit(tg, &flows[which], TG_BULK, 1);

		stress_expect(verdict.reason != TG_RETIRED,
			      "the segment was replaced, not adopted");
		if (verdict.reason == TG_ADMITTED) {
			atomic_fetch_add(&shared->admitted[which], 1);
			atomic_fetch_add(&shared->reported[which], 1);
			tg_report(tg, &flows[which], &reply);
		}
		if (random_next(&seed) % 64 == 0 &&
		    tg_connect(tg, &flows[which], TG_BULK, &lease).reason == TG_ADMITTED)
			must(tg_disconnect(tg, &lease) == 0);
		if (random_next(&seed) % 8 == 0)
			stress_nap(SECOND / 10000);
	}
	tg_detach(tg);
}

int main(void)
{
	struct kill_sidecar_shared *shared = fixture_shared(sizeof(*shared));
	uint32_t rounds = stress_times(25, 200), naps = 0;
	uint64_t begin, end, seed = 77;
	pid_t pids[WORKERS];
	struct tg *tg;
	int status;

	if (stress_modes() == 1) {
		printf("SKIP: ThreadSanitizer does not see across processes\n");
		return 77;
	}
	sidecar_configure(&shared->sidecar,
			  "{rate: 200/s, burst: 50, adapt: false, connections: 5}");
	sidecar_start(&shared->sidecar);
	tg_detach(sidecar_attach(&shared->sidecar));
	begin = clock_vdso();
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = stress_fork();
		if (pids[i] == 0) {
			work(shared, (uint64_t)i + 1);
			_exit(0);
		}
	}
	for (uint32_t round = 0; round < rounds; round++) {
		stress_nap(random_next(&seed) % (SECOND / 5));
		sidecar_end(&shared->sidecar, SIGKILL);
		sidecar_start(&shared->sidecar);
	}
	tg = sidecar_attach(&shared->sidecar);
	/* The last one has it in hand: its heart beats. */
	for (uint64_t heart = atomic_load(&tg->live->heartbeat_ns);
	     atomic_load(&tg->live->heartbeat_ns) == heart; naps++) {
		stress_expect(naps < 30000, "no heartbeat");
		stress_nap(SECOND / 500);
	}
	atomic_store(&shared->stop, 1);
	for (int i = 0; i < WORKERS; i++) {
		waitpid(pids[i], &status, 0);
		stress_expect(status == 0, "worker %d ended with %x", i, status);
	}
	end = clock_vdso();
	for (int i = 0; i < FLOWS; i++) {
		uint64_t max = BURST + (end - begin) / T + 1,
			 admitted = atomic_load(&shared->admitted[i]);
		struct tg_flow flow;
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i + 1);
		must(sidecar_flow(tg, address, &flow));
		stress_expect(admitted <= max, "flow %d: %lu admitted, %lu allowed", i, admitted,
			      max);
		stress_expect(admitted >= max / 2, "flow %d: %lu admitted of %lu: it was stuck", i,
			      admitted, max);
		stress_expect(atomic_load(&tg->view.counters_more[flow.slot].delivered) ==
				      atomic_load(&shared->reported[i]),
			      "flow %d: %lu counted, %lu reported", i,
			      atomic_load(&tg->view.counters_more[flow.slot].delivered),
			      atomic_load(&shared->reported[i]));
		printf("  flow %d: %lu admitted of %lu allowed, %u kills\n", i, admitted, max,
		       rounds);
	}
	tg_detach(tg);
	status = sidecar_end(&shared->sidecar, SIGTERM);
	stress_expect(status == 0, "it ended with %x", status);
	sidecar_clear(&shared->sidecar);
	return 0;
}
