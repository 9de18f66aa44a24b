/* SPDX-License-Identifier: MIT
 *
 * What the eBPF gate costs.
 *
 *   gate [--json] [--seconds N]     as root; without, it says so and exits with 77
 *
 * one_flow, random_lpm
 *     the decision, by test-run of the functions that the hooks call; what an empty program takes
 *     is part of it
 * connect_*
 *     a whole connect() on loopback, the median; gated and plain take turns in one process that
 *     moves between two cgroups, so that both see the same machine; the ratio is the median of the
 *     pairs' ratios
 * reply_*
 *     a round trip on an open connection whose receiver answers 250, 451, or 1,400 bytes that look
 *     like TLS, replies being read (ebpf: {replies: true})
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "ebpf/gate.h"
#include "shm/gcra.h"
#include "sidecar/cli/options.h"

#if __has_include("ebpf/gate_test.skel.h")

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "ebpf/gate_test.skel.h"

#define REPEAT	 10000
#define CONNECTS 400
#define ROUNDS	 31

static int json;
static double seconds = 1; /* scales the rounds */
static char plain_cgroup[512], gated_cgroup[512];

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, by_size);
	return values[count / 2];
}

static void result(const char *name, double ns, double ratio)
{
	if (json)
		printf("{\"case\": \"%s\", \"ns\": %.1f, \"mps\": %.3f", name, ns, 1000 / ns);
	else
		printf("%-28s %10.1f ns %8.3f M/s", name, ns, 1000 / ns);
	if (ratio > 0)
		printf(json ? ", \"ratio\": %.4f" : "   x %.4f of plain", ratio);
	printf(json ? "}\n" : "\n");
	fflush(stdout);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static double run_ns(const struct bpf_program *program)
{
	double took[151];

	for (size_t i = 0; i < sizeof took / sizeof *took; i++) {
		char packet[64] = {0};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet,
			    .data_size_in = sizeof packet, .repeat = REPEAT);

		if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts))
			return 0;
		took[i] = opts.duration;
	}
	return median(took, sizeof took / sizeof *took);
}

/* 4,096 prefixes that cover an IPv4 /12, of 2,047 destinations with limits of their own. */
static void prefixes_fill(const struct gate_test_bpf *skel)
{
	for (uint32_t i = 0; i < 4096; i++) {
		struct gate_prefix4 prefix = {.bits = 24, .address = htonl(0x0a000000 | i << 8)};
		uint32_t id = 1 + i % 2047;
		struct gate_destination limits = {
			.limits = {.rate = {gcra_rate(1, 1000000)}, .generation = 1}};

		bpf_map_update_elem(bpf_map__fd(skel->maps.prefixes4), &prefix, &id, BPF_ANY);
		bpf_map_update_elem(bpf_map__fd(skel->maps.destinations), &id, &limits, BPF_ANY);
	}
}

/* Each flow its own limits, as the sidecar sets them. */
static void flows_limit(const struct gate_test_bpf *skel)
{
	uint32_t count = bpf_map__max_entries(skel->maps.flows);
	struct gate_flow *flows = mmap(NULL, count * sizeof *flows, PROT_READ | PROT_WRITE,
				       MAP_SHARED, bpf_map__fd(skel->maps.flows), 0);

	if (flows == MAP_FAILED)
		return;
	for (uint32_t i = 0; i < count; i++) {
		flows[i].limits.rate[0] = gcra_rate(1, 1000000);
		flows[i].limits.generation = flows[i].ready != 0;
	}
	munmap(flows, count * sizeof *flows);
}

static void decisions(void)
{
	struct gate_control control = {.max_wait_ns = 12000000000, .hz = 250};
	struct gate_destination limits = {
		.limits = {.rate = {gcra_rate(1, 1000000)}, .generation = 1}};
	struct gate_test_bpf *skel = gate_test_bpf__open();
	uint32_t zero = 0;

	if (!skel)
		return;
	bpf_map__set_max_entries(skel->maps.flows, 65536);
	skel->rodata->gate_buckets_mask = 65536 / GATE_WAYS - 1;
	if (gate_test_bpf__load(skel))
		return;
	control.cgroup_mode[0] = GATE_PACE;
	bpf_map_update_elem(bpf_map__fd(skel->maps.control), &zero, &control, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(skel->maps.destinations), &zero, &limits, BPF_ANY);
	prefixes_fill(skel);
	result("empty", run_ns(skel->progs.trial_empty), 0);
	result("one_flow", run_ns(skel->progs.trial_one_flow), 0);
	result("one_flow_whole", run_ns(skel->progs.trial_whole), 0);
	run_ns(skel->progs.trial_random); /* claims the flows */
	flows_limit(skel);
	result("random_lpm", run_ns(skel->progs.trial_random), 0);
	gate_test_bpf__destroy(skel);
}

/* ---- connect() ------------------------------------------------------------------------------- */

static void join(const char *cgroup)
{
	char path[600];
	int fd;

	snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%d", (int)getpid()) < 0)
		perror(path);
	close(fd);
}

static struct sockaddr_in loopback(uint32_t host, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x7f000000 | host)};
}

/* Accepts in a process of its own, outside of the gated cgroup. */
static pid_t receiver(int listener)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			close(fd);
	}
}

static int listen_any(uint16_t *ret_port)
{
	struct sockaddr_in at = loopback(1, 0);
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&at, &size))
		perror("gate: listen");
	*ret_port = ntohs(at.sin_port);
	return fd;
}

/* Sockets belong to the cgroup in which they were made, wherever their maker goes: so sockets of
 * both cgroups are made first, and then connect in turns, one by one. */
static void sockets_make(const char *cgroup, int fds[CONNECTS])
{
	struct sockaddr_in from = loopback(2, 0);
	struct linger linger = {.l_onoff = 1};
	int one = 1;

	join(cgroup);
	for (size_t i = 0; i < CONNECTS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fds[i], IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
		if (bind(fds[i], (struct sockaddr *)&from, sizeof from))
			perror("gate: bind");
	}
}

static double connect_ns(int fd, uint16_t port)
{
	struct sockaddr_in to = loopback(1, port);
	uint64_t start = now();
	double took;

	if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
		/* Refused: timed as well. */
	}
	took = (double)(now() - start);
	close(fd);
	return took;
}

static void round_run(uint16_t port, double *ret_plain, double *ret_gated)
{
	static double plain[CONNECTS], gated[CONNECTS];
	static int plain_fds[CONNECTS], gated_fds[CONNECTS];

	sockets_make(plain_cgroup, plain_fds);
	sockets_make(gated_cgroup, gated_fds);
	for (size_t i = 0; i < CONNECTS; i++) {
		/* Who goes first changes, so that what one leaves behind is shared out. */
		if (i % 2)
			gated[i] = connect_ns(gated_fds[i], port);
		plain[i] = connect_ns(plain_fds[i], port);
		if (i % 2 == 0)
			gated[i] = connect_ns(gated_fds[i], port);
	}
	*ret_plain = median(plain, CONNECTS);
	*ret_gated = median(gated, CONNECTS);
}

static void pairs(const char *name, uint16_t port, struct gate *gate, double *ret_plain)
{
	size_t rounds = (size_t)(ROUNDS * seconds) + 1;
	double *plain = calloc(rounds, sizeof *plain), *gated = calloc(rounds, sizeof *gated);
	double *ratio = calloc(rounds, sizeof *ratio);

	for (size_t i = 0; i < rounds; i++) {
		round_run(port, &plain[i], &gated[i]);
		ratio[i] = gated[i] / plain[i];
		gate_consume(gate);
	}
	*ret_plain = median(plain, rounds);
	result(name, median(gated, rounds), median(ratio, rounds));
	free(plain);
	free(gated);
	free(ratio);
}

static void limit(struct gate *gate, uint64_t rate)
{
	struct gate_limits limits = {.rate = {rate}};

	gate_destination_set(gate, 0, &limits, now());
}

static struct gate *gate_in(uint32_t mode, uint16_t port, int replies)
{
	struct gate_cgroup cgroup = {gated_cgroup, mode};
	struct gate_options options = {.cgroups = &cgroup,
				       .cgroup_count = 1,
				       .ports = &port,
				       .port_count = 1,
				       .replies = replies};
	struct gate *gate = NULL;
	char why[256];

	if (gate_open(&options, &gate, why, sizeof why)) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	limit(gate, gcra_rate(1000, 1000000));
	return gate;
}

static void connects(uint16_t port, uint16_t other)
{
	double plain, ignored;
	struct gate *gate = gate_in(GATE_PACE, port, 0);

	pairs("connect_gated", port, gate, &plain);
	result("connect_plain", plain, 0);
	pairs("connect_other_port_pace", other, gate, &ignored);
	gate_close(gate, 1);
	gate = gate_in(GATE_OBSERVE, port, 0);
	pairs("connect_observe", port, gate, &ignored);
	pairs("connect_other_port", other, gate, &ignored);
	gate_close(gate, 1);
	gate = gate_in(GATE_DENY, port, 0);
	pairs("connect_deny", port, gate, &ignored);
	pairs("connect_other_port_deny", other, gate, &ignored);
	limit(gate, gcra_rate(3600000000000, 1));
	pairs("connect_refused", port, gate, &ignored);
	gate_close(gate, 1);
}

/* ---- replies --------------------------------------------------------------------------------- */

#define TRIPS 100 /* of one connection: less than are told of it */

static const char accepted[] = "250 2.1.0 Ok\r\n";
static const char refused[] = "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate "
			      "limited due to IP reputation. For e-mail delivery information see "
			      "https://postmaster.example (S775)\r\n";
static const char sealed[1400] = "\x17\x03\x03";

/* Answers each byte with what it asks for. */
static void answer(int fd)
{
	int one = 1;
	char what;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	while (read(fd, &what, 1) == 1) {
		const char *text = what == 'a' ? accepted : what == 'r' ? refused : sealed;
		size_t length = what == 's' ? sizeof sealed : strlen(text);

		if (write(fd, text, length) != (ssize_t)length)
			break;
	}
}

static pid_t answerer(int listener)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0 && fork() == 0) {
			answer(fd);
			_exit(0);
		}
		close(fd);
	}
}

static int connected(const char *cgroup, uint16_t port)
{
	struct sockaddr_in to = loopback(1, port);
	int fd, one = 1;

	join(cgroup);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (struct sockaddr *)&to, sizeof to))
		perror("gate: connect");
	return fd;
}

static double trip_ns(int fd, char what, size_t length)
{
	uint64_t start = now();
	char text[2048];

	if (write(fd, &what, 1) != 1 || recv(fd, text, length, MSG_WAITALL) != (ssize_t)length)
		perror("gate: reply");
	return (double)(now() - start);
}

static void trips(const char *name, char what, size_t length, uint16_t port, struct gate *gate)
{
	size_t rounds = (size_t)(ROUNDS * seconds) + 1;
	double *ratio = calloc(rounds, sizeof *ratio), *took = calloc(rounds, sizeof *took);

	for (size_t round = 0; round < rounds; round++) {
		double plain[TRIPS], gated[TRIPS];
		int fds[2] = {connected(plain_cgroup, port), connected(gated_cgroup, port)};

		for (size_t i = 0; i < TRIPS; i++) {
			if (i % 2)
				gated[i] = trip_ns(fds[1], what, length);
			plain[i] = trip_ns(fds[0], what, length);
			if (i % 2 == 0)
				gated[i] = trip_ns(fds[1], what, length);
		}
		took[round] = median(gated, TRIPS);
		ratio[round] = took[round] / median(plain, TRIPS);
		close(fds[0]);
		close(fds[1]);
		gate_consume(gate);
	}
	result(name, median(took, rounds), median(ratio, rounds));
	free(ratio);
	free(took);
}

static void replies(void)
{
	uint16_t port;
	int listener = listen_any(&port);
	pid_t pid = answerer(listener);
	struct gate *gate = gate_in(GATE_OBSERVE, port, 1);

	trips("reply_accepted", 'a', sizeof accepted - 1, port, gate);
	trips("reply_refused", 'r', sizeof refused - 1, port, gate);
	trips("reply_tls", 's', sizeof sealed, port, gate);
	gate_close(gate, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(listener);
}

static int cgroups_make(void)
{
	char line[1024], root[256] = "";
	FILE *mounts = fopen("/proc/self/mounts", "re");

	while (mounts && fgets(line, sizeof line, mounts))
		if (strstr(line, " cgroup2 "))
			sscanf(line, "%*s %255s", root);
	if (mounts)
		fclose(mounts);
	snprintf(plain_cgroup, sizeof plain_cgroup, "%s/tollgate-bench-plain-%d", root,
		 (int)getpid());
	snprintf(gated_cgroup, sizeof gated_cgroup, "%s/tollgate-bench-gated-%d", root,
		 (int)getpid());
	return root[0] && !mkdir(plain_cgroup, 0755) && !mkdir(gated_cgroup, 0755) ? 0 : -1;
}

static void cgroups_remove(const char *home)
{
	join(home);
	rmdir(plain_cgroup);
	rmdir(gated_cgroup);
}

/* The cgroup v2 folder that this process stands in. */
static void cgroup_home(char *home, size_t size)
{
	char line[1024], *slash = strrchr(strcpy(line, plain_cgroup), '/');
	FILE *file = fopen("/proc/self/cgroup", "re");

	*slash = '\0';
	snprintf(home, size, "%s", line);
	while (file && fgets(line, sizeof line, file)) {
		if (!strncmp(line, "0::", 3)) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(home + strlen(home), size - strlen(home), "%s", line + 3);
		}
	}
	if (file)
		fclose(file);
}

static const char *seconds_take(void *into, const char *name, char *text)
{
	char *end;

	seconds = strtod(text, &end);
	return *text && !*end && seconds > 0 ? NULL : "not a number above 0";
}

static void command_line_read(int argc, char **argv)
{
	struct options {
		bool json, quick;
	} options = {false, false};
	static const struct cli_option rows[] = {CLI_JSON(struct options),
						 {"seconds", 0, "N",
						  "how long, as a factor of what it takes without",
						  CLI_READ, 0, 0, seconds_take},
						 {"quick", 0, NULL, "as --seconds 0.3", CLI_FLAG,
						  offsetof(struct options, quick), 0, NULL},
						 {0}};
	static const struct cli_syntax syntax = {
		.program = "gate",
		.about = "Measures what the eBPF gate costs, as root; without root it exits with "
			 "77.",
		.options = rows,
	};
	char **arguments;

	options_read(&syntax, argc, argv, &options, &arguments);
	json = options.json;
	if (options.quick)
		seconds = 0.3;
}

int main(int argc, char **argv)
{
	uint16_t port, other;
	char why[256], home[2048];
	int listeners[2];
	pid_t pids[2];

	command_line_read(argc, argv);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){8192, 8192});
	if (gate_probe(why, sizeof why)) {
		printf("SKIP: %s\n", why);
		return 77;
	}
	decisions();
	listeners[0] = listen_any(&port);
	listeners[1] = listen_any(&other);
	for (int i = 0; i < 2; i++)
		pids[i] = receiver(listeners[i]);
	if (!cgroups_make()) {
		cgroup_home(home, sizeof home);
		connects(port, other);
		replies();
		cgroups_remove(home);
	}
	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return 0;
}

#else

int main(void)
{
	printf("SKIP: built without BPF\n");
	return 77;
}

#endif
