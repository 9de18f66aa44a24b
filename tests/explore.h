/* SPDX-License-Identifier: MIT
 *
 * Every schedule of a few routines over shared memory, explored: to be included before the code
 * that is to be explored, which is included whole (its .c files, too), so that what runs is the
 * code itself and no model of it.
 *
 * Each access to an atomic word stops the routine before it; the explorer then lets each routine in
 * turn go one access further, depth first, and goes back by restoring what was there: the shared
 * world, and the routine's stack. A state that was seen before (by a hash of 64 bits over the world
 * and all stacks) is not explored again, which is what makes all of them few enough. Routines run
 * on one stack, at the same addresses, so those of the same kind in the same place are the same
 * whoever is who.
 *
 * A word stops a routine only if another one touches it as well and one of them writes it: the
 * others cannot tell the difference. Which words those are is learned as it goes: where one turns
 * out to be shared late, all begins anew with it known.
 *
 * What it does not see: the orders that a weaker memory than x86's allows, and what is read again
 * and again without a bound.
 */
#ifndef TESTS_EXPLORE_H
#define TESTS_EXPLORE_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define EXPLORE_ROUTINES 5
#define EXPLORE_STACK	 65536
#define EXPLORE_KEPT	 12288 /* of a stack, at most */
#define EXPLORE_SLACK	 512   /* what may be in use below the frame that stops */
#define EXPLORE_SAVED	 64    /* … of which these are the registers it has saved */
#define EXPLORE_WORLD	 4096
#define EXPLORE_DEPTH	 4096

enum explore_access { EXPLORE_BEGIN, EXPLORE_LOAD, EXPLORE_STORE, EXPLORE_SWAP };

struct explore_routine {
	void (*run)(void *arg);
	void *arg;
	/* Whom another follows if it dies, which it may before each access that writes; NULL: it
	 * does not die. */
	void (*successor)(void *arg);
};

/* Where a routine stands: before its next access. */
struct explore_place {
	jmp_buf at;
	bool done;
	enum explore_access access;
	size_t word; /* its offset in the world */
	const char *file;
	int line;
	uint64_t hash;
	size_t kept;
	char stack[EXPLORE_KEPT];
};

/* A state on the way to the present one. What did not move is its ancestors'. */
struct explore_node {
	const struct explore_place *places[EXPLORE_ROUTINES];
	struct explore_place moved;
	int routine; /* which of them moved, from where */
	struct explore_place const *from;
	bool died;
	int preemptions; /* so far */
	char world[EXPLORE_WORLD];
};

static struct explore {
	char *world;
	size_t bytes;
	size_t plain; /* from here on no word is atomic, nor shared */
	struct explore_routine routines[EXPLORE_ROUTINES];
	int count;
	int preemptions;   /* at most: of a routine that could go on; negative: any number */
	bool (*end)(void); /* what must hold when all have ended; it may write to the world */
	bool successor;	   /* it is one that begins */
	int current;	   /* the routine that runs; negative: none, nothing stops */
	jmp_buf back, at;
	struct explore_place *stopped;
	struct explore_node *nodes;
	uint64_t *seen; /* hashes; 0: free */
	uint64_t room, states, steps, ends;
	bool grown, failed, tracing;
	uint8_t readers[EXPLORE_WORLD / 4], writers[EXPLORE_WORLD / 4];
	size_t written[EXPLORE_WORLD / 4], written_count;
} explore = {.current = -1};

static char explore_stack[EXPLORE_STACK] __attribute__((aligned(64)));

/* ---- where a routine stops ------------------------------------------------------------------- */

static bool explore_word_shared(size_t word)
{
	uint8_t all = explore.readers[word] | explore.writers[word];

	return explore.writers[word] != 0 && (all & (all - 1)) != 0;
}

/* Notes who touches a word. True: another one does as well, and one of them writes. */
static bool explore_shared(size_t offset, size_t bytes, bool writes)
{
	bool shared = false;

	for (size_t word = offset / 4; word < (offset + bytes + 3) / 4; word++) {
		uint8_t *who = writes ? &explore.writers[word] : &explore.readers[word];
		bool before = explore_word_shared(word);

		if (writes && explore.writers[word] == 0) {
			explore.written[explore.written_count++] = word;
			explore.grown = true;
		}
		*who |= (uint8_t)(1u << explore.current);
		explore.grown |= !before && explore_word_shared(word);
		shared |= explore_word_shared(word);
	}
	return shared;
}

static __attribute__((noinline)) void explore_point(enum explore_access access,
						    const volatile void *at, size_t bytes,
						    const char *file, int line)
{
	size_t offset = (size_t)((const volatile char *)at - explore.world);
	struct explore_place *place = explore.stopped;

	if (explore.current < 0 || offset >= explore.bytes ||
	    !explore_shared(offset, bytes, access != EXPLORE_LOAD))
		return;
	/* Registers go where the rest of the routine is: onto its stack. */
	__builtin_unwind_init();
	place->access = access;
	place->word = offset;
	place->file = file;
	place->line = line;
	place->kept = (size_t)(explore_stack + EXPLORE_STACK -
			       ((char *)__builtin_frame_address(0) - EXPLORE_SLACK));
	if (_setjmp(explore.at) == 0)
		_longjmp(explore.back, 1);
}

#define explore_before(access, p) \
	explore_point((access), (p), sizeof(*(p)), __FILE_NAME__, __LINE__)

#undef atomic_load_explicit
#define atomic_load_explicit(p, order)                \
	__extension__({                               \
		__auto_type at_ = (p);                \
		__typeof__((void)0, *at_) value_;     \
		explore_before(EXPLORE_LOAD, at_);    \
		__atomic_load(at_, &value_, (order)); \
		value_;                               \
	})
#undef atomic_store_explicit
#define atomic_store_explicit(p, v, order)               \
	__extension__({                                  \
		__auto_type at_ = (p);                   \
		__typeof__((void)0, *at_) stored_ = (v); \
		explore_before(EXPLORE_STORE, at_);      \
		__atomic_store(at_, &stored_, (order));  \
	})
#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(p, e, v, order, other)            \
	__extension__({                                                           \
		__auto_type at_ = (p);                                            \
		__typeof__((void)0, *at_) next_ = (v);                            \
		explore_before(EXPLORE_SWAP, at_);                                \
		__atomic_compare_exchange(at_, (e), &next_, 0, (order), (other)); \
	})
#undef atomic_compare_exchange_weak_explicit
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#undef atomic_fetch_add_explicit
#define atomic_fetch_add_explicit(p, v, order)         \
	__extension__({                                \
		__auto_type at_ = (p);                 \
		explore_before(EXPLORE_SWAP, at_);     \
		__atomic_fetch_add(at_, (v), (order)); \
	})
/* Two words at once. */
#define __sync_bool_compare_and_swap(p, seen, next)                                           \
	(explore_point(EXPLORE_SWAP, (const volatile void *)(p), sizeof(next), __FILE_NAME__, \
		       __LINE__),                                                             \
	 __sync_bool_compare_and_swap((p), (seen), (next)))

/* ---- a step, and the way back ---------------------------------------------------------------- */

static uint64_t explore_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ UINT64_C(0xa0761d6478bd642f)) *
				    (b ^ UINT64_C(0xe7037ed1a0b428db));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of a whole number of words. */
static uint64_t explore_hash(const void *bytes, size_t length, uint64_t seed)
{
	uint64_t lanes[4] = {seed, seed + 1, seed + 2, seed + 3}, words[8] = {0};
	const char *at = bytes;

	for (; length > 0; at += sizeof(words)) {
		size_t take = length < sizeof(words) ? length : sizeof(words);

		if (take < sizeof(words))
			memset(words, 0, sizeof(words));
		memcpy(words, at, take);
		for (int i = 0; i < 4; i++)
			lanes[i] = explore_fold(lanes[i] ^ words[i], words[i + 4] + lanes[i]);
		length -= take;
	}
	return explore_fold(explore_fold(lanes[0], lanes[1]), explore_fold(lanes[2], lanes[3]));
}

/* Of what differs: the words that somebody writes, and what stands behind the atomic ones. */
static uint64_t explore_world_hash(const char *world)
{
	uint64_t hash = explore_hash(world + explore.plain, explore.bytes - explore.plain, 3);

	for (size_t i = 0; i < explore.written_count; i++) {
		uint32_t word;

		memcpy(&word, world + explore.written[i] * 4, sizeof(word));
		hash = explore_fold(hash, word);
	}
	return hash;
}

/* Lets a routine run that is stopped (explore.at, and the stack) or that is to begin, until it
 * stops before an access. */
static void explore_run(int routine, const ucontext_t *begin, struct explore_place *ret)
{
	ret->done = false;
	explore.stopped = ret;
	explore.current = routine;
	explore.steps++;
	if (_setjmp(explore.back) == 0) {
		if (begin)
			setcontext(begin);
		_longjmp(explore.at, 1);
	}
	explore.current = -1;
}

static void explore_keep(struct explore_place *place)
{
	if (place->done) {
		place->kept = 0;
		place->hash = 1;
		return;
	}
	if (place->kept > EXPLORE_KEPT)
		abort();
	memcpy(place->at, explore.at, sizeof(place->at));
	memcpy(place->stack, explore_stack + EXPLORE_STACK - place->kept, place->kept);
	place->hash = explore_hash(place->stack + EXPLORE_SLACK - EXPLORE_SAVED,
				   place->kept - EXPLORE_SLACK + EXPLORE_SAVED, 2);
}

static void explore_enter(void)
{
	const struct explore_routine *routine = &explore.routines[explore.current];

	(explore.successor ? routine->successor : routine->run)(routine->arg);
	explore.stopped->done = true;
	_longjmp(explore.back, 1);
}

/* From its beginning, or its successor's. */
static void explore_begin(int routine, bool successor, struct explore_place *ret)
{
	ucontext_t begin;

	memset(explore_stack, 0, sizeof(explore_stack));
	getcontext(&begin);
	begin.uc_stack.ss_sp = explore_stack;
	begin.uc_stack.ss_size = EXPLORE_STACK;
	begin.uc_link = NULL;
	makecontext(&begin, explore_enter, 0);
	explore.successor = successor;
	explore_run(routine, &begin, ret);
	explore_keep(ret);
}

static void explore_step(int routine, const struct explore_place *from, struct explore_place *ret)
{
	char *top = explore_stack + EXPLORE_STACK;

	/* What lies below is dead: it does not tell states apart. */
	memset(top - EXPLORE_KEPT, 0, EXPLORE_KEPT - from->kept);
	memcpy(top - from->kept, from->stack, from->kept);
	memcpy(explore.at, from->at, sizeof(explore.at));
	explore_run(routine, NULL, ret);
	explore_keep(ret);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void explore_forget(uint64_t room)
{
	free(explore.seen);
	explore.seen = calloc(room, sizeof(*explore.seen));
	explore.room = room;
	explore.states = 0;
	if (explore.seen == NULL)
		abort();
}

static bool explore_insert(uint64_t hash)
{
	uint64_t i = hash & (explore.room - 1);

	for (; explore.seen[i] != 0; i = (i + 1) & (explore.room - 1))
		if (explore.seen[i] == hash)
			return false;
	explore.seen[i] = hash;
	explore.states++;
	return true;
}

static bool explore_new(const struct explore_node *node)
{
	uint64_t hash = explore_world_hash(node->world) + node->died;

	/* Where preemptions are counted it matters whose the next one would be. */
	if (explore.preemptions >= 0)
		hash += explore_hash(
			&(uint64_t[2]){(uint64_t)node->preemptions,
				       node->routine < 0 ? 0 : node->places[node->routine]->hash},
			16, 5);
	/* A sum: routines of the same kind may stand for each other. */
	for (int i = 0; i < explore.count; i++)
		hash += explore_hash(
			&(uint64_t[2]){node->places[i]->hash, (uintptr_t)explore.routines[i].arg},
			16, (uintptr_t)explore.routines[i].run);
	if (explore.states * 2 >= explore.room) {
		uint64_t *before = explore.seen, room = explore.room;

		explore.seen = NULL;
		explore_forget(room * 4);
		for (uint64_t i = 0; i < room; i++)
			if (before[i])
				explore_insert(before[i]);
		free(before);
	}
	return explore_insert(hash | 1);
}

/* Does it go on instead of another that could? */
static bool explore_preempts(const struct explore_node *node, int routine)
{
	return node->routine >= 0 && node->routine != routine && !node->places[node->routine]->done;
}

/* The state after a routine moved, in explore.nodes[depth + 1]. */
static void explore_next(uint32_t depth, int routine, bool dies)
{
	struct explore_node *node = &explore.nodes[depth], *next = node + 1;

	if (depth + 2 >= EXPLORE_DEPTH)
		abort();
	memcpy(explore.world, node->world, explore.bytes);
	if (dies)
		explore_begin(routine, true, &next->moved);
	else
		explore_step(routine, node->places[routine], &next->moved);
	memcpy(next->world, explore.world, explore.bytes);
	memcpy(next->places, node->places, sizeof(next->places));
	next->from = dies ? NULL : node->places[routine];
	next->places[routine] = &next->moved;
	next->routine = routine;
	next->died = node->died || dies;
	next->preemptions = node->preemptions + explore_preempts(node, routine);
}

/* The way to a state, gone once more, so that what the routines print while `tracing` stands where
 * it belongs. */
static void explore_trace(uint32_t depth)
{
	static const char *const words[] = {"begins", "load", "store", "swap"};
	static struct explore_place again;

	explore.tracing = true;
	for (uint32_t i = 1; i <= depth; i++) {
		const struct explore_node *node = &explore.nodes[i];
		const struct explore_place *from = node->from;

		memcpy(explore.world, node[-1].world, explore.bytes);
		if (from == NULL) {
			fprintf(stderr, "  [%d] dies\n", node->routine);
			continue;
		}
		fprintf(stderr, "  [%d] %-6s +%-5zu %s:%d\n", node->routine, words[from->access],
			from->word, from->file, from->line);
		explore_step(node->routine, from, &again);
	}
	explore.tracing = false;
}

static void explore_ended(uint32_t depth)
{
	memcpy(explore.world, explore.nodes[depth].world, explore.bytes);
	explore.ends++;
	if (explore.end())
		return;
	explore.failed = true;
	explore_trace(depth);
}

static void explore_from(uint32_t depth)
{
	const struct explore_node *node = &explore.nodes[depth];
	bool all = true;

	if (explore.grown || explore.failed || !explore_new(node))
		return;
	for (int i = 0; i < explore.count && !explore.failed && !explore.grown; i++) {
		const struct explore_place *place = node->places[i];

		if (place->done)
			continue;
		all = false;
		if (explore.preemptions >= 0 &&
		    node->preemptions + explore_preempts(node, i) > explore.preemptions)
			continue;
		explore_next(depth, i, false);
		explore_from(depth + 1);
		if (explore.routines[i].successor == NULL || node->died ||
		    place->access == EXPLORE_LOAD || explore.failed || explore.grown)
			continue;
		explore_next(depth, i, true);
		explore_from(depth + 1);
	}
	if (all)
		explore_ended(depth);
}

/* Explores all schedules of the routines from the world as it stands. True: each ended as it must.
 */
static bool explore_all(void)
{
	struct explore_node *first;
	static char begin[EXPLORE_WORLD];
	static struct explore_place places[EXPLORE_ROUTINES];

	if (explore.nodes == NULL)
		explore.nodes = calloc(EXPLORE_DEPTH, sizeof(*explore.nodes));
	if (explore.nodes == NULL || explore.bytes > EXPLORE_WORLD)
		abort();
	memset(explore.readers, 0, sizeof(explore.readers));
	memset(explore.writers, 0, sizeof(explore.writers));
	explore.written_count = 0;
	memcpy(begin, explore.world, explore.bytes);
	explore.failed = false;
	explore.steps = explore.ends = 0;
	first = &explore.nodes[0];
	do {
		explore.grown = false;
		explore_forget(1 << 16);
		memcpy(explore.world, begin, explore.bytes);
		/* What one does before its first stop the others cannot tell. */
		for (int i = 0; i < explore.count && !explore.grown; i++) {
			explore_begin(i, false, &places[i]);
			first->places[i] = &places[i];
		}
		memcpy(first->world, explore.world, explore.bytes);
		first->died = false;
		first->routine = -1;
		first->preemptions = 0;
		if (!explore.grown)
			explore_from(0);
	} while (explore.grown && !explore.failed);
	memcpy(explore.world, begin, explore.bytes);
	return !explore.failed;
}

#endif
