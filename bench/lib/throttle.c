/* SPDX-License-Identifier: MIT
 *
 * The simulator's receiver behind real connections: see throttle.h.
 *
 * Each source has a receiver of its own that knows this source alone, since nobody says beforehand
 * which will come. Their time begins with the table.
 */
#include "bench/lib/throttle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/hash_table.h"
#include "sidecar/base/random.h"
#include "sidecar/simulate/receiver.h"

#define HITS_MAX   4096
#define GREYLISTED 65536 /* envelopes remembered; a newer one takes the place of an older */

struct throttle_entry {
	UT_hash_handle hh; /* in the order in which they came */
	uint8_t address[16];
	struct sim_receiver receiver;
	struct throttle_counts counts;
};

struct greylisted {
	uint64_t envelope, since_ns;
};

struct throttle {
	struct throttle_limits limits;
	struct scenario_noise noise;
	struct scenario_receiver truth; /* the limits as the model has them */
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

/* What the model answers here. */
static const enum throttle_answer answers[RECEIVER_CAUSES] = {
	[RECEIVER_ACCEPTED] = THROTTLE_OK,
	[RECEIVER_NOISE] = THROTTLE_NOISE,
	[RECEIVER_RATE] = THROTTLE_RATE,
	[RECEIVER_CONNECTIONS] = THROTTLE_CONNECTIONS,
	[RECEIVER_PER_CONNECTION] = THROTTLE_PER_CONNECTION,
	[RECEIVER_HOUR] = THROTTLE_HOUR,
	[RECEIVER_DAY] = THROTTLE_DAY,
	[RECEIVER_BLOCKED] = THROTTLE_PENALTY,
};

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
	entry = table->entries;
	HASH_CLEAR(hh, table->entries);
	for (; entry; entry = next) {
		next = entry->hh.next;
		receiver_free(&entry->receiver);
		free(entry);
	}
	free(table->greylisted);
	free(table);
}

static struct scenario_accept accept_of(const struct throttle_limits *limits)
{
	bool paced = limits->rate > 0;

	return (struct scenario_accept){
		.rate = paced ? limits->rate : INFINITY,
		.burst = paced ? limits->burst : INFINITY,
		.connections = limits->connections,
		.per_connection = limits->per_connection,
		.hour = limits->hour,
		.day = limits->day,
	};
}

/* Hits that were counted for another penalty say nothing of this one. */
static void hits_forget(struct throttle *table)
{
	for (struct throttle_entry *entry = table->entries; entry; entry = entry->hh.next) {
		struct receiver_account *account = entry->receiver.sources[0].account;

		memset(account->violations, 0xff, HITS_MAX * sizeof(*account->violations));
		account->strike_at = 0;
	}
}

void throttle_change(struct throttle *table, const struct throttle_limits *limits)
{
	struct throttle_limits *l = &table->limits;
	uint32_t hits = l->penalty_hits;

	*l = *limits;
	if (l->rate > 0 && l->burst == 0)
		l->burst = 1;
	if (l->penalty_hits > HITS_MAX)
		l->penalty_hits = HITS_MAX;
	if (l->penalty_repeat < 1)
		l->penalty_repeat = 1;
	table->noise = (struct scenario_noise){.share = l->noise, .customer = SCENARIO_NOBODY};
	table->truth = (struct scenario_receiver){
		.accept = accept_of(l),
		.penalty = {.count = l->penalty_hits,
			    .window_ns = l->penalty_window_ns,
			    .hold_ns = l->penalty_hold_ns,
			    .repeat = l->penalty_repeat},
		.noises = &table->noise,
		.noise_count = l->noise > 0,
	};
	for (struct throttle_entry *entry = table->entries; entry; entry = entry->hh.next)
		entry->receiver.accept = table->truth.accept;
	if (hits != l->penalty_hits)
		hits_forget(table);
}

const struct throttle_limits *throttle_limits(const struct throttle *table)
{
	return &table->limits;
}

/* With memory for as many hits as another penalty may come to ask for. */
static int entry_init(struct throttle *table, struct throttle_entry *entry)
{
	const struct scenario one = {.duration_ns = UINT64_MAX,
				     .source_count = 1,
				     .receivers = &table->truth,
				     .receiver_count = 1};
	int error;

	table->truth.penalty.count = HITS_MAX;
	error = receiver_init(&entry->receiver, &one, 0);
	table->truth.penalty.count = table->limits.penalty_hits;
	return error;
}

struct throttle_entry *throttle_entry(struct throttle *table, const uint8_t address[16])
{
	struct throttle_entry *entry;

	HASH_FIND(hh, table->entries, address, sizeof(entry->address), entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry || entry_init(table, entry) != 0) {
		free(entry);
		return NULL;
	}
	memcpy(entry->address, address, sizeof(entry->address));
	HASH_ADD(hh, table->entries, address, sizeof(entry->address), entry);
	if (!hash_table_lacks(entry))
		return entry;
	receiver_free(&entry->receiver);
	free(entry);
	return NULL;
}

/* Until when the source is blocked by what it did. */
static uint64_t blocked_until(const struct throttle_entry *entry)
{
	return entry->receiver.sources[0].account->blocked_until_ns;
}

enum throttle_answer throttle_open(struct throttle *table, struct throttle_entry *entry,
				   uint64_t now_ns)
{
	uint64_t blocked = blocked_until(entry);
	const char *text;

	entry->counts.connections++;
	if (receiver_connect(&entry->receiver, 0, now_ns - table->begin_ns, &text)) {
		entry->counts.answers[THROTTLE_CONNECTIONS]++;
		entry->counts.penalties += blocked_until(entry) != blocked;
		return THROTTLE_CONNECTIONS;
	}
	if (++entry->counts.open > entry->counts.peak_open)
		entry->counts.peak_open = entry->counts.open;
	return THROTTLE_OK;
}

void throttle_close(struct throttle_entry *entry)
{
	receiver_close(&entry->receiver, 0);
	entry->counts.open--;
}

enum throttle_answer throttle_message(struct throttle *table, struct throttle_entry *entry,
				      uint32_t place, uint64_t now_ns)
{
	const struct receiver_message message = {
		.place = place, .draw = random_next(&table->random), .customer = SCENARIO_NOBODY};
	uint64_t blocked = blocked_until(entry);
	enum throttle_answer answer;
	const char *text;

	answer = answers[receiver_take(&entry->receiver, 0, &message, now_ns - table->begin_ns,
				       &text)];
	entry->counts.messages++;
	entry->counts.answers[answer]++;
	entry->counts.penalties += blocked_until(entry) != blocked;
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

void throttle_counts(const struct throttle *table, const struct throttle_entry *entry,
		     uint64_t now_ns, struct throttle_counts *ret)
{
	uint64_t until_ns = table->begin_ns + blocked_until(entry);

	/* The model counts a block as a whole when it begins. */
	*ret = entry->counts;
	ret->blocked_ns = entry->receiver.sources[0].account->blocked_ns -
			  (until_ns > now_ns ? until_ns - now_ns : 0);
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
