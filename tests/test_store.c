/* SPDX-License-Identifier: MIT
 *
 * The store's database: what is written is read again, by this version and a later one; what it
 * cannot be read by is said.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/store/db.h"

#define DAY_NS (INT64_C(86400) * 1000000000)

static char path[64], reason[DB_REASON];
static struct db *db;

static void setup(void)
{
	strcpy(path, "/tmp/tg-store-XXXXXX");
	close(mkstemp(path));
}

static void teardown(void)
{
	char beside[80];

	db_close(db);
	unlink(path);
	snprintf(beside, sizeof(beside), "%s-wal", path);
	unlink(beside);
	snprintf(beside, sizeof(beside), "%s-shm", path);
	unlink(beside);
}

TestSuite(store, .init = setup, .fini = teardown);

static void begin(void)
{
	cr_assert_eq(db_open(path, true, &db, reason), 0, "%s", reason);
}

static void execute(const char *text)
{
	sqlite3 *sqlite;
	char *error = NULL;

	cr_assert_eq(sqlite3_open(path, &sqlite), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(sqlite, text, NULL, NULL, &error), SQLITE_OK, "%s", error);
	sqlite3_close(sqlite);
}

static struct db_flow flow_of(uint8_t last, uint64_t delivered)
{
	return (struct db_flow){.kind = 1,
				.source = {[15] = last},
				.name = "google",
				.name_length = 6,
				.seen_s = 1000000,
				.delivered = delivered,
				.hour = UINT64_C(5) << 32 | 7,
				.day = UINT64_MAX - 1,
				.interval_ns = 3,
				.burst = 4,
				.hour_cap = UINT32_MAX,
				.day_cap = 9,
				.life = "life",
				.life_length = 4};
}

static void put(const struct db_flow *flow, uint32_t layout, int64_t day)
{
	cr_assert_eq(db_begin(db), 0);
	cr_assert_eq(db_put_flow(db, flow, layout, day), 0);
	cr_assert_eq(db_end(db, true), 0);
}

struct taken {
	unsigned count;
	struct db_flow last;
	char life[8];
	uint64_t delivered;
	int64_t day;
	char what[32];
};

static int take_flow(void *arg, const struct db_flow *flow)
{
	struct taken *taken = arg;

	taken->count++;
	taken->last = *flow;
	memcpy(taken->life, flow->life ? flow->life : "", flow->life_length);
	return 0;
}

static int take_daily(void *arg, const struct db_daily *daily)
{
	struct taken *taken = arg;

	taken->count++;
	taken->delivered += daily->delivered;
	taken->day = daily->day;
	return 0;
}

static int take_change(void *arg, const struct db_change *change)
{
	struct taken *taken = arg;

	taken->count++;
	snprintf(taken->what, sizeof(taken->what), "%s", change->what);
	return 0;
}

static int take_layout(void *arg, uint32_t number, const char *names)
{
	((struct taken *)arg)->count += strcmp(names, "a b") == 0 || strcmp(names, "a b c") == 0;
	return 0;
}

Test(store, gives_back_a_flow_as_it_was)
{
	struct db_flow flow = flow_of(1, 90);
	struct taken taken = {0};
	uint32_t layout, same, other;

	begin();
	cr_expect_eq(db_layout(db, "a b", &layout), 0);
	cr_expect_eq(db_layout(db, "a b c", &other), 0);
	cr_expect_eq(db_layout(db, "a b", &same), 0);
	cr_expect(layout == same && layout != other);
	put(&flow, layout, 20000);
	cr_expect_eq(db_flows(db, take_flow, &taken), 0);
	cr_expect_eq(taken.count, 1);
	cr_expect(taken.last.kind == flow.kind && taken.last.hour == flow.hour &&
		  taken.last.day == flow.day && taken.last.seen_s == flow.seen_s &&
		  taken.last.interval_ns == 3 && taken.last.burst == 4 &&
		  taken.last.hour_cap == UINT32_MAX && taken.last.day_cap == 9 &&
		  taken.last.layout == layout && taken.last.effects == NULL);
	cr_expect_str_eq(taken.life, "life");
	taken.count = 0;
	cr_expect_eq(db_layouts(db, take_layout, &taken), 0);
	cr_expect_eq(taken.count, 2);
}

static int take_warmup(void *arg, const struct db_warmup *warmup)
{
	struct taken *taken = arg;

	taken->count++;
	snprintf(taken->what, sizeof(taken->what), "%s %.*s %u", warmup->name, (int)warmup->length,
		 (const char *)warmup->state, warmup->source[15]);
	return 0;
}

Test(store, keeps_how_a_flow_warms_up_for_as_long_as_the_flow)
{
	struct db_flow flow = flow_of(1, 90), other = flow_of(2, 1);
	struct taken taken = {0};

	begin();
	flow.warmup = "day 3";
	flow.warmup_length = 5;
	put(&flow, 1, 1);
	flow.warmup = NULL;
	put(&flow, 1, 1);
	put(&other, 1, 1);
	cr_expect_eq(db_warmups(db, take_warmup, &taken), 0);
	cr_expect_eq(taken.count, 1);
	cr_expect_str_eq(taken.what, "google day 3 1");
	cr_assert_eq(db_begin(db), 0);
	cr_assert_eq(db_prune(db, (1000000 + 91 * 86400) * INT64_C(1000000000), 100), 0);
	cr_assert_eq(db_end(db, true), 0);
	taken.count = 0;
	cr_expect_eq(db_warmups(db, take_warmup, &taken), 0);
	cr_expect_eq(taken.count, 0, "its flow was forgotten");
}

static int take_shared(void *arg, const struct db_flow *flow)
{
	struct taken *taken = arg;

	taken->count += flow->shared != NULL;
	snprintf(taken->what, sizeof(taken->what), "%.*s", (int)flow->shared_length,
		 flow->shared ? (const char *)flow->shared : "");
	return 0;
}

Test(store, keeps_a_shared_limit_beside_its_flow_until_there_is_none)
{
	struct db_flow flow = flow_of(1, 90);
	struct taken taken = {0};

	begin();
	flow.shared = "one limit";
	flow.shared_length = 9;
	put(&flow, 1, 1);
	cr_expect_eq(db_flows(db, take_shared, &taken), 0);
	cr_expect_eq(taken.count, 1);
	cr_expect_str_eq(taken.what, "one limit");
	flow.shared = NULL;
	flow.shared_length = 0;
	put(&flow, 1, 1);
	taken.count = 0;
	cr_expect_eq(db_flows(db, take_shared, &taken), 0);
	cr_expect_eq(taken.count, 0);
}

Test(store, sums_the_day_once_whatever_is_written_again)
{
	static const struct {
		uint64_t delivered;
		int64_t day;
		uint64_t sum; /* of all days */
	} rows[] = {{10, 1, 10},
		    {10, 1, 10},
		    {25, 1, 25},
		    {25, 2, 25},
		    {26, 2, 26},
		    /* Counted anew: the flow had been forgotten. */
		    {3, 2, 29}};

	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct db_flow flow = flow_of(1, rows[i].delivered);
		struct taken taken = {0};

		put(&flow, 1, rows[i].day);
		cr_expect_eq(db_daily(db, 0, take_daily, &taken), 0);
		cr_expect_eq(taken.delivered, rows[i].sum, "row %zu", i);
	}
}

Test(store, keeps_nothing_of_a_batch_that_fails)
{
	struct db_flow flow = flow_of(1, 90);
	struct taken taken = {0};

	begin();
	cr_assert_eq(db_begin(db), 0);
	cr_assert_eq(db_put_flow(db, &flow, 1, 1), 0);
	cr_expect_eq(db_end(db, false), 0);
	cr_expect_eq(db_flows(db, take_flow, &taken), 0);
	cr_expect_eq(taken.count, 0);
}

Test(store, tells_changes_by_flow_and_time)
{
	static const struct {
		uint8_t source;
		const char *name;
		int64_t at_ns;
		const char *what;
	} rows[] = {{1, "google", 10, "first"},
		    {2, "google", 20, "other source"},
		    {1, "yahoo", 30, "other name"},
		    {1, "google", 40, "last"}};
	static const struct {
		int64_t since_ns;
		const char *name;
		unsigned count;
	} asked[] = {
		{0, NULL, 4}, {20, NULL, 3}, {0, "google", 2}, {11, "google", 1}, {50, NULL, 0}};
	uint8_t source[16] = {[15] = 1};

	begin();
	cr_assert_eq(db_begin(db), 0);
	for (size_t i = 0; i < 4; i++) {
		struct db_change change = {.at_ns = rows[i].at_ns,
					   .source = {[15] = rows[i].source},
					   .name = rows[i].name,
					   .what = rows[i].what};

		cr_assert_eq(db_put_change(db, &change), 0);
	}
	cr_assert_eq(db_end(db, true), 0);
	for (size_t i = 0; i < 5; i++) {
		struct taken taken = {0};

		cr_expect_eq(db_changes(db, asked[i].since_ns, source, asked[i].name, take_change,
					&taken),
			     0);
		cr_expect_eq(taken.count, asked[i].count, "row %zu: %u", i, taken.count);
		cr_expect(taken.count == 0 || strcmp(taken.what, "last") == 0);
	}
}

Test(store, forgets_what_is_too_old)
{
	struct db_flow idle = flow_of(1, 5), fresh = flow_of(2, 5), held = flow_of(3, 5);
	struct db_change old = {.at_ns = 1, .what = "old"},
			 young = {.at_ns = 399 * DAY_NS, .what = "young"};
	struct taken flows = {0}, changes = {0}, daily = {0};

	idle.seen_s = held.seen_s = 10;
	held.effects = "x";
	held.effects_length = 1;
	fresh.seen_s = 399 * 86400;
	begin();
	put(&idle, 1, 1);
	put(&held, 1, 1);
	put(&fresh, 1, 800);
	cr_assert_eq(db_begin(db), 0);
	cr_assert_eq(db_put_change(db, &old), 0);
	cr_assert_eq(db_put_change(db, &young), 0);
	cr_expect_eq(db_prune(db, 400 * DAY_NS, 800), 0, "%s", db_error_text(db));
	cr_assert_eq(db_end(db, true), 0);
	db_flows(db, take_flow, &flows);
	db_changes(db, 0, NULL, NULL, take_change, &changes);
	db_daily(db, 0, take_daily, &daily);
	cr_expect_eq(flows.count, 2, "what has effects stays");
	cr_expect_eq(changes.count, 1);
	cr_expect_str_eq(changes.what, "young");
	cr_expect_eq(daily.count, 1);
	cr_expect_eq(daily.day, 800);
}

Test(store, says_when_it_was_whole_last)
{
	struct db_alive alive = {.at_ns = 77, .boot = "a-boot", .clean = true}, read;

	begin();
	cr_expect_eq(db_alive(db, &read), -ENOENT);
	cr_assert_eq(db_begin(db), 0);
	cr_assert_eq(db_put_alive(db, &alive), 0);
	cr_assert_eq(db_end(db, true), 0);
	cr_expect_eq(db_alive(db, &read), 0);
	cr_expect(read.at_ns == 77 && read.clean && strcmp(read.boot, "a-boot") == 0);
}

/* The first version as it was written then. */
static const char first[] =
	"CREATE TABLE layout (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);"
	"CREATE TABLE flow (kind INTEGER NOT NULL, source BLOB NOT NULL, name TEXT NOT NULL, seen INTEGER "
	"NOT NULL, delivered INTEGER NOT NULL, deferred INTEGER NOT NULL, bounced INTEGER NOT NULL, hour "
	"INTEGER NOT NULL, day INTEGER NOT NULL, interval INTEGER NOT NULL, burst INTEGER NOT NULL, hour_cap "
	"INTEGER NOT NULL, day_cap INTEGER NOT NULL, layout INTEGER NOT NULL, life BLOB, effects BLOB, "
	"PRIMARY KEY (kind, source, name)) WITHOUT ROWID;"
	"CREATE TABLE change (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, source BLOB NOT NULL, name TEXT NOT "
	"NULL, what TEXT NOT NULL, decider TEXT, rule TEXT, reply TEXT);"
	"CREATE INDEX change_at ON change (at);"
	"CREATE TABLE alive (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, boot TEXT NOT NULL, clean INTEGER "
	"NOT NULL);"
	"INSERT INTO flow VALUES (1, x'00000000000000000000000000000001', 'google', 5, 40, 0, 0, 0, 0, 1, 1, "
	"1, 1, 1, x'6c696665', NULL);"
	"INSERT INTO change (at, source, name, what) VALUES (3, x'00000000000000000000000000000001', 'google', "
	"'rate');"
	"PRAGMA user_version = 1;";

Test(store, brings_the_first_version_forward)
{
	struct db_flow flow = flow_of(1, 60);
	struct taken taken = {0}, changes = {0}, daily = {0};

	execute(first);
	begin();
	cr_expect_eq(db_flows(db, take_flow, &taken), 0);
	cr_expect(taken.count == 1 && taken.last.delivered == 40 &&
		  strcmp(taken.life, "life") == 0);
	cr_expect_eq(db_changes(db, 0, taken.last.source, "google", take_change, &changes), 0);
	cr_expect_eq(changes.count, 1);
	put(&flow, 1, 9);
	cr_expect_eq(db_daily(db, 0, take_daily, &daily), 0);
	cr_expect_eq(daily.delivered, 20);
	flow.warmup = "new";
	flow.warmup_length = 3;
	put(&flow, 1, 9);
	daily.count = 0;
	cr_expect_eq(db_warmups(db, take_warmup, &daily), 0);
	cr_expect_eq(daily.count, 1);
	flow.shared = "one limit";
	flow.shared_length = 9;
	put(&flow, 1, 9);
	cr_expect_eq(db_flows(db, take_shared, &taken), 0);
	cr_expect_str_eq(taken.what, "one limit");
}

Test(store, leaves_a_newer_version_alone)
{
	execute("CREATE TABLE something (new INTEGER); PRAGMA user_version = 1000");
	cr_expect_eq(db_open(path, true, &db, reason), -EPROTO);
	cr_expect(strstr(reason, "newer"), "%s", reason);
	db = NULL;
}

Test(store, says_that_a_file_is_none)
{
	FILE *file = fopen(path, "w");

	for (int i = 0; i < 2000; i++)
		fputs("no database ", file);
	fclose(file);
	cr_expect_eq(db_open(path, true, &db, reason), -EBADMSG);
	cr_expect(*reason);
	db = NULL;
}

Test(store, notices_damage_where_it_reads)
{
	struct taken taken = {0};
	FILE *file;

	begin();
	cr_assert_eq(db_begin(db), 0);
	for (unsigned i = 0; i < 200; i++) {
		struct db_flow flow = flow_of((uint8_t)i, i);

		cr_assert_eq(db_put_flow(db, &flow, 1, 1), 0);
	}
	cr_assert_eq(db_end(db, true), 0);
	db_close(db);
	db = NULL;
	file = fopen(path, "r+");
	fseek(file, 3 * 4096, SEEK_SET);
	for (int i = 0; i < 8 * 4096; i++)
		fputc(0xa5, file);
	fclose(file);
	if (db_open(path, true, &db, reason) == 0)
		cr_expect_eq(db_flows(db, take_flow, &taken), -EBADMSG);
	else
		db = NULL;
	cr_expect_lt(taken.count, 200);
}

Test(store, says_whether_there_are_so_many_flows)
{
	bool reached = true;

	begin();
	for (uint8_t i = 1; i <= 5; i++) {
		struct db_flow flow = flow_of(i, 10);

		put(&flow, 1, 20000);
	}
	cr_assert_eq(db_flows_reach(db, 6, &reached), 0);
	cr_expect_not(reached);
	cr_assert_eq(db_flows_reach(db, 5, &reached), 0);
	cr_expect(reached);
	cr_assert_eq(db_flows_reach(db, 1, &reached), 0);
	cr_expect(reached);
}
