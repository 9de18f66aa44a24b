/* SPDX-License-Identifier: MIT
 *
 * Every field of struct flow_control stands in FIELDS once: a test compares what was saved and
 * loaded again byte by byte. A name stays as long as it means the same; of a union one name is
 * enough.
 */
#include "sidecar/control/saved.h"

#include <stdio.h>

#include "sidecar/control/state.h"

#define FIELDS(PLAIN, STAMP, TIME)    \
	TIME(hold_until_ns)           \
	TIME(due_ns)                  \
	PLAIN(rate)                   \
	PLAIN(limit_estimate)         \
	PLAIN(limit_estimate_prev)    \
	PLAIN(probe_spacing_messages) \
	PLAIN(idle)                   \
	PLAIN(excess)                 \
	PLAIN(excess_known)           \
	PLAIN(pressure)               \
	PLAIN(noise)                  \
	PLAIN(noise_from)             \
	PLAIN(noise_apart)            \
	STAMP(mark)                   \
	STAMP(raised)                 \
	STAMP(pressure_at)            \
	STAMP(hold_since)             \
	STAMP(connections_at)         \
	STAMP(day_start)              \
	PLAIN(count)                  \
	PLAIN(hold_hour_count)        \
	PLAIN(hour_count)             \
	PLAIN(day_count)              \
	PLAIN(hour_cap)               \
	PLAIN(day_cap)                \
	PLAIN(hold_seconds)           \
	PLAIN(connections)            \
	PLAIN(per_connection)         \
	PLAIN(last_place)             \
	PLAIN(phase)                  \
	PLAIN(phase_gap)              \
	PLAIN(noise_of)               \
	PLAIN(refused_of)             \
	PLAIN(sprt_score)             \
	PLAIN(sprt_steep)             \
	PLAIN(transactional)          \
	PLAIN(flags)                  \
	PLAIN(probe_failures)         \
	PLAIN(idle_share)             \
	PLAIN(reserve)                \
	PLAIN(refused)                \
	PLAIN(hour_index)             \
	PLAIN(mode)                   \
	PLAIN(backoff_level)          \
	PLAIN(hour_seen)              \
	PLAIN(day_seen)               \
	PLAIN(hour_test)              \
	PLAIN(day_test)               \
	PLAIN(strikes)                \
	PLAIN(places)                 \
	PLAIN(sprt_pending)           \
	STAMP(place_at)               \
	PLAIN(limit_best)             \
	STAMP(fell_at)                \
	PLAIN(refused_recent)         \
	PLAIN(refused_lately)         \
	PLAIN(admission_seconds)      \
	PLAIN(rate_before)            \
	PLAIN(taken_before)           \
	PLAIN(estimate_before)        \
	PLAIN(trial_share)            \
	PLAIN(trial_share_now)        \
	PLAIN(trial_score)            \
	STAMP(admitted_last)          \
	STAMP(refused_since)          \
	STAMP(trial_after)            \
	PLAIN(limit_words)            \
	PLAIN(attempts)               \
	PLAIN(refused_row)            \
	PLAIN(trial_of)               \
	PLAIN(trial_accepted)         \
	PLAIN(trial_refused)          \
	PLAIN(flight_refused)         \
	PLAIN(denied)                 \
	PLAIN(trial)                  \
	PLAIN(trial_pauses)           \
	PLAIN(place_guessed)          \
	PLAIN(refused_fully)          \
	PLAIN(connection_rate)        \
	PLAIN(connections_opened)     \
	PLAIN(connection_guessed)

/* Those of which there is one a class of replies. */
static const char *const by_class[] = {"refused_by", "usual_share"};

#define PLAIN_ROW(field) {#field, CONTROL_PLAIN},
#define STAMP_ROW(field) {#field, CONTROL_STAMP},
#define TIME_ROW(field)	 {#field, CONTROL_TIME},

static const struct {
	const char *name;
	enum control_value_kind kind;
} rows[] = {FIELDS(PLAIN_ROW, STAMP_ROW, TIME_ROW)};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS + 2 * REFUSED_CLASSES == CONTROL_VALUES, "the number that the header says");

enum control_value_kind control_value(unsigned i, char text[CONTROL_VALUE_NAME])
{
	if (i < ROWS) {
		snprintf(text, CONTROL_VALUE_NAME, "%s", rows[i].name);
		return rows[i].kind;
	}
	i -= ROWS;
	snprintf(text, CONTROL_VALUE_NAME, "%s.%s", by_class[i / REFUSED_CLASSES % 2],
		 reply_class_name((enum reply_class)(REFUSED_FIRST + i % REFUSED_CLASSES)));
	return CONTROL_PLAIN;
}

static uint64_t bits_of_integer(uint64_t value)
{
	return value;
}

void control_save(const struct control_state *state, uint64_t values[CONTROL_VALUES])
{
	const struct flow_control *fc = &state->flow;
	unsigned i = 0;

/* The sum makes an int of a bit-field, which has no type to choose by. */
#define SAVE(field)                                       \
	values[i++] = _Generic(fc->field + 0, float       \
			       : control_bits_of, default \
			       : bits_of_integer)(fc->field);
	FIELDS(SAVE, SAVE, SAVE)
#undef SAVE
	for (int c = 0; c < REFUSED_CLASSES; c++) {
		values[i + c] = fc->refused_by[c];
		values[i + REFUSED_CLASSES + c] = fc->usual_share[c];
	}
}

bool control_load(struct control_state *state, const uint64_t values[CONTROL_VALUES])
{
	struct control_state loaded = {{0}};
	struct flow_control *fc = &loaded.flow;
	bool fits = true;
	unsigned i = 0;

/* What does not fit its field is another's. */
#define LOAD(field)                                                  \
	fc->field = _Generic(fc->field + 0, float                    \
			     : control_float_of, default             \
			     : bits_of_integer)(values[i]);          \
	fits &= _Generic(fc->field + 0, float                        \
			 : control_bits_of, default                  \
			 : bits_of_integer)(fc->field) == values[i]; \
	i++;
	FIELDS(LOAD, LOAD, LOAD)
#undef LOAD
	for (int c = 0; c < REFUSED_CLASSES; c++) {
		fc->refused_by[c] = (uint8_t)values[i + c];
		fc->usual_share[c] = (uint8_t)values[i + REFUSED_CLASSES + c];
	}
	if (!fits || !control_valid(&loaded))
		return false;
	*state = loaded;
	return true;
}
