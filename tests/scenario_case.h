/* SPDX-License-Identifier: MIT
 *
 * Scenarios as tests write them.
 */
#ifndef TESTS_SCENARIO_CASE_H
#define TESTS_SCENARIO_CASE_H

#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/scenario.h"

#define SECOND UNITS_SECOND_NS
#define MINUTE UNITS_MINUTE_NS
#define HOUR   UNITS_HOUR_NS

/* A text that is one; ends the test where it is none. */
static inline struct scenario *scenario_of(const char *text)
{
	struct scenario *scenario = NULL;
	char error[512] = "";

	cr_assert_eq(scenario_parse(text, strlen(text), "x", &scenario, error, sizeof error), 0,
		     "%s", error);
	return scenario;
}

#endif
