/* SPDX-License-Identifier: MIT
 *
 * The units in which people write: counts, rates, durations, sizes, shares.
 *
 * Each function takes a whole string (spaces around it are ignored) and returns 0, or -EINVAL with
 * *ret_reason set to a constant sentence that completes "TEXT: ...", such as "no such unit" (NULL
 * is allowed where the reason is not wanted). Overflow is an error, never a smaller number. Pure;
 * any thread may call.
 *
 * A number is digits, separated by commas in groups of three ("1,000") or by underscores ("1_000"):
 * "1,5" is refused, since one reads it as one and a half and another as fifteen.
 */
#ifndef SIDECAR_BASE_UNITS_H
#define SIDECAR_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define UNITS_SECOND_NS UINT64_C(1000000000)
#define UNITS_MINUTE_NS (60 * UNITS_SECOND_NS)
#define UNITS_HOUR_NS	(60 * UNITS_MINUTE_NS)
#define UNITS_DAY_NS	(24 * UNITS_HOUR_NS)

/* N in a period. "10/min": 10 and 60e9; "5/30s": 5 and 30e9. count 0: unlimited. */
struct units_rate {
	uint64_t count;
	uint64_t period_ns;
};

/* "1,000", "1_000", "7". */
int units_count(const char *text, uint64_t *ret, const char **ret_reason);

/* "90m", "2h", "15 min", "500ms", "1h 30m", "1.5 hours", "0". Units: ns us ms, s sec second(s), m
 * min minute(s), h hr hour(s), d day(s), w week(s). A number without a unit is refused, save 0. */
int units_duration(const char *text, uint64_t *ret_ns, const char **ret_reason);

/* "10/min", "1,000/hr", "5/30s", "unlimited". The count is above 0, the period too, and at most a
 * year.
 */
int units_rate(const char *text, struct units_rate *ret, const char **ret_reason);

/* "20%", "12.5 %": in millionths (200,000 and 125,000), at most 100 %. */
int units_share(const char *text, uint32_t *ret_millionths, const char **ret_reason);

/* Writes a rate, or a duration, as it would be written in a configuration: "10/min", "1,000/hr",
 * "5/30s", "unlimited"; "1h 30m", "250ms". Returns text. */
const char *units_rate_text(const struct units_rate *rate, char *text, size_t size);
const char *units_duration_text(uint64_t ns, char *text, size_t size);

/* Writes a count with commas: "1,000". Returns text. */
const char *units_count_text(uint64_t count, char *text, size_t size);

#endif
