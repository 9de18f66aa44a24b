/* SPDX-License-Identifier: MIT
 *
 * What the gate needs and this machine has not, found by trying, not by version numbers:
 * distributions move features between versions, and containers forbid what the kernel has.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ebpf/gate.h"
#include "ebpf/gate_probe.h"

/* The verifier gives up with EAGAIN when a signal comes, and the end of an io_uring that this process
 * has just closed counts as one. That says nothing about the kernel, so it is asked again. */
enum { ATTEMPTS = 32 };

static int bpf(int command, union bpf_attr *attr, size_t size)
{
	long fd;

	for (int i = 0; i < ATTEMPTS; i++) {
		fd = syscall(SYS_bpf, command, attr, size);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return (int)fd;
}

static int closed(int fd)
{
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_code(const struct bpf_insn *code, uint32_t length, uint32_t type, uint32_t attach,
		    char *log, size_t size)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (uint64_t)(uintptr_t)code;
	attr.insn_cnt = length;
	attr.license = (uint64_t)(uintptr_t) "GPL";
	if (log) {
		log[0] = '\0';
		attr.log_buf = (uint64_t)(uintptr_t)log;
		attr.log_size = (uint32_t)size;
		attr.log_level = 1;
	}
	return closed(bpf(BPF_PROG_LOAD, &attr, sizeof attr));
}

static int try_program(const struct gate_need *need)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return try_code(pass, 2, need->number, need->attach, NULL, 0);
}

/* A call without arguments: the verifier dislikes those, but names an unknown helper first. */
static int try_helper(const struct gate_need *need)
{
	const struct bpf_insn call[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = (int32_t)need->number},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	static const char *const unknown[] = {"invalid func", "unknown func", "cannot use helper"};
	char log[4096];
	int error = try_code(call, 3, need->of, need->attach, log, sizeof log);

	for (size_t i = 0; error && i < sizeof unknown / sizeof *unknown; i++)
		if (strstr(log, unknown[i]))
			return -EOPNOTSUPP;
	return error == -EPERM ? error : 0;
}

/* A description of one integer: type 1, int, 32 bits. */
static int btf_load(void)
{
	static const struct {
		uint16_t magic;
		uint8_t version, flags;
		uint32_t header, type_off, type_len, str_off, str_len;
		uint32_t name, info, size, encoding;
		char strings[8];
	} blob = {0xeb9f, 1, 0, 24, 0, 16, 16, 5, 1, 1u << 24, 4, 1u << 24 | 32, "\0int"};
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.btf = (uint64_t)(uintptr_t)&blob;
	attr.btf_size = 24 + 16 + 5;
	return bpf(BPF_BTF_LOAD, &attr, sizeof attr);
}

static int try_map(const struct gate_need *need)
{
	union bpf_attr attr;
	int btf = -1, error;

	memset(&attr, 0, sizeof attr);
	attr.map_type = need->number;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 1;
	attr.map_flags = need->attach;
	if (need->number == BPF_MAP_TYPE_RINGBUF) {
		attr.key_size = attr.value_size = 0;
		attr.max_entries = (uint32_t)sysconf(_SC_PAGESIZE);
	} else if (need->number == BPF_MAP_TYPE_LPM_TRIE) {
		attr.key_size = 8;
	} else if (need->number == BPF_MAP_TYPE_SK_STORAGE) {
		btf = btf_load();
		attr.max_entries = 0;
		attr.btf_fd = (uint32_t)btf;
		attr.btf_key_type_id = attr.btf_value_type_id = 1;
	}
	error = closed(bpf(BPF_MAP_CREATE, &attr, sizeof attr));
	if (btf >= 0)
		close(btf);
	return error;
}

static int try_capability(const struct gate_need *need)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	const uint32_t admin = CAP_SYS_ADMIN;

	if (syscall(SYS_capget, &header, data))
		return -errno;
	/* What these may, CAP_SYS_ADMIN may too. */
	if ((need->number == CAP_BPF || need->number == CAP_PERFMON) &&
	    data[admin / 32].effective >> admin % 32 & 1)
		return 0;
	return need->number < 64 && data[need->number / 32].effective >> need->number % 32 & 1
		       ? 0
		       : -EPERM;
}

static int try_cgroup2(void)
{
	FILE *file = fopen("/proc/self/mounts", "re");
	char line[4096];
	int found = 0;

	while (file && !found && fgets(line, sizeof line, file))
		found = strstr(line, " cgroup2 ") != NULL;
	if (file)
		fclose(file);
	return found ? 0 : -ENOENT;
}

static int need_try(const struct gate_need *need)
{
	switch (need->kind) {
	case GATE_NEED_CAPABILITY: return try_capability(need);
	case GATE_NEED_CGROUP2: return try_cgroup2();
	case GATE_NEED_BTF: return need->number ? -EINVAL : closed(btf_load());
	case GATE_NEED_PROGRAM: return try_program(need);
	case GATE_NEED_MAP: return try_map(need);
	case GATE_NEED_HELPER: return try_helper(need);
	}
	return -EINVAL;
}

int gate_probe_needs(const struct gate_need *needs, size_t count, char *why, size_t size)
{
	static const char *const kinds[] = {
		[GATE_NEED_CAPABILITY] = "capability",	[GATE_NEED_CGROUP2] = "a mount of",
		[GATE_NEED_BTF] = "kernel support for", [GATE_NEED_PROGRAM] = "program type",
		[GATE_NEED_MAP] = "map type",		[GATE_NEED_HELPER] = "helper",
	};

	for (size_t i = 0; i < count; i++) {
		int error = need_try(&needs[i]);

		if (!error)
			continue;
		snprintf(why, size, "missing: %s %s (%s)", kinds[needs[i].kind], needs[i].name,
			 strerror(-error));
		return error;
	}
	if (size)
		why[0] = '\0';
	return 0;
}

#define PROGRAM(type, attach)                                                               \
	{                                                                                   \
		GATE_NEED_PROGRAM, BPF_PROG_TYPE_##type, BPF_##attach, 0, #type "/" #attach \
	}
#define MAP(type, flags)                                            \
	{                                                           \
		GATE_NEED_MAP, BPF_MAP_TYPE_##type, flags, 0, #type \
	}
#define HELPER(name, type, attach)                                                     \
	{                                                                              \
		GATE_NEED_HELPER, BPF_FUNC_##name, BPF_##attach, BPF_PROG_TYPE_##type, \
			"bpf_" #name " in " #type                                      \
	}

static const struct gate_need needs[] = {
	{GATE_NEED_CGROUP2, 0, 0, 0, "cgroup v2"},
	{GATE_NEED_CAPABILITY, CAP_BPF, 0, 0, "CAP_BPF"},
	/* Without it the verifiers of 6.1 and 6.12 refuse pairs of pointers that the compiler keeps
	 * on the stack. */
	{GATE_NEED_CAPABILITY, CAP_PERFMON, 0, 0, "CAP_PERFMON"},
	{GATE_NEED_CAPABILITY, CAP_NET_ADMIN, 0, 0, "CAP_NET_ADMIN"},
	{GATE_NEED_BTF, 0, 0, 0, "BTF"},
	MAP(ARRAY, BPF_F_MMAPABLE),
	MAP(LPM_TRIE, BPF_F_NO_PREALLOC),
	MAP(SK_STORAGE, BPF_F_NO_PREALLOC),
	MAP(RINGBUF, 0),
	PROGRAM(CGROUP_SOCK_ADDR, CGROUP_INET4_CONNECT),
	PROGRAM(CGROUP_SOCK_ADDR, CGROUP_INET6_CONNECT),
	PROGRAM(SOCK_OPS, CGROUP_SOCK_OPS),
	PROGRAM(CGROUP_SKB, CGROUP_INET_EGRESS),
	PROGRAM(CGROUP_SOCK, CGROUP_INET_SOCK_RELEASE),
	PROGRAM(CGROUP_SOCKOPT, CGROUP_SETSOCKOPT),
	PROGRAM(SCHED_CLS, CGROUP_INET_INGRESS),
	HELPER(ktime_get_ns, CGROUP_SOCK_ADDR, CGROUP_INET4_CONNECT),
	HELPER(sk_storage_get, CGROUP_SOCK_ADDR, CGROUP_INET4_CONNECT),
	HELPER(ringbuf_reserve, CGROUP_SOCK_ADDR, CGROUP_INET4_CONNECT),
	HELPER(ringbuf_query, CGROUP_SOCK_ADDR, CGROUP_INET4_CONNECT),
	HELPER(sk_storage_get, SOCK_OPS, CGROUP_SOCK_OPS),
	HELPER(sock_ops_cb_flags_set, SOCK_OPS, CGROUP_SOCK_OPS),
	HELPER(setsockopt, SOCK_OPS, CGROUP_SOCK_OPS),
	HELPER(sk_storage_get, CGROUP_SKB, CGROUP_INET_EGRESS),
	HELPER(sk_fullsock, CGROUP_SKB, CGROUP_INET_EGRESS),
	HELPER(sk_storage_get, CGROUP_SOCK, CGROUP_INET_SOCK_RELEASE),
	HELPER(sk_storage_get, CGROUP_SOCKOPT, CGROUP_SETSOCKOPT),
	HELPER(jiffies64, SCHED_CLS, CGROUP_INET_INGRESS),
};

int gate_probe(char *why, size_t size)
{
	return gate_probe_needs(needs, sizeof needs / sizeof *needs, why, size);
}
