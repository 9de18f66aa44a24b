/* SPDX-License-Identifier: MIT
 *
 * The eBPF gate without the sidecar: for its tests, and for trying it out by hand.
 *
 *   gate_alone --cgroup PATH:MODE … --port N … [--max-wait MS] [--heartbeat-timeout MS]
 * [--fail-closed] [--pin DIR]
 *              [--flows N] [--prefixes N] [--token N] [--errno N] [--idle MS] [--replies]
 *
 * prints "ready" or "error: why" and takes commands from standard input, each answered by one line:
 *
 *   dest ID LIMITS            limits of a destination (0: of all that have none)
 *   flow SOURCE ID LIMITS     limits of a flow
 *   prefix ADDRESS/BITS ID    an address of a destination (ID 0 takes it away)
 *   mode CGROUP MODE          mode of a cgroup, counted from 0
 *   counts | status | slots   as JSON; slots: of each connection that has ended, when it might leave
 *   replies                   as JSON: what receivers answered since this was asked last
 *   drop                      gives up capabilities
 *   quit | unpin              ends; unpin takes the pinned links away too
 *
 * LIMITS: key=value …, of rate=INTERVAL_NS/BURST, rate2=, rate3=, conns=N, mode=, wait=MS, hold=MS
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "ebpf/gate.h"
#include "shm/gcra.h"

static const char *const modes[] = {"inherit", "observe", "pace", "deny"};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint32_t mode_of(const char *name)
{
	for (uint32_t i = 0; i < 4; i++)
		if (!strcmp(name, modes[i]))
			return i;
	fprintf(stderr, "no such mode: %s\n", name);
	exit(2);
}

static int address_of(const char *text, uint8_t to[16])
{
	memset(to, 0, 16);
	if (inet_pton(AF_INET6, text, to) == 1)
		return 0;
	to[10] = to[11] = 0xff;
	return inet_pton(AF_INET, text, to + 12) == 1 ? 96 : -1;
}

static void limit_read(struct gate_limits *limits, const char *word)
{
	uint64_t interval, n;
	unsigned burst, which = 1;

	if (sscanf(word, "rate=%" SCNu64 "/%u", &interval, &burst) == 2 ||
	    sscanf(word, "rate%u=%" SCNu64 "/%u", &which, &interval, &burst) == 3)
		limits->rate[(which - 1) % GATE_RATES] = gcra_rate(interval, burst);
	else if (sscanf(word, "conns=%" SCNu64, &n) == 1)
		limits->connections = (uint32_t)n;
	else if (sscanf(word, "wait=%" SCNu64, &n) == 1)
		limits->max_wait_ns = n * 1000000;
	else if (sscanf(word, "hold=%" SCNu64, &n) == 1)
		limits->hold_until_ns = now() + n * 1000000;
	else if (!strncmp(word, "mode=", 5))
		limits->modes = gate_modes(mode_of(word + 5));
}

static int limits_set(struct gate *gate, char *save, const char *source)
{
	struct gate_limits limits = {0};
	const char *id = strtok_r(NULL, " ", &save);
	uint8_t address[16];

	for (char *word; id && (word = strtok_r(NULL, " ", &save));)
		limit_read(&limits, word);
	if (!id)
		return -EINVAL;
	if (!source)
		return gate_destination_set(gate, (uint32_t)atoi(id), &limits, now());
	if (address_of(source, address) < 0)
		return -EINVAL;
	return gate_flow_set(gate, address, (uint32_t)atoi(id), &limits, now());
}

static int prefix_set(struct gate *gate, char *save)
{
	char *text = strtok_r(NULL, "/ ", &save), *bits = strtok_r(NULL, " ", &save);
	char *id = strtok_r(NULL, " ", &save);
	uint8_t address[16];
	int base;

	if (!id || (base = address_of(text, address)) < 0)
		return -EINVAL;
	if (!atoi(id))
		return gate_destination_remove(gate, address, (uint32_t)(base + atoi(bits)));
	return gate_destination_add(gate, address, (uint32_t)(base + atoi(bits)),
				    (uint32_t)atoi(id));
}

static const char *address_text(const uint32_t address[4], char *text)
{
	const uint8_t *bytes = (const uint8_t *)address;

	if (address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff))
		return inet_ntop(AF_INET, bytes + 12, text, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, bytes, text, INET6_ADDRSTRLEN);
}

static void count_print(void *arg, const struct gate_count *count)
{
	static const char *const names[GATE_COUNTERS] = {
		"passed",	  "held",	  "held_ns",
		"refused_rate",	  "refused_hold", "refused_connections",
		"would_hold",	  "would_refuse", "preadmitted",
		"established",	  "failed_reset", "failed_timeout",
		"failed_other",	  "closed",	  "lost",
		"duration_ns",	  "connect_ns",	  "bytes_sent",
		"bytes_received", "retransmits",  "late_ns",
		"late_max_ns",	  "srtt_us",
	};
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
	int *first = arg;

	printf("%s{\"source\": \"%s\", \"destination\": %u, \"address\": \"%s\", \"open\": %" PRIu64
	       ", \"adopted\": %" PRIu64 ", \"preadmitted_open\": %" PRIu64
	       ", \"attempts\": %" PRIu64,
	       *first ? "" : ", ", address_text(count->key.source, source),
	       count->key.destination_id, address_text(count->key.destination, destination),
	       count->open, count->adopted, count->preadmitted_open, count->attempts);
	for (int i = 0; i < GATE_COUNTERS; i++)
		printf(", \"%s\": %" PRIu64, names[i], count->count[i]);
	printf(", \"last_second\": %" PRIu64 ", \"last_minute\": %" PRIu64
	       ", \"last_hour\": %" PRIu64 "}",
	       count->last_second, count->last_minute, count->last_hour);
	*first = 0;
}

static uint64_t events[GATE_EVENT_OPENED + 1];
/* Lateness of held connections that waited under two seconds, in µs. */
static uint32_t late[1 << 16];
static uint32_t lates;

/* Of each connection that has ended. */
static struct slot {
	struct gate_key key;
	uint64_t due_ns, wait_ns;
	uint32_t late_us;
} * slots;
static size_t slot_count;

static void slot_keep(const struct gate_event *event, const struct gate_key *key)
{
	struct slot *more = slots;

	/* The room is doubled. */
	if (!(slot_count & (slot_count + 1)))
		more = realloc(slots, 2 * (slot_count + 1) * sizeof *slots);
	if (!more)
		abort();
	slots = more;
	slots[slot_count++] = (struct slot){*key, event->due_ns, event->wait_ns, event->late_us};
}

static void slots_print(void)
{
	char source[INET6_ADDRSTRLEN];

	printf("[");
	for (size_t i = 0; i < slot_count; i++)
		printf("%s{\"source\": \"%s\", \"destination\": %u, \"due_ns\": %" PRIu64
		       ", \"wait_ns\": %" PRIu64 ", \"late_us\": %u}",
		       i ? ", " : "", address_text(slots[i].key.source, source),
		       slots[i].key.destination_id, slots[i].due_ns, slots[i].wait_ns,
		       slots[i].late_us);
	printf("]\n");
}

/* What receivers answered. */
static struct heard {
	struct gate_key key;
	struct gate_reply reply;
} * replies;
static size_t reply_count;

static void reply_keep(const struct gate_event *event, const struct gate_key *key)
{
	if (!(reply_count & (reply_count + 1))) {
		void *more = realloc(replies, 2 * (reply_count + 1) * sizeof *replies);

		if (!more)
			abort();
		replies = more;
	}
	replies[reply_count].key = *key;
	memcpy(&replies[reply_count++].reply, event, sizeof(struct gate_reply));
}

static void replies_print(void)
{
	char source[INET6_ADDRSTRLEN];

	printf("[");
	for (size_t i = 0; i < reply_count; i++) {
		const struct gate_reply *reply = &replies[i].reply;

		printf("%s{\"source\": \"%s\", \"destination\": %u, \"greeting\": %u, \"text\": \"",
		       i ? ", " : "", address_text(replies[i].key.source, source),
		       replies[i].key.destination_id, reply->event.reason);
		for (uint32_t at = 0; at < reply->length; at++)
			printf("\\u%04x", reply->text[at]);
		printf("\"}");
	}
	printf("]\n");
	reply_count = 0;
}

static int by_size(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint32_t late_p99(void)
{
	qsort(late, lates, sizeof *late, by_size);
	return lates ? late[(uint64_t)lates * 99 / 100] : 0;
}

static void status_print(const struct gate *gate)
{
	static const char *const names[GATE_TOTALS] = {
		"full",	  "no_storage", "stale",   "late",	  "dropped", "contended",
		"events", "syn_held",	"no_bind", "replies_cut", "clock",   "jiffies"};
	struct gate_status status;

	gate_status(gate, &status);
	printf("{\"flows\": %" PRIu64 ", \"flows_max\": %" PRIu64
	       ", \"attached\": %u, \"hz\": %u, \"taken_over\": %u, "
	       "\"restarts\": %" PRIu64 ", \"offset_ns\": %" PRId64 ", \"seen_flow\": %" PRIu64
	       ", \"seen_failed\": %" PRIu64 ", \"seen_closed\": %" PRIu64
	       ", \"seen_opened\": %" PRIu64,
	       status.flows, status.flows_max, status.attached, status.hz, status.taken_over,
	       status.restarts, status.clock_offset_ns, events[GATE_EVENT_FLOW],
	       events[GATE_EVENT_FAILED], events[GATE_EVENT_CLOSED], events[GATE_EVENT_OPENED]);
	for (int i = 0; i < GATE_TOTALS; i++)
		printf(", \"%s\": %" PRIu64, names[i], status.total[i]);
	printf(", \"late_n\": %u, \"late_p99_us\": %u}\n", lates, late_p99());
}

/* 0 to go on, 1 to end, 2 to end and unpin. */
static int command(struct gate *gate, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save);
	int first = 1, error = 0;

	if (!word)
		return 0;
	if (!strcmp(word, "quit") || !strcmp(word, "unpin"))
		return word[0] == 'q' ? 1 : 2;
	if (!strcmp(word, "counts")) {
		gate_consume(gate);
		printf("[");
		gate_counts(gate, count_print, &first);
		printf("]\n");
		return 0;
	}
	if (!strcmp(word, "status")) {
		gate_consume(gate);
		status_print(gate);
		return 0;
	}
	if (!strcmp(word, "slots")) {
		gate_consume(gate);
		slots_print();
		return 0;
	}
	if (!strcmp(word, "replies")) {
		gate_consume(gate);
		replies_print();
		return 0;
	}
	save[strcspn(save, "\n")] = '\0';
	if (!strcmp(word, "dest"))
		error = limits_set(gate, save, NULL);
	else if (!strcmp(word, "flow"))
		word = strtok_r(NULL, " ", &save),
		error = word ? limits_set(gate, save, word) : -EINVAL;
	else if (!strcmp(word, "prefix"))
		error = prefix_set(gate, save);
	else if (!strcmp(word, "mode"))
		word = strtok_r(NULL, " ", &save),
		error = gate_cgroup_mode(gate, (size_t)atoi(word), mode_of(save));
	else if (!strcmp(word, "drop"))
		error = gate_capabilities_drop(gate);
	else
		error = -ENOSYS;
	printf("%s\n", error ? strerror(-error) : "ok");
	return 0;
}

static int run(struct gate *gate)
{
	struct pollfd fds[3] = {
		{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	int gate_fd[2], end = 0;
	char line[4096];

	gate_fds(gate, gate_fd);
	fds[1].fd = gate_fd[0];
	fds[2].fd = gate_fd[1];
	while (!end) {
		poll(fds, 3, 100);
		gate_consume(gate);
		gate_tick(gate, now());
		/* One line a poll, unbuffered, so that none waits in a buffer that poll does not
		 * see. */
		if (fds[0].revents) {
			end = fgets(line, sizeof line, stdin) ? command(gate, line) : 1;
			fflush(stdout);
		}
	}
	return end;
}

static void event_seen(void *arg, const struct gate_event *event, const struct gate_key *key)
{
	if (event->kind <= GATE_EVENT_OPENED)
		events[event->kind]++;
	if (event->kind == GATE_EVENT_FAILED || event->kind == GATE_EVENT_CLOSED)
		slot_keep(event, key);
	if (event->kind == GATE_EVENT_REPLY)
		reply_keep(event, key);
	if (event->wait_ns && event->wait_ns < 2000000000 && lates < sizeof late / sizeof *late)
		late[lates++] = event->late_us;
}

int main(int argc, char **argv)
{
	static struct gate_cgroup cgroups[GATE_CGROUPS];
	static uint16_t ports[256];
	struct gate_options options = {.cgroups = cgroups, .ports = ports, .event = event_seen};
	struct gate *gate = NULL;
	char why[512] = "";
	int error;

	setvbuf(stdin, NULL, _IONBF, 0);
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(name, "--fail-closed")) {
			options.stale_policy = GATE_STALE_CLOSED;
			continue;
		}
		if (!strcmp(name, "--replies")) {
			options.replies = 1;
			continue;
		}
		i++;
		if (!strcmp(name, "--cgroup") && strrchr(value, ':')) {
			char *mode = strrchr(argv[i], ':');

			*mode = '\0';
			cgroups[options.cgroup_count++ % GATE_CGROUPS] =
				(struct gate_cgroup){value, mode_of(mode + 1)};
		} else if (!strcmp(name, "--port")) {
			ports[options.port_count++ % 256] = (uint16_t)atoi(value);
		} else if (!strcmp(name, "--max-wait")) {
			options.max_wait_ns = strtoull(value, NULL, 10) * 1000000;
		} else if (!strcmp(name, "--heartbeat-timeout")) {
			options.stale_ns = strtoull(value, NULL, 10) * 1000000;
		} else if (!strcmp(name, "--idle")) {
			options.idle_ns = strtoull(value, NULL, 10) * 1000000;
		} else if (!strcmp(name, "--pin")) {
			options.pin = value;
		} else if (!strcmp(name, "--flows")) {
			options.flows = (uint32_t)atoi(value);
		} else if (!strcmp(name, "--prefixes")) {
			options.prefixes = (uint32_t)atoi(value);
		} else if (!strcmp(name, "--token")) {
			options.token = strtoull(value, NULL, 10);
		} else if (!strcmp(name, "--errno")) {
			options.refuse_errno = atoi(value);
		} else {
			fprintf(stderr, "unknown: %s\n", name);
			return 2;
		}
	}
	error = gate_open(&options, &gate, why, sizeof why);
	printf(error ? "error: %s\n" : "ready\n", why);
	fflush(stdout);
	if (error)
		return 1;
	error = run(gate);
	gate_close(gate, error == 2);
	return 0;
}
