/* SPDX-License-Identifier: MIT
 *
 * From a flow's limits in messages to the gate's in connections. Pure.
 *
 * The kernel sees connections and no messages. What limits connections holds as it is; from a limit
 * of messages follows one of connections: its interval is the messages a connection carries, as
 * measured, times the message interval. A flow that sends through both worlds has one limit: each
 * world gets a share of it by what it asked for lately.
 */
#ifndef SIDECAR_GATE_LIMITS_H
#define SIDECAR_GATE_LIMITS_H

#include "ebpf/gate_abi.h"
#include "sidecar/config/config.h"
#include "sidecar/segment/publish.h"

#define EBPF_MILLI 1000 /* shares and messages a connection are in thousandths */

/* What the section's rules say of one destination; 0: nothing. */
struct ebpf_rule {
	uint64_t second, minute, hour; /* connections */
	uint32_t connections;	       /* at once */
	uint32_t modes;		       /* gate_modes */
};

struct ebpf_use {
	uint32_t messages_milli; /* a connection, as measured; at least EBPF_MILLI */
	uint32_t share_milli; /* the kernel's part of the limits: EBPF_MILLI where only it sends */
	uint32_t worker_open; /* connections that workers have open now */
	bool probing;	      /* the controller waits for what a single message comes to */
};

/* What the rules say of a destination (its name as the matcher gives it); several: the strictest
 * numbers, the last mode. */
void gate_limits_rule(const struct config_ebpf *config, const char *destination,
		      struct ebpf_rule *ret);

/* Never more than `count` in any half-open window of period_ns: a rate with a tenth of it at once.
 * 0: no limit. */
uint64_t gate_limits_strict_rate(uint64_t count, uint64_t period_ns);

/* The gate's limits of a flow at now_ns. generation is left 0. */
void gate_limits_of(const struct publish_limits *limits, const struct ebpf_rule *rule,
		    const struct ebpf_use *use, uint64_t now_ns, struct gate_limits *ret);

/* The kernel's share by demand in messages: all of it where the other asked for nothing, and at
 * least a tenth for each that asked, so that neither has to stand still to be noticed. */
uint32_t gate_limits_share(uint64_t kernel_messages, uint64_t worker_messages);

#endif
