/* SPDX-License-Identifier: MIT
 *
 * See store.h. The lock is held for pointers and counts alone, never while the disk is waited for.
 */
#include "sidecar/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	 65536
#define LOCK	 "lock"
#define AGAIN_S	 1
#define PRUNE_NS INT64_C(3600000000000)

/* Entries stand one after another, each in one chunk. */
struct chunk {
	struct chunk *next;
	size_t used, room;
	char bytes[];
};

struct entry {
	size_t bytes; /* with all that follows it */
	bool change;
	union {
		struct db_flow flow;
		struct db_change said;
	};
};

struct store_batch {
	struct chunk *first, *last;
	struct db_alive alive;
	int64_t day;
	uint64_t flows, changes;
};

struct store {
	struct db *db;
	uint32_t layout;
	int lock;
	int64_t pruned_ns;
	pthread_t thread;
	bool running;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct store_batch *waiting; /* handed over, and not written yet */
	bool over;
	struct store_state state;
};

/* ---- batches --------------------------------------------------------------------------------- */

struct store_batch *store_batch_begin(void)
{
	return calloc(1, sizeof(struct store_batch));
}

void store_batch_free(struct store_batch *batch)
{
	struct chunk *next;

	for (struct chunk *chunk = batch ? batch->first : NULL; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(batch);
}

static struct entry *entry_add(struct store_batch *batch, size_t bytes)
{
	struct chunk *chunk = batch->last;
	struct entry *entry;

	bytes = (sizeof(*entry) + bytes + 7) / 8 * 8;
	if (chunk == NULL || chunk->room - chunk->used < bytes) {
		size_t room = bytes > CHUNK ? bytes : CHUNK;

		chunk = malloc(sizeof(*chunk) + room);
		if (chunk == NULL)
			return NULL;
		*chunk = (struct chunk){.room = room};
		if (batch->last)
			batch->last->next = chunk;
		else
			batch->first = chunk;
		batch->last = chunk;
	}
	entry = (struct entry *)(chunk->bytes + chunk->used);
	chunk->used += bytes;
	entry->bytes = bytes;
	return entry;
}

/* Copies bytes behind an entry, moves the place on, and says where they are. */
static const void *keep(char **at, const void *bytes, size_t length)
{
	char *here = *at;

	if (bytes == NULL)
		return NULL;
	memcpy(here, bytes, length);
	*at += length;
	return here;
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

bool store_batch_flow(struct store_batch *batch, const struct db_flow *flow)
{
	struct entry *entry =
		entry_add(batch, flow->name_length + flow->life_length + flow->effects_length +
					 flow->shared_length + flow->warmup_length);
	char *at;

	if (entry == NULL)
		return false;
	at = (char *)(entry + 1);
	entry->change = false;
	entry->flow = *flow;
	entry->flow.name = keep(&at, flow->name, flow->name_length);
	entry->flow.life = keep(&at, flow->life, flow->life_length);
	entry->flow.effects = keep(&at, flow->effects, flow->effects_length);
	entry->flow.shared = keep(&at, flow->shared, flow->shared_length);
	entry->flow.warmup = keep(&at, flow->warmup, flow->warmup_length);
	batch->flows++;
	return true;
}

bool store_batch_change(struct store_batch *batch, const struct db_change *change)
{
	const char *const from[] = {change->name, change->what, change->by, change->rule,
				    change->reply};
	struct entry *entry;
	size_t bytes = 0;
	char *at;

	for (int i = 0; i < 5; i++)
		bytes += text_size(from[i]);
	entry = entry_add(batch, bytes);
	if (entry == NULL)
		return false;
	at = (char *)(entry + 1);
	entry->change = true;
	entry->said = *change;
	entry->said.name = keep(&at, from[0], text_size(from[0]));
	entry->said.what = keep(&at, from[1], text_size(from[1]));
	entry->said.by = keep(&at, from[2], text_size(from[2]));
	entry->said.rule = keep(&at, from[3], text_size(from[3]));
	entry->said.reply = keep(&at, from[4], text_size(from[4]));
	batch->changes++;
	return true;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int entries_write(struct store *store, const struct store_batch *batch)
{
	int error = 0;

	for (const struct chunk *chunk = batch->first; chunk && !error; chunk = chunk->next)
		for (size_t at = 0; at < chunk->used && !error;) {
			const struct entry *entry = (const struct entry *)(chunk->bytes + at);

			error = entry->change ? db_put_change(store->db, &entry->said)
					      : db_put_flow(store->db, &entry->flow, store->layout,
							    batch->day);
			at += entry->bytes;
		}
	return error;
}

static int batch_write(struct store *store, const struct store_batch *batch)
{
	bool prune = batch->alive.at_ns - store->pruned_ns >= PRUNE_NS;
	int error = db_begin(store->db), ended;

	if (error)
		return error;
	error = entries_write(store, batch);
	if (!error)
		error = db_put_alive(store->db, &batch->alive);
	if (!error && prune)
		error = db_prune(store->db, batch->alive.at_ns, batch->day);
	ended = db_end(store->db, !error);
	if (!error && !ended && prune)
		store->pruned_ns = batch->alive.at_ns;
	return error ? error : ended;
}

/* Under the lock. */
static void outcome_note(struct store *store, const struct store_batch *batch, int error)
{
	struct store_state *state = &store->state;

	state->error = error;
	if (error) {
		state->failures++;
		snprintf(state->reason, sizeof(state->reason), "%s", db_error_text(store->db));
		return;
	}
	state->batches++;
	state->flows += batch->flows;
	state->changes += batch->changes;
	state->at_ns = batch->alive.at_ns;
}

static void wait_a_second(struct store *store)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AGAIN_S;
	pthread_cond_timedwait(&store->more, &store->mutex, &until);
}

static void *thread_run(void *arg)
{
	struct store *store = arg;

	pthread_mutex_lock(&store->mutex);
	for (;;) {
		struct store_batch *batch = store->waiting;
		int error;

		if (batch == NULL && store->over)
			break;
		if (batch == NULL) {
			pthread_cond_wait(&store->more, &store->mutex);
			continue;
		}
		pthread_mutex_unlock(&store->mutex);
		error = batch_write(store, batch);
		pthread_mutex_lock(&store->mutex);
		outcome_note(store, batch, error);
		if (error && !store->over) {
			wait_a_second(store);
			continue;
		}
		store->waiting = NULL;
		pthread_mutex_unlock(&store->mutex);
		store_batch_free(batch);
		pthread_mutex_lock(&store->mutex);
	}
	pthread_mutex_unlock(&store->mutex);
	return NULL;
}

int store_run(struct store *store)
{
	sigset_t all, before;
	int error;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&store->thread, NULL, thread_run, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	store->running = error == 0;
	return -error;
}

bool store_ready(struct store *store)
{
	bool ready;

	pthread_mutex_lock(&store->mutex);
	ready = store->waiting == NULL;
	pthread_mutex_unlock(&store->mutex);
	return ready;
}

void store_put(struct store *store, struct store_batch *batch, const struct db_alive *alive,
	       int64_t day)
{
	batch->alive = *alive;
	batch->day = day;
	pthread_mutex_lock(&store->mutex);
	store->waiting = batch;
	pthread_cond_signal(&store->more);
	pthread_mutex_unlock(&store->mutex);
}

void store_state(struct store *store, struct store_state *ret)
{
	pthread_mutex_lock(&store->mutex);
	*ret = store->state;
	pthread_mutex_unlock(&store->mutex);
}

/* ---- opening --------------------------------------------------------------------------------- */

int store_folder_make(const char *folder, int64_t uid, int64_t gid)
{
	if (mkdir(folder, 0750) != 0)
		return errno == EEXIST ? 0 : -errno;
	return chown(folder, (uid_t)uid, (gid_t)gid) == 0 ? 0 : -errno;
}

static int lock_take(const char *folder, int *ret, char *reason)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/" LOCK, folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		int error = -errno;

		snprintf(reason, DB_REASON, "%s", strerror(-error));
		return error;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		snprintf(reason, DB_REASON, "another tollgated has it");
		close(fd);
		return -EBUSY;
	}
	*ret = fd;
	return 0;
}

int store_open(const char *folder, const char *names, struct store **ret, char *reason)
{
	struct store *store = calloc(1, sizeof(*store));
	char path[512];
	int error = store ? 0 : -ENOMEM;

	*reason = '\0';
	if (store)
		store->lock = -1;
	snprintf(path, sizeof(path), "%s/" DB_FILE, folder);
	if (!error)
		error = store_folder_make(folder, -1, -1);
	if (!error)
		error = lock_take(folder, &store->lock, reason);
	if (!error)
		error = db_open(path, true, &store->db, reason);
	if (!error && (error = db_layout(store->db, names, &store->layout)) != 0)
		snprintf(reason, DB_REASON, "%s", db_error_text(store->db));
	if (error) {
		if (*reason == '\0')
			snprintf(reason, DB_REASON, "%s", strerror(-error));
		store_close(store);
		return error;
	}
	pthread_mutex_init(&store->mutex, NULL);
	pthread_cond_init(&store->more, NULL);
	*ret = store;
	return 0;
}

struct db *store_db(struct store *store)
{
	return store->db;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	if (store->running) {
		pthread_mutex_lock(&store->mutex);
		store->over = true;
		pthread_cond_signal(&store->more);
		pthread_mutex_unlock(&store->mutex);
		pthread_join(store->thread, NULL);
	}
	store_batch_free(store->waiting);
	db_close(store->db);
	if (store->lock >= 0)
		close(store->lock);
	free(store);
}
