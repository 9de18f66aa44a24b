/* SPDX-License-Identifier: MIT
 *
 * Reads the values of a scenario's file, and says where a wrong one stands.
 *
 * Each function takes the key below where the reader stands and the text that was written there,
 * NULL where nothing was: then *ret stays as it is. 0; -EINVAL with "name:line:column: reason" in
 * the error.
 */
#ifndef SIDECAR_SIMULATE_SCENARIO_VALUE_H
#define SIDECAR_SIMULATE_SCENARIO_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "sidecar/base/yaml.h"

/* `at` is the path of the mapping whose keys are being read. */
struct simulate_reader {
	const char *name;
	const struct yaml_marks *marks;
	char at[128];
	char *error;
	size_t error_size;
};

/* Puts the error together; returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int simulate_refuse(const struct simulate_reader *reader,
							  const char *key, const char *format, ...);

/* Goes to the mapping of that path. */
__attribute__((format(printf, 2, 3))) void simulate_enter(struct simulate_reader *reader,
							  const char *format, ...);

/* At most SCENARIO_DURATION_MAX. */
int simulate_take_duration(const struct simulate_reader *reader, const char *key, const char *text,
			   uint64_t *ret);
int simulate_take_count(const struct simulate_reader *reader, const char *key, const char *text,
			uint64_t min, uint64_t max, uint64_t *ret);

/* A limit: a count, or "unlimited", which is 0. */
int simulate_take_limit(const struct simulate_reader *reader, const char *key, const char *text,
			uint32_t *ret);
int simulate_take_number(const struct simulate_reader *reader, const char *key, const char *text,
			 double min, double max, double *ret);

/* "60/min"; other than in a configuration also "2.5/min". In messages a second; infinite:
 * unlimited. */
int simulate_take_rate(const struct simulate_reader *reader, const char *key, const char *text,
		       double *ret);

/* One of the words, a list that ends with NULL; *ret is its index. */
int simulate_take_word(const struct simulate_reader *reader, const char *key, const char *text,
		       const char *const *words, int *ret);

/* A reply of a receiver: 4xx or 5xx and a text. */
int simulate_take_reply(const struct simulate_reader *reader, const char *key, const char *text,
			const char **ret);

#endif
