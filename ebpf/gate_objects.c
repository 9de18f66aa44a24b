/* SPDX-License-Identifier: MIT
 *
 * The kernel's objects: programs, maps, links, pins and the ring. The only file that includes
 * libbpf.
 *
 * The programs are loaded once per cgroup, each copy knowing which cgroup is its own, over one set
 * of maps. Links belong to the process and vanish with it, unless they are pinned: then the next
 * process opens the pinned maps, loads new programs over them and puts each in place of the old one
 * in its link, so that no connection slips through between.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>

#include "ebpf/gate.h"
#include "ebpf/gate.skel.h"
#include "ebpf/gate_internal.h"

#define PROGRAMS   7
#define MAPS	   9
#define PIN_MAX	   256
#define EVENTS_MAX 4096
/* A process beats ten times a second. */
#define PIN_ALIVE_NS (2 * NS_PER_S)

/* In the order of attaching: what follows a connection stands before connect() is gated. */
enum program { SETSOCKOPT, SOCK_OPS, EGRESS, RELEASE, INGRESS, CONNECT4, CONNECT6 };

static const char *const program_names[PROGRAMS] = {"setsockopt", "sock_ops", "egress",	 "release",
						    "ingress",	  "connect4", "connect6"};

/* Links of cgroups that are gone, while sockets of theirs may still be closing; what comes on top
 * of so many takes the place of the oldest. */
#define RETIRED_MAX 64
#define RETIRED_NS \
	(900 * NS_PER_S) /* longer than TCP keeps trying for a socket without a process */

struct gate_objects {
	struct gate_bpf *skel[GATE_CGROUPS];
	struct bpf_link *link[GATE_CGROUPS][PROGRAMS];
	uint64_t id[GATE_CGROUPS]; /* of the cgroup that is attached */
	int wanted[PROGRAMS];	   /* loaded */
	int late[PROGRAMS];	   /* not attached yet */
	int fd[GATE_CGROUPS];	   /* of the cgroup that is attached */
	size_t count;
	struct ring_buffer *ring;
	int prefixes4, prefixes6;
	int reused;
	char pin[PIN_MAX];
	struct retired {
		struct bpf_link *link;
		uint64_t until_ns;
	} retired[RETIRED_MAX];
	struct mapped {
		void *at;
		size_t size;
	} mapped[MAPS];
	void (*each)(void *arg, const struct gate_event *event);
	void *arg;
	int may_take; /* events, before others have their turn */
};

static struct bpf_program *program_of(const struct gate_bpf *skel, int which)
{
	struct bpf_program *const all[PROGRAMS] = {
		[SETSOCKOPT] = skel->progs.gate_setsockopt, [SOCK_OPS] = skel->progs.gate_sock_ops,
		[EGRESS] = skel->progs.gate_egress,	    [RELEASE] = skel->progs.gate_release,
		[INGRESS] = skel->progs.gate_ingress,	    [CONNECT4] = skel->progs.gate_connect4,
		[CONNECT6] = skel->progs.gate_connect6,
	};

	return all[which];
}

static void maps_of(const struct gate_bpf *skel, struct bpf_map *maps[MAPS])
{
	struct bpf_map *const all[MAPS] = {
		skel->maps.control,	 skel->maps.totals,    skel->maps.flows,
		skel->maps.destinations, skel->maps.prefixes4, skel->maps.prefixes6,
		skel->maps.ports,	 skel->maps.sockets,   skel->maps.events,
	};

	memcpy(maps, all, sizeof all);
}

static int fail(char *why, size_t size, int error, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(why, size, format, list);
	va_end(list);
	return error;
}

/* libbpf's own words are kept for the one line that says why: the last that names a reason. */
static char last_words[256];

static int quiet(enum libbpf_print_level level, const char *format, va_list list)
{
	if (level == LIBBPF_WARN) {
		vsnprintf(last_words, sizeof last_words, format, list);
		last_words[strcspn(last_words, "\n")] = '\0';
	}
	return 0;
}

/* ---- pins ------------------------------------------------------------------------------------ */

static int pin_path(const struct gate_objects *kernel, char *path, const char *name)
{
	return snprintf(path, PIN_MAX, "%s/%s", kernel->pin, name) < PIN_MAX ? 0 : -ENAMETOOLONG;
}

static int pin_folder(struct gate_objects *kernel, const char *pin, char *why, size_t size)
{
	struct statfs at;

	if (strlen(pin) + 64 > PIN_MAX)
		return fail(why, size, -ENAMETOOLONG, "%s: the path is too long", pin);
	if (mkdir(pin, 0700) && errno != EEXIST)
		return fail(why, size, -errno, "%s: %s", pin, strerror(errno));
	if (statfs(pin, &at) || (unsigned long)at.f_type != BPF_FS_MAGIC)
		return fail(why, size, -ENOTSUP, "%s: not in a bpffs (mount -t bpf)", pin);
	strcpy(kernel->pin, pin);
	return 0;
}

/* A pinned map that this build could use, or -1. */
static int pin_map_open(const struct gate_objects *kernel, const struct bpf_map *map)
{
	struct bpf_map_info info = {0};
	uint32_t length = sizeof info;
	char path[PIN_MAX];
	int fd;

	if (pin_path(kernel, path, bpf_map__name(map)))
		return -1;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -1;
	if (!bpf_obj_get_info_by_fd(fd, &info, &length) && info.type == bpf_map__type(map) &&
	    info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map))
		return fd;
	close(fd);
	return -1;
}

static int pin_version_fits(int control_fd)
{
	struct gate_control control;
	uint32_t zero = 0;

	return !bpf_map_lookup_elem(control_fd, &zero, &control) && control.version == GATE_VERSION;
}

/* All of the pinned maps or none: half of them would count in one and limit in another. */
static void pin_maps_reuse(struct gate_objects *kernel, struct gate_bpf *skel)
{
	struct bpf_map *maps[MAPS];
	int fds[MAPS], got = 0;

	maps_of(skel, maps);
	for (int i = 0; i < MAPS; i++) {
		fds[i] = pin_map_open(kernel, maps[i]);
		got += fds[i] >= 0;
	}
	if (got == MAPS && pin_version_fits(fds[0])) {
		kernel->reused = 1;
		for (int i = 0; i < MAPS; i++)
			if (bpf_map__reuse_fd(maps[i], fds[i]))
				kernel->reused = 0;
	}
	for (int i = 0; i < MAPS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int pin_maps(const struct gate_objects *kernel)
{
	struct bpf_map *maps[MAPS];
	char path[PIN_MAX];

	maps_of(kernel->skel[0], maps);
	for (int i = 0; i < MAPS; i++) {
		int error = pin_path(kernel, path, bpf_map__name(maps[i]));

		if (error)
			return error;
		unlink(path);
		if (bpf_obj_pin(bpf_map__fd(maps[i]), path))
			return -errno;
	}
	return 0;
}

static void pin_link_path(const struct gate_objects *kernel, char *path, uint64_t id, int which)
{
	snprintf(path, PIN_MAX, "%.190s/link-%llu-%s", kernel->pin, (unsigned long long)id,
		 program_names[which]);
}

int gate_objects_has_pins(const struct gate_objects *kernel, uint64_t cgroup_id)
{
	char path[PIN_MAX];

	for (int which = 0; which < PROGRAMS; which++) {
		pin_link_path(kernel, path, cgroup_id, which);
		if (kernel->wanted[which] && !kernel->late[which] &&
		    (!kernel->pin[0] || access(path, F_OK)))
			return 0;
	}
	return kernel->pin[0] != '\0';
}

void gate_objects_forget_pins(struct gate_objects *kernel, const uint64_t *keep, size_t count)
{
	struct dirent *entry;
	char path[PIN_MAX + 256];
	DIR *d;

	d = kernel->pin[0] ? opendir(kernel->pin) : NULL;
	while (d && (entry = readdir(d))) {
		unsigned long long id;
		size_t i = 0;

		if (sscanf(entry->d_name, "link-%llu-", &id) != 1)
			continue;
		while (i < count && keep[i] != id)
			i++;
		snprintf(path, sizeof path, "%s/%s", kernel->pin, entry->d_name);
		if (i == count)
			unlink(path);
	}
	if (d)
		closedir(d);
}

static void pins_remove(struct gate_objects *kernel)
{
	struct bpf_map *maps[MAPS];
	char path[PIN_MAX];

	gate_objects_forget_pins(kernel, NULL, 0);
	maps_of(kernel->skel[0], maps);
	for (int i = 0; i < MAPS; i++)
		if (!pin_path(kernel, path, bpf_map__name(maps[i])))
			unlink(path);
	rmdir(kernel->pin);
}

/* Has its process beaten lately? A moment before or after, since clocks are read one after the
 * other. */
static int pin_alive(const char *pin, uint64_t now_ns)
{
	struct gate_control control;
	char path[PIN_MAX + 16];
	uint32_t zero = 0;
	int fd, alive;

	snprintf(path, sizeof path, "%s/control", pin);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	alive = !bpf_map_lookup_elem(fd, &zero, &control) &&
		control.heartbeat_ns + PIN_ALIVE_NS > now_ns &&
		control.heartbeat_ns < now_ns + PIN_ALIVE_NS;
	close(fd);
	return alive;
}

int gate_pins_remove(const char *pin, uint64_t now_ns)
{
	struct dirent *entry;
	struct statfs at;
	int removed = 0, error = 0;
	DIR *d;

	if (strlen(pin) >= PIN_MAX || statfs(pin, &at) || (unsigned long)at.f_type != BPF_FS_MAGIC)
		return 0;
	libbpf_set_print(quiet);
	if (pin_alive(pin, now_ns))
		return -EBUSY;
	d = opendir(pin);
	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		char path[PIN_MAX + 256];

		snprintf(path, sizeof path, "%s/%s", pin, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		if (unlink(path))
			error = -errno;
		else
			removed = 1;
	}
	closedir(d);
	if (!error && rmdir(pin))
		error = -errno;
	return error ? error : removed;
}

/* ---- loading --------------------------------------------------------------------------------- */

static uint32_t power_of_two(uint32_t n, uint32_t otherwise)
{
	uint32_t power = GATE_WAYS;

	if (!n)
		n = otherwise;
	if (n > 1u << 24)
		n = 1u << 24;
	while (power < n)
		power *= 2;
	return power;
}

static void sizes_set(const struct gate_options *options, struct gate_bpf *skel)
{
	uint32_t destinations = options->destinations ? options->destinations : 4096;
	uint32_t prefixes = options->prefixes ? options->prefixes : 65536;

	bpf_map__set_max_entries(skel->maps.flows, power_of_two(options->flows, 16384));
	bpf_map__set_max_entries(skel->maps.destinations, destinations);
	bpf_map__set_max_entries(skel->maps.prefixes4, prefixes);
	bpf_map__set_max_entries(skel->maps.prefixes6, prefixes);
}

static int has_set_retval(void)
{
	/* r1 = -1; call bpf_set_retval; r0 = 1; exit */
	struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = -1},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_set_retval},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_CONNECT);
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "trial", "GPL", code, 4, &opts);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* What this configuration does not need is not attached: it would cost every packet something. */
static void programs_choose(struct gate_objects *kernel, const struct gate_options *options)
{
	for (int which = 0; which < PROGRAMS; which++)
		kernel->wanted[which] = 1;
	kernel->wanted[SETSOCKOPT] = options->token != 0;
	kernel->wanted[INGRESS] = options->replies;
	/* sock_ops is enough to observe. The others cost each connect(), and egress each packet. */
	kernel->late[EGRESS] = kernel->late[CONNECT4] = kernel->late[CONNECT6] = 1;
}

static int maps_share(struct gate_bpf *skel, const struct gate_bpf *first)
{
	struct bpf_map *mine[MAPS], *theirs[MAPS];

	maps_of(skel, mine);
	maps_of(first, theirs);
	for (int i = 0; i < MAPS; i++) {
		int error = bpf_map__reuse_fd(mine[i], bpf_map__fd(theirs[i]));

		if (error)
			return error;
	}
	return 0;
}

static uint32_t flows_mask(const struct gate_bpf *skel)
{
	return bpf_map__max_entries(skel->maps.flows) / GATE_WAYS - 1;
}

static int seed_of(const struct gate_objects *kernel, struct gate_bpf *skel, uint64_t *ret)
{
	struct gate_control control;
	uint32_t zero = 0;

	if (!kernel->reused)
		return getrandom(ret, sizeof *ret, 0) == sizeof *ret ? 0 : -EIO;
	if (bpf_map_lookup_elem(bpf_map__fd(skel->maps.control), &zero, &control))
		return -errno;
	*ret = control.seed;
	return 0;
}

static int copy_load(struct gate_objects *kernel, const struct gate_options *options, size_t i,
		     uint64_t *seed)
{
	struct gate_bpf *skel = gate_bpf__open();
	int error = 0;

	if (!skel)
		return -errno;
	kernel->skel[i] = skel;
	for (int which = 0; which < PROGRAMS; which++)
		bpf_program__set_autoload(program_of(skel, which), kernel->wanted[which]);
	bpf_program__set_autoload(skel->progs.gate_clock, i == 0);
	if (i == 0) {
		sizes_set(options, skel);
		if (kernel->pin[0])
			pin_maps_reuse(kernel, skel);
		error = seed_of(kernel, skel, seed);
	} else {
		error = maps_share(skel, kernel->skel[0]);
	}
	if (error)
		return error;
	skel->rodata->gate_cgroup = (uint32_t)i;
	skel->rodata->gate_buckets_mask = flows_mask(kernel->skel[0]);
	skel->rodata->gate_seed = *seed;
	skel->rodata->gate_has_set_retval = (uint32_t)has_set_retval();
	return gate_bpf__load(skel);
}

static void *map_memory(struct gate_objects *kernel, const struct bpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t value = (bpf_map__value_size(map) + 7) / 8 * 8;
	size_t size = (value * bpf_map__max_entries(map) + page - 1) / page * page;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	for (int i = 0; at != MAP_FAILED && i < MAPS; i++) {
		if (!kernel->mapped[i].at) {
			kernel->mapped[i] = (struct mapped){at, size};
			return at;
		}
	}
	return NULL;
}

static int memory_map(struct gate_objects *kernel, struct gate_table *table, uint64_t seed)
{
	struct gate_bpf *skel = kernel->skel[0];

	table->control = map_memory(kernel, skel->maps.control);
	table->totals = map_memory(kernel, skel->maps.totals);
	table->flows = map_memory(kernel, skel->maps.flows);
	table->destinations = map_memory(kernel, skel->maps.destinations);
	table->ports = map_memory(kernel, skel->maps.ports);
	if (!table->control || !table->totals || !table->flows || !table->destinations ||
	    !table->ports)
		return -ENOMEM;
	table->flow_count = bpf_map__max_entries(skel->maps.flows);
	table->destination_count = bpf_map__max_entries(skel->maps.destinations);
	table->mask = flows_mask(skel);
	table->control->seed = seed;
	table->history = calloc(table->flow_count, sizeof *table->history);
	return table->history ? 0 : -ENOMEM;
}

static int ring_event(void *arg, void *data, size_t size)
{
	struct gate_objects *kernel = arg;

	const struct gate_event *event = data;

	if (kernel->each && size >= sizeof(*event) &&
	    (event->kind != GATE_EVENT_REPLY || size >= sizeof(struct gate_reply)))
		kernel->each(kernel->arg, event);
	/* This one is taken; the others wait. */
	return --kernel->may_take > 0 ? 0 : -EAGAIN;
}

int gate_objects_load(const struct gate_options *options, struct gate_table *table,
		      struct gate_objects **ret, char *why, size_t size)
{
	struct gate_objects *kernel = calloc(1, sizeof *kernel);
	uint64_t seed = 0;
	int error = 0;

	if (!kernel)
		return -ENOMEM;
	libbpf_set_print(quiet);
	last_words[0] = '\0';
	programs_choose(kernel, options);
	if (options->pin)
		error = pin_folder(kernel, options->pin, why, size);
	if (error)
		goto out;
	for (size_t i = 0; !error && i < options->cgroup_count; i++, kernel->count++)
		error = copy_load(kernel, options, i, &seed);
	if (!error)
		error = memory_map(kernel, table, seed);
	if (!error && kernel->pin[0] && !kernel->reused)
		error = pin_maps(kernel);
	if (error) {
		fail(why, size, 0, "the kernel refused to load: %s",
		     last_words[0] ? last_words : strerror(-error));
		goto out;
	}
	kernel->prefixes4 = bpf_map__fd(kernel->skel[0]->maps.prefixes4);
	kernel->prefixes6 = bpf_map__fd(kernel->skel[0]->maps.prefixes6);
	kernel->ring = ring_buffer__new(bpf_map__fd(kernel->skel[0]->maps.events), ring_event,
					kernel, NULL);
	if (!kernel->ring) {
		error = fail(why, size, -errno, "the ring of events: %s", strerror(errno));
		goto out;
	}
	*ret = kernel;
	return 0;
out:
	gate_objects_free(kernel, 0);
	return error;
}

static void objects_detach(struct gate_objects *kernel, size_t i)
{
	for (int which = 0; which < PROGRAMS; which++) {
		char path[PIN_MAX];

		if (!kernel->link[i][which])
			continue;
		if (kernel->pin[0]) {
			pin_link_path(kernel, path, kernel->id[i], which);
			unlink(path);
		}
		bpf_link__destroy(kernel->link[i][which]);
		kernel->link[i][which] = NULL;
	}
	kernel->id[i] = 0;
}

static void retired_end(struct retired *retired)
{
	bpf_link__destroy(retired->link);
	retired->link = NULL;
}

void gate_objects_free(struct gate_objects *kernel, int unpin)
{
	if (!kernel)
		return;
	for (size_t i = 0; i < GATE_CGROUPS; i++) {
		if (unpin || !kernel->pin[0])
			objects_detach(kernel, i);
		for (int which = 0; which < PROGRAMS; which++)
			bpf_link__destroy(kernel->link[i][which]);
	}
	for (int i = 0; i < RETIRED_MAX; i++)
		retired_end(&kernel->retired[i]);
	if (unpin && kernel->pin[0] && kernel->skel[0])
		pins_remove(kernel);
	ring_buffer__free(kernel->ring);
	for (int i = 0; i < MAPS; i++)
		if (kernel->mapped[i].at)
			munmap(kernel->mapped[i].at, kernel->mapped[i].size);
	for (size_t i = 0; i < GATE_CGROUPS; i++)
		gate_bpf__destroy(kernel->skel[i]);
	free(kernel);
}

int gate_objects_maps_reused(const struct gate_objects *kernel)
{
	return kernel->reused;
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* Puts the new program in place of the one in a pinned link. */
static int link_take_over(struct gate_objects *kernel, size_t i, int which, uint64_t id)
{
	char path[PIN_MAX];
	struct bpf_link *link;
	int error;

	if (!kernel->pin[0])
		return -ENOENT;
	pin_link_path(kernel, path, id, which);
	link = bpf_link__open(path);
	if (!link)
		return -errno;
	error = bpf_link__update_program(link, program_of(kernel->skel[i], which));
	if (error) {
		/* Its cgroup is gone, or it was detached by hand. */
		bpf_link__destroy(link);
		unlink(path);
		return error;
	}
	kernel->link[i][which] = link;
	return 0;
}

static int link_attach(struct gate_objects *kernel, size_t i, int which, int cgroup_fd, uint64_t id)
{
	struct bpf_link *link =
		bpf_program__attach_cgroup(program_of(kernel->skel[i], which), cgroup_fd);
	char path[PIN_MAX];
	int error;

	if (!link)
		return -errno;
	kernel->link[i][which] = link;
	if (!kernel->pin[0])
		return 0;
	pin_link_path(kernel, path, id, which);
	/* A cgroup that came back after privileges went: gated, but not beyond this process. */
	error = bpf_link__pin(link, path);
	return error == -EACCES || error == -EPERM ? 0 : error;
}

int gate_objects_attach(struct gate_objects *kernel, size_t i, int cgroup_fd, uint64_t cgroup_id)
{
	int taken = 1;

	kernel->id[i] = cgroup_id;
	kernel->fd[i] = cgroup_fd;
	for (int which = 0; which < PROGRAMS; which++) {
		int error;

		if (!kernel->wanted[which])
			continue;
		/* One that the process before had attached goes on: something may still be held by
		 * it. */
		if (!link_take_over(kernel, i, which, cgroup_id) || kernel->late[which])
			continue;
		taken = 0;
		error = link_attach(kernel, i, which, cgroup_fd, cgroup_id);
		if (error) {
			objects_detach(kernel, i);
			return error;
		}
	}
	return taken;
}

static int attach_late(struct gate_objects *kernel, int which)
{
	int error = 0;

	kernel->late[which] = 0;
	for (size_t i = 0; i < kernel->count; i++)
		if (kernel->id[i] && !kernel->link[i][which] && !error)
			error = link_attach(kernel, i, which, kernel->fd[i], kernel->id[i]);
	return error;
}

int gate_objects_attach_late(struct gate_objects *kernel, int egress)
{
	int error = egress ? attach_late(kernel, EGRESS) : 0;

	if (!error)
		error = attach_late(kernel, CONNECT4);
	return error ? error : attach_late(kernel, CONNECT6);
}

static struct retired *retired_place(struct gate_objects *kernel)
{
	struct retired *oldest = kernel->retired;

	for (int i = 0; i < RETIRED_MAX; i++) {
		if (!kernel->retired[i].link)
			return &kernel->retired[i];
		if (kernel->retired[i].until_ns < oldest->until_ns)
			oldest = &kernel->retired[i];
	}
	return oldest;
}

void gate_objects_retire(struct gate_objects *kernel, size_t i, uint64_t now_ns)
{
	for (int which = 0; which < PROGRAMS; which++) {
		struct retired *place;
		char path[PIN_MAX];

		if (!kernel->link[i][which])
			continue;
		pin_link_path(kernel, path, kernel->id[i], which);
		if (kernel->pin[0])
			unlink(path);
		place = retired_place(kernel);
		retired_end(place);
		*place = (struct retired){kernel->link[i][which], now_ns + RETIRED_NS};
		kernel->link[i][which] = NULL;
	}
	kernel->id[i] = 0;
}

/* Those that the kernel has detached: the last socket of their cgroup is gone. */
void gate_objects_housekeep(struct gate_objects *kernel, uint64_t now_ns)
{
	for (int i = 0; i < RETIRED_MAX; i++) {
		struct retired *retired = &kernel->retired[i];
		struct bpf_link_info info = {0};
		uint32_t length = sizeof info;

		if (!retired->link)
			continue;
		if (now_ns > retired->until_ns ||
		    bpf_obj_get_info_by_fd(bpf_link__fd(retired->link), &info, &length) ||
		    !info.cgroup.cgroup_id)
			retired_end(retired);
	}
}

/* ---- events, prefixes, the clock ------------------------------------------------------------- */

int gate_objects_ring_fd(const struct gate_objects *kernel)
{
	return ring_buffer__epoll_fd(kernel->ring);
}

int gate_objects_consume(struct gate_objects *kernel,
			 void (*each)(void *arg, const struct gate_event *event), void *arg)
{
	int got;

	kernel->each = each;
	kernel->arg = arg;
	kernel->may_take = EVENTS_MAX;
	/* Whoever connects without end does not keep the caller: what is left is readable at once.
	 * A producer that saw the reader's position before this one moved it has not rung. So look
	 * again behind a full barrier, until nothing is there: what comes later sees an empty ring,
	 * and rings. */
	do {
		got = ring_buffer__consume(kernel->ring);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (got > 0);
	return EVENTS_MAX - kernel->may_take;
}

struct prefix_place {
	int map;
	union {
		struct gate_prefix4 v4;
		struct gate_prefix6 v6;
	} key;
};

static int is_mapped(const uint32_t address[4])
{
	return address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff);
}

/* In which map a prefix stands, and under which key. */
static struct prefix_place place_of(const struct gate_objects *kernel, const uint32_t address[4],
				    uint32_t bits)
{
	struct prefix_place place;

	memset(&place, 0, sizeof place);
	if (is_mapped(address) && bits >= 96) {
		place.map = kernel->prefixes4;
		place.key.v4 = (struct gate_prefix4){bits - 96, address[3]};
	} else {
		place.map = kernel->prefixes6;
		place.key.v6.bits = bits;
		memcpy(place.key.v6.address, address, sizeof place.key.v6.address);
	}
	return place;
}

int gate_objects_prefix_set(struct gate_objects *kernel, const uint32_t address[4], uint32_t bits,
			    uint32_t destination)
{
	struct prefix_place place = place_of(kernel, address, bits);

	return bpf_map_update_elem(place.map, &place.key, &destination, BPF_ANY) ? -errno : 0;
}

int gate_objects_prefix_remove(struct gate_objects *kernel, const uint32_t address[4],
			       uint32_t bits)
{
	struct prefix_place place = place_of(kernel, address, bits);

	return bpf_map_delete_elem(place.map, &place.key) ? -errno : 0;
}

uint32_t gate_objects_prefix_find(const struct gate_objects *kernel, const uint32_t address[4])
{
	struct prefix_place place = place_of(kernel, address, 128);
	uint32_t id = 0;

	return bpf_map_lookup_elem(place.map, &place.key, &id) ? 0 : id;
}

int gate_objects_clock(struct gate_objects *kernel)
{
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof packet);

	return bpf_prog_test_run_opts(bpf_program__fd(kernel->skel[0]->progs.gate_clock), &opts)
		       ? -errno
		       : 0;
}
