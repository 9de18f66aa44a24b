/* SPDX-License-Identifier: MIT
 *
 * Which source of a pool can send to a destination soonest? Read-only: tg_admit decides.
 *
 * Among those that can send now one is drawn with a chance in proportion to its room, so that
 * workers that ask at the same instant spread over the pool; else the one that is free first.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "shm/destination.h"
#include "shm/handle.h"

#define SOURCES_MAX 65536

/* What this process's draws begin with: its page is wiped in a forked child, which so draws anew.
 * Several threads at once: the first wins. */
static uint64_t seed_of(struct process_state *process)
{
	uint64_t seed = atomic_load_explicit(&process->random, memory_order_relaxed), drawn = 0;

	if (__builtin_expect(seed != 0, 1))
		return seed;
	if (getrandom(&drawn, sizeof(drawn), GRND_NONBLOCK) != sizeof(drawn))
		drawn = clock_counter() ^ (uint64_t)getpid() << 32;
	drawn |= 1;
	if (atomic_compare_exchange_strong_explicit(&process->random, &seed, drawn,
						    memory_order_relaxed, memory_order_relaxed))
		return drawn;
	return seed;
}

/* xorshift64*, seeded by process and thread: it only has to differ between workers. */
uint64_t tg_random(const struct tg *tg)
{
	static __thread uint64_t state __attribute__((tls_model("initial-exec")));
	static __thread uint64_t begun __attribute__((tls_model("initial-exec")));
	uint64_t seed = seed_of(tg->process);

	if (begun != seed) {
		begun = seed;
		state = (seed ^ (uint64_t)(uintptr_t)&state * UINT64_C(0x9e3779b97f4a7c15)) | 1;
	}
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

struct choice {
	struct tg_source source;
	uint64_t at_ns;
	uint64_t room; /* of all that can send now */
};

static void choice_offer(struct tg *tg, struct choice *best, const struct tg_source *source,
			 const struct tg_destination *destination, enum tg_class traffic,
			 uint64_t now_ns)
{
	struct hash_key key = hash_pair(source->key, destination->key);
	struct tg_flow flow = {directory_find(&tg->view, &key, false), source->slot,
			       destination->slot, LAYOUT_NONE};
	uint32_t room = 1;
	struct tg_verdict verdict = {.at_ns = now_ns};

	/* A pair that nobody has claimed has used nothing: as good as any that can send one now. */
	if (flow.slot != LAYOUT_NONE && flow.source != LAYOUT_NONE)
		verdict = decide_ask(&tg->view, &flow, traffic, 1, now_ns, &room);
	if (verdict.reason != TG_ADMITTED) {
		/* Also where none can ever send: then it is any of them. */
		if (best->room == 0 && verdict.at_ns <= best->at_ns) {
			best->source = *source;
			best->at_ns = verdict.at_ns;
		}
		return;
	}
	room = room ? room : 1;
	best->room += room;
	if (tg_random(tg) % best->room < room) {
		best->source = *source;
		best->at_ns = now_ns;
	}
}

static int pool_ask(struct tg *tg, const char *blob, const char *pool,
		    const struct tg_destination *destination, enum tg_class traffic,
		    uint64_t now_ns, struct choice *best)
{
	size_t size = tg->header.sizes.names_bytes;
	struct destination_pool found;
	int error = destination_pool(blob, size, pool, &found);

	if (error)
		return error;
	for (uint32_t i = 0; i < found.count && i < SOURCES_MAX; i++) {
		struct tg_source source = {0};
		struct hash_key key;

		error = destination_pool_source(blob, size, &found, i, source.address);
		if (error)
			return error;
		key = hash_bytes(HASH_SOURCE, source.address, sizeof(source.address),
				 tg->header.seed);
		memcpy(source.key, key.half, sizeof(source.key));
		source.slot = directory_find(&tg->view, &key, false);
		choice_offer(tg, best, &source, destination, traffic, now_ns);
	}
	return found.count ? 0 : -ENOENT;
}

int tg_pick(struct tg *tg, const char *pool, const struct tg_destination *destination,
	    enum tg_class traffic, struct tg_source *ret, uint64_t *ret_at_ns)
{
	enum tg_reason override = TG_ADMITTED;
	uint64_t now_ns = clock_now(tg, &override);
	struct choice best = {.at_ns = UINT64_MAX};
	int error = -ENOENT;

	if (pool == NULL || (unsigned)traffic >= TG_CLASSES)
		return -EINVAL;
	for (int tries = 0; tries < 4; tries++) {
		/* N1 pairs with N0 in sidecar/segment/directory.c. */
		uint32_t index = atomic_load_explicit(&tg->live->names_index, memory_order_acquire);

		best = (struct choice){.at_ns = UINT64_MAX};
		error = pool_ask(tg, tg->names[index & 1], pool, destination, traffic, now_ns,
				 &best);
		/* N3 pairs with N2 in sidecar/segment/directory.c. */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&tg->live->names_index, memory_order_relaxed) == index)
			break;
	}
	if (error)
		return error;
	error = directory_source(tg, best.source.address, &best.source);
	if (error)
		return error;
	*ret = best.source;
	*ret_at_ns = best.at_ns;
	return 0;
}
