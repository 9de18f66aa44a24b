/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the test programs and those who run them share: the packets that go in and come out.
 */
#ifndef TG_GATE_TEST_H
#define TG_GATE_TEST_H

#include "ebpf/gate_abi.h"

struct gate_test_vector {
	__u64 tat, now_ns, rate, span_ns; /* in */
	__u32 n;
	__u32 burst; /* out, as all that follows */
	__u64 interval_ns, earliest_ns, charged, clamped;
};

struct gate_test_decision {
	struct gate_request request;
	__u32 answer; /* enum gate_answer */
	__u32 reserved;
};

#endif
