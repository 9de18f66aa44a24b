/* SPDX-License-Identifier: MIT
 *
 * Connections that were open before the gate was attached: they hold places too, but no program
 * follows them. sock_diag names them by cookie, with the cgroup they belong to; they are counted in
 * the flow's `adopted`, and dropped from there when a later look no longer finds their cookie.
 *
 * sock_diag shows the network namespace of this process alone; an MTA in another starts with none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "ebpf/gate.h"
#include "ebpf/gate_internal.h"

#define ALIVE                                                                                      \
	(1u << TCP_ESTABLISHED | 1u << TCP_SYN_SENT | 1u << TCP_FIN_WAIT1 | 1u << TCP_CLOSE_WAIT | \
	 1u << TCP_LAST_ACK | 1u << TCP_CLOSING)

struct diag {
	struct gate *gate;
	const struct gate_folder *folder; /* NULL: looking again */
	uint32_t look;
};

static void address_copy(uint32_t to[4], const __be32 from[4], int family)
{
	if (family == AF_INET6) {
		memcpy(to, from, 16);
		return;
	}
	to[0] = to[1] = 0;
	to[2] = htonl(0xffff);
	to[3] = from[0];
}

static uint64_t cgroup_of(const struct nlmsghdr *header, const struct inet_diag_msg *msg)
{
	const struct rtattr *at = (const struct rtattr *)(msg + 1);
	int left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof *msg));
	uint64_t id = 0;

	for (; RTA_OK(at, left); at = RTA_NEXT(at, left))
		if (at->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(at) >= sizeof id)
			memcpy(&id, RTA_DATA(at), sizeof id);
	return id;
}

static void gate_adopt_one(struct diag *diag, const struct inet_diag_msg *msg, uint64_t cookie)
{
	struct gate *gate = diag->gate;
	struct gate_key key = {0};
	uint32_t remote[4], slot;
	struct gate_adopted *more;

	if (gate->adopted_count == GATE_ADOPTED)
		return;
	address_copy(key.source, msg->id.idiag_src, msg->idiag_family);
	address_copy(remote, msg->id.idiag_dst, msg->idiag_family);
	key.destination_id = gate_objects_prefix_find(gate->kernel, remote);
	if (!key.destination_id)
		memcpy(key.destination, remote, sizeof remote);
	slot = gate_table_find(&gate->table, &key, gate->table.control->heartbeat_ns);
	more = slot == GATE_NO_SLOT
		       ? NULL
		       : realloc(gate->adopted, (gate->adopted_count + 1) * sizeof *more);
	if (!more)
		return;
	gate->adopted = more;
	more[gate->adopted_count++] = (struct gate_adopted){cookie, slot, diag->look};
	/* Relaxed: a figure by itself; this thread alone writes it. */
	__atomic_store_n(&gate->table.flows[slot].adopted, gate->table.flows[slot].adopted + 1,
			 __ATOMIC_RELAXED);
}

static void diag_one(struct diag *diag, const struct nlmsghdr *header)
{
	const struct inet_diag_msg *msg = NLMSG_DATA(header);
	uint16_t port = ntohs(msg->id.idiag_dport);
	uint64_t cookie = msg->id.idiag_cookie[0] | (uint64_t)msg->id.idiag_cookie[1] << 32;
	struct gate *gate = diag->gate;

	if (!(gate->table.ports[port / 64] >> port % 64 & 1))
		return;
	for (size_t i = 0; i < gate->adopted_count; i++) {
		if (gate->adopted[i].cookie == cookie) {
			gate->adopted[i].seen = diag->look;
			return;
		}
	}
	if (diag->folder && gate_cgroup_holds(diag->folder, cgroup_of(header, msg)))
		gate_adopt_one(diag, msg, cookie);
}

/* 1: more to come. */
static int diag_read(struct diag *diag, int fd)
{
	static _Alignas(struct nlmsghdr) char buffer[64 * 1024];
	ssize_t got = recv(fd, buffer, sizeof buffer, 0);
	int left = (int)got;

	if (got < 0)
		return errno == EINTR ? 1 : -errno;
	for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, left);
	     h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return -EIO;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY)
			diag_one(diag, h);
	}
	return 1;
}

static int diag_family(struct diag *diag, int fd, int family)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} ask = {
		.header = {.nlmsg_len = sizeof ask,
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = (uint8_t)family,
			    .sdiag_protocol = IPPROTO_TCP,
			    .idiag_states = ALIVE},
	};
	int more = 1;

	if (send(fd, &ask, sizeof ask, 0) < 0)
		return -errno;
	while (more > 0)
		more = diag_read(diag, fd);
	return more;
}

static int diag_all(struct diag *diag)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	int error;

	if (fd < 0)
		return -errno;
	error = diag_family(diag, fd, AF_INET);
	if (!error)
		error = diag_family(diag, fd, AF_INET6);
	close(fd);
	return error;
}

int gate_adopt_begin(struct gate *gate, const struct gate_folder *folder)
{
	struct diag diag = {.gate = gate, .folder = folder, .look = ++gate->look};

	return diag_all(&diag);
}

void gate_adopt_refresh(struct gate *gate)
{
	struct diag diag = {.gate = gate, .look = gate->look + 1};
	size_t kept = 0;

	if (!gate->adopted_count)
		return;
	gate->look++;
	if (diag_all(&diag))
		return;
	for (size_t i = 0; i < gate->adopted_count; i++) {
		struct gate_flow *flow = &gate->table.flows[gate->adopted[i].slot];

		if (gate->adopted[i].seen == diag.look)
			gate->adopted[kept++] = gate->adopted[i];
		else
			__atomic_store_n(&flow->adopted, flow->adopted - 1, __ATOMIC_RELAXED);
	}
	gate->adopted_count = kept;
}
