/* SPDX-License-Identifier: MIT
 *
 * What the gate says where something is missing: each kind of need, tried with a thing that no
 * kernel has.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "ebpf/gate.h"
#include "ebpf/gate_probe.h"

/* 1 where the gate can be loaded at all, so that what is missing below is missing by itself. */
static int works(void)
{
	char why[256];

	if (!gate_probe(why, sizeof why))
		return 1;
	printf("SKIP: the gate cannot be loaded here: %s\n", why);
	return 0;
}

Test(gate_probe, names_what_no_kernel_has)
{
	static const struct {
		struct gate_need need;
		const char *says;
	} rows[] = {
		{{GATE_NEED_CAPABILITY, 63, 0, 0, "CAP_TOMORROW"}, "capability CAP_TOMORROW"},
		{{GATE_NEED_PROGRAM, 9999, 0, 0, "TELEPATHY"}, "program type TELEPATHY"},
		{{GATE_NEED_MAP, 9999, 0, 0, "OF_GOLD"}, "map type OF_GOLD"},
		{{GATE_NEED_HELPER, 99999, BPF_CGROUP_INET4_CONNECT, BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		  "bpf_do_all"},
		 "helper bpf_do_all"},
		{{GATE_NEED_HELPER, BPF_FUNC_sk_fullsock, BPF_CGROUP_INET4_CONNECT,
		  BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "bpf_sk_fullsock in the wrong place"},
		 "helper bpf_sk_fullsock in the wrong place"},
		{{GATE_NEED_BTF, 1, 0, 0, "BTF of tomorrow"}, "BTF of tomorrow"},
	};

	if (!works())
		return;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char why[256] = "";

		cr_expect_lt(gate_probe_needs(&rows[i].need, 1, why, sizeof why), 0, "%s",
			     rows[i].says);
		cr_expect_not_null(strstr(why, rows[i].says), "%s", why);
		cr_expect_null(strchr(why, '\n'), "one line");
	}
}

Test(gate_probe, finds_what_is_there)
{
	static const struct gate_need there[] = {
		{GATE_NEED_CGROUP2, 0, 0, 0, "cgroup v2"},
		{GATE_NEED_MAP, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, 0, "ARRAY"},
		{GATE_NEED_HELPER, BPF_FUNC_ktime_get_ns, BPF_CGROUP_INET4_CONNECT,
		 BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "bpf_ktime_get_ns"},
	};
	char why[256] = "x";

	if (!works())
		return;
	cr_expect_eq(gate_probe_needs(there, 3, why, sizeof why), 0, "%s", why);
	cr_expect_str_eq(why, "");
}

static volatile sig_atomic_t signals;

static void signal_count(int number)
{
	(void)number;
	signals = signals + 1;
}

static void signal_each_us(long us)
{
	struct itimerval timer = {{0, us}, {0, us}};

	cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* The verifier gives up when a signal is pending. */
Test(gate_probe, asks_again_when_a_signal_came)
{
	static const struct gate_need there = {GATE_NEED_PROGRAM, BPF_PROG_TYPE_SOCK_OPS,
					       BPF_CGROUP_SOCK_OPS, 0, "SOCK_OPS"};
	int failed = 0;

	if (!works())
		return;
	cr_assert_neq(signal(SIGALRM, signal_count), SIG_ERR);
	signal_each_us(250);
	for (int i = 0; i < 2000; i++) {
		char why[256] = "";

		failed += gate_probe_needs(&there, 1, why, sizeof why) != 0;
	}
	signal_each_us(0);
	cr_expect_eq(failed, 0, "%d of 2,000 probes failed", failed);
	cr_expect_gt(signals, 0);
}

static void capabilities_clear(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	cr_assert_eq(syscall(SYS_capset, &header, data), 0);
}

Test(gate_probe, names_the_capability_that_is_missing)
{
	struct gate_cgroup cgroup = {"/sys/fs/cgroup/none", GATE_PACE};
	uint16_t port = 25;
	struct gate_options options = {
		.cgroups = &cgroup, .cgroup_count = 1, .ports = &port, .port_count = 1};
	struct gate *gate = NULL;
	char why[256] = "";

	if (!works())
		return;
	capabilities_clear();
	cr_expect_eq(gate_probe(why, sizeof why), -EPERM);
	cr_expect_str_eq(why, "missing: capability CAP_BPF (Operation not permitted)");
	cr_expect_lt(gate_open(&options, &gate, why, sizeof why), 0);
	cr_expect_null(gate, "untouched on failure");
}

Test(gate_probe, says_what_is_wrong_with_the_options)
{
	struct gate_cgroup two[] = {{"/sys/fs/cgroup/a", GATE_PACE},
				    {"/sys/fs/cgroup/a/b", GATE_PACE}};
	struct gate_cgroup strange = {"/sys/fs/cgroup/a", GATE_INHERIT};
	struct gate_cgroup elsewhere = {"/proc/self", GATE_PACE};
	uint16_t port = 25;
	struct gate_options options[] = {
		{.cgroups = two, .cgroup_count = 0, .ports = &port, .port_count = 1},
		{.cgroups = two, .cgroup_count = 2, .ports = &port, .port_count = 1},
		{.cgroups = two, .cgroup_count = 1, .ports = &port, .port_count = 0},
		{.cgroups = &strange, .cgroup_count = 1, .ports = &port, .port_count = 1},
		{.cgroups = two,
		 .cgroup_count = 1,
		 .ports = &port,
		 .port_count = 1,
		 .refuse_errno = EINPROGRESS},
		{.cgroups = &elsewhere, .cgroup_count = 1, .ports = &port, .port_count = 1},
	};

	if (!works())
		return;
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		struct gate *gate = NULL;
		char why[256] = "";

		cr_expect_lt(gate_open(&options[i], &gate, why, sizeof why), 0, "row %zu", i);
		cr_expect(why[0] != '\0', "row %zu says why", i);
		cr_expect_null(gate);
	}
}
