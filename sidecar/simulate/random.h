/* SPDX-License-Identifier: MIT
 *
 * Scenarios at random: one for each number, always the same, written as a user would write it.
 */
#ifndef SIDECAR_SIMULATE_RANDOM_H
#define SIDECAR_SIMULATE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Writes the YAML of scenario `seed` (at most size - 1 bytes and a NUL; 8 KiB are always enough).
 * Returns its length, or -ENOSPC. */
int simulate_random(uint64_t seed, char *text, size_t size);

#endif
