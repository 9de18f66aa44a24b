/* SPDX-License-Identifier: MIT
 *
 * A segment that is replaced under load, again and again: over the whole run no flow sends more
 * than it may, none is stuck afterwards, and connections that are open stay counted.
 */
#include "shm/lease.h"
#include "tests/stress_workers.h"

#define WORKERS 4
#define FLOWS	3
#define N	30000

struct replace_shared {
	struct fixture f;
	_Atomic uint32_t begun, stop;
	_Atomic uint32_t round; /* the replacement that has begun last */
	_Atomic uint32_t renewed;
	_Atomic uint32_t estimates;
	_Atomic uint32_t admitted[FLOWS];
};

static void resolve(struct tg *tg, struct tg_flow *flows)
{
	for (int i = 0; i < FLOWS; i++) {
		struct tg_source source;
		struct tg_destination destination;
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i + 1);
		must(tg_source(tg, address, &source) == 0);
		must(tg_destination(tg, "mx.provider.test", &destination) == 0);
		must(tg_flow(tg, &source, &destination, &flows[i]) == 0);
	}
}

static void renew(struct replace_shared *shared, struct tg *tg, struct tg_flow *flows)
{
	int error;

	while ((error = tg_renew(tg)) == -ESTALE || error == -ENOENT)
		stress_nap(SECOND / 5000);
	stress_expect(error == 0, "tg_renew: %d", error);
	atomic_fetch_add(&shared->renewed, 1);
	resolve(tg, flows);
}

static uint32_t leases_of(uint32_t round)
{
	return 16 + round % 3;
}

/* Was a replacement of those from `since` on too small for the entry? A worker that gets no turn
 * for long misses several. */
static bool forgotten(struct replace_shared *shared, uint32_t entry, uint32_t since)
{
	for (uint32_t round = since; round <= atomic_load(&shared->round); round++)
		if (entry >= leases_of(round))
			return true;
	return false;
}

/* -ESTALE: to be returned again. A lease whose entry new sizes had no room for was forgotten. */
static int give_back(struct replace_shared *shared, struct tg *tg, const struct tg_lease *lease,
		     uint32_t since)
{
	int error = tg_disconnect(tg, lease);

	if (error == -EINVAL && forgotten(shared, lease->entry & 0xffff, since))
		error = 0;
	stress_expect(error == 0 || error == -ESTALE, "tg_disconnect: %d, entry %u of %u", error,
		      lease->entry & 0xffff, tg->header.sizes.leases);
	return error;
}

static void work(uint32_t index, void *arg)
{
	struct replace_shared *shared = arg;
	struct tg_flow flows[FLOWS];
	struct tg_lease lease;
	struct tg *tg = NULL;
	uint64_t seed = index + 1;
	uint32_t since = 0;
	bool held = false;
	int error;

	while ((error = fixture_try(&shared->f, &tg)) == -ESTALE)
		stress_nap(SECOND / 5000);
	stress_expect(error == 0, "tg_attach: %d", error);
	resolve(tg, flows);
	while (!atomic_load(&shared->stop)) {
		uint32_t which = (uint32_t)(random_next(&seed) % FLOWS);
		struct tg_verdict verdict = tg_admit(tg, &flows[which], TG_BULK, 1);

		if (verdict.reason == TG_ADMITTED)
			atomic_fetch_add(&shared->admitted[which], 1);
		if (verdict.flags & TG_ESTIMATE)
			atomic_fetch_add(&shared->estimates, 1);
		if (verdict.reason == TG_RETIRED)
			renew(shared, tg, flows);
		if (!held) {
			since = atomic_load(&shared->round);
			held = tg_connect(tg, &flows[0], TG_BULK, &lease).reason == TG_ADMITTED;
		} else if (random_next(&seed) % 64 == 0) {
			held = give_back(shared, tg, &lease, since) == -ESTALE;
			if (held)
				renew(shared, tg, flows);
		}
		/* So that the burst lasts for the run. */
		if (random_next(&seed) % 4 == 0)
			stress_nap(SECOND / 20000);
	}
	while (held && give_back(shared, tg, &lease, since) == -ESTALE)
		renew(shared, tg, flows);
	tg_detach(tg);
}

static void replace(struct replace_shared *shared, uint32_t round,
		    const struct publish_limits *limits)
{
	segment_close(shared->f.segment, false);
	atomic_store(&shared->round, round);
	shared->f.options.sizes.flows = 500 + round % 7 * 100;
	shared->f.options.sizes.leases = leases_of(round);
	fixture_reopen(&shared->f);
	stress_expect(shared->f.segment->replaced, "round %u was not a replacement", round);
	publish_default(shared->f.segment, LAYOUT_DEFAULT_FLOW, limits);
	segment_live(shared->f.segment);
}

static void run(uint32_t rounds)
{
	struct replace_shared *shared = fixture_shared(sizeof(*shared));
	struct publish_limits limits = fixture_rate(HOUR, N, N, N);
	struct tg_flow flows[FLOWS];
	pid_t pids[WORKERS];
	struct segment *mine;
	struct tg *tg;

	limits.connections[0] = limits.connections[1] = limits.connections[2] = WORKERS;
	fixture_open(&shared->f);
	publish_default(shared->f.segment, LAYOUT_DEFAULT_FLOW, &limits);
	for (int i = 0; i < FLOWS; i++) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i + 1);
		fixture_flow(shared->f.segment, address, "provider", &limits, clock_vdso());
	}
	mine = shared->f.segment;
	for (uint32_t i = 0; i < WORKERS; i++) {
		pids[i] = stress_fork();
		if (pids[i] == 0) {
			/* The lock is the parent's. */
			segment_close(mine, false);
			atomic_fetch_add(&shared->begun, 1);
			work(i, shared);
			_exit(0);
		}
	}
	while (atomic_load(&shared->begun) < WORKERS)
		stress_nap(SECOND / 1000);
	for (uint32_t round = 1; round <= rounds; round++) {
		stress_nap(SECOND / 100);
		replace(shared, round, &limits);
	}
	stress_nap(SECOND / 50);
	atomic_store(&shared->stop, 1);
	for (int i = 0; i < WORKERS; i++) {
		int status;

		waitpid(pids[i], &status, 0);
		stress_expect(status == 0, "a worker ended with %x", status);
	}
	tg = fixture_attach(&shared->f);
	resolve(tg, flows);
	for (int i = 0; i < FLOWS; i++) {
		uint32_t before = atomic_load(&shared->admitted[i]), sum = before;

		for (int k = 0; k < 2 * N; k++)
			sum += tg_admit(tg, &flows[i], TG_BULK, 1).reason == TG_ADMITTED;
		stress_expect(sum == N, "flow %d: %u of %u, %u of them after the run", i, sum, N,
			      sum - before);
		stress_expect(
			lease_count(atomic_load(&tg->view.counters_more[flows[i].slot].gauge)) == 0,
			"flow %d has connections", i);
		printf("  flow %d: %u during %u replacements, %u after\n", i, before, rounds,
		       sum - before);
	}
	stress_expect(atomic_load(&shared->renewed) > rounds, "renewed %u times only",
		      atomic_load(&shared->renewed));
	tg_detach(tg);
	fixture_end(&shared->f);
}

int main(void)
{
	if (stress_modes() == 1) {
		printf("SKIP: ThreadSanitizer does not see across processes\n");
		return 77;
	}
	run(stress_times(60, 1000));
	return 0;
}
