/* SPDX-License-Identifier: MIT
 *
 * The table of what the gate needs, open for tests: that a missing thing is noticed is shown with
 * things that no kernel has.
 */
#ifndef TG_GATE_PROBE_H
#define TG_GATE_PROBE_H

#include <stddef.h>
#include <stdint.h>

enum gate_need_kind {
	GATE_NEED_CAPABILITY,
	GATE_NEED_CGROUP2,
	GATE_NEED_BTF,
	GATE_NEED_PROGRAM,
	GATE_NEED_MAP,
	GATE_NEED_HELPER,
};

struct gate_need {
	enum gate_need_kind kind;
	uint32_t number; /* as linux/bpf.h counts it; BTF: 0 */
	uint32_t attach; /* program, helper: the attach type; map: flags */
	uint32_t of;	 /* helper: the program type */
	const char *name;
};

/* Tries each; why names the first that is missing ("" if none). 0 or its -errno. Loads nothing that
 * stays. */
int gate_probe_needs(const struct gate_need *needs, size_t count, char *why, size_t size);

#endif
