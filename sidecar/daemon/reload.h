/* SPDX-License-Identifier: MIT
 *
 * Reading the configuration anew while mail goes on: it is loaded in a thread of its own, and put
 * in force on the loop when that has ended, atomically.
 *
 * Whoever asks gets a ticket. A configuration that was begun to be read before somebody asked does
 * not count for him, since the file may have changed since: it is read once more.
 */
#ifndef SIDECAR_DAEMON_RELOAD_H
#define SIDECAR_DAEMON_RELOAD_H

#include <stdint.h>

struct sidecar;

/* Asks for it. Returns the ticket; the answer may be there at once, where no thread can be begun.
 */
uint64_t reload_ask(struct sidecar *sidecar);

/* Waits for a load under way, and drops it. */
void reload_end(struct sidecar *sidecar);

#endif
