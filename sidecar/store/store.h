/* SPDX-License-Identifier: MIT
 *
 * The store: what must outlive a reboot, written by a thread of its own.
 *
 * The loop fills a batch, which costs it a copy in memory, and hands it over; the thread writes it
 * as one transaction. While one is being written the next waits with the loop, so what is kept of
 * a machine that loses its power is whole as of some instant about a second ago. A batch that cannot
 * be written (the disk is full) is tried again until it can be: decisions go on meanwhile, and
 * store_state says what is wrong.
 *
 * All calls are the loop's.
 */
#ifndef SIDECAR_STORE_STORE_H
#define SIDECAR_STORE_STORE_H

#include "sidecar/store/db.h"

struct store;
struct store_batch;

/* Opens the store in a folder, which is made if its parent is there. `names` is the layout of what
 * is written. On failure `reason` (DB_REASON bytes) says why: -EBUSY: another sidecar has it; else
 * as db_open. The thread begins with store_run. */
int store_open(const char *folder, const char *names, struct store **ret, char *reason);
int store_run(struct store *store);

/* Waits until what was handed over is written, once. NULL is fine. */
void store_close(struct store *store);

/* Makes the folder, as root, for whoever opens the store after. 0 or -errno; one that is there is
 * left as it is. */
int store_folder_make(const char *folder, int64_t uid, int64_t gid);

/* To read, before store_run. */
struct db *store_db(struct store *store);

/* ---- batches --------------------------------------------------------------------------------- */

struct store_batch *store_batch_begin(void);	  /* NULL: no memory */
void store_batch_free(struct store_batch *batch); /* NULL is fine */

/* Copies what it is given. False: no memory; it is not in the batch. */
bool store_batch_flow(struct store_batch *batch, const struct db_flow *flow);
bool store_batch_change(struct store_batch *batch, const struct db_change *change);

/* Whether the thread can take one. */
bool store_ready(struct store *store);

/* Hands a batch over, which is the store's from then on; store_ready must have said yes. day: that
 * of the daily totals. */
void store_put(struct store *store, struct store_batch *batch, const struct db_alive *alive,
	       int64_t day);

/* ---- how it is ------------------------------------------------------------------------------- */

struct store_state {
	int error; /* of the last attempt: 0 or -errno */
	char reason[DB_REASON];
	uint64_t batches, flows, changes; /* written since it began */
	uint64_t failures;
	int64_t at_ns; /* what is kept is as of this */
};

void store_state(struct store *store, struct store_state *ret);

#endif
