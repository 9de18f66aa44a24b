/* SPDX-License-Identifier: MIT
 *
 * The life of a gate: open, heartbeat, cgroups that come and go, close.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "ebpf/gate.h"
#include "ebpf/gate_internal.h"

static uint64_t monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int gate_errno_allowed(int error)
{
	static const int allowed[] = {EPERM,	EACCES,	   ECONNREFUSED, ENETUNREACH,  EHOSTUNREACH,
				      ENETDOWN, EHOSTDOWN, ETIMEDOUT,	 EADDRNOTAVAIL};

	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
		if (allowed[i] == error)
			return 1;
	return 0;
}

static int options_check(const struct gate_options *options, char *why, size_t size)
{
	const char *what = NULL;

	if (!options->cgroup_count || options->cgroup_count > GATE_CGROUPS)
		what = "one to sixteen cgroups can be gated";
	else if (!options->port_count)
		what = "no port to gate";
	else if (options->refuse_errno && !gate_errno_allowed(options->refuse_errno))
		what = "an errno that programs do not take for a failed connect()";
	for (size_t i = 0; !what && i < options->cgroup_count; i++)
		if (options->cgroups[i].mode < GATE_OBSERVE || options->cgroups[i].mode > GATE_DENY)
			what = "a cgroup's mode is observe, pace or deny";
	for (size_t i = 0; !what && i < options->cgroup_count; i++) {
		size_t length = strlen(options->cgroups[i].path);

		for (size_t j = 0; j < options->cgroup_count; j++) {
			const char *other = options->cgroups[j].path;

			if (i != j && !strncmp(options->cgroups[i].path, other, length) &&
			    (other[length] == '/' || other[length] == '\0'))
				what = "a gated cgroup within another would be charged twice";
		}
	}
	if (what)
		snprintf(why, size, "%s", what);
	return what ? -EINVAL : 0;
}

/* The tick's length is what the coarse clock resolves, on every kernel and architecture. */
static uint32_t ticks_per_second(void)
{
	struct timespec ts;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &ts) || ts.tv_nsec <= 0)
		return 100;
	return (uint32_t)((NS_PER_S + (uint64_t)ts.tv_nsec / 2) / (uint64_t)ts.tv_nsec);
}

/* Since Linux 6.5 the first retries of a SYN are evenly spaced, unless an administrator says
 * otherwise. */
static uint32_t syn_is_linear(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_syn_linear_timeouts", "re");
	unsigned linear = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%u", &linear) != 1)
		linear = 0;
	fclose(file);
	return linear >= 2;
}

/* How far the kernel's clock is ahead of ours: 0, but in another time namespace. The closest of
 * some tries, since we may be interrupted between the readings. */
static int clock_compare(struct gate *gate)
{
	uint64_t closest = UINT64_MAX;

	for (int try = 0; try < 8; try++) {
		uint64_t before = monotonic(), after;
		int error = gate_objects_clock(gate->kernel);

		if (error)
			return error;
		after = monotonic();
		if (after - before < closest) {
			closest = after - before;
			gate->table.clock_offset_ns =
				(int64_t)(gate->table.totals[GATE_TOTAL_CLOCK] - before -
					  closest / 2);
		}
	}
	/* What is within the error of measuring is no other namespace. */
	if (llabs(gate->table.clock_offset_ns) <= (int64_t)closest)
		gate->table.clock_offset_ns = 0;
	return 0;
}

static uint64_t kernel_time(const struct gate *gate, uint64_t now_ns)
{
	return now_ns + (uint64_t)gate->table.clock_offset_ns;
}

/* ---- cgroups --------------------------------------------------------------------------------- */

static int cgroup_attach(struct gate *gate, size_t i)
{
	struct gate_folder *folder = &gate->folder[i];
	int got = gate_cgroup_open(folder);

	if (got <= 0)
		return got;
	/* Noted before the programs stand: what is open by then is followed by nobody. */
	if (!gate->taken_over)
		gate_adopt_begin(gate, folder);
	got = gate_objects_attach(gate->kernel, i, folder->fd, folder->id);
	if (got < 0)
		gate_cgroup_close(folder);
	return got;
}

static void cgroups_look(struct gate *gate)
{
	for (size_t i = 0; i < gate->folder_count; i++) {
		struct gate_folder *folder = &gate->folder[i];

		if (gate_cgroup_gone(folder)) {
			gate_objects_retire(gate->kernel, i, monotonic());
			gate_cgroup_close(folder);
		}
		if (folder->fd < 0 && cgroup_attach(gate, i) >= 0 && folder->fd >= 0)
			gate->restarts++;
	}
}

/* Are all cgroups that exist still gated by the process before, over the maps that we opened? If
 * not, connections were missed meanwhile, and what is counted as open cannot be trusted. */
static int take_over_whole(struct gate *gate)
{
	if (!gate_objects_maps_reused(gate->kernel))
		return 0;
	for (size_t i = 0; i < gate->folder_count; i++)
		if (gate->folder[i].fd >= 0 &&
		    !gate_objects_has_pins(gate->kernel, gate->folder[i].id))
			return 0;
	return 1;
}

static void places_forget(struct gate *gate)
{
	struct gate_table *table = &gate->table;

	/* Sockets of the old epoch are followed no more. */
	table->control->epoch++;
	for (uint32_t slot = 0; slot < table->flow_count; slot++) {
		__atomic_store_n(&table->flows[slot].open, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&table->flows[slot].preadmitted_open, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&table->flows[slot].adopted, 0, __ATOMIC_RELAXED);
	}
}

/* The locks, which a second process does not get. */
static int folders_open(struct gate *gate, char *why, size_t size)
{
	for (size_t i = 0; i < gate->folder_count; i++) {
		int got = gate_cgroup_open(&gate->folder[i]);

		if (got < 0) {
			snprintf(why, size, "%s: %s", gate->folder[i].path,
				 got == -EBUSY ? "another process gates it" : strerror(-got));
			return got;
		}
	}
	return 0;
}

static void pins_judge(struct gate *gate)
{
	uint64_t keep[GATE_CGROUPS];
	size_t kept = 0;

	for (size_t i = 0; i < gate->folder_count; i++)
		if (gate->folder[i].fd >= 0)
			keep[kept++] = gate->folder[i].id;
	gate->taken_over = (uint32_t)take_over_whole(gate);
	if (!gate->taken_over)
		places_forget(gate);
	gate_objects_forget_pins(gate->kernel, keep, kept);
}

static int cgroups_attach(struct gate *gate, char *why, size_t size)
{
	for (size_t i = 0; i < gate->folder_count; i++) {
		struct gate_folder *folder = &gate->folder[i];
		int got;

		if (folder->fd < 0)
			continue;
		if (!gate->taken_over)
			gate_adopt_begin(gate, folder);
		got = gate_objects_attach(gate->kernel, i, folder->fd, folder->id);
		if (got < 0) {
			snprintf(why, size, "%s: cannot attach: %s", folder->path, strerror(-got));
			return got;
		}
	}
	return 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int folders_init(struct gate *gate, const struct gate_options *options, char *why,
			size_t size)
{
	gate->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (gate->notify < 0)
		return -errno;
	for (size_t i = 0; i < options->cgroup_count; i++) {
		int error = gate_cgroup_init(&gate->folder[i], options->cgroups[i].path, why, size);

		if (error)
			return error;
		gate->folder_count = i + 1;
		gate_cgroup_watch(&gate->folder[i], gate->notify);
	}
	return 0;
}

/* Before the first word that says deny or pace, the programs for it must stand: a connection would
 * not be refused, a SYN leave early. */
static int mode_begin(struct gate *gate, uint32_t mode)
{
	int error;

	if (mode != GATE_PACE && (mode != GATE_DENY || gate->strictest == GATE_PACE))
		return 0;
	if (gate->strictest == mode)
		return 0;
	error = gate_objects_attach_late(gate->kernel, mode == GATE_PACE);
	if (!error)
		gate->strictest = mode;
	return error;
}

/* The heartbeat comes first, and the limits of the pinned maps stay: the gate may already be in
 * force. */
static int gate_start(struct gate *gate, const struct gate_options *options, char *why, size_t size)
{
	int error = clock_compare(gate);

	if (error)
		return error;
	gate->table.idle_ns = options->idle_ns ? options->idle_ns : 3600 * NS_PER_S;
	gate->table.control->heartbeat_ns = kernel_time(gate, monotonic());
	gate_table_configure(&gate->table, options, ticks_per_second(), syn_is_linear());
	for (size_t i = 0; i < options->cgroup_count && !error; i++)
		error = mode_begin(gate, options->cgroups[i].mode);
	pins_judge(gate);
	if (!error)
		error = cgroups_attach(gate, why, size);
	/* The modes last, when everything that they need stands. */
	for (size_t i = 0; i < options->cgroup_count; i++)
		gate->table.control->cgroup_mode[i] = options->cgroups[i].mode;
	return error;
}

int gate_open(const struct gate_options *options, struct gate **ret, char *why, size_t size)
{
	struct gate *gate;
	int error = options_check(options, why, size);

	if (error)
		return error;
	gate = calloc(1, sizeof *gate);
	if (!gate)
		return -ENOMEM;
	gate->notify = -1;
	gate->event = options->event;
	gate->arg = options->arg;
	snprintf(why, size, "%s", "");
	error = folders_init(gate, options, why, size);
	/* The lock comes before the maps: a second process must not touch what is pinned. */
	if (!error)
		error = folders_open(gate, why, size);
	if (!error) {
		char missing[256];

		error = gate_objects_load(options, &gate->table, &gate->kernel, why, size);
		/* What is missing says more than which call failed. */
		if (error && gate_probe(missing, sizeof missing))
			snprintf(why, size, "%s", missing);
	}
	if (!error)
		error = gate_start(gate, options, why, size);
	if (error) {
		if (!why[0])
			snprintf(why, size, "%s", strerror(-error));
		gate_close(gate, 0);
		return error;
	}
	*ret = gate;
	return 0;
}

void gate_close(struct gate *gate, int unpin)
{
	if (!gate)
		return;
	gate_objects_free(gate->kernel, unpin);
	gate_table_free(&gate->table);
	for (size_t i = 0; i < GATE_CGROUPS && gate->folder[i].path; i++)
		gate_cgroup_free(&gate->folder[i]);
	if (gate->notify >= 0)
		close(gate->notify);
	free(gate->adopted);
	free(gate);
}

/* ---- running --------------------------------------------------------------------------------- */

int gate_fds(const struct gate *gate, int fds[2])
{
	fds[0] = gate_objects_ring_fd(gate->kernel);
	fds[1] = gate->notify;
	return 2;
}

static void event_in(void *arg, const struct gate_event *event)
{
	struct gate *gate = arg;
	const struct gate_flow *flow;

	if (!gate->event || event->slot >= gate->table.flow_count)
		return;
	flow = &gate->table.flows[event->slot];
	if (flow->tag == event->tag)
		gate->event(gate->arg, event, &flow->key);
}

int gate_consume(struct gate *gate)
{
	_Alignas(struct inotify_event) char buffer[4096];
	int came = 0;

	while (read(gate->notify, buffer, sizeof buffer) > 0)
		came = 1;
	if (came)
		cgroups_look(gate);
	return gate_objects_consume(gate->kernel, event_in, gate);
}

void gate_tick(struct gate *gate, uint64_t now_ns)
{
	uint64_t now = kernel_time(gate, now_ns);

	/* Relaxed: a figure by itself. */
	__atomic_store_n(&gate->table.control->heartbeat_ns, now, __ATOMIC_RELAXED);
	if (now_ns - gate->second_ns < NS_PER_S)
		return;
	gate->second_ns =
		gate->second_ns + 2 * NS_PER_S > now_ns ? gate->second_ns + NS_PER_S : now_ns;
	/* A kernel that cannot refuse unbound sockets by itself needs egress to drop their SYNs. */
	if (gate->table.totals[GATE_TOTAL_NO_BIND])
		mode_begin(gate, GATE_PACE);
	gate_table_housekeep(&gate->table, now);
	cgroups_look(gate);
	gate_objects_housekeep(gate->kernel, now_ns);
	gate_adopt_refresh(gate);
}

static int limits_begin(struct gate *gate, const struct gate_limits *limits)
{
	int error = 0;

	for (uint32_t i = 0; i < gate->folder_count && !error; i++)
		error = mode_begin(gate, gate_mode_of(limits->modes, i));
	return error;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static struct gate_limits limits_in_kernel_time(const struct gate *gate,
						const struct gate_limits *limits)
{
	struct gate_limits copy = *limits;

	if (copy.hold_until_ns)
		copy.hold_until_ns = kernel_time(gate, copy.hold_until_ns);
	return copy;
}

int gate_flow_set_key(struct gate *gate, const struct gate_key *key,
		      const struct gate_limits *limits, uint64_t now_ns)
{
	struct gate_limits copy = limits_in_kernel_time(gate, limits);
	int error = limits_begin(gate, limits);

	if (error)
		return error;
	return gate_table_flow_set(&gate->table, key, &copy, kernel_time(gate, now_ns));
}

int gate_flow_set(struct gate *gate, const uint8_t source[16], uint32_t destination,
		  const struct gate_limits *limits, uint64_t now_ns)
{
	struct gate_key key = {.destination_id = destination};

	if (!destination || destination >= gate->table.destination_count)
		return -EINVAL;
	memcpy(key.source, source, sizeof key.source);
	return gate_flow_set_key(gate, &key, limits, now_ns);
}

int gate_destination_set(struct gate *gate, uint32_t destination, const struct gate_limits *limits,
			 uint64_t now_ns)
{
	struct gate_limits copy = limits_in_kernel_time(gate, limits);
	int error = limits_begin(gate, limits);

	if (error)
		return error;
	return gate_table_destination_set(&gate->table, destination, &copy,
					  kernel_time(gate, now_ns));
}

int gate_cgroup_mode(struct gate *gate, size_t cgroup, uint32_t mode)
{
	int error;

	if (cgroup >= gate->folder_count || mode < GATE_OBSERVE || mode > GATE_DENY)
		return -EINVAL;
	error = mode_begin(gate, mode);
	if (!error)
		__atomic_store_n(&gate->table.control->cgroup_mode[cgroup], mode, __ATOMIC_RELAXED);
	return error;
}

int gate_destination_add(struct gate *gate, const uint8_t address[16], uint32_t bits,
			 uint32_t destination)
{
	uint32_t words[4];

	if (bits > 128 || !destination || destination >= gate->table.destination_count)
		return -EINVAL;
	memcpy(words, address, sizeof words);
	return gate_objects_prefix_set(gate->kernel, words, bits, destination);
}

int gate_destination_remove(struct gate *gate, const uint8_t address[16], uint32_t bits)
{
	uint32_t words[4];

	memcpy(words, address, sizeof words);
	return bits > 128 ? -EINVAL : gate_objects_prefix_remove(gate->kernel, words, bits);
}

uint64_t gate_unseen(const struct gate *gate)
{
	static const enum gate_total totals[] = {GATE_TOTAL_FULL, GATE_TOTAL_NO_STORAGE,
						 GATE_TOTAL_STALE, GATE_TOTAL_DROPPED};
	uint64_t sum = 0;

	/* Relaxed: counts that only grow, each by itself. */
	for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++)
		sum += __atomic_load_n(&gate->table.totals[totals[i]], __ATOMIC_RELAXED);
	return sum;
}

void gate_status(const struct gate *gate, struct gate_status *ret)
{
	const struct gate_table *table = &gate->table;

	memset(ret, 0, sizeof *ret);
	for (int i = 0; i < GATE_TOTALS; i++)
		ret->total[i] = __atomic_load_n(&table->totals[i], __ATOMIC_RELAXED);
	for (uint32_t slot = 0; slot < table->flow_count; slot++)
		ret->flows += table->flows[slot].tag > GATE_TAG_DYING;
	ret->flows_max = table->flow_count;
	ret->restarts = gate->restarts;
	ret->cgroups = (uint32_t)gate->folder_count;
	for (size_t i = 0; i < gate->folder_count; i++)
		ret->attached += gate->folder[i].fd >= 0;
	ret->hz = table->control->hz;
	ret->taken_over = gate->taken_over;
	ret->clock_offset_ns = table->clock_offset_ns;
}
