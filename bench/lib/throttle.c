/* SPDX-License-Identifier: MIT
 *
 * The limits of a modelled receiver: see throttle.h.
 *
 * The hits that lead to a penalty are a ring of their last penalty_hits times: the block begins when
 * the oldest of a full ring lies within the window.
 */
#include "bench/lib/throttle.h"

#include <stdlib.h>
#include <string.h>

#include "sidecar/base/hash_table.h"
#include "sidecar/base/random.h"

#define HITS_MAX   4096
#define HOUR_NS	   UINT64_C(3600000000000)
#define DAY_NS	   (24 * HOUR_NS)
#define GREYLISTED 65536 /* envelopes remembered; a newer one takes the place of an older */

struct window {
	uint64_t number;
	uint32_t used;
};

struct throttle_entry {
	UT_hash_handle hh; /* in the order in which they came */
	uint8_t address[16];
	double tokens;
	uint64_t tokens_ns; /* when tokens was true */
	struct window hour, day;
	uint64_t *hits; /* HITS_MAX times, made at the first hit */
	uint32_t hit_next, hit_count;
	uint64_t blocked_until_ns, blocked_since_ns;
	struct throttle_counts counts;
};

struct greylisted {
	uint64_t envelope, since_ns;
};

struct throttle {
	struct throttle_limits limits;
	struct throttle_entry *entries;
	struct greylisted *greylisted;
	uint64_t begin_ns;
	uint64_t random;
};

static const char *const answer_names[THROTTLE_ANSWERS] = {
	[THROTTLE_OK] = "ok",
	[THROTTLE_RATE] = "rate",
	[THROTTLE_HOUR] = "hour",
	[THROTTLE_DAY] = "day",
	[THROTTLE_CONNECTIONS] = "connections",
	[THROTTLE_PER_CONNECTION] = "per_connection",
	[THROTTLE_PENALTY] = "penalty",
	[THROTTLE_GREYLIST] = "greylist",
	[THROTTLE_NOISE] = "noise",
};

const char *throttle_answer_name(enum throttle_answer answer)
{
	return (unsigned)answer < THROTTLE_ANSWERS ? answer_names[answer] : "?";
}

struct throttle *throttle_new(const struct throttle_limits *limits, uint64_t seed, uint64_t now_ns)
{
	struct throttle *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->greylisted = calloc(GREYLISTED, sizeof(*table->greylisted));
	if (!table->greylisted) {
		free(table);
		return NULL;
	}
	table->begin_ns = now_ns;
	table->random = seed;
	throttle_change(table, limits);
	return table;
}

void throttle_free(struct throttle *table)
{
	struct throttle_entry *entry, *next;

	if (!table)
		return;
	HASH_ITER(hh, table->entries, entry, next)
	{
		HASH_DEL(table->entries, entry);
		free(entry->hits);
		free(entry);
	}
	free(table->greylisted);
	free(table);
}

void throttle_change(struct throttle *table, const struct throttle_limits *limits)
{
	table->limits = *limits;
	if (table->limits.rate > 0 && table->limits.burst == 0)
		table->limits.burst = 1;
	if (table->limits.penalty_hits > HITS_MAX)
		table->limits.penalty_hits = HITS_MAX;
	if (table->limits.penalty_repeat < 1)
		table->limits.penalty_repeat = 1;
}

const struct throttle_limits *throttle_limits(const struct throttle *table)
{
	return &table->limits;
}

struct throttle_entry *throttle_entry(struct throttle *table, const uint8_t address[16])
{
	struct throttle_entry *entry;

	HASH_FIND(hh, table->entries, address, sizeof(entry->address), entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	memcpy(entry->address, address, sizeof(entry->address));
	entry->tokens = table->limits.burst;
	HASH_ADD(hh, table->entries, address, sizeof(entry->address), entry);
	if (!hash_table_lacks(entry))
		return entry;
	free(entry);
	return NULL;
}

/* Counts a refusal by a limit; enough of them within the window begin a block. */
static void entry_hit(struct throttle *table, struct throttle_entry *entry, uint64_t now_ns)
{
	const struct throttle_limits *limits = &table->limits;
	uint32_t oldest;
	double hold;

	if (limits->penalty_hits == 0 || now_ns < entry->blocked_until_ns)
		return;
	if (!entry->hits)
		entry->hits = calloc(HITS_MAX, sizeof(*entry->hits));
	if (!entry->hits)
		return;
	entry->hits[entry->hit_next] = now_ns;
	entry->hit_next = (entry->hit_next + 1) % HITS_MAX;
	if (entry->hit_count < HITS_MAX)
		entry->hit_count++;
	if (entry->hit_count < limits->penalty_hits)
		return;
	oldest = (entry->hit_next + HITS_MAX - limits->penalty_hits) % HITS_MAX;
	if (now_ns - entry->hits[oldest] > limits->penalty_window_ns)
		return;
	hold = (double)limits->penalty_hold_ns;
	for (uint64_t i = 0; i < entry->counts.penalties && hold < 1e17; i++)
		hold *= limits->penalty_repeat;
	entry->blocked_since_ns = now_ns;
	entry->blocked_until_ns = now_ns + (uint64_t)hold;
	entry->counts.penalties++;
	entry->hit_count = 0;
}

/* A block that has ended goes into the sum. */
static void entry_settle(struct throttle_entry *entry, uint64_t now_ns)
{
	if (entry->blocked_until_ns == 0 || now_ns < entry->blocked_until_ns)
		return;
	entry->counts.blocked_ns += entry->blocked_until_ns - entry->blocked_since_ns;
	entry->blocked_until_ns = 0;
}

enum throttle_answer throttle_open(struct throttle *table, struct throttle_entry *entry,
				   uint64_t now_ns)
{
	const struct throttle_limits *limits = &table->limits;

	entry_settle(entry, now_ns);
	entry->counts.connections++;
	if (limits->connections && entry->counts.open >= limits->connections) {
		entry->counts.answers[THROTTLE_CONNECTIONS]++;
		entry_hit(table, entry, now_ns);
		return THROTTLE_CONNECTIONS;
	}
	if (++entry->counts.open > entry->counts.peak_open)
		entry->counts.peak_open = entry->counts.open;
	return THROTTLE_OK;
}

void throttle_close(struct throttle_entry *entry)
{
	entry->counts.open--;
}

static int bucket_take(const struct throttle_limits *limits, struct throttle_entry *entry,
		       uint64_t now_ns)
{
	if (limits->rate <= 0)
		return 1;
	if (entry->tokens_ns)
		entry->tokens += limits->rate * (double)(now_ns - entry->tokens_ns) / 1e9;
	entry->tokens_ns = now_ns;
	if (entry->tokens > limits->burst)
		entry->tokens = limits->burst;
	if (entry->tokens < 1)
		return 0;
	entry->tokens -= 1;
	return 1;
}

static int window_room(struct window *window, uint32_t cap, uint64_t number)
{
	if (window->number != number) {
		window->number = number;
		window->used = 0;
	}
	return cap == 0 || window->used < cap;
}

static enum throttle_answer message_judge(struct throttle *table, struct throttle_entry *entry,
					  uint32_t place, uint64_t now_ns)
{
	const struct throttle_limits *limits = &table->limits;

	if (now_ns < entry->blocked_until_ns)
		return THROTTLE_PENALTY;
	if (limits->per_connection && place > limits->per_connection)
		return THROTTLE_PER_CONNECTION;
	if (!window_room(&entry->hour, limits->hour, (now_ns - table->begin_ns) / HOUR_NS))
		return THROTTLE_HOUR;
	if (!window_room(&entry->day, limits->day, (now_ns - table->begin_ns) / DAY_NS))
		return THROTTLE_DAY;
	if (!bucket_take(limits, entry, now_ns))
		return THROTTLE_RATE;
	entry->hour.used++;
	entry->day.used++;
	if (limits->noise > 0 && random_share(random_next(&table->random)) < limits->noise)
		return THROTTLE_NOISE;
	return THROTTLE_OK;
}

enum throttle_answer throttle_message(struct throttle *table, struct throttle_entry *entry,
				      uint32_t place, uint64_t now_ns)
{
	enum throttle_answer answer;

	entry_settle(entry, now_ns);
	answer = message_judge(table, entry, place, now_ns);
	entry->counts.messages++;
	entry->counts.answers[answer]++;
	if (answer >= THROTTLE_RATE && answer <= THROTTLE_PER_CONNECTION)
		entry_hit(table, entry, now_ns);
	return answer;
}

enum throttle_answer throttle_recipient(struct throttle *table, struct throttle_entry *entry,
					uint64_t envelope, uint64_t now_ns)
{
	uint64_t key = envelope ^ entry->hh.hashv;
	struct greylisted *seen = &table->greylisted[key % GREYLISTED];

	if (table->limits.greylist_ns == 0)
		return THROTTLE_OK;
	if (seen->envelope != key || seen->since_ns == 0) {
		seen->envelope = key;
		seen->since_ns = now_ns;
	}
	if (now_ns - seen->since_ns >= table->limits.greylist_ns)
		return THROTTLE_OK;
	entry->counts.answers[THROTTLE_GREYLIST]++;
	return THROTTLE_GREYLIST;
}

void throttle_counts(const struct throttle_entry *entry, uint64_t now_ns,
		     struct throttle_counts *ret)
{
	uint64_t until = entry->blocked_until_ns < now_ns ? entry->blocked_until_ns : now_ns;

	*ret = entry->counts;
	if (entry->blocked_until_ns)
		ret->blocked_ns += until - entry->blocked_since_ns;
}

struct throttle_entry *throttle_next(const struct throttle *table,
				     const struct throttle_entry *entry)
{
	return entry ? entry->hh.next : table->entries;
}

const uint8_t *throttle_address(const struct throttle_entry *entry)
{
	return entry->address;
}
