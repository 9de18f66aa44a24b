/* SPDX-License-Identifier: MIT
 *
 * One arithmetic in kernel and user space: the same vectors through gcra.h in the program and here,
 * and whole decisions against a model that is written with gcra.h alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "ebpf/gate.h"
#include "shm/gcra.h"

#if __has_include("ebpf/gate_test.skel.h")

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "ebpf/gate_test.h"
#include "ebpf/gate_test.skel.h"
#include "sidecar/base/random.h"

#define S UINT64_C(1000000000)

static struct gate_test_bpf *skel;

static int silent(enum libbpf_print_level level, const char *format, va_list list)
{
	return 0;
}

/* 0 where programs cannot be loaded; the reason is printed once a test. */
static int trial_load(void)
{
	char why[256];
	struct gate_control control = {.max_wait_ns = 5 * S, .hz = 250};
	uint32_t zero = 0;

	if (gate_probe(why, sizeof why)) {
		printf("SKIP: BPF programs cannot be loaded here: %s\n", why);
		return 0;
	}
	libbpf_set_print(silent);
	skel = gate_test_bpf__open_and_load();
	cr_assert_not_null(skel, "the test programs did not load: %s", strerror(errno));
	control.cgroup_mode[0] = GATE_PACE;
	cr_assert_eq(bpf_map_update_elem(bpf_map__fd(skel->maps.control), &zero, &control, BPF_ANY),
		     0);
	return 1;
}

static void trial_run(const struct bpf_program *program, void *packet, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = (uint32_t)size,
		    .data_out = packet, .data_size_out = (uint32_t)size);

	cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0, "%s",
		     strerror(errno));
	cr_assert_eq(opts.retval, 0);
}

static void vector_check(uint64_t tat, uint64_t now, uint64_t rate, uint32_t n, uint64_t span)
{
	struct gate_test_vector v = {
		.tat = tat, .now_ns = now, .rate = rate, .n = n, .span_ns = span};
	uint64_t interval = gcra_interval(rate);

	trial_run(skel->progs.trial_gcra, &v, sizeof v);
	cr_expect_eq(v.interval_ns, interval);
	cr_expect_eq(v.burst, gcra_burst(rate));
	cr_expect_eq(v.earliest_ns, gcra_earliest(tat, interval, gcra_burst(rate), n));
	cr_expect_eq(v.charged, gcra_charge(tat, now, interval, n));
	cr_expect_eq(v.clamped, gcra_clamp(tat, now, span));
}

Test(gcra_bpf, computes_chosen_vectors_alike)
{
	static const uint64_t times[] = {
		0, 1, 999, S, 60 * S, UINT64_C(1) << 40, (UINT64_C(1) << 62) - 1};
	static const uint64_t intervals[] = {0,		1,	  999999,	    S,
					     3 * S + 7, 3600 * S, UINT64_C(1) << 61};
	static const uint32_t bursts[] = {1, 2, 20, 100000, UINT32_MAX};

	if (!trial_load())
		return;
	for (size_t t = 0; t < sizeof times / sizeof *times; t++)
		for (size_t u = 0; u < sizeof times / sizeof *times; u++)
			for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++)
				for (size_t b = 0; b < sizeof bursts / sizeof *bursts; b++)
					vector_check(times[t], times[u],
						     gcra_rate(intervals[i], bursts[b]), 1,
						     times[(t + u) % 7]);
	gate_test_bpf__destroy(skel);
}

Test(gcra_bpf, computes_random_vectors_alike)
{
	uint64_t seed = 20240601;

	if (!trial_load())
		return;
	for (int i = 0; i < 20000; i++) {
		uint64_t tat = random_next(&seed) >> (2 + random_next(&seed) % 60);
		uint64_t now = random_next(&seed) >> (2 + random_next(&seed) % 60);
		uint64_t rate = gcra_rate(random_next(&seed) >> (3 + random_next(&seed) % 60),
					  (uint32_t)(random_next(&seed) >> 32) | 1);

		vector_check(tat, now, rate, 1, random_next(&seed) >> 4);
	}
	gate_test_bpf__destroy(skel);
}

/* What a decision must be, by gcra.h alone: all rates at one time, within the longest wait. */
static int model_decide(uint64_t tat[GATE_RATES], const struct gate_limits *limits, uint64_t now,
			uint64_t *at)
{
	uint64_t then = now > limits->hold_until_ns ? now : limits->hold_until_ns;

	for (int i = 0; i < GATE_RATES; i++) {
		uint64_t interval = gcra_interval(limits->rate[i]),
			 burst = gcra_burst(limits->rate[i]), earliest;

		if (!interval)
			continue;
		tat[i] = gcra_clamp(tat[i], now,
				    burst * interval + limits->max_wait_ns + GATE_SLACK_NS);
		earliest = gcra_earliest(tat[i], interval, (uint32_t)burst, 1);
		if (earliest > then)
			then = earliest;
	}
	if (then - now > limits->max_wait_ns)
		return GATE_ANSWER_REFUSE;
	for (int i = 0; i < GATE_RATES; i++)
		if (gcra_interval(limits->rate[i]))
			tat[i] = gcra_charge(tat[i], then, gcra_interval(limits->rate[i]), 1);
	*at = then;
	return GATE_ANSWER_PASS;
}

static void decisions_check(const struct gate_limits *limits, uint64_t step_ns, int steps)
{
	uint64_t tat[GATE_RATES] = {0}, seed = 7, now = 1000 * S;
	int flows_fd = bpf_map__fd(skel->maps.flows);
	int refused = 0, passed = 0;

	struct gate_destination widest = {.limits = *limits};

	cr_assert_eq(bpf_map_update_elem(bpf_map__fd(skel->maps.destinations), &(uint32_t){0},
					 &widest, BPF_ANY),
		     0);
	for (int i = 0; i < steps; i++) {
		struct gate_test_decision d = {
			.request = {
				.now_ns = now,
				.key = {.source = {0, 0, htonl(0xffff), 1}, .destination_id = 9}}};
		struct gate_flow flow;
		uint64_t at = 0;
		int answer = model_decide(tat, limits, now, &at);

		d.request.key.source[3] = (uint32_t)steps; /* a flow of its own for each sequence */
		trial_run(skel->progs.trial_decide, &d, sizeof d);
		cr_assert_eq((int)d.answer, answer, "step %d", i);
		if (answer == GATE_ANSWER_PASS)
			cr_assert_eq(d.request.at_ns, at, "step %d", i);
		refused += answer == GATE_ANSWER_REFUSE;
		passed += answer == GATE_ANSWER_PASS;
		cr_assert_eq(bpf_map_lookup_elem(flows_fd, &d.request.slot, &flow), 0);
		for (int r = 0; answer == GATE_ANSWER_PASS && r < GATE_RATES; r++)
			cr_assert_eq(flow.tat[r], gcra_interval(limits->rate[r]) ? tat[r] : 0,
				     "step %d rate %d", i, r);
		now += random_next(&seed) % step_ns;
	}
	cr_expect(refused > 0 && passed > 0, "%d refused, %d passed: nothing was tried", refused,
		  passed);
}

Test(gcra_bpf, decides_as_the_model)
{
	struct gate_limits one = {.rate = {gcra_rate(S, 5)}, .generation = 1, .max_wait_ns = 3 * S};
	struct gate_limits three = {
		.rate = {gcra_rate(S, 3), gcra_rate(6 * S, 10), gcra_rate(36 * S, 100)},
		.generation = 1,
		.max_wait_ns = 12 * S};
	struct gate_limits deny = {
		.rate = {gcra_rate(S, 2)}, .generation = 1, .modes = gate_modes(GATE_DENY)};

	if (!trial_load())
		return;
	decisions_check(&one, S, 2000);
	decisions_check(&three, S, 4000);
	deny.max_wait_ns = 0;
	decisions_check(&deny, S, 2001);
	gate_test_bpf__destroy(skel);
}

Test(gcra_bpf, brings_back_a_state_that_no_honest_clock_left)
{
	struct gate_destination limits = {
		.limits = {.rate = {gcra_rate(S, 5)}, .generation = 1, .max_wait_ns = S}};
	struct gate_test_decision d = {
		.request = {.now_ns = 1000 * S, .key = {.destination_id = 3}}};
	struct gate_flow flow;
	int flows_fd;

	if (!trial_load())
		return;
	flows_fd = bpf_map__fd(skel->maps.flows);
	bpf_map_update_elem(bpf_map__fd(skel->maps.destinations), &(uint32_t){0}, &limits, BPF_ANY);
	trial_run(skel->progs.trial_decide, &d, sizeof d);
	cr_assert_eq(d.answer, GATE_ANSWER_PASS);
	cr_assert_eq(bpf_map_lookup_elem(flows_fd, &d.request.slot, &flow), 0);
	flow.tat[0] = UINT64_C(1) << 59; /* a clock that is 18 years ahead */
	cr_assert_eq(bpf_map_update_elem(flows_fd, &d.request.slot, &flow, BPF_ANY), 0);
	/* It counts as the furthest that is possible, and so passes when that is over: in seconds.
	 */
	trial_run(skel->progs.trial_decide, &d, sizeof d);
	cr_expect_eq(d.answer, GATE_ANSWER_REFUSE);
	bpf_map_lookup_elem(flows_fd, &d.request.slot, &flow);
	cr_expect_eq(flow.tat[0], 1000 * S + 5 * S + S + GATE_SLACK_NS);
	d.request.now_ns = 1008 * S;
	trial_run(skel->progs.trial_decide, &d, sizeof d);
	cr_expect_eq(d.answer, GATE_ANSWER_PASS);
	gate_test_bpf__destroy(skel);
}

#else

Test(gcra_bpf, needs_bpf_at_build_time)
{
	printf("SKIP: built without BPF\n");
}

#endif

Test(gate_errno, allows_what_programs_take_for_a_failed_connect)
{
	cr_expect(gate_errno_allowed(EPERM));
	cr_expect_not(gate_errno_allowed(EINPROGRESS));
	cr_expect_not(gate_errno_allowed(0));
	cr_expect_not(gate_errno_allowed(EINTR));
}
