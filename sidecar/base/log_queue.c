/* SPDX-License-Identifier: MIT
 *
 * A ring of bytes under a mutex, which is held for copying alone, never while writing.
 */
#include "sidecar/base/log_queue.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIECE 4096

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more; /* something was put, or it is over */
	pthread_cond_t done; /* all that was put is written */
	pthread_t thread;
	char *bytes;
	uint64_t put, taken; /* bytes ever */
	uint64_t dropped;    /* lines ever */
	bool on, running, writing, over;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
	   .more = PTHREAD_COND_INITIALIZER,
	   .done = PTHREAD_COND_INITIALIZER};

/* Whoever reads may be slow, and the description may be set not to wait. */
static void write_all(const char *bytes, size_t length)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (length > 0) {
		ssize_t wrote = write(STDERR_FILENO, bytes, length);

		if (wrote < 0 && errno == EAGAIN)
			poll(&out, 1, -1);
		else if (wrote < 0 && errno != EINTR)
			return;
		else if (wrote > 0) {
			bytes += wrote;
			length -= (size_t)wrote;
		}
	}
}

/* The next piece: whole lines where they fit, so that those of other processes do not come between.
 */
static size_t piece_take(char *piece)
{
	size_t length = 0, whole = 0;

	while (length < PIECE && queue.taken + length < queue.put) {
		piece[length] = queue.bytes[(queue.taken + length) % LOG_QUEUE_BYTES];
		whole = piece[length++] == '\n' ? length : whole;
	}
	length = whole ? whole : length;
	queue.taken += length;
	return length;
}

static void *run(void *arg)
{
	char piece[PIECE];

	pthread_mutex_lock(&queue.lock);
	for (;;) {
		size_t length = piece_take(piece);

		queue.writing = length > 0;
		if (length == 0) {
			pthread_cond_broadcast(&queue.done);
			if (queue.over)
				break;
			pthread_cond_wait(&queue.more, &queue.lock);
			continue;
		}
		pthread_mutex_unlock(&queue.lock);
		write_all(piece, length);
		pthread_mutex_lock(&queue.lock);
	}
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

int log_queue_begin(void)
{
	queue.bytes = malloc(LOG_QUEUE_BYTES);
	if (queue.bytes == NULL)
		return -ENOMEM;
	queue.on = true;
	return 0;
}

int log_queue_run(void)
{
	sigset_t all, before;
	int error;

	queue.over = false;
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&queue.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	queue.running = error == 0;
	return -error;
}

bool log_queue_put(const char *line, size_t length)
{
	if (!queue.on)
		return false;
	pthread_mutex_lock(&queue.lock);
	if (queue.put - queue.taken + length > LOG_QUEUE_BYTES)
		queue.dropped++;
	else {
		for (size_t i = 0; i < length; i++)
			queue.bytes[(queue.put + i) % LOG_QUEUE_BYTES] = line[i];
		queue.put += length;
		pthread_cond_signal(&queue.more);
	}
	pthread_mutex_unlock(&queue.lock);
	return true;
}

static struct timespec later(uint64_t ns)
{
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	ns += (uint64_t)at.tv_nsec;
	at.tv_sec += (time_t)(ns / 1000000000);
	at.tv_nsec = (long)(ns % 1000000000);
	return at;
}

/* A start that failed has no thread yet. A piece is no longer than what a pipe takes at once. */
static void rest_write(uint64_t most_ns)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	char piece[PIECE];
	size_t length;

	while ((length = piece_take(piece)) > 0 && poll(&out, 1, (int)(most_ns / 1000000)) == 1)
		write_all(piece, length);
}

/* True: all is written, and the thread has ended. */
static bool thread_end(uint64_t most_ns)
{
	struct timespec until = later(most_ns);
	int late = 0;

	pthread_mutex_lock(&queue.lock);
	queue.over = true;
	pthread_cond_signal(&queue.more);
	while (!late && (queue.put != queue.taken || queue.writing))
		late = pthread_cond_timedwait(&queue.done, &queue.lock, &until);
	pthread_mutex_unlock(&queue.lock);
	if (late)
		pthread_detach(queue.thread);
	else
		pthread_join(queue.thread, NULL);
	return !late;
}

void log_queue_end(uint64_t most_ns)
{
	bool whole = true;

	if (!queue.on)
		return;
	queue.on = false;
	if (queue.running)
		whole = thread_end(most_ns);
	else
		rest_write(most_ns);
	queue.running = false;
	/* A thread that still waits for whoever does not read ends with the process, and keeps its
	 * buffer. */
	if (whole) {
		free(queue.bytes);
		queue.bytes = NULL;
	}
}

uint64_t log_queue_dropped(void)
{
	uint64_t dropped;

	pthread_mutex_lock(&queue.lock);
	dropped = queue.dropped;
	pthread_mutex_unlock(&queue.lock);
	return dropped;
}

bool log_queue_roomy(void)
{
	bool roomy;

	pthread_mutex_lock(&queue.lock);
	roomy = queue.put - queue.taken < LOG_QUEUE_BYTES / 2;
	pthread_mutex_unlock(&queue.lock);
	return roomy;
}
