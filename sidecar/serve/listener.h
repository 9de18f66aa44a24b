/* SPDX-License-Identifier: MIT
 *
 * A protocol spoken by many clients: sockets that listen, clients that come and go, their bytes.
 *
 * A protocol is a function that takes requests off the front of what a client has sent and adds
 * answers; where an answer may be long or must wait, a second one goes on with it. All else is
 * here, and holds for each of them:
 *
 *   memory     a silent client has none but its state; an unfinished request is kept up to
 *              request_max, unsent answers up to LISTENER_ANSWER_MAX and one answer more
 *   turns      of each client at a turn of the loop: LISTENER_READ bytes, LISTENER_REQUESTS
 *              requests; who does not take his answers is not read from
 *   time       who neither sends nor takes a byte for idle_ns is dropped, unless it waits for us
 *   clients    beyond clients_max they are told so, where the protocol has words, and closed; some
 *              of these places may be kept for root and our own user
 *   errors     said once a minute at most, all counted
 *
 * All calls from the loop's thread.
 */
#ifndef SIDECAR_SERVE_LISTENER_H
#define SIDECAR_SERVE_LISTENER_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "sidecar/base/json.h"
#include "sidecar/io/loop.h"

#define LISTENER_READ	    16384
#define LISTENER_REQUESTS   512
#define LISTENER_ANSWER_MAX 65536

struct listener;

/* Answers under way. */
struct listener_answer {
	char *text;
	size_t length, room;
	bool failed; /* no memory: the client is closed */
};

void listener_answer_add(struct listener_answer *answer, const char *bytes, size_t length);
void listener_answer_free(struct listener_answer *answer);

/* Takes whole requests off the front of `bytes`, LISTENER_REQUESTS at most and none once the answer
 * has LISTENER_ANSWER_MAX bytes. state: the client's own. Returns how many bytes were taken (0: the
 * first request is not all there); negative: the client is closed once it has the answer, after
 * LISTENER_END in order, after LISTENER_BAD for what it sent. *ret_requests counts up. */
typedef ssize_t listener_take(void *arg, void *state, const char *bytes, size_t length,
			      struct listener_answer *answer, uint64_t *ret_requests);

enum { LISTENER_END = -1, LISTENER_BAD = -2 };

/* What has become of the answer to a request. */
enum listener_stream { LISTENER_WHOLE, LISTENER_MORE, LISTENER_WAIT };

struct listener_protocol {
	const char *name; /* in the log and the status */
	listener_take *take;
	/* NULL, or what goes on with the answer that take() has begun, which then takes one request a
	 * call. Adds LISTENER_ANSWER_MAX bytes and one piece at most. LISTENER_MORE: to be called
	 * again when the client has taken these; LISTENER_WAIT: after listener_wake();
	 * LISTENER_WHOLE: take() is next. */
	enum listener_stream (*more)(void *arg, void *state, struct listener_answer *answer);
	/* A client has come, and who it is (Unix sockets alone); and it goes. NULL: nothing to do. */
	void (*begin)(void *arg, void *state, const struct ucred *who);
	void (*end)(void *arg, void *state);
	size_t state_size;  /* of a client; begins zeroed */
	size_t request_max; /* a longer one is LISTENER_BAD */
	const char *full;   /* what a client beyond clients_max is told; NULL: nothing */
};

struct listener_options {
	const struct listener_protocol *protocol;
	void *arg;
	char *const *addresses;
	uint32_t address_count;
	uint32_t clients_max;
	uint32_t clients_kept; /* of these, for root and our own user; Unix sockets alone */
	uint64_t idle_ns;
	unsigned mode; /* of Unix sockets */
	int64_t group; /* of Unix sockets; -1: our own */
};

struct listener_totals {
	uint64_t accepted;
	uint64_t requests;
	uint64_t refused;   /* beyond clients_max, or no descriptor was left */
	uint64_t malformed; /* clients closed for what they sent */
	uint64_t idle;	    /* clients closed for silence */
};

/* Listens on all addresses that can be had; the others are told in the log, and counted in
 * ret_missing. -ENOMEM. The addresses are copied. */
int listener_create(struct loop *loop, const struct listener_options *options,
		    struct listener **ret, uint32_t *ret_missing);
void listener_free(struct listener *listener); /* NULL is fine */

/* What may change under a listener: bounds of those who come from now on. */
void listener_bounds(struct listener *listener, uint32_t clients_max, uint64_t idle_ns);

/* What LISTENER_WAIT waits for may have come. From within a protocol's function: for all clients but
 * that one. */
void listener_wake(struct listener *listener);

/* Drops who has been silent too long; by its own timer, and by tests. */
void listener_expire(struct listener *listener, uint64_t now_ns);

const struct listener_totals *listener_totals(const struct listener *listener);
uint32_t listener_clients(const struct listener *listener);

/* Its addresses and totals, as members of an object. */
void listener_put(const struct listener *listener, struct json_writer *writer);

#endif
