/* SPDX-License-Identifier: MIT
 *
 * From limits in messages to limits in connections, and the split between two worlds.
 */
#include <string.h>

#include <criterion/criterion.h>

#include "shm/gcra.h"
#include "sidecar/gate/limits.h"

#define S UINT64_C(1000000000)

static const struct ebpf_use alone = {.messages_milli = EBPF_MILLI, .share_milli = EBPF_MILLI};

static struct publish_limits unlimited(void)
{
	struct publish_limits limits;

	publish_unlimited(&limits);
	return limits;
}

Test(ebpf_limits, leaves_unlimited_what_is_unlimited)
{
	struct publish_limits limits = unlimited();
	struct gate_limits gate, zero = {0};

	gate_limits_of(&limits, &(struct ebpf_rule){0}, &alone, 5 * S, &gate);
	cr_expect_eq(memcmp(&gate, &zero, sizeof gate), 0);
}

Test(ebpf_limits, follow_messages_by_what_a_connection_carries)
{
	static const struct {
		uint64_t interval_ns;
		uint32_t burst, messages_milli, share_milli;
		uint64_t want_ns;
		uint32_t want_burst;
	} rows[] = {
		{S, 10, 1000, 1000, S, 10},	 {S, 10, 2500, 1000, 5 * S / 2, 4},
		{S, 10, 20000, 1000, 20 * S, 1}, {S, 10, 1000, 500, 2 * S, 5},
		{S, 1, 1000, 100, 10 * S, 1},	 {3600 * S, 1, 1000, 1000, 3600 * S, 1},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct publish_limits limits = unlimited();
		struct ebpf_use use = {.messages_milli = rows[i].messages_milli,
				       .share_milli = rows[i].share_milli};
		struct gate_limits gate;

		limits.interval_ns = rows[i].interval_ns;
		limits.burst[TG_BULK] = rows[i].burst;
		gate_limits_of(&limits, &(struct ebpf_rule){0}, &use, 0, &gate);
		cr_expect_eq(gate.rate[0], gcra_rate(rows[i].want_ns, rows[i].want_burst),
			     "row %zu", i);
	}
}

Test(ebpf_limits, take_connection_limits_as_they_are)
{
	struct publish_limits limits = unlimited();
	struct ebpf_use use = {.messages_milli = 7000, .share_milli = EBPF_MILLI};
	struct gate_limits gate;

	limits.connection_interval_ns = 2 * S;
	limits.connection_burst = 3;
	limits.connections[TG_BULK] = 8;
	gate_limits_of(&limits, &(struct ebpf_rule){.connections = 5}, &use, 0, &gate);
	cr_expect_eq(gate.rate[1], gcra_rate(2 * S, 3));
	cr_expect_eq(gate.connections, 5);
}

Test(ebpf_limits, hold_connections_where_a_class_is_held)
{
	struct publish_limits limits = unlimited();
	struct gate_limits gate;

	limits.hold_until_ns = 10 * S;
	limits.hold_lower_ns = 20 * S;
	gate_limits_of(&limits, &(struct ebpf_rule){0}, &alone, S, &gate);
	cr_expect_eq(gate.hold_until_ns, 20 * S);
	gate_limits_of(&limits, &(struct ebpf_rule){0}, &alone, 30 * S, &gate);
	cr_expect_eq(gate.hold_until_ns, 0, "over");
}

Test(ebpf_limits, count_what_workers_have_open)
{
	struct publish_limits limits = unlimited();
	struct ebpf_use use = {
		.messages_milli = EBPF_MILLI, .share_milli = EBPF_MILLI, .worker_open = 3};
	struct gate_limits gate;

	limits.connections[TG_BULK] = 5;
	gate_limits_of(&limits, &(struct ebpf_rule){0}, &use, S, &gate);
	cr_expect_eq(gate.connections, 2);
	use.worker_open = 5;
	gate_limits_of(&limits, &(struct ebpf_rule){0}, &use, S, &gate);
	cr_expect_gt(gate.hold_until_ns, S, "no room: none until the next look");
}

/* The most that any half-open window of the period holds: burst + ceil(period / interval) - 1. */
Test(ebpf_limits, never_more_than_n_in_any_window)
{
	static const uint64_t counts[] = {1, 2, 5, 9, 10, 60, 61, 100, 999, 1000000};
	static const uint64_t periods[] = {S, 60 * S, 3600 * S};

	cr_expect_eq(gate_limits_strict_rate(0, S), 0, "no limit");
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		for (size_t p = 0; p < 3; p++) {
			uint64_t rate = gate_limits_strict_rate(counts[i], periods[p]);
			uint64_t interval = gcra_interval(rate);
			uint64_t max =
				gcra_burst(rate) + (periods[p] + interval - 1) / interval - 1;

			cr_expect_leq(max, counts[i], "%zu %zu", i, p);
			cr_expect_geq(max + max / 1000 + 1, counts[i], "and hardly less: %zu %zu",
				      i, p);
		}
	}
}

Test(ebpf_limits, split_by_demand)
{
	cr_expect_eq(gate_limits_share(10, 0), 1000);
	cr_expect_eq(gate_limits_share(0, 0), 1000);
	cr_expect_eq(gate_limits_share(10, 10), 500);
	cr_expect_eq(gate_limits_share(30, 10), 750);
	cr_expect_eq(gate_limits_share(0, 10), 100, "a tenth, to be noticed");
	cr_expect_eq(gate_limits_share(1000000, 1), 900);
	cr_expect_eq(gate_limits_share(UINT64_MAX / 4, UINT64_MAX / 4), 500);
}

/* The configuration's texts are not const; nobody writes them. */
#define T(text) ((char *)(text))

Test(ebpf_limits, rules_by_destination_and_cgroup)
{
	char *cgroups[] = {T("/a"), T("/b")};
	struct config_gate_rule rules[] = {
		{.canonical = T("near"),
		 .minute = {.text = T("5"), .value = 5},
		 .mode = {.text = T("deny"), .value = CONFIG_GATE_DENY}},
		{.canonical = T("near"),
		 .cgroup = T("/b"),
		 .minute = {.text = T("3"), .value = 3},
		 .mode = {.text = T("pace"), .value = CONFIG_GATE_PACE}},
		{.canonical = T("far"), .second = {.text = T("1"), .value = 1}},
		{.hour = {.text = T("100"), .value = 100},
		 .connections = {.text = T("9"), .value = 9}},
	};
	struct config_ebpf config = {
		.cgroups = cgroups, .cgroups_count = 2, .rules = rules, .rules_count = 4};
	struct ebpf_rule rule;

	gate_limits_rule(&config, "near", &rule);
	cr_expect_eq(rule.minute, 3, "the strictest");
	cr_expect_eq(rule.second, 0);
	cr_expect_eq(rule.hour, 100, "that of all");
	cr_expect_eq(rule.connections, 9);
	cr_expect_eq(gate_mode_of(rule.modes, 0), GATE_DENY);
	cr_expect_eq(gate_mode_of(rule.modes, 1), GATE_PACE);
	cr_expect_eq(gate_mode_of(rule.modes, 2), GATE_INHERIT);
	gate_limits_rule(&config, "elsewhere", &rule);
	cr_expect_eq(rule.modes, 0);
	cr_expect_eq(rule.minute, 0);
}

/* The controller's rate of a probe would have every connection but the first refused. */
Test(ebpf_limits, let_one_go_after_the_other_while_a_probe_is_out)
{
	struct publish_limits limits = unlimited();
	struct ebpf_use use = {
		.messages_milli = EBPF_MILLI, .share_milli = EBPF_MILLI, .probing = true};
	struct gate_limits gate;

	limits.interval_ns = 60 * S;
	limits.burst[TG_BULK] = 1;
	limits.hold_until_ns = 9 * S;
	gate_limits_of(&limits, &(struct ebpf_rule){0}, &use, S, &gate);
	cr_expect_eq(gate.rate[0], gcra_rate(3 * S, 1));
	cr_expect_eq(gate.connections, 1);
	cr_expect_eq(gate.hold_until_ns, 9 * S);
	limits.interval_ns = S;
	gate_limits_of(&limits, &(struct ebpf_rule){.minute = 60}, &use, S, &gate);
	cr_expect_eq(gate.rate[0], gcra_rate(S, 1), "what is faster stays");
	cr_expect_eq(gate.rate[1], gate_limits_strict_rate(60, 60 * S), "and so does a rule");
}
