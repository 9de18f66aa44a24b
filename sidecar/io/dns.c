/* SPDX-License-Identifier: MIT
 *
 * DNS through c-ares on the loop; the only file that includes it. See the header.
 *
 * c-ares is given no thread and no wait: it says which sockets it waits for and until when, and is
 * called when one of them is ready or the time is over. What DNS answers is a stranger's word:
 * names and counts are bounded, times to live as well.
 */
#include "sidecar/io/dns.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>

#define SECOND_NS  UINT64_C(1000000000)
#define TTL_MIN	   60u
#define TTL_MAX	   86400u
#define AGAIN_MIN  30u /* seconds, doubled each time that DNS does not answer */
#define AGAIN_MAX  3600u
#define FLIGHT_MAX 16 /* domains that are being asked for at once */
#define SOCKETS	   32
#define HOSTS_MAX  16 /* MX hosts of a domain */
#define ADDRESSES  16 /* of a host */

struct domain {
	char *name;
	uint64_t due_ns;   /* to be asked for again */
	uint32_t pending;  /* answers that are awaited */
	uint32_t shortest; /* time to live of this round, seconds */
	uint32_t again;	   /* seconds to wait after a failure */
	bool answered;	   /* this round brought an address */
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	dns_found *found;
	void *arg;
	struct domain *domains;
	uint32_t count;
	uint32_t flying;
	uint32_t generation; /* queries of an earlier one have no domain any more */
	int timer;
	struct socket_watch {
		struct dns *resolve;
		ares_socket_t fd;
		int id; /* of the loop's watch; -1: free */
	} sockets[SOCKETS];
};

struct query {
	struct dns *resolve;
	uint32_t generation;
	uint32_t domain;
	char host[256];
};

static void timer_arm(struct dns *r);

/* ---- sockets and time ------------------------------------------------------------------------ */

static void socket_ready(void *arg, int revents)
{
	struct socket_watch *watch = arg;
	struct dns *r = watch->resolve;
	ares_socket_t fd = watch->fd;

	/* The loop has dropped it: its number may be another's soon. */
	if (revents < 0)
		watch->id = -1;
	ares_process_fd(r->channel, revents > 0 && revents & POLLOUT ? ARES_SOCKET_BAD : fd,
			revents > 0 && revents & POLLOUT ? fd : ARES_SOCKET_BAD);
	timer_arm(r);
}

static struct socket_watch *watch_of(struct dns *r, ares_socket_t fd)
{
	struct socket_watch *empty = NULL;

	for (int i = 0; i < SOCKETS; i++) {
		if (r->sockets[i].id >= 0 && r->sockets[i].fd == fd)
			return &r->sockets[i];
		if (r->sockets[i].id < 0)
			empty = &r->sockets[i];
	}
	if (empty)
		*empty = (struct socket_watch){r, fd, -1};
	return empty;
}

/* c-ares says what it waits for at a socket; neither: it is about to be closed. */
static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *r = arg;
	struct socket_watch *watch = watch_of(r, fd);
	short events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));

	if (watch == NULL)
		return; /* its queries time out */
	if (watch->id >= 0)
		loop_unwatch(r->loop, watch->id);
	watch->id = events ? loop_watch(r->loop, fd, events, socket_ready, watch) : -1;
}

static void timer_arm(struct dns *r)
{
	uint64_t now_ns = loop_now(), at_ns = LOOP_NEVER;
	struct timeval room, *left = ares_timeout(r->channel, NULL, &room);

	if (left)
		at_ns = now_ns + (uint64_t)left->tv_sec * SECOND_NS +
			(uint64_t)left->tv_usec * 1000;
	for (uint32_t i = 0; i < r->count && r->flying < FLIGHT_MAX; i++)
		if (r->domains[i].pending == 0 && r->domains[i].due_ns < at_ns)
			at_ns = r->domains[i].due_ns;
	loop_timer_set(r->loop, r->timer, at_ns);
}

/* ---- questions and answers ------------------------------------------------------------------- */

static struct query *query_new(struct dns *r, uint32_t domain, const char *host)
{
	struct query *query = calloc(1, sizeof(*query));

	if (query == NULL)
		return NULL;
	query->resolve = r;
	query->generation = r->generation;
	query->domain = domain;
	snprintf(query->host, sizeof(query->host), "%s", host);
	r->domains[domain].pending++;
	return query;
}

/* One answer less to wait for; the last ends the round. */
static void domain_answered(struct dns *r, uint32_t index)
{
	struct domain *domain = &r->domains[index];

	if (--domain->pending > 0)
		return;
	r->flying--;
	if (domain->answered) {
		domain->again = AGAIN_MIN;
		domain->due_ns = loop_now() + domain->shortest * SECOND_NS;
		return;
	}
	domain->due_ns = loop_now() + domain->again * SECOND_NS;
	domain->again = domain->again * 2 < AGAIN_MAX ? domain->again * 2 : AGAIN_MAX;
}

static void address_found(struct query *query, const uint8_t address[16], int ttl)
{
	struct dns *r = query->resolve;
	struct domain *domain = &r->domains[query->domain];
	uint32_t seconds = ttl < (int)TTL_MIN	? TTL_MIN
			   : ttl > (int)TTL_MAX ? TTL_MAX
						: (uint32_t)ttl;

	if (seconds < domain->shortest)
		domain->shortest = seconds;
	domain->answered = true;
	/* Longer than until it is asked for again, in case that takes a while. */
	r->found(r->arg, query->host, address,
		 loop_now() + (uint64_t)(2 * seconds + 600) * SECOND_NS);
}

static void a_answer(void *arg, int status, int timeouts, unsigned char *answer, int length)
{
	struct query *query = arg;
	struct dns *r = query->resolve;
	struct ares_addrttl found[ADDRESSES];
	int count = ADDRESSES;

	if (status == ARES_SUCCESS && query->generation == r->generation &&
	    ares_parse_a_reply(answer, length, NULL, found, &count) == ARES_SUCCESS) {
		for (int i = 0; i < count; i++) {
			uint8_t address[16] = {[10] = 0xff, [11] = 0xff};

			memcpy(address + 12, &found[i].ipaddr, 4);
			address_found(query, address, found[i].ttl);
		}
	}
	if (query->generation == r->generation)
		domain_answered(r, query->domain);
	free(query);
}

static void aaaa_answer(void *arg, int status, int timeouts, unsigned char *answer, int length)
{
	struct query *query = arg;
	struct dns *r = query->resolve;
	struct ares_addr6ttl found[ADDRESSES];
	int count = ADDRESSES;

	if (status == ARES_SUCCESS && query->generation == r->generation &&
	    ares_parse_aaaa_reply(answer, length, NULL, found, &count) == ARES_SUCCESS) {
		for (int i = 0; i < count; i++)
			address_found(query, (const uint8_t *)&found[i].ip6addr, found[i].ttl);
	}
	if (query->generation == r->generation)
		domain_answered(r, query->domain);
	free(query);
}

static void host_ask(struct dns *r, uint32_t domain, const char *host)
{
	struct query *v4 = query_new(r, domain, host);
	struct query *v6 = query_new(r, domain, host);

	if (v4)
		ares_query(r->channel, v4->host, ns_c_in, ns_t_a, a_answer, v4);
	if (v6)
		ares_query(r->channel, v6->host, ns_c_in, ns_t_aaaa, aaaa_answer, v6);
}

static void mx_answer(void *arg, int status, int timeouts, unsigned char *answer, int length)
{
	struct query *query = arg;
	struct dns *r = query->resolve;
	struct ares_mx_reply *list = NULL;
	int hosts = 0;

	if (query->generation != r->generation) {
		free(query);
		return;
	}
	if (status == ARES_SUCCESS)
		ares_parse_mx_reply(answer, length, &list);
	/* An MX of "." says that there is no mail. */
	for (struct ares_mx_reply *mx = list; mx && hosts < HOSTS_MAX; mx = mx->next, hosts++)
		if (mx->host && mx->host[0] && strlen(mx->host) < sizeof(query->host))
			host_ask(r, query->domain, mx->host);
	if (list)
		ares_free_data(list);
	else if (status == ARES_ENODATA || status == ARES_SUCCESS)
		host_ask(r, query->domain, r->domains[query->domain].name);
	domain_answered(r, query->domain);
	free(query);
}

static void domain_ask(struct dns *r, uint32_t index)
{
	struct domain *domain = &r->domains[index];
	struct query *query;

	domain->shortest = TTL_MAX;
	domain->answered = false;
	query = query_new(r, index, domain->name);
	if (query == NULL) {
		domain->due_ns = loop_now() + domain->again * SECOND_NS;
		return;
	}
	r->flying++;
	ares_query(r->channel, domain->name, ns_c_in, ns_t_mx, mx_answer, query);
}

static void due(void *arg, uint64_t now_ns)
{
	struct dns *r = arg;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	for (uint32_t i = 0; i < r->count && r->flying < FLIGHT_MAX; i++)
		if (r->domains[i].pending == 0 && r->domains[i].due_ns <= now_ns)
			domain_ask(r, i);
	timer_arm(r);
}

/* ---- the interface --------------------------------------------------------------------------- */

int dns_create(struct loop *loop, dns_found *found, void *arg, struct dns **ret)
{
	struct dns *r = calloc(1, sizeof(*r));
	struct ares_options options = {.timeout = 3000,
				       .tries = 2,
				       .sock_state_cb = socket_state,
				       .sock_state_cb_data = r};
	int error = -ENOENT;

	if (r == NULL)
		return -ENOMEM;
	r->loop = loop;
	r->found = found;
	r->arg = arg;
	for (int i = 0; i < SOCKETS; i++)
		r->sockets[i].id = -1;
	r->timer = loop_timer(loop, due, r);
	if (r->timer < 0) {
		error = r->timer;
		free(r);
		return error;
	}
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&r->channel, &options,
			      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
		    ARES_SUCCESS) {
		free(r);
		return error;
	}
	*ret = r;
	return 0;
}

int dns_domain(struct dns *resolve, const char *domain)
{
	struct domain *more = realloc(resolve->domains, (resolve->count + 1) * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	resolve->domains = more;
	more[resolve->count] = (struct domain){.name = strdup(domain), .again = AGAIN_MIN};
	if (more[resolve->count].name == NULL)
		return -ENOMEM;
	resolve->count++;
	timer_arm(resolve);
	return 0;
}

void dns_clear(struct dns *resolve)
{
	if (resolve == NULL)
		return;
	resolve->generation++;
	ares_cancel(resolve->channel);
	for (uint32_t i = 0; i < resolve->count; i++)
		free(resolve->domains[i].name);
	free(resolve->domains);
	resolve->domains = NULL;
	resolve->count = resolve->flying = 0;
	timer_arm(resolve);
}

void dns_free(struct dns *resolve)
{
	if (resolve == NULL)
		return;
	dns_clear(resolve);
	ares_destroy(resolve->channel);
	ares_library_cleanup();
	free(resolve);
}
