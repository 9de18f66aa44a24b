/* SPDX-License-Identifier: MIT
 *
 * Lines on their way to standard error, which a thread writes: whoever reads there may hang, and
 * nobody here waits for it. What finds no room is dropped and counted.
 */
#ifndef SIDECAR_BASE_LOG_QUEUE_H
#define SIDECAR_BASE_LOG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_QUEUE_BYTES 262144

/* From now on lines are queued; they are written once log_queue_run has started the thread. That
 * has the privileges of whoever starts it: so not before they are dropped. */
int log_queue_begin(void);
int log_queue_run(void);

/* False: nothing is queued, the caller writes itself. A line without room is dropped. */
bool log_queue_put(const char *line, size_t length);

/* Waits until all is written, but no longer than that: what is left then is lost. */
void log_queue_end(uint64_t most_ns);

/* Lines dropped since it began; and whether there is room for some again. */
uint64_t log_queue_dropped(void);
bool log_queue_roomy(void);

#endif
