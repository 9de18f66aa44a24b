/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The gate's own functions behind programs that can be run by hand (BPF_PROG_TEST_RUN knows neither
 * sock_addr nor sock_ops): for the test that kernel and user space compute alike, and for the
 * bench.
 */
#include "ebpf/gate_test.h"
#include "ebpf/gate.bpf.c"

static __always_inline struct gate_test_vector *vector_of(struct __sk_buff *skb)
{
	struct gate_test_vector *vector = (void *)(long)skb->data;

	return (void *)(vector + 1) > (void *)(long)skb->data_end ? 0 : vector;
}

/* gcra.h over the packet. */
SEC("tc")
int trial_gcra(struct __sk_buff *skb)
{
	struct gate_test_vector *v = vector_of(skb);
	__u32 burst;

	if (!v)
		return 1;
	v->interval_ns = gcra_interval(v->rate);
	burst = gcra_burst(v->rate);
	v->burst = burst;
	v->earliest_ns = gcra_earliest(v->tat, v->interval_ns, burst, v->n);
	v->charged = gcra_charge(v->tat, v->now_ns, v->interval_ns, v->n);
	v->clamped = gcra_clamp(v->tat, v->now_ns, v->span_ns);
	return 0;
}

/* A whole decision over the packet, at the time that stands in it. */
SEC("tc")
int trial_decide(struct __sk_buff *skb)
{
	struct gate_test_decision *decision = (void *)(long)skb->data;
	struct gate_request request;

	if ((void *)(decision + 1) > (void *)(long)skb->data_end)
		return -1;
	request = decision->request;
	decision->answer = gate_decide(&request, 0);
	decision = (void *)(long)skb->data;
	if ((void *)(decision + 1) > (void *)(long)skb->data_end)
		return -1;
	decision->request = request;
	return 0;
}

SEC("tc")
int trial_empty(struct __sk_buff *skb)
{
	return 0;
}

/* One flow, whose slot is known: clock, limits and rate. */
SEC("tc")
int trial_one_flow(struct __sk_buff *skb)
{
	struct gate_limits limits = {};
	struct gate_request request = {};
	__u32 slot = 0;
	struct gate_flow *flow = bpf_map_lookup_elem(&flows, &slot);

	if (!flow)
		return -1;
	request.now_ns = bpf_ktime_get_ns();
	limits_load(&limits, flow, 0);
	return gate_reserve(&request, &limits);
}

/* All that a connect() asks: a random source of four, its destination by longest prefix, its flow
 * by hash. */
SEC("tc")
int trial_random(struct __sk_buff *skb)
{
	__u32 random = bpf_get_prandom_u32();
	__u32 remote[4] = {0, 0, MAPPED, bpf_htonl(0x0a000000 | (random & 0xfffff))};
	struct gate_request request = {};

	request.now_ns = bpf_ktime_get_ns();
	request.key.source[2] = MAPPED;
	request.key.source[3] = bpf_htonl(0xc6330000 | random >> 30);
	key_destination(&request.key, remote);
	return gate_decide(&request, 0);
}

/* One flow, all that a connect() asks. */
SEC("tc")
int trial_whole(struct __sk_buff *skb)
{
	__u32 remote[4] = {0, 0, MAPPED, bpf_htonl(0x0a000001)};
	struct gate_request request = {};

	request.now_ns = bpf_ktime_get_ns();
	request.key.source[2] = MAPPED;
	request.key.source[3] = bpf_htonl(0xc6330001);
	key_destination(&request.key, remote);
	return gate_decide(&request, 0);
}
