/* SPDX-License-Identifier: MIT
 *
 * A controller's state as named values: nothing is left out, and what cannot be is refused.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/base/random.h"
#include "sidecar/control/saved.h"

#define SECOND UINT64_C(1000000000)
#define START  (3600000 * SECOND)
#define STATES 400

static uint64_t seed = 5;

static uint32_t any(uint32_t below)
{
	return (uint32_t)random_below(&seed, below);
}

/* A state that some replies have led to. */
static struct control_state state_any(void)
{
	struct control_bounds bounds = {.rate_max = 10,
					.rate_min = 0.01,
					.rate_start = 1,
					.burst = {10, 8, 7},
					.connections = 20,
					.per_connection = 50};
	struct control_state state;
	uint64_t now_ns = START;

	control_init(&state, &bounds, now_ns);
	for (uint32_t i = any(300); i > 0; i--) {
		struct control_observation seen = {
			.class = any(3) ? REPLY_DELIVERED : (enum reply_class)any(REPLY_CLASSES),
			.limit = (enum reply_limit)any(REPLY_LIMITS),
			.stage = TG_STAGE_MESSAGE,
			.place = any(60),
			.open_connections = any(20),
			.admitted_ns = now_ns,
		};
		struct control_change change;

		now_ns += any(90) * SECOND;
		control_observe(&state, &bounds, &seen, now_ns, &change);
		control_tick(&state, &bounds, 1, now_ns, &change);
	}
	return state;
}

Test(control_saved, gives_back_every_byte)
{
	for (int i = 0; i < STATES; i++) {
		struct control_state state = state_any(), again = {{0}};
		uint64_t values[CONTROL_VALUES];

		control_save(&state, values);
		cr_expect(control_load(&again, values), "state %d", i);
		cr_expect_eq(memcmp(&state, &again, sizeof(state)), 0, "state %d", i);
	}
}

Test(control_saved, sees_every_byte_of_a_state)
{
	struct control_state state = state_any();
	uint64_t values[CONTROL_VALUES], changed[CONTROL_VALUES];
	unsigned unseen = 0;

	control_save(&state, values);
	for (size_t bit = 0; bit < sizeof(state) * 8; bit++) {
		struct control_state other = state;

		((unsigned char *)&other)[bit / 8] ^= (unsigned char)(1 << bit % 8);
		control_save(&other, changed);
		unseen += memcmp(values, changed, sizeof(values)) == 0;
	}
	/* Bits between the fields and behind the last. */
	cr_expect_leq(unseen, 128, "%u bits of %zu are not saved", unseen, sizeof(state) * 8);
}

Test(control_saved, names_differ)
{
	char a[CONTROL_VALUE_NAME], b[CONTROL_VALUE_NAME];

	for (unsigned i = 0; i < CONTROL_VALUES; i++)
		for (unsigned k = 0; k < i; k++) {
			control_value(i, a);
			control_value(k, b);
			cr_expect_str_neq(a, b);
		}
}

Test(control_saved, refuses_what_no_state_has)
{
	struct control_state state = state_any(), kept = state;
	uint64_t values[CONTROL_VALUES];
	char name[CONTROL_VALUE_NAME];

	for (unsigned i = 0; i < CONTROL_VALUES; i++) {
		if (control_value(i, name) == CONTROL_TIME || strchr(name, '.'))
			continue;
		control_save(&kept, values);
		values[i] = UINT64_C(1) << 40; /* no field is as wide */
		cr_expect_not(control_load(&state, values), "%s", name);
		cr_expect_eq(memcmp(&state, &kept, sizeof(state)), 0, "%s", name);
	}
}
