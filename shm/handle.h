/* SPDX-License-Identifier: MIT
 *
 * One attachment, as the library's files share it. Private to this process.
 */
#ifndef TG_HANDLE_H
#define TG_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "shm/clock.h"
#include "shm/decide.h"
#include "shm/hash.h"
#include "shm/layout.h"
#include "shm/unsaid.h"

/* What a fork must not inherit: the kernel wipes this page in the child (MADV_WIPEONFORK), so the
 * child finds no worker here and takes a slot of its own. A zeroed mutex is a free one. */
struct process_state {
	_Atomic(struct layout_worker *) worker;
	int refused; /* why there is none */
	void *alive; /* keeps the slot's lock: see shm/alive.h */
	uint32_t index;
	uint32_t lease_hint;
	_Atomic uint64_t random; /* of this process; 0: not drawn yet */
	pthread_mutex_t claim;	 /* to take a worker slot, once */
	pthread_mutex_t ring;	 /* threads share the worker's ring, which has one producer */
};

struct mapping {
	void *base;
	uint64_t bytes;
};

/* Mappings of the segment before that are not given back yet: see shm/unmap.h. */
struct unmapping {
	struct mapping files[LAYOUT_FILES];
	_Atomic bool any, busy;
};

struct tg {
	struct view view;
	const struct layout_live *live;
	struct process_state *process;
	bool vdso;
	struct layout_header
		header; /* as it was when attached: what stands in the file is not read again */
	struct layout_offsets offsets;
	struct mapping files[LAYOUT_FILES];
	struct unmapping before;
	struct unsaid unsaid; /* names that found the ring full */
	const char *names[2];
	struct layout_worker *workers;
	_Atomic uint64_t *leases;
	struct layout_record *records;
	int wake;   /* FIFO */
	int folder; /* where a forked child finds the file of the locks */
	dev_t alive_device;
	ino_t alive_file;
	uint32_t previous_slot; /* after tg_renew: the worker slot in the segment before, whose
			    leases were carried over */
	struct layout_worker *
		overflow_worker; /* counts of a process that found no worker slot; told to nobody */
	char segment[256];
	int64_t owner;
};

/* The worker slot of this process, taken at its first call after a fork. Never NULL. */
struct layout_worker *worker_claim(struct tg *tg);

static inline struct layout_worker *tg_worker(struct tg *tg)
{
	struct layout_worker *worker =
		atomic_load_explicit(&tg->process->worker, memory_order_acquire);

	return __builtin_expect(worker != NULL, 1) ? worker : worker_claim(tg);
}

void worker_release(struct tg *tg);

/* The folder of a segment: as wanted, else by the environment, else the default. */
const char *segment_path(const char *wanted);

/* Counts in this thread's shard: plain additions where the shard is the thread's own. */
enum { SHARD_UNKNOWN };
extern __thread uint32_t shard_of_thread __attribute__((tls_model("initial-exec")));
uint32_t worker_shard(void);

/* Adds where this thread has a shard of its own; false: it has none. */
static inline bool count_own(struct layout_worker *worker, enum tg_reason reason, uint64_t n)
{
	uint32_t shard = shard_of_thread;
	_Atomic uint64_t *word;

	/* 0 (not known yet) is beyond as well. */
	if (__builtin_expect(shard - 1 >= LAYOUT_SHARDS - 1, 0))
		return false;
	word = &worker->shards[shard - 1].verdicts[reason];
	/* Relaxed: a sum that the sidecar reads now and then. */
	atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n,
			      memory_order_relaxed);
	return true;
}

static inline void count_some(struct layout_worker *worker, enum tg_reason reason, uint64_t n)
{
	_Atomic uint64_t *word;

	if (__builtin_expect(shard_of_thread == SHARD_UNKNOWN, 0))
		worker_shard();
	if (__builtin_expect(count_own(worker, reason, n), 1))
		return;
	word = &worker->shards[LAYOUT_SHARDS - 1].verdicts[reason];
	atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}

static inline void count_one(struct layout_worker *worker, enum tg_reason reason)
{
	count_some(worker, reason, 1);
}

/* The last word on a verdict: counts it; a refusal by a retired segment is TG_RETIRED. */
struct tg_verdict admit_finish(struct tg *tg, struct layout_worker *worker,
			       struct tg_verdict verdict);

/* The time; and what to answer at once instead of deciding: TG_ADMITTED (nothing special),
 * TG_RETIRED, TG_REFUSED_SIDECAR_DOWN, or TG_REASONS (admit whatever the limits say:
 * on_sidecar_down is "fail-open"). */
uint64_t admit_clock_slow(const struct tg *tg, enum tg_reason *ret_override);

/* The verdict that is given instead of a decision. */
struct tg_verdict admit_override(enum tg_reason override, uint64_t now_ns);

static inline uint64_t clock_now(const struct tg *tg, enum tg_reason *ret_override)
{
	uint64_t now_ns = __builtin_expect(tg->vdso, 0) ? 0 : clock_scaled(tg->live);

	return __builtin_expect(now_ns != 0, 1) ? now_ns : admit_clock_slow(tg, ret_override);
}

/* ---- directory.c */

/* The slot of a key: found or, if claim, claimed. LAYOUT_NONE: not there, or no room. */
/* At 4/7 full, runs of this length do not occur by chance; a table that somebody filled ends here.
 */
#define DIRECTORY_PROBES 512

uint32_t directory_find(const struct view *view, const struct hash_key *key, bool claim);

/* The source of 16 bytes of address; claims its slot and tells the sidecar. -ENOSPC. */
int directory_source(struct tg *tg, const uint8_t address[16], struct tg_source *ret);

/* ---- pick.c */

/* Differs between processes, also after a fork, and between threads. */
uint64_t tg_random(const struct tg *tg);

/* ---- ring.c */

/* Wakes the sidecar if it sleeps. */
void ring_doorbell(struct tg *tg);
/* Puts a record on this worker's ring, and rings the doorbell. text is cut. */
void ring_put(struct tg *tg, const struct layout_record *head, const void *text, size_t length);

/* Puts some of the names there that found it full. */
void ring_say_unsaid(struct tg *tg);

#endif
