/* SPDX-License-Identifier: MIT
 *
 * See db.h. A batch is one transaction, which the write-ahead log applies atomically, and
 * which is on the disk when db_end returns (synchronous = FULL).
 *
 * Versions: a step of `steps` for each, run in order from the one that the file says, in one
 * transaction. A step that was released is never changed.
 */
#include "sidecar/store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS	      2000
#define CHANGES_MAX   "2000000"
#define CHANGES_NS    (INT64_C(90) * 86400 * 1000000000)
#define IDLE_S	      (INT64_C(90) * 86400)
#define DAILY_DAYS    731
#define PRUNE_AT_ONCE "20000"

enum statement {
	FLOW_OLD,
	FLOW_PUT,
	DAILY_PUT,
	CHANGE_PUT,
	ALIVE_PUT,
	ALIVE_GET,
	LAYOUT_PUT,
	LAYOUT_GET,
	WARMUP_PUT,
	STATEMENTS
};

static const char *const statement_texts[STATEMENTS] = {
	[FLOW_OLD] =
		"SELECT delivered, deferred, bounced FROM flow WHERE kind = ? AND source = ? AND name = ?",
	[FLOW_PUT] =
		"INSERT OR REPLACE INTO flow (kind, source, name, seen, delivered, deferred, bounced, hour, "
		"day, interval, burst, hour_cap, day_cap, layout, life, effects, shared) "
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[DAILY_PUT] =
		"INSERT INTO daily (day, source, name, delivered, deferred, bounced) VALUES (?, ?, ?, ?, ?, "
		"?) ON CONFLICT DO UPDATE SET delivered = delivered + excluded.delivered, deferred = "
		"deferred + excluded.deferred, bounced = bounced + excluded.bounced",
	[CHANGE_PUT] =
		"INSERT INTO change (at, source, name, what, decider, rule, reply) VALUES (?, ?, ?, ?, ?, ?, ?)",
	[ALIVE_PUT] = "INSERT OR REPLACE INTO alive (id, at, boot, clean) VALUES (1, ?, ?, ?)",
	[ALIVE_GET] = "SELECT at, boot, clean FROM alive",
	[LAYOUT_PUT] = "INSERT OR IGNORE INTO layout (names) VALUES (?)",
	[LAYOUT_GET] = "SELECT id FROM layout WHERE names = ?",
	[WARMUP_PUT] = "INSERT OR REPLACE INTO warmup (source, name, state) VALUES (?, ?, ?)",
};

static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE layout (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);"
	"CREATE TABLE flow (kind INTEGER NOT NULL, source BLOB NOT NULL, name TEXT NOT NULL,"
	" seen INTEGER NOT NULL, delivered INTEGER NOT NULL, deferred INTEGER NOT NULL,"
	" bounced INTEGER NOT NULL, hour INTEGER NOT NULL, day INTEGER NOT NULL,"
	" interval INTEGER NOT NULL, burst INTEGER NOT NULL, hour_cap INTEGER NOT NULL,"
	" day_cap INTEGER NOT NULL, layout INTEGER NOT NULL, life BLOB, effects BLOB,"
	" PRIMARY KEY (kind, source, name)) WITHOUT ROWID;"
	"CREATE TABLE change (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, source BLOB NOT NULL,"
	" name TEXT NOT NULL, what TEXT NOT NULL, decider TEXT, rule TEXT, reply TEXT);"
	"CREATE INDEX change_at ON change (at);"
	"CREATE TABLE alive (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, boot TEXT NOT NULL,"
	" clean INTEGER NOT NULL);",
	/* 2 */
	"CREATE TABLE daily (day INTEGER NOT NULL, source BLOB NOT NULL, name TEXT NOT NULL,"
	" delivered INTEGER NOT NULL, deferred INTEGER NOT NULL, bounced INTEGER NOT NULL,"
	" PRIMARY KEY (day, source, name)) WITHOUT ROWID;"
	"CREATE INDEX change_flow ON change (source, name, at);",
	/* 3 */
	"CREATE TABLE warmup (source BLOB NOT NULL, name TEXT NOT NULL, state BLOB NOT NULL,"
	" PRIMARY KEY (source, name)) WITHOUT ROWID;",
	/* 4: a limit that sources share, beside one of its flows */
	"ALTER TABLE flow ADD COLUMN shared BLOB;",
};
#define VERSION ((int)(sizeof(steps) / sizeof(steps[0])))

struct db {
	sqlite3 *sqlite;
	sqlite3_stmt *statements[STATEMENTS];
	char error[DB_REASON];
};

/* ---- errors ---------------------------------------------------------------------------------- */

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return 0;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_READONLY: return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN: return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_MISMATCH: return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_NOMEM: return -ENOMEM;
	default: return -EIO;
	}
}

static int result(struct db *db, int code)
{
	if (errno_of(code) != 0)
		snprintf(db->error, sizeof(db->error), "%s", sqlite3_errmsg(db->sqlite));
	return errno_of(code);
}

const char *db_error_text(const struct db *db)
{
	return db->error;
}

static int execute(struct db *db, const char *text)
{
	return result(db, sqlite3_exec(db->sqlite, text, NULL, NULL, NULL));
}

/* ---- opening --------------------------------------------------------------------------------- */

static int number_read(struct db *db, const char *text, int64_t *ret)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(db->sqlite, text, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return result(db, code);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(statement, 0);
	else
		result(db, code);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW ? 0 : errno_of(code) ? errno_of(code) : -EBADMSG;
}

static int migrate(struct db *db, int64_t version)
{
	char text[48];
	int error = execute(db, "BEGIN IMMEDIATE");

	for (int64_t step = version; !error && step < VERSION; step++)
		error = execute(db, steps[step]);
	snprintf(text, sizeof(text), "PRAGMA user_version = %d", VERSION);
	if (!error)
		error = execute(db, text);
	if (!error)
		error = execute(db, "COMMIT");
	if (error)
		sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
	return error;
}

static int version_check(struct db *db, bool write, char *reason)
{
	int64_t version = 0;
	int error = number_read(db, "PRAGMA user_version", &version);

	if (!error && version > VERSION) {
		snprintf(
			reason, DB_REASON,
			"it is of version %lld, and this program knows %d: a newer tollgate made it",
			(long long)version, VERSION);
		return -EPROTO;
	}
	if (!error && version < 0)
		error = -EBADMSG;
	if (!error && write && version < VERSION)
		error = migrate(db, version);
	return error;
}

static int statements_prepare(struct db *db)
{
	int code = SQLITE_OK;

	for (int i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(db->sqlite, statement_texts[i], -1,
					  SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
	return result(db, code);
}

static int set_up(struct db *db, bool write, char *reason)
{
	int error;

	sqlite3_busy_timeout(db->sqlite, BUSY_MS);
	error = write ? execute(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
		      : execute(db, "PRAGMA query_only = 1");
	if (!error)
		error = execute(db, "PRAGMA cache_size = -16384; PRAGMA mmap_size = 2147418112; "
				    "PRAGMA temp_store = MEMORY");
	if (!error)
		error = version_check(db, write, reason);
	if (!error && write)
		error = statements_prepare(db);
	return error;
}

/* Replies stand in it, with addresses of recipients: not for everybody. */
static int file_make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int db_open(const char *path, bool write, struct db **ret, char *reason)
{
	struct db *db = calloc(1, sizeof(*db));
	int error = db == NULL ? -ENOMEM : write ? file_make(path) : 0;

	*reason = '\0';
	if (!error)
		error = result(db,
			       sqlite3_open_v2(path, &db->sqlite,
					       SQLITE_OPEN_NOMUTEX | (write ? SQLITE_OPEN_READWRITE
									    : SQLITE_OPEN_READONLY),
					       NULL));
	if (!error)
		error = set_up(db, write, reason);
	if (!error) {
		*ret = db;
		return 0;
	}
	if (*reason == '\0')
		snprintf(reason, DB_REASON, "%s", db && *db->error ? db->error : strerror(-error));
	db_close(db);
	return error;
}

void db_close(struct db *db)
{
	if (db == NULL)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->sqlite);
	free(db);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int run(struct db *db, enum statement statement)
{
	sqlite3_stmt *s = db->statements[statement];
	int error = result(db, sqlite3_step(s));

	sqlite3_reset(s);
	return error;
}

static void bind_text(sqlite3_stmt *s, int place, const char *text)
{
	if (text)
		sqlite3_bind_text(s, place, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, place);
}

static void bind_bytes(sqlite3_stmt *s, int place, const void *bytes, size_t length)
{
	if (bytes)
		sqlite3_bind_blob(s, place, bytes, (int)length, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, place);
}

int db_layout(struct db *db, const char *names, uint32_t *ret)
{
	sqlite3_stmt *s = db->statements[LAYOUT_GET];
	int error;

	bind_text(db->statements[LAYOUT_PUT], 1, names);
	error = run(db, LAYOUT_PUT);
	if (error)
		return error;
	bind_text(s, 1, names);
	error = result(db, sqlite3_step(s));
	if (!error)
		*ret = (uint32_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return error;
}

int db_begin(struct db *db)
{
	return execute(db, "BEGIN IMMEDIATE");
}

/* What came since it was last put. Totals that are smaller than they were began anew. */
static uint64_t more(sqlite3_stmt *old, int column, uint64_t now)
{
	uint64_t before = (uint64_t)sqlite3_column_int64(old, column);

	return now >= before ? now - before : now;
}

static void bind_key(sqlite3_stmt *s, int place, const struct db_flow *flow)
{
	sqlite3_bind_blob(s, place, flow->source, sizeof(flow->source), SQLITE_STATIC);
	sqlite3_bind_text(s, place + 1, flow->name, (int)flow->name_length, SQLITE_STATIC);
}

static int daily_put(struct db *db, const struct db_flow *flow, int64_t day)
{
	sqlite3_stmt *old = db->statements[FLOW_OLD], *s = db->statements[DAILY_PUT];
	const uint64_t totals[3] = {flow->delivered, flow->deferred, flow->bounced};
	uint64_t counted[3];
	bool any = false;
	int code;

	sqlite3_bind_int64(old, 1, flow->kind);
	bind_key(old, 2, flow);
	code = sqlite3_step(old);
	for (int i = 0; i < 3; i++) {
		counted[i] = code == SQLITE_ROW ? more(old, i, totals[i]) : totals[i];
		any |= counted[i] != 0;
	}
	sqlite3_reset(old);
	if (errno_of(code) != 0 || !any)
		return result(db, code);
	sqlite3_bind_int64(s, 1, day);
	bind_key(s, 2, flow);
	for (int i = 0; i < 3; i++)
		sqlite3_bind_int64(s, 4 + i, (int64_t)counted[i]);
	return run(db, DAILY_PUT);
}

static int warmup_put(struct db *db, const struct db_flow *flow)
{
	sqlite3_stmt *s = db->statements[WARMUP_PUT];

	if (flow->warmup == NULL)
		return 0;
	bind_key(s, 1, flow);
	bind_bytes(s, 3, flow->warmup, flow->warmup_length);
	return run(db, WARMUP_PUT);
}

int db_put_flow(struct db *db, const struct db_flow *flow, uint32_t layout, int64_t day)
{
	sqlite3_stmt *s = db->statements[FLOW_PUT];
	const uint64_t numbers[] = {(uint64_t)flow->seen_s, flow->delivered, flow->deferred,
				    flow->bounced,	    flow->hour,	     flow->day,
				    flow->interval_ns,	    flow->burst,     flow->hour_cap,
				    flow->day_cap,	    layout};
	int error = daily_put(db, flow, day);

	if (!error)
		error = warmup_put(db, flow);
	if (error)
		return error;
	sqlite3_bind_int64(s, 1, flow->kind);
	bind_key(s, 2, flow);
	for (int i = 0; i < (int)(sizeof(numbers) / sizeof(numbers[0])); i++)
		sqlite3_bind_int64(s, 4 + i, (int64_t)numbers[i]);
	bind_bytes(s, 15, flow->life, flow->life_length);
	bind_bytes(s, 16, flow->effects, flow->effects_length);
	bind_bytes(s, 17, flow->shared, flow->shared_length);
	return run(db, FLOW_PUT);
}

int db_put_change(struct db *db, const struct db_change *change)
{
	sqlite3_stmt *s = db->statements[CHANGE_PUT];

	sqlite3_bind_int64(s, 1, change->at_ns);
	sqlite3_bind_blob(s, 2, change->source, sizeof(change->source), SQLITE_STATIC);
	bind_text(s, 3, change->name ? change->name : "");
	bind_text(s, 4, change->what);
	bind_text(s, 5, change->by);
	bind_text(s, 6, change->rule);
	bind_text(s, 7, change->reply);
	return run(db, CHANGE_PUT);
}

int db_put_alive(struct db *db, const struct db_alive *alive)
{
	sqlite3_stmt *s = db->statements[ALIVE_PUT];

	sqlite3_bind_int64(s, 1, alive->at_ns);
	bind_text(s, 2, alive->boot);
	sqlite3_bind_int(s, 3, alive->clean);
	return run(db, ALIVE_PUT);
}

int db_end(struct db *db, bool keep)
{
	int error = keep ? execute(db, "COMMIT") : 0;

	if (error || !keep)
		sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
	return error;
}

static int prune(struct db *db, const char *text, int64_t bound)
{
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(db->sqlite, text, -1, &s, NULL);

	if (code != SQLITE_OK)
		return result(db, code);
	if (sqlite3_bind_parameter_count(s) > 0)
		sqlite3_bind_int64(s, 1, bound);
	code = sqlite3_step(s);
	result(db, code);
	sqlite3_finalize(s);
	return errno_of(code);
}

/* A bounded piece at once, so that no batch waits for long. */
int db_prune(struct db *db, int64_t now_ns, int64_t day)
{
	int error = prune(
		db,
		"DELETE FROM change WHERE id IN (SELECT id FROM change ORDER BY id LIMIT " PRUNE_AT_ONCE
		") AND (at < ? OR id <= (SELECT max(id) FROM change) - " CHANGES_MAX ")",
		now_ns - CHANGES_NS);

	if (!error)
		error = prune(
			db,
			"DELETE FROM daily WHERE (day, source, name) IN (SELECT day, source, name "
			"FROM daily WHERE day < ? ORDER BY day LIMIT " PRUNE_AT_ONCE ")",
			day - DAILY_DAYS);
	if (!error)
		error = prune(db, "DELETE FROM flow WHERE effects IS NULL AND seen < ?",
			      now_ns / 1000000000 - IDLE_S);
	if (!error)
		error = prune(
			db,
			"DELETE FROM warmup WHERE NOT EXISTS (SELECT 1 FROM flow WHERE kind = ? AND "
			"flow.source = warmup.source AND flow.name = warmup.name)",
			DB_KIND_FLOW);
	return error;
}

/* ---- reading --------------------------------------------------------------------------------- */

int db_alive(struct db *db, struct db_alive *ret)
{
	sqlite3_stmt *s = db->statements[ALIVE_GET];
	int code = sqlite3_step(s);

	if (code == SQLITE_ROW) {
		const unsigned char *boot = sqlite3_column_text(s, 1);

		*ret = (struct db_alive){.at_ns = sqlite3_column_int64(s, 0),
					 .clean = sqlite3_column_int(s, 2) != 0};
		snprintf(ret->boot, sizeof(ret->boot), "%s", boot ? (const char *)boot : "");
	}
	result(db, code);
	sqlite3_reset(s);
	return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : errno_of(code);
}

/* Steps through a query, and frees it. */
static int each(struct db *db, sqlite3_stmt *s, int (*row)(void *, sqlite3_stmt *), void *arg)
{
	int code, error = 0;

	while ((code = sqlite3_step(s)) == SQLITE_ROW && !error)
		error = row(arg, s);
	if (!error)
		error = result(db, code);
	sqlite3_finalize(s);
	return error;
}

struct taker {
	void *arg;
	db_take_flow *flow;
	db_take_layout *layout;
	db_take_change *change;
	db_take_daily *daily;
	db_take_warmup *warmup;
};

/* A column that must be 16 bytes. False: it is not. */
static bool source_read(sqlite3_stmt *s, int column, uint8_t ret[16])
{
	const void *bytes = sqlite3_column_blob(s, column);

	if (bytes == NULL || sqlite3_column_bytes(s, column) != 16)
		return false;
	memcpy(ret, bytes, 16);
	return true;
}

static const char *text_read(sqlite3_stmt *s, int column)
{
	return (const char *)sqlite3_column_text(s, column);
}

static int flow_row(void *arg, sqlite3_stmt *s)
{
	const struct taker *taker = arg;
	struct db_flow flow = {
		.kind = (uint32_t)sqlite3_column_int64(s, 0),
		.name = text_read(s, 2),
		.name_length = (size_t)sqlite3_column_bytes(s, 2),
		.seen_s = sqlite3_column_int64(s, 3),
		.delivered = (uint64_t)sqlite3_column_int64(s, 4),
		.deferred = (uint64_t)sqlite3_column_int64(s, 5),
		.bounced = (uint64_t)sqlite3_column_int64(s, 6),
		.hour = (uint64_t)sqlite3_column_int64(s, 7),
		.day = (uint64_t)sqlite3_column_int64(s, 8),
		.interval_ns = (uint64_t)sqlite3_column_int64(s, 9),
		.burst = (uint32_t)sqlite3_column_int64(s, 10),
		.hour_cap = (uint32_t)sqlite3_column_int64(s, 11),
		.day_cap = (uint32_t)sqlite3_column_int64(s, 12),
		.layout = (uint32_t)sqlite3_column_int64(s, 13),
		.life = sqlite3_column_blob(s, 14),
		.life_length = (size_t)sqlite3_column_bytes(s, 14),
		.effects = sqlite3_column_blob(s, 15),
		.effects_length = (size_t)sqlite3_column_bytes(s, 15),
		.shared = sqlite3_column_blob(s, 16),
		.shared_length = (size_t)sqlite3_column_bytes(s, 16),
	};

	/* Not what we wrote: passed over. */
	if (!source_read(s, 1, flow.source) || flow.name == NULL)
		return 0;
	return taker->flow(taker->arg, &flow);
}

int db_flows(struct db *db, db_take_flow *take, void *arg)
{
	struct taker taker = {.arg = arg, .flow = take};
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(
		db->sqlite,
		"SELECT kind, source, name, seen, delivered, deferred, bounced, hour, day, "
		"interval, burst, hour_cap, day_cap, layout, life, effects, shared FROM flow",
		-1, &s, NULL);

	return code == SQLITE_OK ? each(db, s, flow_row, &taker) : result(db, code);
}

int db_flows_reach(struct db *db, uint32_t count, bool *ret)
{
	char text[96];
	int64_t found = 0;
	int error;

	snprintf(text, sizeof(text), "SELECT count(*) FROM (SELECT 1 FROM flow LIMIT %u)", count);
	error = number_read(db, text, &found);
	if (!error)
		*ret = found >= count;
	return error;
}

static int warmup_row(void *arg, sqlite3_stmt *s)
{
	const struct taker *taker = arg;
	struct db_warmup warmup = {
		.name = text_read(s, 1),
		.state = sqlite3_column_blob(s, 2),
		.length = (size_t)sqlite3_column_bytes(s, 2),
	};

	if (!source_read(s, 0, warmup.source) || warmup.name == NULL || warmup.state == NULL)
		return 0;
	return taker->warmup(taker->arg, &warmup);
}

int db_warmups(struct db *db, db_take_warmup *take, void *arg)
{
	struct taker taker = {.arg = arg, .warmup = take};
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(db->sqlite, "SELECT source, name, state FROM warmup", -1, &s,
				      NULL);

	return code == SQLITE_OK ? each(db, s, warmup_row, &taker) : result(db, code);
}

static int layout_row(void *arg, sqlite3_stmt *s)
{
	const struct taker *taker = arg;

	return text_read(s, 1) ? taker->layout(taker->arg, (uint32_t)sqlite3_column_int64(s, 0),
					       text_read(s, 1))
			       : 0;
}

int db_layouts(struct db *db, db_take_layout *take, void *arg)
{
	struct taker taker = {.arg = arg, .layout = take};
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(db->sqlite, "SELECT id, names FROM layout", -1, &s, NULL);

	return code == SQLITE_OK ? each(db, s, layout_row, &taker) : result(db, code);
}

static int change_row(void *arg, sqlite3_stmt *s)
{
	const struct taker *taker = arg;
	struct db_change change = {
		.at_ns = sqlite3_column_int64(s, 0),
		.name = text_read(s, 2),
		.what = text_read(s, 3),
		.by = text_read(s, 4),
		.rule = text_read(s, 5),
		.reply = text_read(s, 6),
	};

	return source_read(s, 1, change.source) ? taker->change(taker->arg, &change) : 0;
}

int db_changes(struct db *db, int64_t since_ns, const uint8_t source[16], const char *name,
	       db_take_change *take, void *arg)
{
	struct taker taker = {.arg = arg, .change = take};
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(
		db->sqlite,
		name ? "SELECT at, source, name, what, decider, rule, reply FROM change WHERE at >= ? AND "
		       "source = ? AND name = ? ORDER BY at, id"
		     : "SELECT at, source, name, what, decider, rule, reply FROM change WHERE at >= ? "
		       "ORDER BY at, id",
		-1, &s, NULL);

	if (code != SQLITE_OK)
		return result(db, code);
	sqlite3_bind_int64(s, 1, since_ns);
	if (name) {
		sqlite3_bind_blob(s, 2, source, 16, SQLITE_STATIC);
		bind_text(s, 3, name);
	}
	return each(db, s, change_row, &taker);
}

static int daily_row(void *arg, sqlite3_stmt *s)
{
	const struct taker *taker = arg;
	struct db_daily daily = {
		.day = sqlite3_column_int64(s, 0),
		.name = text_read(s, 2),
		.delivered = (uint64_t)sqlite3_column_int64(s, 3),
		.deferred = (uint64_t)sqlite3_column_int64(s, 4),
		.bounced = (uint64_t)sqlite3_column_int64(s, 5),
	};

	return source_read(s, 1, daily.source) ? taker->daily(taker->arg, &daily) : 0;
}

int db_daily(struct db *db, int64_t since_day, db_take_daily *take, void *arg)
{
	struct taker taker = {.arg = arg, .daily = take};
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(
		db->sqlite,
		"SELECT day, source, name, delivered, deferred, bounced FROM daily WHERE day >= ?",
		-1, &s, NULL);

	if (code != SQLITE_OK)
		return result(db, code);
	sqlite3_bind_int64(s, 1, since_day);
	return each(db, s, daily_row, &taker);
}
