/* SPDX-License-Identifier: MIT
 *
 * The sidecar's parts, put together on the loop.
 *
 * Sleeping: while records come in, the sidecar lingers with short naps, because waking it costs a
 * worker ten times what a record costs; when none has come for a while it says that it sleeps,
 * looks once more (B0 in shm/ring.c), and waits for the doorbell.
 */
#include "sidecar/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/api/api.h"
#include "sidecar/base/log.h"
#include "sidecar/base/log_queue.h"
#include "sidecar/config/state_folder.h"
#include "sidecar/daemon/attribution.h"
#include "sidecar/daemon/reload.h"
#include "sidecar/daemon/settings.h"
#include "sidecar/daemon/types.h"
#include "sidecar/segment/calendar.h"
#include "sidecar/store/store.h"

/* Records a worker and round: none waits long behind another. */
#define DRAIN_MAX 256
#define NAP_NS	  UINT64_C(50000)
#define LINGER_NS UINT64_C(200000)
#define SECOND_NS UINT64_C(1000000000)

#define NAMES_MIN (UINT32_C(1) << 20)

_Static_assert(HEARTBEAT_INTERVAL_NS >= RECENT_NOTE_NS, "a note each beat");

/* ---- the segment ----------------------------------------------------------------------------- */

static int id_of_user(const char *name, int64_t *ret)
{
	struct passwd *user = name ? getpwnam(name) : NULL;

	*ret = user ? (int64_t)user->pw_uid : -1;
	return name && !user ? -ENOENT : 0;
}

static int id_of_group(const char *name, int64_t *ret)
{
	struct group *group = name ? getgrnam(name) : NULL;

	*ret = group ? (int64_t)group->gr_gid : -1;
	return name && !group ? -ENOENT : 0;
}

static int segment_begin(struct sidecar *s, char *reason)
{
	const struct config *config = s->generation.config;
	const struct config_segment *wanted = &config->segment;
	const char *owner = wanted->owner ? wanted->owner : config->user;
	struct segment_options options = {
		.path = wanted->path,
		.reserve_max_ns = wanted->max_reservation.value,
		.sizes =
			{
				.flows = (uint32_t)wanted->flows.value,
				.workers = (uint32_t)wanted->workers.value,
				.ring_records = (uint32_t)wanted->ring.value,
				.minutes = (uint32_t)wanted->minutes.value,
				.leases = (uint32_t)wanted->leases.value,
				.names_bytes = NAMES_MIN,
			},
	};

	engine_shape(&options);
	/* Room to grow on reload; the pages are touched when they are used. */
	while (options.sizes.names_bytes < config->table_length * 2)
		options.sizes.names_bytes *= 2;
	if (id_of_user(owner, &options.owner) != 0) {
		snprintf(reason, SIDECAR_REASON, "segment: this system knows no user \"%.64s\"",
			 owner);
		return -ENOENT;
	}
	if (id_of_group(wanted->group, &options.group) != 0) {
		snprintf(reason, SIDECAR_REASON, "segment: this system knows no group \"%.64s\"",
			 wanted->group);
		return -ENOENT;
	}
	s->options = options;
	return segment_open(&options, &s->segment, reason);
}

static struct segment *restorable; /* for the signal handler */

/* A file that a worker truncated raises SIGBUS where it is touched: it is made long again and the
 * access repeated. Otherwise there is no memory for a page that is touched for the first time, and
 * no going on: to repeat the access would be to repeat it for ever. (The access is one of ours in
 * the segment, never in the middle of the C library, so the log may be used.) */
static void bus_error(int number, siginfo_t *info, void *context)
{
	if (restorable && segment_restore(restorable, info->si_addr))
		return;
	log_error(
		"memory",
		"no memory is left for the segment: its file system (/dev/shm, unless configured) is "
		"full; make that larger, or the segment smaller");
	log_queue_end(SIDECAR_LAST_WORDS_NS);
	if (restorable && restorable->fresh) {
		unlinkat(restorable->folder, SERVER_SOCKET, 0);
		segment_abandon(restorable);
	}
	_exit(1);
}

static void bus_catch(void)
{
	struct sigaction action = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGBUS, &action, NULL);
}

/* What workers touch unasked is there from the beginning; what more there may come is theirs to ask
 * for when they attach, and the sidecar's own. */
static void room_warn(const struct segment *segment)
{
	uint64_t growth, left;

	if (segment->scarce)
		log_warning(
			"memory",
			"the segment's file system is full and a worker gave back memory of the "
			"segment: whoever touches that is killed by SIGBUS; make it larger");
	if (segment_room(segment, &growth, &left) == 0 && growth > left)
		log_warning(
			"memory",
			"the segment may come to take %llu MiB more as it fills (%llu KiB for each "
			"worker), its file system has %llu MiB left: beyond that no worker can attach "
			"and the sidecar ends; make it larger, or the segment smaller",
			(unsigned long long)(growth >> 20),
			(unsigned long long)(segment_worker_bytes(&segment->header.sizes) >> 10),
			(unsigned long long)(left >> 20));
}

/* ---- rings ----------------------------------------------------------------------------------- */

static void record_take(void *arg, const struct layout_record *record, uint32_t worker)
{
	struct sidecar *s = arg;

	engine_record(s->engine, record, loop_now());
}

static uint32_t worker_drain(struct sidecar *s, uint32_t worker, uint32_t max)
{
	const struct ring_reader_sink sink = {record_take, s, &s->drained};

	return ring_reader_drain(s->segment, worker, max, loop_now(), &sink);
}

static uint32_t rings_drain(struct sidecar *s)
{
	uint32_t count, taken = 0;
	const uint32_t *workers = workers_slots(s->workers, &count);

	for (uint32_t i = 0; i < count; i++)
		if (ring_reader_waiting(s->segment, workers[i]))
			taken += worker_drain(s, workers[i], DRAIN_MAX);
	return taken;
}

static bool rings_waiting(const struct sidecar *s)
{
	uint32_t count;
	const uint32_t *workers = workers_slots(s->workers, &count);

	for (uint32_t i = 0; i < count; i++)
		if (ring_reader_waiting(s->segment, workers[i]))
			return true;
	return false;
}

static void sleeping_set(struct sidecar *s, uint32_t sleeping)
{
	atomic_store_explicit(&s->segment->live->sleeping, sleeping, memory_order_relaxed);
	/* B1 pairs with B0 in shm/ring.c: it sees the record, or who wrote that sees it asleep. */
	atomic_thread_fence(memory_order_seq_cst);
}

static void work(struct sidecar *s)
{
	uint64_t now_ns = loop_now();

	loop_timer_set(s->loop, s->work_timer, engine_work(s->engine, now_ns));
}

/* No more than a ring holds: somebody may go on moving the head of a slot that is not theirs. */
static void worker_gone(void *arg, uint32_t worker)
{
	struct sidecar *s = arg;
	uint32_t left = s->segment->header.sizes.ring_records, taken = 0, before;

	do {
		before = taken;
		taken += worker_drain(s, worker,
				      left - taken < DRAIN_MAX ? left - taken : DRAIN_MAX);
	} while (taken != before && taken < left);
	if (taken)
		work(s);
}

static bool before_sleep(void *arg)
{
	struct sidecar *s = arg;
	bool taken = rings_drain(s) > 0;
	uint64_t now_ns = loop_now();

	if (taken) {
		s->awake_until_ns = now_ns + LINGER_NS;
		work(s);
	}
	if (now_ns < s->awake_until_ns) {
		sleeping_set(s, 0);
		loop_timer_set(s->loop, s->nap_timer, now_ns + NAP_NS);
		return rings_waiting(s);
	}
	sleeping_set(s, 1);
	if (!rings_waiting(s))
		return false;
	sleeping_set(s, 0);
	return true;
}

/* A watch that the kernel gave up is made again: a loop that hears no signal and no doorbell would
 * go on for ever, deaf. */
static void watch_again(struct sidecar *s, int fd, loop_ready *ready, int why)
{
	int id = loop_watch(s->loop, fd, POLLIN, ready, s);

	log_warning("loop", "a descriptor could not be watched (%s): tried again", strerror(-why));
	if (id < 0)
		loop_fail(s->loop, id);
}

static void doorbell(void *arg, int revents)
{
	struct sidecar *s = arg;

	if (revents < 0)
		watch_again(s, s->wake, doorbell, revents);
	workers_bell_take(s->wake);
	sleeping_set(s, 0);
	s->awake_until_ns = loop_now() + LINGER_NS;
	workers_scan(s->workers);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Relaxed: a sum that is compared with the one before. */
static uint64_t shard_sum(const struct layout_shard *shard)
{
	uint64_t sum = 0;

	for (int reason = 0; reason < TG_REASONS; reason++)
		sum += atomic_load_explicit(&shard->verdicts[reason], memory_order_relaxed);
	return sum;
}

static uint64_t decisions_count(const struct sidecar *s)
{
	uint32_t count;
	const uint32_t *workers = workers_slots(s->workers, &count);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		for (int shard = 0; shard < LAYOUT_SHARDS; shard++)
			sum += shard_sum(&s->segment->workers[workers[i]].shards[shard]);
	return sum;
}

/* Corrupt words that were repaired since it began. */
static uint64_t repaired_count(const struct sidecar *s)
{
	return engine_totals(s->engine)->repaired + workers_repaired(s->workers);
}

/* Each minute, and at once where somebody set the wall clock: hours and days are by it. */
static void wall_follow(struct sidecar *s, uint64_t now_ns)
{
	int64_t offset = calendar_wall_offset(), moved = offset - s->wall_offset_ns;

	engine_wall_offset(s->engine, offset);
	if (moved < (int64_t)SECOND_NS && moved > -(int64_t)SECOND_NS &&
	    now_ns - s->calendar_ns < 60 * SECOND_NS)
		return;
	if (moved >= (int64_t)SECOND_NS || moved <= -(int64_t)SECOND_NS) {
		log_notice("clock", "the wall clock was set %s by %lld s: hours and days follow it",
			   moved < 0 ? "back" : "forward",
			   (long long)((moved < 0 ? -moved : moved) / (int64_t)SECOND_NS));
		engine_housekeep(s->engine, now_ns);
	}
	calendar_publish(s->segment, s->generation.config->time_zone);
	s->calendar_ns = now_ns;
	s->wall_offset_ns = offset;
	keeper_clock_set(s->keeper, offset, now_ns);
}

static bool keeps(void *arg, uint32_t slot)
{
	const struct sidecar *s = arg;

	return engine_keeps(s->engine, slot, loop_now());
}

/* Between three and four in the morning, once. */
static bool night_due(struct sidecar *s)
{
	time_t now = time(NULL);
	struct tm local;
	bool night = localtime_r(&now, &local) && local.tm_hour == 3;
	bool due = night && !s->night;

	s->night = night;
	return due;
}

/* Replaces the segment by one without what is idle and says nothing. */
static int forget(struct sidecar *s)
{
	uint32_t before = segment_count(s->segment);
	uint64_t begun_ns = loop_now();
	char reason[SEGMENT_REASON] = "";
	int error;

	while (rings_drain(s) > 0)
		;
	/* The path is the configuration's of the start, which may be gone. */
	s->options.path = s->segment->path;
	error = segment_renew(s->segment, &s->options, keeps, s, begun_ns, reason);
	if (error) {
		log_error("forget", "%s", *reason ? reason : strerror(-error));
		return error;
	}
	error = engine_renewed(s->engine, loop_now());
	if (error)
		return error;
	gate_bridge_renewed(s->gate);
	door_renewed(s->door);
	keeper_renewed(s->keeper);
	heartbeat_beat(&s->heartbeat, s->segment);
	log_notice("forget", "%u of %u flows and names were idle and are forgotten, in %.3f s",
		   before - segment_count(s->segment), before,
		   (double)(loop_now() - begun_ns) / 1e9);
	return 0;
}

/* Since when nothing has been counted that is not known: where nobody decides nothing is. */
static uint64_t known_until(const struct sidecar *s, uint64_t now_ns)
{
	uint64_t looked_ns = engine_looked_ns(s->engine);

	return looked_ns >= s->decided_ns ? now_ns : looked_ns;
}

static void keeper_due(void *arg, uint64_t now_ns)
{
	struct sidecar *s = arg;

	if (keeper_work(s->keeper, now_ns))
		loop_timer_set(s->loop, s->keeper_timer, now_ns);
}

static void damage_tell(struct sidecar *s)
{
	uint64_t repaired = repaired_count(s);

	if (repaired != s->repaired)
		log_warning("damage", "repaired %llu corrupted words that workers may write",
			    (unsigned long long)(repaired - s->repaired));
	s->repaired = repaired;
}

/* Where nobody decides or reports nothing has been written that could be wrong, or is not known. */
static void look(struct sidecar *s, uint64_t now_ns)
{
	uint64_t decisions = decisions_count(s);

	if (decisions != s->decisions || s->drained.records != s->records)
		s->decided_ns = now_ns;
	if (engine_looked_ns(s->engine) < s->decided_ns)
		engine_housekeep(s->engine, now_ns);
	s->decisions = decisions;
	s->records = s->drained.records;
	damage_tell(s);
}

static void beat(void *arg, uint64_t now_ns)
{
	struct sidecar *s = arg;

	loop_timer_set(s->loop, s->beat_timer, now_ns + HEARTBEAT_INTERVAL_NS);
	heartbeat_beat(&s->heartbeat, s->segment);
	rate_meter_add(&s->recent, s->drained.records, now_ns);
	wall_follow(s, now_ns);
	if (segment_repair_files(s->segment) > 0)
		log_warning(
			"damage",
			"a worker cut a file of the segment short or wrote over its header: made whole");
	workers_beat(s->workers);
	look(s, now_ns);
	keeper_beat(s->keeper, s->wall_offset_ns, known_until(s, now_ns), now_ns);
	keeper_due(s, now_ns);
	if (engine_forgets(s->engine, night_due(s), now_ns) && forget(s) == -ENOMEM) {
		s->failed = true;
		loop_stop(s->loop);
		return;
	}
	work(s);
}

static void work_due(void *arg, uint64_t now_ns)
{
	work(arg);
}

static void nap_over(void *arg, uint64_t now_ns)
{
	/* What came meanwhile is found before the next sleep. */
}

/* ---- signals --------------------------------------------------------------------------------- */

static void signalled(void *arg, int revents)
{
	struct sidecar *s = arg;
	struct signalfd_siginfo info;

	if (revents < 0)
		watch_again(s, s->signals, signalled, revents);
	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload_ask(s);
		} else {
			log_notice("stop", "signal %u: the segment %s", info.ssi_signo,
				   s->remove ? "is removed" : "stays for the next sidecar");
			loop_stop(s->loop);
		}
	}
}

static int signals_open(int *ret)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int watches_make(struct sidecar *s)
{
	s->wake = openat(s->segment->folder, "wake", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->wake < 0)
		return -errno;
	s->nap_timer = loop_timer(s->loop, nap_over, s);
	s->beat_timer = loop_timer(s->loop, beat, s);
	s->work_timer = loop_timer(s->loop, work_due, s);
	s->keeper_timer = loop_timer(s->loop, keeper_due, s);
	if (s->nap_timer < 0 || s->beat_timer < 0 || s->work_timer < 0 || s->keeper_timer < 0)
		return -ENOMEM;
	loop_set_before_sleep(s->loop, before_sleep, s);
	if (loop_watch(s->loop, s->wake, POLLIN, doorbell, s) < 0 ||
	    loop_watch(s->loop, s->signals, POLLIN, signalled, s) < 0)
		return -ENOMEM;
	return workers_create(s->segment, s->loop, worker_gone, s, &s->workers);
}

/* What outlives a reboot: opened once we are who we stay, so that it can be opened again. */
static int keeper_begin(struct sidecar *s)
{
	char text[256];
	const char *folder = state_folder(s->generation.config, text, sizeof(text));

	return keeper_create(s->segment, s->engine, folder, s->generation.config->state != NULL,
			     &s->keeper);
}

/* Its folder, which only root may be able to make. */
static void state_folder_make(const struct sidecar *s)
{
	const struct config *config = s->generation.config;
	struct passwd *user = config->user && geteuid() == 0 ? getpwnam(config->user) : NULL;
	char text[256];
	const char *folder = state_folder(config, text, sizeof(text));

	if (user && folder && config->state)
		store_folder_make(folder, user->pw_uid, user->pw_gid);
}

/* Root was needed for opening; what is open stays open. */
static int privileges_drop(const struct sidecar *s, char *reason)
{
	const struct config *config = s->generation.config;
	struct passwd *user;

	if (config->user == NULL || geteuid() != 0)
		return gate_bridge_privileges(s->gate, false);
	user = getpwnam(config->user);
	/* The gate keeps what it needs, and no more, right after. */
	prctl(PR_SET_KEEPCAPS, gate_bridge_on(s->gate));
	if (user == NULL || initgroups(user->pw_name, user->pw_gid) != 0 ||
	    setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0) {
		snprintf(reason, SIDECAR_REASON, "cannot become user %s: %s", config->user,
			 user ? strerror(errno) : "no such user");
		return -EPERM;
	}
	return gate_bridge_privileges(s->gate, true);
}

static uint64_t context_reload(void *daemon)
{
	return reload_ask(daemon);
}

static uint64_t context_mended(const void *daemon)
{
	return repaired_count(daemon);
}

static void context_store(const void *daemon, struct json_writer *out)
{
	const struct sidecar *s = daemon;

	keeper_put(s->keeper, out, "store");
	hooks_put(s->hooks, out, "hooks");
}

/* Once all parts are there. */
static int commands_register(struct sidecar *s)
{
	s->context = (struct api_context){
		.loop = s->loop,
		.segment = s->segment,
		.engine = s->engine,
		.server = s->server,
		.gate = s->gate,
		.logs = s->logs,
		.door = s->door,
		.doors = s->doors,
		.generation = &s->generation,
		.drained = &s->drained,
		.recent = &s->recent,
		.config_path = s->config_path,
		.started_ns = s->started_ns,
		.daemon = s,
		.reload = context_reload,
		.reload_result = &s->reload.result,
		.repaired = context_mended,
		.store = context_store,
	};
	return api_register(&s->context);
}

static int door_begin(struct sidecar *s)
{
	const struct config *config = s->generation.config;
	int64_t group;

	if (id_of_group(config->segment.group, &group) != 0)
		return -ENOENT;
	return door_create(s->loop, s->segment, s->engine, config, group, &s->door);
}

static int server_begin(struct sidecar *s, char *reason)
{
	int64_t group;

	if (id_of_group(s->generation.config->segment.group, &group) != 0)
		return -ENOENT;
	return control_socket_create(s->loop, s->segment->folder, group, &s->server, reason);
}

/* While we may still make sockets where only root does. */
static int doors_begin(struct sidecar *s)
{
	const struct doors_options options = {.loop = s->loop,
					      .engine = s->engine,
					      .gate = attribution_of(s->gate),
					      .segment = s->segment->path,
					      .owner = s->segment->header.owner};
	int error = doors_create(&options, &s->doors);

	return error ? error : doors_open(s->doors, s->generation.config);
}

static int logs_begin(struct sidecar *s)
{
	const struct intake_gate gate = attribution_of(s->gate);

	return logs_create(s->loop, s->segment->folder, s->engine, &gate, &s->logs);
}

static int parts_make(struct sidecar *s, char *reason)
{
	int error = loop_create(&s->loop, reason);

	bus_catch();
	if (!error)
		error = segment_begin(s, reason);
	if (!error) {
		restorable = s->segment;
		room_warn(s->segment);
		error = engine_create(s->segment, &s->engine);
	}
	if (!error)
		error = watches_make(s);
	if (!error)
		error = alerts_create(s->loop, &s->alerts);
	if (!error)
		engine_on_alert(s->engine, alerts_start, s->alerts);
	if (!error)
		error = hooks_create(s->loop, s->segment, s->engine, &s->hooks);
	if (!error)
		error = server_begin(s, reason);
	if (!error)
		error = gate_bridge_create(s->loop, s->segment, s->engine, s->server,
					   s->generation.config, &s->gate);
	if (!error)
		error = logs_begin(s);
	if (!error)
		error = door_begin(s);
	if (!error)
		error = doors_begin(s);
	if (!error)
		error = commands_register(s);
	state_folder_make(s);
	if (!error)
		error = privileges_drop(s, reason);
	if (!error)
		error = log_queue_run();
	if (error)
		return error;
	if (s->segment->cut)
		log_warning("damage", "a worker had cut a file of the segment short or written "
				      "over its header: made whole, what it counted is lost");
	heartbeat_begin(&s->heartbeat, s->segment);
	settings_publish(s);
	s->calendar_ns = loop_now();
	s->wall_offset_ns = calendar_wall_offset();
	engine_wall_offset(s->engine, s->wall_offset_ns);
	error = keeper_begin(s);
	if (!error)
		error = engine_configure(s->engine, s->generation.config, s->generation.classifier,
					 s->generation.rules, loop_now());
	if (error)
		return error;
	/* The segment did not outlive the machine, or an attempt at this the sidecar. */
	if (atomic_load(&s->segment->live->state) == LAYOUT_NEW)
		keeper_restore(s->keeper, s->wall_offset_ns, loop_now());
	error = keeper_run(s->keeper, s->wall_offset_ns, loop_now());
	if (error)
		return error;
	settings_parts(s, s->generation.config);
	return 0;
}

/* A pidfd a worker: as many as may be. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int begin(struct sidecar *s, char *reason)
{
	struct diagnostics report = {0};
	int error = generation_load(s->config_path, &s->generation, &report);

	generation_log(&report);
	if (error)
		snprintf(reason, SIDECAR_REASON, "the configuration has %u error%s", report.errors,
			 report.errors == 1 ? "" : "s");
	diagnostics_free(&report);
	if (error)
		return error;
	settings_log(s->generation.config);
	error = settings_keep(s);
	return error ? error : parts_make(s, reason);
}

int sidecar_create(const char *config_path, bool remove, struct sidecar **ret, char *reason)
{
	struct sidecar *s = calloc(1, sizeof(*s));
	int error;

	if (s == NULL)
		return -ENOMEM;
	*reason = '\0';
	descriptors_raise();
	s->config_path = config_path;
	s->remove = remove;
	s->started_ns = loop_now();
	s->wake = -1;
	/* First of all: a signal that comes while we start waits until we are ready. */
	s->signals = -1;
	error = signals_open(&s->signals);
	if (!error)
		error = begin(s, reason);
	if (error) {
		if (*reason == '\0')
			snprintf(reason, SIDECAR_REASON, "%s", strerror(-error));
		sidecar_free(s);
		return error;
	}
	segment_live(s->segment);
	*ret = s;
	return 0;
}

/* All that was counted, and whether anybody is left who may go on. */
static void keeper_last(struct sidecar *s)
{
	uint64_t now_ns = loop_now();
	bool quiet = workers_beat(s->workers) == 0;

	/* No more than rings hold: somebody may go on writing. */
	for (uint32_t i = 0; i <= s->segment->header.sizes.ring_records / DRAIN_MAX; i++)
		rings_drain(s);
	for (s->decided_ns = now_ns; engine_looked_ns(s->engine) < now_ns;) {
		engine_housekeep(s->engine, now_ns);
		while (engine_work(s->engine, now_ns) <= now_ns &&
		       engine_looked_ns(s->engine) < now_ns)
			;
	}
	keeper_end(s->keeper, quiet, now_ns, loop_now());
}

/* What systemd's Type=notify waits for, sd_notify(3): a datagram to a socket that the environment
 * names. Who does not wait for it names none. */
static void tell_starter(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length == 0 || length >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, length);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		log_warning("start", "cannot tell %s that we are ready: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

int sidecar_run(struct sidecar *s)
{
	int error;

	workers_scan(s->workers);
	/* What an earlier sidecar did not see has yet to be looked at. */
	s->decided_ns = loop_now();
	log_notice("ready", "%s: %s, %u names and flows known; clock by %s", s->segment->path,
		   s->segment->adopted	  ? "adopted"
		   : s->segment->replaced ? "replaced, usage carried over"
					  : "made",
		   segment_count(s->segment),
		   s->heartbeat.counter ? "the processor's counter" : "the vDSO");
	beat(s, loop_now());
	work(s);
	tell_starter();
	error = loop_run(s->loop);
	keeper_last(s);
	return s->failed ? -ENOMEM : error;
}

void sidecar_free(struct sidecar *s)
{
	if (s == NULL)
		return;
	reload_end(s);
	diagnostics_free(&s->reload.result.report);
	door_free(s->door);
	doors_free(s->doors);
	logs_free(s->logs);
	gate_bridge_free(s->gate);
	control_socket_free(s->server);
	api_end(&s->context);
	alerts_free(s->alerts);
	hooks_free(s->hooks);
	keeper_free(s->keeper);
	workers_free(s->workers);
	engine_free(s->engine);
	restorable = NULL;
	if (s->segment)
		sleeping_set(s, 0); /* nobody is there to be woken */
	segment_close(s->segment, s->remove);
	if (s->wake >= 0)
		close(s->wake);
	if (s->signals >= 0)
		close(s->signals);
	loop_free(s->loop);
	generation_free(&s->generation);
	settings_forget(s);
	free(s);
}
