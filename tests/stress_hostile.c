/* SPDX-License-Identifier: MIT
 *
 * A worker that scribbles random bytes over all that it may write, and cuts the files short, while
 * the sidecar runs: it lives, limits are as they were, flows whose words were left alone decide as
 * before, those that were hit are bounded and repaired within moments, and a worker whose place in
 * the registry was hit keeps it.
 */
#include "shm/lease.h"
#include "tests/stress_scribble.h"
#include "tests/stress_sidecar.h"

#define BURST 40
#define T     (2 * MINUTE)

struct hostile_shared {
	struct stress_sidecar sidecar;
};

static void hostile(struct hostile_shared *shared, struct tg_flow spared, uint32_t spared_worker)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	uint64_t seed = 99, end = clock_vdso() + stress_times(3, 60) * SECOND;

	while (clock_vdso() < end) {
		scribble(tg, spared.slot, spared_worker, &seed, 20000);
		/* Of the worker that is spared only whose it is. */
		atomic_store(&tg->workers[spared_worker].owner, random_next(&seed));
		ring_doorbell(tg);
		stress_nap(SECOND / 1000);
	}
	_exit(0);
}

static void file_cut(const struct hostile_shared *shared, const char *name, off_t length)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", shared->sidecar.segment, name);
	must(truncate(path, length) == 0);
}

static uint32_t admitted(struct tg *tg, const struct tg_flow *flow)
{
	uint32_t count = 0;

	for (int i = 0; i < 3 * BURST; i++)
		count += tg_admit(tg, flow, TG_BULK, 1).reason == TG_ADMITTED;
	return count;
}

static bool logged(const struct hostile_shared *shared, const char *word)
{
	char command[256];

	snprintf(command, sizeof(command), "grep -q %s %s", word, shared->sidecar.log);
	return system(command) == 0;
}

/* Is the flow that was hit where it was, and its state one that an honest worker could have left?
 */
static bool repaired(struct tg *tg, const struct tg_flow *calm, const struct tg_flow *hit)
{
	uint64_t tat = atomic_load(&tg->view.counters[hit->slot].tat), now = tg_now(tg);
	struct tg_flow again;

	/* Where nobody decides the sidecar need not look. */
	tg_admit(tg, calm, TG_BULK, 1);
	return sidecar_flow(tg, "192.0.2.2", &again) && again.slot == hit->slot &&
	       (tat < now || tat - now < 2 * BURST * T);
}

/* Scribbling: `calm` is left alone, `hit` is not. */
static void scribbled(struct hostile_shared *shared)
{
	struct tg *tg = sidecar_attach(&shared->sidecar);
	struct tg_flow calm, hit;
	struct tg_lease lease;
	struct layout_limits limits[2];
	uint32_t first = 0, mine = tg->process->index;
	uint64_t begin, before, after;
	int status;
	pid_t child;

	must(sidecar_flow(tg, "192.0.2.1", &calm) && sidecar_flow(tg, "192.0.2.2", &hit));
	/* Until the sidecar has given both their own limits. */
	stress_until(atomic_load(&tg->view.limits[calm.slot].rate[0]) &&
			     atomic_load(&tg->view.limits[hit.slot].rate[0]),
		     "the flows were never filled");
	memcpy(&limits[0], (const void *)&tg->view.limits[calm.slot], sizeof(limits[0]));
	memcpy(&limits[1], (const void *)&tg->view.limits[hit.slot], sizeof(limits[1]));
	begin = clock_vdso();
	for (int i = 0; i < BURST / 2; i++)
		first += tg_admit(tg, &calm, TG_BULK, 1).reason == TG_ADMITTED;
	stress_expect(first == BURST / 2, "%u", first);
	stress_expect(tg_connect(tg, &calm, TG_BULK, &lease).reason == TG_ADMITTED,
		      "no connection");
	child = stress_fork();
	if (child == 0)
		hostile(shared, calm, mine);
	while (waitpid(child, &status, WNOHANG) == 0) {
		stress_expect(sidecar_lives(&shared->sidecar), "the sidecar died");
		stress_expect(memcmp(&limits[0], (const void *)&tg->view.limits[calm.slot],
				     sizeof(limits[0])) == 0,
			      "limits changed");
		stress_expect(memcmp(&limits[1], (const void *)&tg->view.limits[hit.slot],
				     sizeof(limits[1])) == 0,
			      "limits changed");
		first += tg_admit(tg, &calm, TG_BULK, 1).reason == TG_ADMITTED;
		stress_nap(SECOND / 50);
	}
	/* The burst, and what the rate allows in the time that it took. */
	before = (clock_vdso() - begin) / T;
	first += admitted(tg, &calm);
	after = (clock_vdso() - begin) / T + 1;
	stress_expect(first >= BURST + before && first <= BURST + after,
		      "the calm flow admitted %u", first);
	/* Whatever its name is now, the slot is its own: to others it is locked, and a connection
	 * that it took is counted still. */
	stress_expect(lease_count(atomic_load(&tg->view.counters_more[calm.slot].gauge)) == 1,
		      "the connection of a worker that lives was taken back");
	stress_expect(tg_disconnect(tg, &lease) == 0, "the worker lost its lease");
	/* The one that was hit: repaired, and then never more than a burst at once. */
	stress_until(repaired(tg, &calm, &hit), "the flow that was hit was not repaired");
	sidecar_look(tg);
	stress_expect(admitted(tg, &hit) <= BURST,
		      "the flow that was hit passes more than its burst");
	stress_expect(logged(shared, "damage"), "the damage was not reported");
	tg_detach(tg);
}

static void cut(struct hostile_shared *shared)
{
	uint64_t seed = 3;

	for (uint32_t i = 0; i < stress_times(15, 200); i++) {
		file_cut(shared, i % 2 ? "counters" : "rings",
			 (off_t)(random_next(&seed) % 3 ? random_next(&seed) % 100000 : 0));
		stress_nap(random_next(&seed) % (SECOND / 5));
		stress_expect(sidecar_lives(&shared->sidecar), "the sidecar died, round %u", i);
	}
	struct tg *tg = sidecar_attach(&shared->sidecar);
	struct tg_flow flow;

	uint32_t passed;

	must(sidecar_flow(tg, "192.0.2.1", &flow));
	/* What is damaged is looked for when somebody decides, and begins anew when it is repaired:
	 * only then can a burst be counted. */
	tg_admit(tg, &flow, TG_BULK, 1);
	sidecar_look(tg);
	must(sidecar_flow(tg, "192.0.2.1", &flow));
	passed = admitted(tg, &flow);
	stress_expect(passed <= BURST, "%u after the files were cut, more than a burst", passed);
	tg_detach(tg);
}

int main(void)
{
	struct hostile_shared *shared = fixture_shared(sizeof(*shared));
	int status;

	if (stress_modes() == 1) {
		printf("SKIP: ThreadSanitizer does not see across processes\n");
		return 77;
	}
	sidecar_configure(
		&shared->sidecar,
		"{rate: 30/hr, burst: 40, adapt: false, reserve: {transactional: 0%, engaged: 0%}}");
	sidecar_start(&shared->sidecar);
	scribbled(shared);
	cut(shared);
	status = sidecar_end(&shared->sidecar, SIGTERM);
	stress_expect(status == 0, "the sidecar ended with %x", status);
	sidecar_clear(&shared->sidecar);
	return 0;
}
