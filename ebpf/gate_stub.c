/* SPDX-License-Identifier: MIT
 *
 * The gate where the program was built without BPF: probing says so, opening fails, nothing else is
 * ever reached with a gate that exists.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ebpf/gate.h"
#include "ebpf/gate_probe.h"

static int without(char *why, size_t size)
{
	snprintf(why, size, "missing: built without BPF (clang and bpftool at build time)");
	return -EOPNOTSUPP;
}

int gate_probe(char *why, size_t size)
{
	return without(why, size);
}

int gate_probe_needs(const struct gate_need *needs, size_t count, char *why, size_t size)
{
	return without(why, size);
}

int gate_errno_allowed(int error)
{
	return error == EPERM;
}

int gate_open(const struct gate_options *options, struct gate **ret, char *why, size_t size)
{
	return without(why, size);
}

void gate_close(struct gate *gate, int unpin)
{
}

int gate_capabilities_drop(const struct gate *gate)
{
	return -EOPNOTSUPP;
}

int gate_capabilities_trim(void)
{
	return -EOPNOTSUPP;
}

int gate_count_of(const struct gate *gate, uint32_t slot, struct gate_count *ret)
{
	return -ENOENT;
}

int gate_fds(const struct gate *gate, int fds[2])
{
	return 0;
}

int gate_consume(struct gate *gate)
{
	return 0;
}

void gate_tick(struct gate *gate, uint64_t now_ns)
{
}

int gate_flow_set(struct gate *gate, const uint8_t source[16], uint32_t destination,
		  const struct gate_limits *limits, uint64_t now_ns)
{
	return -EOPNOTSUPP;
}

int gate_flow_set_key(struct gate *gate, const struct gate_key *key,
		      const struct gate_limits *limits, uint64_t now_ns)
{
	return -EOPNOTSUPP;
}

int gate_destination_set(struct gate *gate, uint32_t destination, const struct gate_limits *limits,
			 uint64_t now_ns)
{
	return -EOPNOTSUPP;
}

int gate_pins_remove(const char *pin, uint64_t now_ns)
{
	return 0;
}

int gate_cgroup_mode(struct gate *gate, size_t cgroup, uint32_t mode)
{
	return -EOPNOTSUPP;
}

int gate_destination_add(struct gate *gate, const uint8_t address[16], uint32_t bits,
			 uint32_t destination)
{
	return -EOPNOTSUPP;
}

int gate_destination_remove(struct gate *gate, const uint8_t address[16], uint32_t bits)
{
	return -EOPNOTSUPP;
}

void gate_counts(const struct gate *gate, void (*each)(void *arg, const struct gate_count *count),
		 void *arg)
{
}

void gate_status(const struct gate *gate, struct gate_status *ret)
{
	memset(ret, 0, sizeof *ret);
}

uint64_t gate_unseen(const struct gate *gate)
{
	return 0;
}
