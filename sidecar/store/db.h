/* SPDX-License-Identifier: MIT
 *
 * The database of the store: one SQLite file with a write-ahead log, for db.c alone includes
 * sqlite3.h.
 *
 * All times are of the wall clock: what is kept outlives the machine's monotonic one. What a flow's
 * life and its effects are is the engine's to say: bytes here, with the names of their values
 * beside (the layout), so that another version finds what it knows.
 *
 * A connection belongs to one thread at a time. Calls read and write the disk, and may block.
 */
#ifndef SIDECAR_STORE_DB_H
#define SIDECAR_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_FILE	     "tollgate.db"
#define DB_REASON    256
#define DB_KIND_FLOW 1 /* the kind that a flow is put as: others warm nothing up */

struct db;

/* What is kept of a flow, source, destination or stream. Counts of a period: its number << 32 | the
 * count. The caps and the rate are those in force, by which it can be said what was sent after this
 * was written. */
struct db_flow {
	uint32_t kind;	    /* the caller's */
	uint8_t source[16]; /* zeros where it has none */
	const char *name;   /* of destination or stream; not terminated */
	size_t name_length;
	int64_t seen_s; /* when outcomes last came; 0: never */
	uint64_t delivered, deferred, bounced;
	uint64_t hour, day;
	uint64_t interval_ns;		     /* a message; 0: unlimited */
	uint32_t burst, hour_cap, day_cap;   /* caps: UINT32_MAX: none */
	uint32_t layout;		     /* of life and shared; set by db_flows alone */
	const void *life, *effects, *shared; /* NULL: none */
	size_t life_length, effects_length, shared_length;
	const void *warmup; /* NULL: nothing new; read by db_warmups alone */
	size_t warmup_length;
};

/* How it was when the last batch was whole: nothing older is missing in it. */
struct db_alive {
	int64_t at_ns;
	char boot[40]; /* the machine's run, by its random name */
	bool clean;    /* the sidecar ended, and no worker was attached */
};

struct db_change {
	int64_t at_ns;
	uint8_t source[16];
	const char *name; /* of the destination; terminated, as those below; NULL: none */
	const char *what; /* which limits, from what to what */
	const char *by;	  /* who decided */
	const char *rule;
	const char *reply;
};

/* Opens, makes, or brings a file of an earlier version up to this one. On failure `reason`
 * (DB_REASON bytes) says in words what is wrong: -EPROTO: a newer version made it; -EBADMSG: it is
 * damaged, or none; -ENOSPC; -EROFS; -EACCES; -EIO. */
int db_open(const char *path, bool write, struct db **ret, char *reason);
void db_close(struct db *db); /* NULL is fine */

/* Since the last failure of any call below. Returns text. */
const char *db_error_text(const struct db *db);

/* The number of a layout, given one if it has none. */
int db_layout(struct db *db, const char *names, uint32_t *ret);

/* All between the two, or nothing; what is put is put as of the layout given. db_end: 0, or why
 * nothing of it was kept. */
int db_begin(struct db *db);
int db_put_flow(struct db *db, const struct db_flow *flow, uint32_t layout, int64_t day);
int db_put_change(struct db *db, const struct db_change *change);
int db_put_alive(struct db *db, const struct db_alive *alive);
int db_end(struct db *db, bool keep);

/* What is too old to be of use: changes of more than 90 days ago, or more than two million; daily
 * totals of more than two years ago; flows that have been idle for 90 days and have no effects. */
int db_prune(struct db *db, int64_t now_ns, int64_t day);

/* -ENOENT: nothing was ever written. */
int db_alive(struct db *db, struct db_alive *ret);

/* Each flow in turn, in an order of its own, until `take` returns other than 0, which is returned.
 * What it points to is good during the call. */
typedef int db_take_flow(void *arg, const struct db_flow *flow);
int db_flows(struct db *db, db_take_flow *take, void *arg);
/* Whether there are so many flows at least; it looks at no more of them. */
int db_flows_reach(struct db *db, uint32_t count, bool *ret);
/* How each flow that ever did warms up. */
struct db_warmup {
	uint8_t source[16];
	const char *name; /* of the destination; terminated */
	const void *state;
	size_t length;
};
typedef int db_take_warmup(void *arg, const struct db_warmup *warmup);
int db_warmups(struct db *db, db_take_warmup *take, void *arg);
typedef int db_take_layout(void *arg, uint32_t number, const char *names);
int db_layouts(struct db *db, db_take_layout *take, void *arg);

/* Changes from since_ns on, the oldest first; of one flow where name is not NULL. */
typedef int db_take_change(void *arg, const struct db_change *change);
int db_changes(struct db *db, int64_t since_ns, const uint8_t source[16], const char *name,
	       db_take_change *take, void *arg);

/* Totals of a day (days since 1970, local) of a flow. */
struct db_daily {
	int64_t day;
	uint8_t source[16];
	const char *name;
	uint64_t delivered, deferred, bounced;
};
typedef int db_take_daily(void *arg, const struct db_daily *daily);
int db_daily(struct db *db, int64_t since_day, db_take_daily *take, void *arg);

#endif
