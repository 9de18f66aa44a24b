/* SPDX-License-Identifier: MIT
 *
 * Workers killed with SIGKILL at random points, while they claim flows, connect, ask, reserve and
 * report: no lease and no slot stays behind, and a day's count loses no more than the last call of
 * each.
 *
 * The taking back is what the sidecar does (sidecar/daemon/workers.c), by the same calls.
 */
#include "shm/alive.h"
#include "shm/lease.h"
#include "tests/stress_workers.h"

#define WORKERS 4
#define FLOWS	6
#define CAP	3

struct kill_worker_shared {
	struct fixture f;
	_Atomic uint64_t admitted; /* messages that a worker knows to have been admitted */
	_Atomic uint64_t calls;
};

static void live(struct kill_worker_shared *shared, uint64_t seed)
{
	struct tg *tg = fixture_attach(&shared->f);
	struct tg_reply reply = {.code = 451, .text = "451 4.7.650 later", .length = 17};
	struct tg_lease lease[4];
	uint32_t held = 0;

	for (;;) {
		struct tg_source source;
		struct tg_destination destination;
		struct tg_flow flow;
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%u",
			 (unsigned)(random_next(&seed) % FLOWS) + 1);
		must(tg_source(tg, address, &source) == 0);
		must(tg_destination(tg, "mx.provider.test", &destination) == 0);
		must(tg_flow(tg, &source, &destination, &flow) == 0);
		if (held < 4 && tg_connect(tg, &flow, TG_BULK, &lease[held]).reason == TG_ADMITTED)
			held++;
		if (tg_admit(tg, &flow, TG_BULK, 1).reason == TG_ADMITTED)
			atomic_fetch_add(&shared->admitted, 1);
		tg_report(tg, &flow, &reply);
		if (held && random_next(&seed) % 2)
			must(tg_disconnect(tg, &lease[--held]) == 0);
		atomic_fetch_add(&shared->calls, 1);
	}
}

static pid_t start(struct kill_worker_shared *shared, uint64_t seed)
{
	pid_t child = stress_fork();

	if (child == 0)
		live(shared, seed);
	return child;
}

/* A slot that has a name, and whose lock can be had, is one that died. */
static void take_back(struct segment *s)
{
	for (uint32_t w = 0; w < s->header.sizes.workers; w++) {
		if (atomic_load(&s->workers[w].owner) == 0 || alive_take(s->alive, w) != 0)
			continue;
		for (uint32_t i = 0; i < s->header.sizes.leases; i++)
			lease_reclaim(&s->view, s->leases, &s->header.sizes, w, i);
		/* Its texts are drained. */
		atomic_store(&s->workers[w].tail, atomic_load(&s->workers[w].head));
		atomic_store(&s->workers[w].owner, 0);
		alive_drop(s->alive, w);
	}
}

static void gone(struct kill_worker_shared *shared, pid_t pid)
{
	must(kill(pid, SIGKILL) == 0);
	waitpid(pid, NULL, 0);
	take_back(shared->f.segment);
}

/* With nobody left: nothing held, everything usable. */
static void check(struct kill_worker_shared *shared, const struct tg_flow *flows, uint64_t kills)
{
	struct segment *s = shared->f.segment;
	uint64_t counted = 0, admitted = atomic_load(&shared->admitted);
	struct tg_lease lease[CAP + 1];
	struct tg *tg;

	for (uint32_t w = 0; w < s->header.sizes.workers; w++)
		stress_expect(atomic_load(&s->workers[w].owner) == 0, "worker slot %u is taken", w);
	for (uint64_t i = 0; i < (uint64_t)s->header.sizes.workers * s->header.sizes.leases; i++)
		stress_expect(lease_state(atomic_load(&s->leases[i])) == LEASE_FREE,
			      "lease %lu is not free", i);
	for (uint32_t slot = 0; slot < s->view.slots; slot++)
		stress_expect(lease_count(atomic_load(&s->view.counters_more[slot].gauge)) == 0,
			      "slot %u: %u connections", slot,
			      lease_count(atomic_load(&s->view.counters_more[slot].gauge)));
	for (int i = 0; i < FLOWS; i++)
		counted += (uint32_t)atomic_load(&s->view.counters[flows[i].slot].day);
	stress_expect(counted >= admitted && counted - admitted <= kills,
		      "%lu counted, %lu admitted, %lu killed", counted, admitted, kills);
	tg = fixture_attach(&shared->f);
	for (int i = 0; i < FLOWS; i++) {
		for (int c = 0; c < CAP; c++)
			stress_expect(tg_connect(tg, &flows[i], TG_BULK, &lease[c]).reason ==
					      TG_ADMITTED,
				      "flow %d, connection %d", i, c);
		stress_expect(tg_connect(tg, &flows[i], TG_BULK, &lease[CAP]).reason ==
				      TG_REFUSED_CONNECTIONS,
			      "flow %d is not full", i);
		for (int c = 0; c < CAP; c++)
			must(tg_disconnect(tg, &lease[c]) == 0);
	}
	tg_detach(tg);
}

int main(void)
{
	struct kill_worker_shared *shared = fixture_shared(sizeof(*shared));
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_flow flows[FLOWS];
	pid_t pids[WORKERS];
	uint32_t rounds = stress_times(60, 1000);
	uint64_t seed = 5, kills = 0;

	if (stress_modes() == 1) {
		printf("SKIP: ThreadSanitizer does not see across processes\n");
		return 77;
	}
	fixture_open(&shared->f);
	for (int c = 0; c < TG_CLASSES; c++) {
		limits.connections[c] = CAP;
		limits.day_cap[c] = 2000000000;
	}
	for (int i = 0; i < FLOWS; i++) {
		char address[32];

		snprintf(address, sizeof(address), "192.0.2.%d", i + 1);
		flows[i] =
			fixture_flow(shared->f.segment, address, "provider", &limits, clock_vdso());
	}
	for (int i = 0; i < WORKERS; i++)
		pids[i] = start(shared, random_next(&seed));
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t which = (uint32_t)(random_next(&seed) % WORKERS);
		uint64_t until = atomic_load(&shared->calls) + random_next(&seed) % 200;

		while (atomic_load(&shared->calls) < until)
			sched_yield();
		gone(shared, pids[which]);
		kills++;
		if (round % 10 == 9) {
			for (uint32_t i = 0; i < WORKERS; i++)
				if (i != which) {
					gone(shared, pids[i]);
					kills++;
				}
			check(shared, flows, kills);
			for (uint32_t i = 0; i < WORKERS; i++)
				if (i != which)
					pids[i] = start(shared, random_next(&seed));
		}
		pids[which] = start(shared, random_next(&seed));
	}
	for (int i = 0; i < WORKERS; i++)
		gone(shared, pids[i]);
	check(shared, flows, kills + WORKERS);
	printf("  %lu killed, %lu calls, %lu admitted\n", kills + WORKERS,
	       atomic_load(&shared->calls), atomic_load(&shared->admitted));
	fixture_end(&shared->f);
	return 0;
}
