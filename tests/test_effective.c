/* SPDX-License-Identifier: MIT
 *
 * What rules and the operator ask for: kept side by side, and merged to the strictest.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/engine/effective.h"

#define NOW    UINT64_C(1000)
#define SECOND UINT64_C(1000000000)

static struct constraint constraints[CONSTRAINTS];

static void add(enum constraint_kind kind, bool by_operator, const char *name, uint64_t value,
		uint64_t until_ns)
{
	struct constraint constraint = {.kind = kind,
					.by_operator = by_operator,
					.value = value,
					.from_ns = NOW,
					.until_ns = until_ns};

	snprintf(constraint.name, sizeof(constraint.name), "%s", name);
	constraint_add(constraints, &constraint, NOW);
}

static const struct constraint *find(enum constraint_kind kind, const char *name)
{
	for (int i = 0; i < CONSTRAINTS; i++)
		if (constraints[i].kind == kind && strcmp(constraints[i].name, name) == 0)
			return &constraints[i];
	return NULL;
}

Test(constraint, of_rules_whose_long_names_begin_alike_stand_side_by_side)
{
	char first[65], second[65];

	memset(first, 'a', 64);
	first[64] = '\0';
	strcpy(second, first);
	second[63] = 'b';
	add(CONSTRAINT_HOLD, false, first, 0, 9000);
	add(CONSTRAINT_HOLD, false, second, 0, 2000);
	cr_assert_not_null(find(CONSTRAINT_HOLD, first));
	cr_expect_eq(find(CONSTRAINT_HOLD, first)->until_ns, 9000);
	cr_expect_eq(find(CONSTRAINT_HOLD, second)->until_ns, 2000);
	add(CONSTRAINT_HOLD, false, second, 0, 3000);
	cr_expect_eq(find(CONSTRAINT_HOLD, second)->until_ns, 3000, "the same is replaced");
}

Test(constraint, of_the_operator_is_not_pushed_out_by_rules)
{
	char name[16];

	for (int kind = CONSTRAINT_HOLD; kind < CONSTRAINT_KINDS; kind++)
		add((enum constraint_kind)kind, true, "operator", 1, NOW + 1);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "rule-%u", i);
		add(CONSTRAINT_INTERVAL, false, name, i, NOW + 100 + i);
	}
	for (int kind = CONSTRAINT_HOLD; kind < CONSTRAINT_KINDS; kind++)
		cr_expect_not_null(find((enum constraint_kind)kind, "operator"), "kind %d", kind);
	cr_expect_not_null(find(CONSTRAINT_INTERVAL, "rule-19"));
}

Test(constraint, that_has_ended_makes_room_first)
{
	char name[16];

	for (unsigned i = 0; i < CONSTRAINTS; i++) {
		snprintf(name, sizeof(name), "rule-%u", i);
		add(CONSTRAINT_INTERVAL, false, name, i, i == 5 ? NOW : NOW + 1 + i);
	}
	add(CONSTRAINT_HOLD, false, "new", 0, NOW + 50);
	cr_expect_null(find(CONSTRAINT_INTERVAL, "rule-5"));
	cr_expect_not_null(find(CONSTRAINT_INTERVAL, "rule-0"));
}

Test(constraint, the_strictest_of_a_kind_wins_and_is_named)
{
	struct flow_limits configured = {.interval_ns = 100};
	struct effective merged;

	add(CONSTRAINT_INTERVAL, false, "slow", 400, NOW + 10);
	add(CONSTRAINT_INTERVAL, true, "operator", 300, UINT64_MAX);
	add(CONSTRAINT_CONNECTIONS, true, "operator", 2, UINT64_MAX);
	effective_merge(&configured, NULL, constraints, 0, NOW, &merged);
	cr_expect_eq(merged.limits.interval_ns, 400);
	cr_expect_eq(merged.rate_by, BY_RULE);
	cr_expect_str_eq(constraints[merged.rate_constraint].name, "slow");
	cr_expect_eq(merged.limits.connections[TG_BULK], 2);
	cr_expect_eq(merged.next_ns, NOW + 10);
	effective_merge(&configured, NULL, constraints, 0, NOW + 10, &merged);
	cr_expect_eq(merged.limits.interval_ns, 300, "what has ended does not count");
	cr_expect_eq(merged.rate_by, BY_OPERATOR);
}

Test(effective, a_learned_cap_keeps_a_reserve_and_the_configured_one_outranks_it)
{
	struct flow_limits configured = {0};
	struct control_limits control = {
		.hour_cap = 1000, .hour_reserve = 100, .day_cap = 9000, .day_reserve = 600};
	struct effective merged;

	effective_merge(&configured, &control, NULL, 0, NOW, &merged);
	cr_expect_eq(merged.limits.hour_cap[TG_TRANSACTIONAL], 1000);
	cr_expect_eq(merged.limits.hour_cap[TG_ENGAGED], 900);
	cr_expect_eq(merged.limits.hour_cap[TG_BULK], 900);
	cr_expect_eq(merged.limits.day_cap[TG_BULK], 8400);
	configured.hour_cap[TG_TRANSACTIONAL] = 2000;
	configured.hour_cap[TG_ENGAGED] = 1900;
	configured.hour_cap[TG_BULK] = 1700;
	effective_merge(&configured, &control, NULL, 0, NOW, &merged);
	cr_expect_eq(merged.limits.hour_cap[TG_TRANSACTIONAL], 1000);
	cr_expect_eq(merged.limits.hour_cap[TG_ENGAGED], 900);
	cr_expect_eq(merged.limits.hour_cap[TG_BULK], 700);
}

Test(effective, the_slower_rate_of_connections_counts)
{
	struct flow_limits configured = {0};
	struct control_limits control = {.connection_interval_ns = 5000};
	struct effective merged;

	effective_merge(&configured, &control, NULL, 0, NOW, &merged);
	cr_expect_eq(merged.limits.connection_interval_ns, 5000);
	cr_expect_eq(merged.limits.connection_burst, 1, "none is saved up at the receiver");
	configured.connection_interval_ns = 7000;
	configured.connection_burst = 3;
	effective_merge(&configured, &control, NULL, 0, NOW, &merged);
	cr_expect_eq(merged.limits.connection_interval_ns, 7000);
	cr_expect_eq(merged.limits.connection_burst, 3);
}

Test(effective, a_baseline_lets_no_minute_have_more_than_it_says)
{
	static const struct {
		uint64_t interval_ns; /* 0: unlimited */
		uint32_t burst, cap;
		bool changed;
	} rows[] = {
		{0, 0, 40, true},
		{0, 0, 1, true},
		{0, 0, 3, true},
		{1000000000, 10, 40, true},
		{1000000000, 10, 70, false},
		{2000000000, 10, 40, false},
		{2000000000, 20, 40, true},
		{60000000000, 1, 1, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flow_limits configured = {.interval_ns = rows[i].interval_ns};
		const uint32_t caps[] = {rows[i].cap, UINT32_MAX - 2, UINT32_MAX - 2};
		const struct publish_limits *l;
		struct effective merged;
		uint64_t most;

		for (int c = 0; c < TG_CLASSES; c++)
			configured.burst[c] = rows[i].burst > 2u * c ? rows[i].burst - 2u * c : 1;
		effective_merge(&configured, NULL, NULL, 0, NOW, &merged);
		effective_baseline(&merged, caps);
		l = &merged.limits;
		cr_assert(l->interval_ns > 0);
		most = l->burst[TG_TRANSACTIONAL] +
		       (UINT64_C(60000000000) + l->interval_ns - 1) / l->interval_ns - 1;
		cr_expect_leq(most, rows[i].cap, "row %zu: %lu", i, most);
		cr_expect_geq(most + 1, rows[i].changed ? rows[i].cap : 0, "row %zu: %lu", i, most);
		cr_expect_eq(merged.rate_by == BY_BASELINE, rows[i].changed, "row %zu", i);
		cr_expect(l->burst[TG_BULK] >= 1 && l->burst[TG_BULK] <= l->burst[TG_ENGAGED] &&
				  l->burst[TG_ENGAGED] <= l->burst[TG_TRANSACTIONAL],
			  "row %zu", i);
	}
}

Test(effective, a_baseline_keeps_a_reserve_and_what_is_stricter_outranks_it)
{
	const uint32_t caps[] = {100000, 500, 2000};
	struct flow_limits configured = {.day_cap = {1000, 900, 800}};
	struct effective merged;

	effective_merge(&configured, NULL, NULL, 0, NOW, &merged);
	effective_baseline(&merged, caps);
	cr_expect_eq(merged.limits.hour_cap[TG_TRANSACTIONAL], 500);
	cr_expect_eq(merged.limits.hour_cap[TG_BULK], 250, "half of a small cap is for others");
	cr_expect_eq(merged.hour_by, BY_BASELINE);
	cr_expect_eq(merged.limits.day_cap[TG_BULK], 800);
	cr_expect_eq(merged.day_by, BY_CONFIGURATION);
	effective_merge(&configured, NULL, NULL, 0, NOW, &merged);
	effective_baseline(&merged, (uint32_t[]){100000, 5000, 2000});
	cr_expect_eq(merged.limits.hour_cap[TG_BULK], 4500, "a tenth of a large one");
	add(CONSTRAINT_HOUR, true, "operator", 300, UINT64_MAX);
	effective_merge(&configured, NULL, constraints, 0, NOW, &merged);
	effective_baseline(&merged, caps);
	cr_expect_eq(merged.hour_by, BY_OPERATOR);
	cr_expect_geq(merged.hour_constraint, 0);
}

Test(effective, a_share_scales_what_is_in_force_and_comes_back_before_it_ends)
{
	const uint64_t hour = UINT64_C(3600000000000), end = NOW + 168 * hour;
	static const struct {
		uint64_t hours; /* that are left */
		uint32_t hour_cap;
	} rows[] = {{168, 100}, {48, 100}, {36, 177}, {24, 316}, {12, 562}, {1, 953}};
	struct flow_limits configured = {
		.interval_ns = 100, .burst = {20, 18, 14}, .hour_cap = {1000, 900, 800}};
	struct effective merged;

	add(CONSTRAINT_SHARE, false, "snds", UINT64_C(77) << CONSTRAINT_SHARE_BITS | 100000, end);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t now_ns = end - rows[i].hours * hour;

		effective_merge(&configured, NULL, constraints, 0, now_ns, &merged);
		effective_share(&merged, constraints, now_ns);
		cr_expect_eq(merged.limits.hour_cap[TG_TRANSACTIONAL], rows[i].hour_cap,
			     "%lu hours: %u", rows[i].hours,
			     merged.limits.hour_cap[TG_TRANSACTIONAL]);
		cr_expect_eq(merged.limits.day_cap[TG_TRANSACTIONAL], PUBLISH_NO_CAP);
		cr_expect_leq(merged.next_ns, rows[i].hours > 48 ? end - 48 * hour : now_ns + hour);
		cr_expect_gt(merged.next_ns, now_ns);
	}
	effective_merge(&configured, NULL, constraints, 0, NOW, &merged);
	effective_share(&merged, constraints, NOW);
	cr_expect_eq(merged.limits.interval_ns, 1000);
	cr_expect_eq(merged.limits.burst[TG_BULK], 1);
	cr_expect_eq(merged.rate_by, BY_RULE);
	cr_expect_str_eq(constraints[merged.rate_constraint].name, "snds");
	effective_merge(&configured, NULL, constraints, 0, end, &merged);
	effective_share(&merged, constraints, end);
	cr_expect_eq(merged.limits.interval_ns, 100, "what has ended does not count");
}

/* An hour of 120 messages: 24 are kept for transactional mail, 12 more for engaged. */
Test(effective_warmup, spreads_an_hour_evenly)
{
	static const struct {
		const char *what;
		uint64_t interval_ns;
		uint32_t burst, flags;
		uint64_t spread_ns;
		uint32_t spread[TG_CLASSES];
	} rows[] = {
		{"unlimited", 0, 0, 0, 30 * SECOND, {43, 19, 7}},
		{"faster", SECOND, 50, 0, 30 * SECOND, {43, 19, 7}},
		{"faster, of a small burst", SECOND, 10, 0, 30 * SECOND, {10, 10, 7}},
		{"slower stays", 60 * SECOND, 50, 0, 60 * SECOND, {50, 50, 50}},
		{"a probe stays", SECOND, 1, LAYOUT_PROBING, SECOND, {1, 1, 1}},
	};
	const struct warmup_caps caps = {.day = {1000, 1000, 1000}, .hour = {120, 96, 84}};
	const struct flow_limits configured = {.hour_phase_s = 7};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct effective e = {.rate_by = BY_CONFIGURATION};
		bool spread = rows[i].spread_ns != rows[i].interval_ns;

		publish_unlimited(&e.limits);
		e.limits.interval_ns = rows[i].interval_ns;
		e.limits.flags = rows[i].flags;
		for (int c = 0; c < TG_CLASSES && rows[i].burst; c++)
			e.limits.burst[c] = rows[i].burst;
		effective_warmup(&e, &configured, &caps);
		cr_expect_eq(e.limits.interval_ns, rows[i].spread_ns, "%s", rows[i].what);
		cr_expect_eq(e.rate_by, spread ? BY_WARMUP : BY_CONFIGURATION, "%s", rows[i].what);
		for (int c = 0; c < TG_CLASSES; c++)
			cr_expect_eq(e.limits.burst[c], rows[i].spread[c], "%s: class %d: %u",
				     rows[i].what, c, e.limits.burst[c]);
	}
}

Test(effective_warmup, that_is_over_spreads_nothing)
{
	const uint32_t any = UINT32_MAX;
	const struct warmup_caps caps = {.day = {1000, 1000, 1000}, .hour = {any, any, any}};
	const struct flow_limits configured = {.hour_phase_s = 0};
	struct effective e = {.rate_by = BY_CONFIGURATION};

	publish_unlimited(&e.limits);
	effective_warmup(&e, &configured, &caps);
	cr_expect_eq(e.limits.interval_ns, 0);
	cr_expect_eq(e.rate_by, BY_CONFIGURATION);
}

Test(effective_warmup, lets_the_first_messages_of_a_tiny_cap_go)
{
	for (uint32_t cap = 0; cap < 5; cap++) {
		const struct warmup_caps caps = {.day = {cap, cap, cap}, .hour = {cap, cap, cap}};
		const struct flow_limits configured = {.hour_phase_s = 0};
		struct effective e = {.rate_by = BY_CONFIGURATION};

		publish_unlimited(&e.limits);
		effective_warmup(&e, &configured, &caps);
		cr_expect_eq(e.limits.burst[TG_BULK], 1, "%u", cap);
		cr_expect_leq(e.limits.interval_ns, 3600 * SECOND, "%u", cap);
		cr_expect_gt(e.limits.interval_ns, 0, "%u", cap);
	}
}
