/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the receiver answers in plain text, as it comes in: the greeting (also where TLS follows),
 * and every reply of a session without TLS. Only replies 4xx and 5xx are told, at most
 * GATE_REPLY_TEXT bytes of one, and never anything of the mail itself, which goes the other way.
 *
 * A reply is looked for at the start of each line of a segment. One whose code is cut by the end of
 * a segment is missed, and so is the second refusal in one segment: what is pipelined behind a
 * refused command is refused for that reason.
 */
#define ETH_IPV6    0x86DD
#define TCP_HEAD    20
#define IPV6_HEAD   40
#define REPLY_SPACE 8 /* a code may be looked for at the last byte */

struct reply_scratch {
	__u32 found;				      /* where a reply begins in the text */
	__u8 line[1 + GATE_REPLY_TEXT + REPLY_SPACE]; /* a newline, and the text */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reply_scratch);
} scratch SEC(".maps");

struct reply_segment {
	__u32 at;     /* of what it carries, from the IP header on */
	__u32 length; /* of that */
	__u32 seq;    /* of its end */
};

/* Keeps the compiler from working a bound into another comparison, in which the verifier does not
 * see it. */
#define AS_IT_STANDS(word) asm volatile("" : "+r"(word))

/* Where a TCP segment's payload is. 0: it has none, or is not to be understood. */
static __always_inline int segment_read(struct __sk_buff *skb, struct reply_segment *ret)
{
	__u8 ip[8], tcp[TCP_HEAD];
	__u32 at = IPV6_HEAD;

	if (bpf_skb_load_bytes(skb, 0, ip, sizeof ip))
		return 0;
	if (skb->protocol != bpf_htons(ETH_IPV6))
		at = (ip[0] & 15) * 4;
	else if (ip[6] != IPPROTO_TCP)
		return 0;
	if (bpf_skb_load_bytes(skb, at, tcp, sizeof tcp))
		return 0;
	ret->at = at + (tcp[12] >> 4) * 4;
	if (skb->len <= ret->at)
		return 0;
	ret->length = skb->len - ret->at;
	ret->seq = ((__u32)tcp[4] << 24 | (__u32)tcp[5] << 16 | (__u32)tcp[6] << 8 | tcp[7]) +
		   ret->length;
	return 1;
}

static __always_inline int is_digit(__u8 byte)
{
	return byte >= '0' && byte <= '9';
}

/* The same length, which is 1 to GATE_REPLY_TEXT, in a form from which Linux 6.1 sees that it is. */
static __always_inline __u32 length_seen(__u32 length)
{
	length = (length - 1) & (GATE_REPLY_TEXT - 1);
	AS_IT_STANDS(length);
	return length + 1;
}

/* Sets where the first reply 4xx or 5xx begins; to `length`, which is at least 1, if there is none.
 *
 * The loop is closed by a jump: Linux 6.1 refuses one that is closed by falling through to its head, which is what
 * compilers make of `for`. What was found goes through memory, so that the verifier forgets in which round it was; it
 * would follow each to the program's end. */
static __always_inline void reply_find(struct reply_scratch *text, __u32 length)
{
	const __u8 *at;
	__u32 i = 0;

	text->found = length;
#pragma clang loop unroll(disable)
	do {
		AS_IT_STANDS(i);
		if (i >= GATE_REPLY_TEXT)
			break;
		at = text->line + i;
		AS_IT_STANDS(at);
		if (at[0] == '\n' && (at[1] == '4' || at[1] == '5') && is_digit(at[2]) &&
		    is_digit(at[3])) {
			text->found = i;
			break;
		}
		i++;
	} while (i < length);
}

static __always_inline void reply_tell(struct __sk_buff *skb, const struct gate_socket *socket,
				       __u32 at, __u32 length, int greeting)
{
	struct gate_reply *reply;

	reply = bpf_ringbuf_reserve(&events, sizeof *reply, 0);
	if (!reply) {
		total_add(GATE_TOTAL_DROPPED);
		return;
	}
	__builtin_memset(&reply->event, 0, sizeof reply->event);
	reply->event.kind = GATE_EVENT_REPLY;
	reply->event.slot = socket->slot;
	reply->event.tag = socket->tag;
	reply->event.at_ns = bpf_ktime_get_ns();
	reply->event.due_ns = socket->at_ns;
	reply->event.reason = greeting;
	__builtin_memcpy(reply->event.remote, socket->remote, sizeof reply->event.remote);
	reply->length = length;
	reply->reserved = 0;
	if (bpf_skb_load_bytes(skb, at, reply->text, length_seen(length))) {
		bpf_ringbuf_discard(reply, 0);
		return;
	}
	event_end(&reply->event);
}

static __always_inline void reply_look(struct __sk_buff *skb, struct gate_socket *socket)
{
	struct reply_segment segment;
	__u32 zero = 0, length, at;
	struct reply_scratch *text = bpf_map_lookup_elem(&scratch, &zero);
	int greeting = socket->heard == 0;

	if (!text || !segment_read(skb, &segment))
		return;
	/* Sent again: it was looked at, if all of it was. */
	if (!greeting && (__s32)(segment.seq - socket->heard_to) <= 0)
		return;
	socket->heard_to = segment.seq;
	socket->heard++;
	length = segment.length;
	if (length > GATE_REPLY_TEXT)
		length = GATE_REPLY_TEXT;
	text->line[0] = '\n';
	if (bpf_skb_load_bytes(skb, segment.at, text->line + 1, length_seen(length)))
		return;
	/* Within TLS nothing begins with a reply's code. */
	if (text->line[1] < '2' || text->line[1] > '5')
		return;
	reply_find(text, length);
	at = *(volatile __u32 *)&text->found;
	if (at >= length)
		return;
	if (socket->refused >= GATE_REPLIES_MAX) {
		total_add(GATE_TOTAL_REPLIES_CUT);
		return;
	}
	socket->refused++;
	reply_tell(skb, socket, segment.at + at, length - at, greeting);
}

SEC("cgroup_skb/ingress")
int gate_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct gate_socket *socket;

	if (!sk || sk->state != BPF_TCP_ESTABLISHED)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_TCP || !port_gated(bpf_ntohs(sk->dst_port)))
		return 1;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	/* What a worker was admitted for it reports itself. */
	if (socket && socket->phase == GATE_PHASE_OPEN && !(socket->flags & GATE_SOCKET_CREDIT))
		reply_look(skb, socket);
	return 1;
}
