/* SPDX-License-Identifier: MIT
 *
 * Racing claims: a key has one slot, whoever claims it first and however many do at once, and a
 * slot one key, though claimers are killed half-way.
 */
#include "tests/stress_workers.h"

#define WORKERS 8
#define SLOTS	4000
#define KEYS	2000

struct claims {
	struct segment *segment;
	struct hash_key keys[KEYS];
	uint32_t slots[WORKERS][KEYS];
	_Atomic uint64_t made;
};

static void keys_draw(struct claims *claims, uint64_t seed)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		claims->keys[i] =
			(struct hash_key){{random_next(&seed) | 1, random_next(&seed) | 1}};
		/* A crowd: 200 keys that begin their search at the last slot, in pairs of one first
		 * half. They make a run of 364 taken slots, give or take 20: long, yet within the
		 * probes of a search (250 of them would pass those 512 at one seed of 300). */
		if (i % 20 == 0)
			claims->keys[i].half[0] = UINT64_MAX - (random_next(&seed) >> 56);
		if (i % 20 == 1)
			claims->keys[i].half[0] = claims->keys[i - 1].half[0];
	}
}

/* Each in an order of its own, half of them in the same. */
static void claim(uint32_t index, void *arg)
{
	struct claims *claims = arg;
	uint64_t seed = index / 2 + 1;
	uint32_t step = (uint32_t)(random_next(&seed) % KEYS) | 1, at = 0;

	while (step % 5 == 0)
		step += 2;
	for (uint32_t i = 0; i < KEYS; i++) {
		at = (at + step) % KEYS;
		claims->slots[index][at] =
			directory_find(&claims->segment->view, &claims->keys[at], true);
		atomic_fetch_add(&claims->made, 1);
	}
}

static void check(struct claims *claims)
{
	static uint32_t owner[SLOTS];

	memset(owner, 0xff, sizeof(owner));
	for (uint32_t i = 0; i < KEYS; i++) {
		uint32_t slot = directory_find(&claims->segment->view, &claims->keys[i], true);

		stress_expect(slot < SLOTS, "key %u has no slot", i);
		stress_expect(owner[slot] == UINT32_MAX, "keys %u and %u share slot %u",
			      owner[slot], i, slot);
		owner[slot] = i;
		for (uint32_t w = 0; w < WORKERS; w++)
			stress_expect(claims->slots[w][i] == slot ||
					      claims->slots[w][i] == UINT32_MAX,
				      "worker %u has slot %u for key %u, not %u", w,
				      claims->slots[w][i], i, slot);
	}
}

static struct claims *claims_new(uint64_t seed)
{
	struct claims *claims = fixture_shared(sizeof(*claims));

	claims->segment = fixture_memory(SLOTS);
	memset(claims->slots, 0xff, sizeof(claims->slots));
	keys_draw(claims, seed);
	return claims;
}

/* The first to come are killed somewhere on their way, then the others come. */
static void killed(uint64_t seed)
{
	struct claims *claims = claims_new(seed);

	for (uint32_t w = 0; w < WORKERS / 2; w++) {
		uint64_t wait = random_next(&seed) % KEYS;
		pid_t child = stress_fork();

		if (child == 0) {
			claim(w, claims);
			for (;;)
				pause();
		}
		while (atomic_load(&claims->made) < wait)
			sched_yield();
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		/* What it had just found and not written down is not known. */
		atomic_store(&claims->made, 0);
	}
	for (uint32_t w = WORKERS / 2; w < WORKERS; w++)
		claim(w, claims);
	check(claims);
}

int main(void)
{
	for (uint64_t seed = 1; seed <= stress_times(10, 300); seed++) {
		for (int mode = 0; mode < stress_modes(); mode++) {
			struct claims *claims = claims_new(seed);

			stress_run(mode, WORKERS, claim, claims);
			check(claims);
		}
		if (stress_modes() == 2)
			killed(seed);
	}
	return 0;
}
