/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The gate in the kernel: outbound SMTP connections of the processes in a cgroup are counted, held
 * until their slot, or refused, without a change to the MTA.
 *
 *   connect4/6    deny, pace: the source is known if the socket is bound: decides, refuses with an
 *                 errno
 *   sock_ops      decides for all others, when the kernel has chosen the source; answers the SYN's
 *                 timer with the wait; follows the connection until it is closed
 *   egress        pace: drops SYNs before their slot; TCP's timer sends them again
 *   ingress       where it is asked for: tells what receivers answer in plain text
 *   sock_release  gives back the place of a socket whose connect() never got as far as a SYN
 *   setsockopt    a worker that was admitted in the segment marks its socket
 *
 * The loader loads the programs once per cgroup, with gate_cgroup set, over the same maps.
 * It loads with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. Other ports leave each hook at once.
 * Nothing here may refuse a connection because a map is full or memory is short.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "ebpf/gate_abi.h"
#include "shm/gcra.h"

#include "ebpf/decide.bpf.h"

#define AF_INET	 2
#define AF_INET6 10
#define MAPPED	 bpf_htonl(0xffff)
#define SYNCNT	 7  /* TCP_SYNCNT */
#define SOCKETS	 1  /* SOL_SOCKET */
#define IFINDEX	 62 /* SO_BINDTOIFINDEX */
#define PAGE	 4096

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 gate_cgroup = 0;
const volatile __u32 gate_has_set_retval = 0;

/* One bit a port, in host order. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536 / 64);
	__type(key, __u32);
	__type(value, __u64);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct gate_socket);
} sockets SEC(".maps");

static __always_inline int port_gated(__u32 port)
{
	__u32 word = (port & 0xffff) >> 6;
	__u64 *bits = bpf_map_lookup_elem(&ports, &word);

	return bits && *bits >> (port & 63) & 1;
}

/* The destination that an address belongs to: its id, else the address itself. */
static __always_inline void key_destination(struct gate_key *key, const __u32 address[4])
{
	__u32 *id;

	if (address[0] == 0 && address[1] == 0 && address[2] == MAPPED) {
		struct gate_prefix4 prefix = {.bits = 32, .address = address[3]};

		id = bpf_map_lookup_elem(&prefixes4, &prefix);
	} else {
		struct gate_prefix6 prefix = {.bits = 128};

		__builtin_memcpy(prefix.address, address, sizeof prefix.address);
		id = bpf_map_lookup_elem(&prefixes6, &prefix);
	}
	if (id && *id)
		key->destination_id = *id;
	else
		__builtin_memcpy(key->destination, address, sizeof key->destination);
}

/* ---- the record of a socket ------------------------------------------------------------------ */

static __always_inline struct gate_flow *socket_flow(const struct gate_socket *socket)
{
	struct gate_control *ctl = control_of();
	__u32 slot = socket->slot;
	struct gate_flow *flow = bpf_map_lookup_elem(&flows, &slot);

	/* A slot of another flow, or a socket from before the program was attached anew. */
	if (!ctl || !flow || ctl->epoch != socket->epoch || flow->tag != socket->tag)
		return 0;
	return flow;
}

static __always_inline void socket_leave(struct gate_socket *socket)
{
	struct gate_flow *flow;

	if (socket->phase != GATE_PHASE_PASS && socket->phase != GATE_PHASE_OPEN)
		return;
	flow = socket_flow(socket);
	if (!flow)
		return;
	if (socket->flags & GATE_SOCKET_CREDIT)
		__sync_fetch_and_add(&flow->preadmitted_open, -1);
	else
		__sync_fetch_and_add(&flow->open, -1);
}

static __always_inline void socket_reset(struct gate_socket *socket)
{
	socket_leave(socket);
	socket->phase = GATE_PHASE_NEW;
	socket->flags = 0;
	socket->dropped = 0;
	socket->late_us = 0;
	socket->heard = 0;
	socket->refused = 0;
	socket->established_ns = 0;
}

/* Keeps what was decided with the socket. */
static __always_inline void socket_keep(struct gate_socket *socket,
					const struct gate_request *request, __u32 phase,
					const __u32 remote[4])
{
	struct gate_control *ctl = control_of();

	socket->phase = phase;
	socket->slot = request->slot;
	socket->tag = request->tag;
	socket->epoch = ctl ? ctl->epoch : 0;
	socket->began_ns = request->now_ns;
	socket->at_ns = request->at_ns;
	__builtin_memcpy(socket->remote, remote, sizeof socket->remote);
}

/* The worker knows whose address this is. */
static __always_inline void socket_tell(const struct gate_socket *socket,
					const struct gate_request *request, const __u32 remote[4])
{
	struct gate_event *event = event_begin();

	if (!event)
		return;
	event->kind = GATE_EVENT_PAID;
	event->slot = request->slot;
	event->tag = request->tag;
	event->at_ns = request->now_ns;
	event->destination[0] = socket->destination[0];
	event->destination[1] = socket->destination[1];
	__builtin_memcpy(event->remote, remote, sizeof event->remote);
	event_end(event);
}

/* A socket that was pre-admitted by a worker: counted, not charged. */
static __always_inline void socket_credit(struct gate_socket *socket, struct gate_request *request,
					  const __u32 remote[4])
{
	struct gate_flow *flow;
	__u32 slot = flow_slot(request);

	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow) {
		total_add(GATE_TOTAL_FULL);
		socket->phase = GATE_PHASE_NEW;
		return;
	}
	request->slot = slot;
	request->at_ns = request->now_ns;
	flow->seen_ns = request->now_ns;
	flow_count(flow, GATE_PREADMITTED, 1);
	__sync_fetch_and_add(&flow->preadmitted_open, 1);
	if (!request->key.destination_id && socket->destination[0])
		socket_tell(socket, request, remote);
	socket_keep(socket, request, GATE_PHASE_PASS, remote);
	socket->flags = GATE_SOCKET_CREDIT;
}

static __always_inline __u32 phase_of(int answer)
{
	if (answer == GATE_ANSWER_PASS)
		return GATE_PHASE_PASS;
	return answer == GATE_ANSWER_WAIT ? GATE_PHASE_WAIT : GATE_PHASE_IGNORED;
}

/* ---- connect() ------------------------------------------------------------------------------- */

static __always_inline int connect_refuse(void)
{
	struct gate_control *ctl = control_of();

	if (gate_has_set_retval && ctl && ctl->refuse_errno)
		bpf_set_retval(-(int)ctl->refuse_errno);
	return 0;
}

/* Gives back what a decision took that nobody can keep. */
static __always_inline void decision_drop(const struct gate_request *request)
{
	__u32 slot = request->slot;
	struct gate_flow *flow = bpf_map_lookup_elem(&flows, &slot);

	if (flow)
		__sync_fetch_and_add(&flow->open, -1);
	total_add(GATE_TOTAL_NO_STORAGE);
}

static __always_inline int connect_bound(struct bpf_sock *sk, struct gate_socket *socket,
					 struct gate_request *request, const __u32 remote[4])
{
	int answer = gate_decide(request, gate_cgroup);

	if (answer == GATE_ANSWER_REFUSE)
		return connect_refuse();
	if (!socket)
		socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		if (answer == GATE_ANSWER_PASS)
			decision_drop(request);
		return 1;
	}
	socket_keep(socket, request, phase_of(answer), remote);
	return 1;
}

static __always_inline int connect_any(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				       const __u32 source[4], const __u32 remote[4], int bound)
{
	struct gate_socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct gate_request request = {};

	request.now_ns = bpf_ktime_get_ns();
	if (socket && socket->phase != GATE_PHASE_PAID)
		socket_reset(socket);
	if (!bound) {
		struct gate_control *ctl = control_of();

		/* sock_ops decides, when the kernel has chosen a source; it cannot refuse at once.
		 */
		if (ctl && ctl->stale_policy == GATE_STALE_CLOSED &&
		    control_stale(ctl, request.now_ns)) {
			total_add(GATE_TOTAL_STALE);
			return connect_refuse();
		}
		return 1;
	}
	__builtin_memcpy(request.key.source, source, sizeof request.key.source);
	key_destination(&request.key, remote);
	if (socket && socket->phase == GATE_PHASE_PAID) {
		socket_credit(socket, &request, remote);
		return 1;
	}
	return connect_bound(sk, socket, &request, remote);
}

SEC("cgroup/connect4")
int gate_connect4(struct bpf_sock_addr *ctx)
{
	__u32 source[4] = {0, 0, MAPPED, 0}, remote[4] = {0, 0, MAPPED, 0};
	struct bpf_sock *sk;

	if (!port_gated(bpf_ntohs(ctx->user_port)))
		return 1;
	sk = ctx->sk;
	if (!sk || ctx->protocol != IPPROTO_TCP)
		return 1;
	source[3] = sk->src_ip4;
	remote[3] = ctx->user_ip4;
	return connect_any(ctx, sk, source, remote, source[3] != 0);
}

SEC("cgroup/connect6")
int gate_connect6(struct bpf_sock_addr *ctx)
{
	__u32 source[4], remote[4];
	struct bpf_sock *sk;

	if (!port_gated(bpf_ntohs(ctx->user_port)))
		return 1;
	sk = ctx->sk;
	if (!sk || ctx->protocol != IPPROTO_TCP)
		return 1;
	source[0] = sk->src_ip6[0];
	source[1] = sk->src_ip6[1];
	source[2] = sk->src_ip6[2];
	source[3] = sk->src_ip6[3];
	remote[0] = ctx->user_ip6[0];
	remote[1] = ctx->user_ip6[1];
	remote[2] = ctx->user_ip6[2];
	remote[3] = ctx->user_ip6[3];
	return connect_any(ctx, sk, source, remote,
			   source[3] != 0 || source[0] != 0 || source[1] != 0);
}

/* ---- the life of a connection ---------------------------------------------------------------- */

/* Reads a word of the context where it stands: the verifier refuses one at an address chosen by
 * path. */
#define CTX(field)                                                                             \
	({                                                                                     \
		__u64 word;                                                                    \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                          \
			     : "=r"(word)                                                      \
			     : "r"(ctx), "i"(__builtin_offsetof(struct bpf_sock_ops, field))); \
		(__u32) word;                                                                  \
	})

static __always_inline void ops_addresses(struct bpf_sock_ops *ctx, struct gate_request *request,
					  __u32 remote[4])
{
	/* A mapped connection of an IPv6 socket has its source in the IPv4 field alone by now. */
	if (ctx->family == AF_INET ||
	    (CTX(remote_ip6[0]) == 0 && CTX(remote_ip6[1]) == 0 && CTX(remote_ip6[2]) == MAPPED)) {
		request->key.source[2] = MAPPED;
		request->key.source[3] = CTX(local_ip4);
		remote[2] = MAPPED;
		remote[3] = CTX(remote_ip4);
	} else {
		request->key.source[0] = CTX(local_ip6[0]);
		request->key.source[1] = CTX(local_ip6[1]);
		request->key.source[2] = CTX(local_ip6[2]);
		request->key.source[3] = CTX(local_ip6[3]);
		remote[0] = CTX(remote_ip6[0]);
		remote[1] = CTX(remote_ip6[1]);
		remote[2] = CTX(remote_ip6[2]);
		remote[3] = CTX(remote_ip6[3]);
	}
	key_destination(&request->key, remote);
}

/* Refuses what is about to send its SYN. Bound to an interface that does not exist it finds no
 * route, and connect() fails with EHOSTUNREACH at once. (The socket stays bound to it: another
 * connect() on the same one fails as well; MTAs make a new one.) Where the kernel does not let
 * programs bind, egress drops the SYN, and one more a jiffy later: ETIMEDOUT. */
static __always_inline void ops_refuse(struct bpf_sock_ops *ctx)
{
	int nowhere = 0x7fffffff, once = 1;

	if (!bpf_setsockopt(ctx, SOCKETS, IFINDEX, &nowhere, sizeof nowhere))
		return;
	total_add(GATE_TOTAL_NO_BIND);
	bpf_setsockopt(ctx, IPPROTO_TCP, SYNCNT, &once, sizeof once);
}

static __always_inline void ops_decide(struct bpf_sock_ops *ctx, struct gate_socket *socket)
{
	struct gate_request request = {};
	__u32 remote[4] = {};
	int answer;

	request.now_ns = bpf_ktime_get_ns();
	ops_addresses(ctx, &request, remote);
	total_add(GATE_TOTAL_LATE);
	if (socket->phase == GATE_PHASE_PAID) {
		socket_credit(socket, &request, remote);
		return;
	}
	answer = gate_decide(&request, gate_cgroup);
	if (answer == GATE_ANSWER_REFUSE) {
		ops_refuse(ctx);
		socket_keep(socket, &request, GATE_PHASE_REFUSED, remote);
		return;
	}
	socket_keep(socket, &request, phase_of(answer), remote);
}

static __always_inline void ops_connect(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct gate_socket *socket =
		bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!socket) {
		total_add(GATE_TOTAL_NO_STORAGE);
		return;
	}
	if (socket->phase == GATE_PHASE_NEW || socket->phase == GATE_PHASE_PAID)
		ops_decide(ctx, socket);
	if (socket->phase != GATE_PHASE_PASS && socket->phase != GATE_PHASE_WAIT)
		return;
	socket->flags |= GATE_SOCKET_STARTED;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					       BPF_SOCK_OPS_RTO_CB_FLAG);
}

/* Answers TCP's question how long to wait for the SYN's answer before it is sent again. */
static __always_inline void ops_timeout(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct gate_socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct gate_control *ctl = control_of();
	__u64 now = bpf_ktime_get_ns(), wait = 0;

	if (!socket || !ctl)
		return;
	if (socket->phase == GATE_PHASE_REFUSED) {
		ctx->reply = 1;
		return;
	}
	if (socket->phase == GATE_PHASE_PASS && socket->at_ns > now)
		wait = socket->at_ns - now;
	else if (socket->phase == GATE_PHASE_WAIT)
		wait = GATE_PLACE_WAIT_NS;
	/* The kernel's timers know 4,096 ticks by 64, more by 512 alone: a longer wait is two
	 * shorter ones, of which the first ends in a SYN that is dropped. */
	if (wait * ctl->hz > 4000 * 1000000000ull)
		wait /= ctl->syn_linear ? 2 : 3;
	/* Rounded up, and one more for the tick that has begun: an early SYN would be dropped, and
	 * wait as long again. */
	if (wait)
		ctx->reply = (__u32)((wait * ctl->hz + 999999999) / 1000000000) + 1;
}

static __always_inline void ops_established(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct gate_socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct gate_event *event;
	struct gate_flow *flow;
	__u64 now = bpf_ktime_get_ns();

	if (!socket || socket->phase != GATE_PHASE_PASS)
		return;
	socket->phase = GATE_PHASE_OPEN;
	socket->established_ns = now;
	flow = socket_flow(socket);
	if (!flow)
		return;
	flow_count(flow, GATE_ESTABLISHED, 1);
	if (now > socket->at_ns)
		flow_count(flow, GATE_CONNECT_NS, now - socket->at_ns);
	event = event_begin();
	if (!event)
		return;
	event->kind = GATE_EVENT_OPENED;
	event->slot = socket->slot;
	event->tag = socket->tag;
	event->at_ns = now;
	event->due_ns = socket->at_ns;
	event->wait_ns = socket->at_ns > socket->began_ns ? socket->at_ns - socket->began_ns : 0;
	__builtin_memcpy(event->remote, socket->remote, sizeof event->remote);
	event_end(event);
}

static __always_inline void flow_smooth_rtt(struct gate_flow *flow, __u32 srtt_us)
{
	__u64 was = flow->count[GATE_SRTT_US];

	/* Two at once lose one sample, which a smoothed figure can bear. */
	if (srtt_us)
		flow->count[GATE_SRTT_US] = was ? was - was / 8 + srtt_us / 8 : srtt_us;
}

static __always_inline void ops_failed(struct bpf_sock_ops *ctx, struct gate_socket *socket,
				       struct gate_flow *flow, struct gate_event *event)
{
	event->kind = GATE_EVENT_FAILED;
	event->duration_ns = event->at_ns > socket->at_ns ? event->at_ns - socket->at_ns : 0;
	if (socket->flags & GATE_SOCKET_TIMED_OUT) {
		event->reason = GATE_FAILED_TIMEOUT;
		flow_count(flow, GATE_FAILED_TIMEOUT, 1);
	} else if (ctx->segs_in) {
		event->reason = GATE_FAILED_RESET;
		flow_count(flow, GATE_FAILED_RESET, 1);
	} else {
		event->reason = GATE_FAILED_OTHER;
		flow_count(flow, GATE_FAILED_OTHER, 1);
	}
}

static __always_inline void ops_ended(struct bpf_sock_ops *ctx, struct gate_socket *socket,
				      struct gate_flow *flow, struct gate_event *event)
{
	__u32 retransmits = ctx->total_retrans;
	__u64 fins;

	retransmits -= retransmits < socket->dropped ? retransmits : socket->dropped;
	event->kind = GATE_EVENT_CLOSED;
	event->duration_ns = event->at_ns - socket->established_ns;
	/* SYN and FIN count as a byte each; a connection that ended in order had both ways' FIN. */
	fins = ctx->args[0] != BPF_TCP_ESTABLISHED && !(socket->flags & GATE_SOCKET_TIMED_OUT);
	event->bytes_sent = ctx->bytes_acked;
	event->bytes_sent -= event->bytes_sent < 1 + fins ? event->bytes_sent : 1 + fins;
	event->bytes_received = ctx->bytes_received;
	event->bytes_received -= event->bytes_received < fins ? event->bytes_received : fins;
	event->srtt_us = ctx->srtt_us >> 3;
	event->retransmits = retransmits;
	flow_count(flow, GATE_CLOSED, 1);
	flow_count(flow, GATE_DURATION_NS, event->duration_ns);
	flow_count(flow, GATE_BYTES_SENT, event->bytes_sent);
	flow_count(flow, GATE_BYTES_RECEIVED, event->bytes_received);
	flow_count(flow, GATE_RETRANSMITS, retransmits);
	flow_smooth_rtt(flow, event->srtt_us);
	if (ctx->args[0] == BPF_TCP_ESTABLISHED || (socket->flags & GATE_SOCKET_TIMED_OUT)) {
		event->reason = GATE_LOST;
		flow_count(flow, GATE_LOST, 1);
	}
}

/* Out of line, so that its event is not on the stack above a decision: all frames of a chain of
 * calls, each rounded up to 32 bytes by kernels before 6.9, have 512 bytes together. */
static __noinline void ops_closed(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct gate_socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct gate_event event = {}, *put;
	struct gate_flow *flow;

	if (!socket || !(socket->flags & GATE_SOCKET_STARTED))
		return;
	flow = socket_flow(socket);
	/* What was given up before it left has not failed: nobody was asked. */
	if (flow && socket->phase == GATE_PHASE_PASS && socket->dropped &&
	    !(socket->flags & GATE_SOCKET_LEFT)) {
		flow_count(flow, GATE_FAILED_OTHER, 1);
		flow = 0;
	}
	if (flow && socket->phase != GATE_PHASE_WAIT && socket->phase != GATE_PHASE_REFUSED) {
		event.slot = socket->slot;
		event.tag = socket->tag;
		event.at_ns = bpf_ktime_get_ns();
		event.due_ns = socket->at_ns;
		event.late_us = socket->late_us;
		event.wait_ns =
			socket->at_ns > socket->began_ns ? socket->at_ns - socket->began_ns : 0;
		__builtin_memcpy(event.remote, socket->remote, sizeof event.remote);
		if (socket->phase == GATE_PHASE_OPEN)
			ops_ended(ctx, socket, flow, &event);
		else
			ops_failed(ctx, socket, flow, &event);
		put = event_begin();
		if (put) {
			__builtin_memcpy(put, &event, sizeof event);
			event_end(put);
		}
	}
	socket_reset(socket);
}

static __always_inline void ops_retransmit(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct gate_socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);

	if (socket && ctx->args[2])
		socket->flags |= GATE_SOCKET_TIMED_OUT;
}

#define OPS                                                                       \
	(1u << BPF_SOCK_OPS_TCP_CONNECT_CB | 1u << BPF_SOCK_OPS_TIMEOUT_INIT |    \
	 1u << BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | 1u << BPF_SOCK_OPS_STATE_CB | \
	 1u << BPF_SOCK_OPS_RTO_CB)

SEC("sockops")
int gate_sock_ops(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;
	struct bpf_sock *sk;

	/* Most calls are none of these: they leave before anything is looked up. */
	if (op >= 32 || !(OPS >> op & 1) || !port_gated(bpf_ntohl(ctx->remote_port)))
		return 1;
	if (op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] != BPF_TCP_CLOSE)
		return 1;
	sk = ctx->sk;
	if (!sk)
		return 1;
	switch (op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB: ops_connect(ctx, sk); break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
		ctx->reply = -1;
		ops_timeout(ctx, sk);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB: ops_established(ctx, sk); break;
	case BPF_SOCK_OPS_STATE_CB: ops_closed(ctx, sk); break;
	case BPF_SOCK_OPS_RTO_CB: ops_retransmit(ctx, sk); break;
	}
	return 1;
}

/* ---- SYNs before their slot ------------------------------------------------------------------ */

/* A connection that waits for a place asks again each time that TCP's timer sends its SYN. */
static __always_inline void egress_ask(struct gate_socket *socket, __u64 now)
{
	struct gate_flow *flow = socket_flow(socket);
	struct gate_request request = {};
	int answer;

	if (!flow) {
		socket->phase = GATE_PHASE_NEW;
		return;
	}
	request.key = flow->key;
	request.now_ns = now;
	request.retry = 1;
	answer = gate_decide(&request, gate_cgroup);
	if (answer == GATE_ANSWER_PASS) {
		flow_count(flow, GATE_HELD_NS, now - socket->began_ns);
		socket->at_ns = request.at_ns;
		socket->phase = GATE_PHASE_PASS;
	} else if (answer == GATE_ANSWER_IGNORE) {
		socket->phase = GATE_PHASE_NEW;
	} else if (answer == GATE_ANSWER_REFUSE) {
		/* It is counted as refused by now, no longer as held. */
		flow_count(flow, GATE_HELD, -1);
		socket->phase = GATE_PHASE_REFUSED;
	}
}

/* A hold that began after a connection got its slot is asked for at that slot: its place is given
 * back, and it waits as one that has none. What it took of the rate is lost. */
static __always_inline void egress_hold(struct gate_socket *socket, __u64 now)
{
	struct gate_flow *flow = socket_flow(socket);

	if (!flow || hold_of(flow) <= now)
		return;
	flow_count(flow, GATE_HELD_NS, socket->began_ns - socket->at_ns);
	__sync_fetch_and_add(&flow->open, -1);
	socket->phase = GATE_PHASE_WAIT;
}

static __always_inline void egress_left(struct gate_socket *socket, __u64 now)
{
	struct gate_flow *flow;
	__u64 late;

	socket->flags |= GATE_SOCKET_LEFT;
	if (!socket->dropped)
		return;
	flow = socket_flow(socket);
	late = now - socket->at_ns;
	socket->late_us = (__u32)(late / 1000);
	if (!flow)
		return;
	flow_count(flow, GATE_LATE_NS, late);
	/* The greatest so far; a lost race keeps another of the same size class. */
	if (flow->count[GATE_LATE_MAX_NS] < late)
		flow->count[GATE_LATE_MAX_NS] = late;
}

static __always_inline int egress_syn(struct gate_socket *socket)
{
	struct gate_control *ctl = control_of();
	__u64 now = bpf_ktime_get_ns();

	if (!ctl)
		return 1;
	/* A dead loader holds nobody back, unless none is to pass. */
	if (control_stale(ctl, now) && ctl->stale_policy == GATE_STALE_OPEN)
		return 1;
	if (socket->phase == GATE_PHASE_PASS && socket->dropped && now >= socket->at_ns &&
	    !(socket->flags & GATE_SOCKET_LEFT))
		egress_hold(socket, now);
	if (socket->phase == GATE_PHASE_WAIT && socket->dropped)
		egress_ask(socket, now);
	if (socket->phase == GATE_PHASE_REFUSED || socket->phase == GATE_PHASE_WAIT ||
	    (socket->phase == GATE_PHASE_PASS && now < socket->at_ns)) {
		socket->dropped++;
		total_add(GATE_TOTAL_SYN_HELD);
		return 0;
	}
	if (!(socket->flags & GATE_SOCKET_LEFT))
		egress_left(socket, now);
	return 1;
}

SEC("cgroup_skb/egress")
int gate_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct gate_socket *socket;

	/* One load and a compare for everything that is not a SYN of an active open. */
	if (!sk || sk->state != BPF_TCP_SYN_SENT)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return socket ? egress_syn(socket) : 1;
}

/* ---- what receivers answer ------------------------------------------------------------------- */

#include "ebpf/reply.bpf.h"

/* ---- the ends of a socket -------------------------------------------------------------------- */

SEC("cgroup/sock_release")
int gate_release(struct bpf_sock *sk)
{
	struct gate_socket *socket;

	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	/* Once started, the change to closed gives the place back. */
	if (socket && !(socket->flags & GATE_SOCKET_STARTED))
		socket_reset(socket);
	return 1;
}

SEC("cgroup/setsockopt")
int gate_setsockopt(struct bpf_sockopt *ctx)
{
	struct gate_control *ctl;
	struct gate_socket *socket;
	struct gate_mark *mark = ctx->optval;

	if (ctx->level != GATE_SOCKET_LEVEL || ctx->optname != GATE_SOCKET_PREADMITTED) {
		/* The kernel refuses what is longer than a page unless it is told to take the
		 * original. */
		if (ctx->optlen > PAGE)
			ctx->optlen = 0;
		return 1;
	}
	ctl = control_of();
	if (!ctl || !ctl->token || !ctx->sk || (void *)(mark + 1) > ctx->optval_end ||
	    mark->token != ctl->token)
		return 1;
	socket = bpf_sk_storage_get(&sockets, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		return 1;
	if (!(socket->flags & GATE_SOCKET_STARTED)) {
		socket_reset(socket);
		socket->phase = GATE_PHASE_PAID;
		socket->destination[0] = mark->destination[0];
		socket->destination[1] = mark->destination[1];
	}
	ctx->optlen = -1;
	return 1;
}

/* ---- for the loader -------------------------------------------------------------------------- */

/* Tells the kernel's clock: the loader's own may be another time namespace's. */
SEC("tc")
int gate_clock(struct __sk_buff *skb)
{
	__u32 which = GATE_TOTAL_CLOCK;
	__u64 *total = bpf_map_lookup_elem(&totals, &which);

	if (total)
		*total = bpf_ktime_get_ns();
	which = GATE_TOTAL_JIFFIES;
	total = bpf_map_lookup_elem(&totals, &which);
	if (total)
		*total = bpf_jiffies64();
	return 0;
}
