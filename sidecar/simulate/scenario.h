/* SPDX-License-Identifier: MIT
 *
 * A scenario of the simulator: who sends what to whom, and what the receivers hide.
 *
 * Read from YAML by the rows of scenario_keys.c, tollgate-simulate(5). Times are nanoseconds from
 * the start of the run, which is midnight of the receivers' clocks. Names are resolved to indexes
 * here, so that nothing that follows compares texts. Immutable once it is read.
 */
#ifndef SIDECAR_SIMULATE_SCENARIO_H
#define SIDECAR_SIMULATE_SCENARIO_H

#include "sidecar/simulate/scenario_types.h"

/* Reads a scenario. name is what errors call the text by. 0; -EINVAL with "name:line:column:
 * reason" in error; -ENOMEM likewise. The caller frees *ret with scenario_free. */
int scenario_parse(const char *text, size_t length, const char *name, struct scenario **ret,
		   char *error, size_t size);
int scenario_read(const char *path, struct scenario **ret, char *error, size_t size);
void scenario_free(struct scenario *scenario);

/* Who is counted together with a source at a receiver: the first source of them. */
uint32_t scenario_account(const struct scenario *scenario, uint32_t receiver, uint32_t source);

/* Whether a source may send only so much in all. */
bool scenario_totalled(const struct scenario_source *source);

/* A line for each key that a scenario may have (yaml_keys_print). */
void scenario_keys_print(FILE *out);

#endif
