/* SPDX-License-Identifier: MIT
 *
 * What Microsoft's SNDS says of our addresses: its data as CSV without a heading, and its IP status.
 *
 *   data    14 fields: address, start and end of the activity, RCPT and DATA commands, recipients,
 *           filter result, complaint rate, first and last trap message, trap hits, HELO, MAIL FROM,
 *           comments. The trap fields may be empty, or missing altogether (11 fields).
 *   status  4 fields: first and last address, whether they are blocked, why
 *
 * Missing is not zero: an address that is not listed (it had fewer than 100 messages), a result that
 * is empty, and an address that is not blocked say nothing.
 *
 * Pure. A line is untrusted: every field is checked, and what is wrong is said in words.
 */
#ifndef SIDECAR_FEEDS_SNDS_H
#define SIDECAR_FEEDS_SNDS_H

#include <stdbool.h>

#include "sidecar/ingest/event.h"

enum snds_status { SNDS_NOTHING, SNDS_GREEN, SNDS_YELLOW, SNDS_RED, SNDS_STATUSES };

struct snds_row {
	uint8_t first[16], last[16]; /* addresses, both included */
	enum snds_status status;
	int64_t at_s; /* end of the activity, since 1970; 0: the file does not say, so now */
};

enum snds_line {
	SNDS_ROW,
	SNDS_EMPTY,
	SNDS_BAD, /* *ret_why says why */
};

/* The line is rewritten. ret_why: a constant sentence. */
enum snds_line snds_read(struct ingest_line *line, struct snds_row *ret, const char **ret_why);

/* "green", "yellow", "red"; SNDS_NOTHING: no such word. */
const char *snds_status_name(enum snds_status status);
enum snds_status snds_status_named(const char *name);

/* ---- what follows from it -------------------------------------------------------------------- */

/* Of an address's limits that it may use; zeroed: nothing is known. Shares are millionths. */
struct snds_state {
	int64_t at_s; /* of what was last taken */
	uint32_t share;
};

struct snds_policy {
	uint32_t yellow, red;
};

#define SNDS_WHOLE  1000000u
#define SNDS_STEP_S (20 * 3600) /* the next step up is of another day */

/* Takes a row in: at once down to what the status stands for, up to it by doubling, a day a step.
 * False: it is older than what was taken, says nothing, or the step was made today. */
bool snds_take(struct snds_state *state, const struct snds_policy *policy, enum snds_status status,
	       int64_t at_s);

#endif
