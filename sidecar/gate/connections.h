/* SPDX-License-Identifier: MIT
 *
 * The connections that the gate has seen lately, so that a line of a log that names the receiver's
 * address, and not ours, can be told whose it was.
 *
 * A connection answers for a line if its own times fit the line's. An answer is given only where
 * all connections that fit come from one address of ours, and where none can be missing: nothing is
 * guessed. What is not known is every connection that began before we listened, or whose event was
 * lost. Pure: no clock is read, no system call made. Of bounded size; one thread.
 */
#ifndef SIDECAR_GATE_CONNECTIONS_H
#define SIDECAR_GATE_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define CONNECTIONS 8192u
/* An MTA goes on with a connection for no longer (Postfix: smtp_connection_reuse_time_limit). */
#define CONNECTIONS_REUSE_NS UINT64_C(300000000000)

struct connections;

/* One connection. Addresses are 16 bytes in network order, IPv4 mapped; times are nanoseconds of
 * the caller's monotonic clock. slot, tag and due_ns together tell it from any other. */
struct connection_seen {
	const uint8_t *source, *remote;
	uint64_t began_ns; /* connect() */
	uint64_t due_ns;   /* the SYN's slot */
	uint64_t tag;
	uint32_t slot;
};

/* What a line of a log says. */
struct connection_query {
	const uint8_t *remote;
	uint64_t replied_ns; /* the line's stamp */
	uint64_t stamp_ns;   /* how fine it is: the line was written no later than replied_ns + this
			      */
	uint64_t spent_ns;   /* from the start of the attempt to the stamp */
	uint64_t setup_ns;   /* of these, until the connection stood */
	bool fresh;	     /* it was opened for this attempt; else it may have stood before */
};

/* open: whether connections may be open already that nobody tells of. -ENOMEM. */
int connections_create(uint64_t now_ns, bool open, struct connections **ret);
void connections_free(struct connections *connections); /* NULL is fine */

void connections_opened(struct connections *connections, const struct connection_seen *seen);
/* established: it stood; else it never came about. */
void connections_ended(struct connections *connections, const struct connection_seen *seen,
		       uint64_t ended_ns, bool established);

/* Events were lost: some connection begun before now_ns may not be known. */
void connections_lost(struct connections *connections, uint64_t now_ns);

/* Our address of the connection that the line tells of. 0; -ENOENT: none fits; -ENOTUNIQ: several
 * fit, and not all are from one address; -ENODATA: some that would fit may not be known. */
int connections_source(const struct connections *connections, const struct connection_query *query,
		       uint8_t ret[16]);

/* Whether a connection to that address failed then: the gate has told of it. */
bool connections_failed(const struct connections *connections,
			const struct connection_query *query);

#endif
