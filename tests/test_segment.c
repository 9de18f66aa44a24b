/* SPDX-License-Identifier: MIT
 *
 * The life of a segment: made, adopted, completed, replaced, removed, with the sidecar killed
 * before each step; workers go on, nobody sends more, and the next sidecar puts it right.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "shm/lease.h"
#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"
#include "tests/segment_fixture.h"

#define BURST 10

static struct publish_limits limited(void)
{
	return fixture_rate(10 * HOUR, BURST, BURST, BURST);
}

/* Opens, publishes and lives as a sidecar does, in a child that is killed before its step-th step.
 * Returns whether it was. */
static bool opened_until(struct fixture *f, long step)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct publish_limits limits = limited();

		segment_crash_after = step;
		fixture_reopen(f);
		publish_default(f->segment, LAYOUT_DEFAULT_FLOW, &limits);
		fixture_names(f->segment, 4);
		segment_live(f->segment);
		_exit(0);
	}
	waitpid(child, &status, 0);
	cr_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0,
		  "%x", status);
	return WIFSIGNALED(status);
}

static uint32_t admitted(struct tg *tg, const struct tg_flow *flow, int attempts)
{
	uint32_t count = 0;

	for (int i = 0; i < attempts; i++)
		count += tg_admit(tg, flow, TG_BULK, 1).reason == TG_ADMITTED;
	return count;
}

static struct tg_flow resolve(struct tg *tg, const char *address, const char *name)
{
	struct tg_source source;
	struct tg_destination destination;
	struct tg_flow flow;

	cr_assert_eq(tg_source(tg, address, &source), 0);
	cr_assert_eq(tg_destination(tg, name, &destination), 0);
	cr_assert_eq(tg_flow(tg, &source, &destination, &flow), 0);
	return flow;
}

Test(segment, is_made_for_its_owner_and_group)
{
	static const struct {
		const char *name;
		mode_t mode;
	} rows[] = {{"limits", 0640},
		    {"counters", 0660},
		    {"rings", 0660},
		    {"control", 0600},
		    {"wake", 0660}};
	struct fixture f;
	struct stat st;

	fixture_open(&f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(fstatat(f.segment->folder, rows[i].name, &st, 0), 0, "%s",
			     rows[i].name);
		cr_expect_eq(st.st_mode & 0777, rows[i].mode, "%s", rows[i].name);
	}
	cr_expect_eq(stat(f.path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0700);
	fixture_end(&f);
	cr_expect_eq(stat(f.path, &st), -1, "and taken away");
}

Test(segment, is_given_to_the_owner_and_group_of_each_start)
{
	struct fixture f;
	struct stat st;

	if (geteuid() != 0)
		cr_skip_test("needs root to give files away");
	fixture_open(&f);
	segment_close(f.segment, false);
	f.options.group = 1;
	fixture_reopen(&f);
	cr_expect(f.segment->adopted);
	for (int file = 0; file < LAYOUT_FILES; file++)
		cr_expect(fstat(f.segment->fds[file], &st) == 0 && st.st_gid == 1, "%s",
			  segment_file_names[file]);
	cr_expect(stat(f.path, &st) == 0 && st.st_gid == 1 && (st.st_mode & 0777) == 0750,
		  "workers can come in");
	segment_close(f.segment, false);
	f.options.owner = 1;
	fixture_reopen(&f);
	cr_expect(f.segment->replaced, "the owner stands in the headers");
	cr_expect_eq(f.segment->header.owner, 1);
	cr_expect(stat(f.path, &st) == 0 && st.st_uid == 1);
	fixture_end(&f);
}

Test(segment, takes_what_workers_touch_at_once_and_no_more)
{
	struct layout_offsets o;
	struct fixture f;
	struct stat st;
	uint64_t blocks = 0, at_once;

	fixture_begin(&f);
	f.options.sizes.flows = 100000;
	fixture_reopen(&f);
	o = f.segment->offsets;
	at_once = o.limits_bytes + o.counters_bytes + o.leases;
	for (int file = 0; file < LAYOUT_FILES; file++) {
		cr_assert_eq(fstat(f.segment->fds[file], &st), 0);
		blocks += (uint64_t)st.st_blocks * 512;
	}
	cr_expect_geq(blocks, at_once);
	cr_expect_lt(blocks, at_once + (1 << 20), "%lu bytes", blocks);
	fixture_end(&f);
}

Test(segment, belongs_to_one_sidecar)
{
	struct fixture f;
	struct segment *second = NULL;
	char reason[SEGMENT_REASON];

	fixture_open(&f);
	cr_expect_eq(segment_open(&f.options, &second, reason), -EBUSY);
	cr_expect_neq(*reason, '\0');
	cr_expect_null(second);
	fixture_end(&f);
}

Test(segment, refuses_a_folder_that_is_not_its_own)
{
	struct fixture f;
	char reason[SEGMENT_REASON];
	struct segment *s = NULL;

	fixture_begin(&f);
	cr_assert_eq(chmod(f.path, 0777), 0);
	cr_expect_eq(segment_open(&f.options, &s, reason), -EPERM);
	cr_expect(strstr(reason, "remove it"), "%s", reason);
	cr_assert_eq(chmod(f.path, 0700), 0);
	/* Somebody made it first, or a trial as root did. */
	if (geteuid() == 0) {
		cr_assert_eq(chown(f.path, 12345, -1), 0);
		cr_expect_eq(segment_open(&f.options, &s, reason), -EPERM);
		cr_expect(strstr(reason, "uid 12345") && strstr(reason, "remove it"), "%s", reason);
		cr_assert_eq(chown(f.path, 0, -1), 0);
	}
	f.options.sizes.ring_records = 3;
	cr_expect_eq(segment_open(&f.options, &s, reason), -EINVAL);
	f.options.shape.engine_bytes = 7;
	cr_expect_eq(segment_open(&f.options, &s, reason), -EINVAL);
	fixture_clear(f.path);
	f.options.path = "/dev/shm/tg-test-none/deeper";
	f.options.shape.engine_bytes = 8;
	cr_expect_eq(segment_open(&f.options, &s, reason), -ENOENT);
}

Test(segment, made_by_a_sidecar_that_dies_anywhere_is_made_by_the_next)
{
	long steps = 0;

	for (bool stopped = true; stopped; steps++) {
		struct publish_limits limits = limited();
		struct fixture f;
		struct tg *tg = NULL;
		struct tg_flow flow;
		uint32_t sum = 0;

		fixture_begin(&f);
		stopped = opened_until(&f, steps);
		if (fixture_try(&f, &tg) == 0) {
			flow = resolve(tg, "192.0.2.1", "example.org");
			sum = admitted(tg, &flow, 100);
			cr_expect_leq(sum, BURST, "step %ld", steps);
		} else
			cr_expect(stopped);
		fixture_reopen(&f);
		publish_default(f.segment, LAYOUT_DEFAULT_FLOW, &limits);
		fixture_names(f.segment, 4);
		segment_live(f.segment);
		tg_detach(tg);
		tg = fixture_attach(&f);
		flow = resolve(tg, "192.0.2.1", "example.org");
		sum += admitted(tg, &flow, 100);
		cr_expect_eq(sum, BURST, "step %ld: %u", steps, sum);
		tg_detach(tg);
		fixture_end(&f);
	}
	cr_expect_gt(steps, 20);
}

Test(segment, is_adopted_as_it_stands)
{
	struct publish_limits limits = limited();
	struct tg_lease lease;
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg, *other;
	char text[64];

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "example.org", &limits, 0);
	memset(segment_engine(f.segment, flow.slot), 0xab, 64);
	tg = fixture_attach(&f);
	cr_expect_eq(admitted(tg, &flow, 6), 6);
	cr_expect_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
	segment_close(f.segment, false);
	cr_expect_eq(admitted(tg, &flow, 2), 2, "workers go on without a sidecar");
	cr_expect_eq(fixture_try(&f, &other), 0, "and others attach");
	tg_detach(other);
	fixture_reopen(&f);
	cr_expect(f.segment->adopted && !f.segment->replaced);
	cr_expect_str_eq(f.segment->path, f.options.path);
	cr_expect_eq(segment_slot(f.segment, flow.slot)->kind, SEGMENT_FLOW);
	cr_expect_str_eq(segment_name(f.segment, flow.destination, text, sizeof(text)),
			 "example.org");
	cr_expect_eq(*(unsigned char *)segment_engine(f.segment, flow.slot), 0xab);
	cr_expect_eq(admitted(tg, &flow, 100), 2);
	cr_expect_eq(tg_disconnect(tg, &lease), 0);
	tg_detach(tg);
	fixture_end(&f);
}

Test(segment, that_nothing_replaced_is_not_left_by_renewing)
{
	struct publish_limits limits = limited();
	struct tg_lease lease;
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	limits.connections[0] = limits.connections[1] = limits.connections[2] = 4;
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
	cr_expect_eq(tg_renew(tg), 0);
	cr_expect_neq(tg_worker(tg), tg->overflow_worker);
	cr_expect_neq(atomic_load(&tg_worker(tg)->owner), 0, "it keeps its slot");
	cr_expect_eq(tg_disconnect(tg, &lease), 0, "and its leases");
	tg_detach(tg);
	fixture_end(&f);
}

static struct tg *renewed(struct tg *tg)
{
	cr_assert_eq(tg_renew(tg), 0);
	return tg;
}

Test(segment, other_sizes_replace_it_and_what_was_used_is_carried_over)
{
	struct publish_limits limits = limited();
	struct tg_reply reply = {.code = 250, .n = 5};
	struct tg_lease lease[2];
	struct tg_flow flow, with;
	struct fixture f;
	struct tg *tg;
	uint32_t slot;

	fixture_open(&f);
	limits.hour_cap[0] = limits.hour_cap[1] = limits.hour_cap[2] = 9;
	limits.hour_phase_s = 0;
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	memset(segment_engine(f.segment, flow.slot), 0xab, 64);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_stream(tg, &flow, "tenant", &with), 0);
	cr_expect_eq(admitted(tg, &flow, 6), 6);
	tg_report(tg, &flow, &reply);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(tg_connect(tg, &flow, TG_BULK, &lease[i]).reason, TG_ADMITTED);
	segment_close(f.segment, false);
	f.options.sizes.flows = 2000;
	f.options.sizes.workers = 20;
	f.options.sizes.leases = 50;
	f.options.shape.engine_bytes = 128;
	fixture_reopen(&f);
	cr_expect(f.segment->replaced && !f.segment->adopted);
	cr_expect_eq(admitted(tg, &flow, 100), 0);
	cr_expect_eq(tg_admit(tg, &flow, TG_BULK, 1).reason, TG_RETIRED);
	cr_expect_eq(tg_disconnect(tg, &lease[0]), -ESTALE);
	tg = renewed(tg);
	flow = resolve(tg, "192.0.2.1", "mx.provider.test");
	slot = flow.slot;
	cr_expect_eq(segment_slot(f.segment, slot)->kind, SEGMENT_FLOW);
	cr_expect_eq(segment_slot(f.segment, slot)->source, flow.source);
	cr_expect_eq(segment_slot(f.segment, slot)->destination, flow.destination);
	cr_expect_eq(*(unsigned char *)segment_engine(f.segment, slot), 0xab);
	cr_expect_eq(((unsigned char *)segment_engine(f.segment, slot))[64], 0);
	cr_expect_eq(atomic_load(&f.segment->view.counters_more[slot].delivered), 5);
	cr_expect_eq(lease_count(atomic_load(&f.segment->view.counters_more[slot].gauge)), 2);
	cr_expect_eq(tg_disconnect(tg, &lease[0]), 0);
	cr_expect_eq(tg_disconnect(tg, &lease[0]), -EINVAL);
	cr_expect_eq(lease_count(atomic_load(&f.segment->view.counters_more[slot].gauge)), 1);
	cr_expect_eq(admitted(tg, &flow, 100), 3, "the hour's cap counts on");
	tg_detach(tg);
	cr_expect_eq(lease_count(atomic_load(&f.segment->view.counters_more[slot].gauge)), 0);
	fixture_end(&f);
}

Test(segment, replaced_by_a_sidecar_that_dies_anywhere_nobody_sends_more)
{
	long steps = 0;

	for (bool stopped = true; stopped; steps++) {
		struct publish_limits limits = limited();
		struct tg_lease lease;
		struct tg_flow flow;
		struct fixture f;
		struct tg *tg, *other = NULL;
		uint32_t sum;

		fixture_open(&f);
		flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
		publish_default(f.segment, LAYOUT_DEFAULT_FLOW, &limits);
		tg = fixture_attach(&f);
		sum = admitted(tg, &flow, 4);
		cr_assert_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
		segment_close(f.segment, false);
		f.options.sizes.flows = 700;
		stopped = opened_until(&f, steps);
		/* The worker that was there goes on under the old limits or is told; a new one
		 * likewise. */
		sum += admitted(tg, &flow, 3);
		if (fixture_try(&f, &other) == 0) {
			struct tg_flow found = resolve(other, "192.0.2.1", "provider");

			sum += admitted(other, &found, 1);
			tg_detach(other);
		}
		fixture_reopen(&f);
		segment_live(f.segment);
		if (tg_admit(tg, &flow, TG_BULK, BURST + 1).reason == TG_RETIRED) {
			tg = renewed(tg);
			flow = resolve(tg, "192.0.2.1", "provider");
		}
		sum += admitted(tg, &flow, 100);
		cr_expect_eq(sum, BURST, "step %ld: %u", steps, sum);
		cr_expect_eq(f.segment->header.sizes.flows, 700);
		cr_expect_eq(segment_slot(f.segment, flow.slot)->kind, SEGMENT_FLOW, "step %ld",
			     steps);
		cr_expect_eq(
			lease_count(atomic_load(&f.segment->view.counters_more[flow.slot].gauge)),
			1, "step %ld", steps);
		cr_expect_eq(tg_disconnect(tg, &lease), 0, "step %ld", steps);
		tg_detach(tg);
		fixture_end(&f);
	}
	cr_expect_gt(steps, 60, "%ld", steps);
}

Test(segment, of_another_version_is_retired_and_made_anew)
{
	struct publish_limits limits = limited();
	uint32_t version = LAYOUT_VERSION + 1;
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	tg = fixture_attach(&f);
	cr_assert_eq(pwrite(f.segment->fds[LAYOUT_LIMITS], &version, sizeof(version),
			    offsetof(struct layout_header, version)),
		     sizeof(version));
	segment_close(f.segment, false);
	fixture_reopen(&f);
	cr_expect(!f.segment->adopted && !f.segment->replaced);
	cr_expect_eq(tg_admit(tg, &flow, TG_BULK, 1).reason, TG_RETIRED, "it reads the mark");
	cr_expect_eq(tg_renew(tg), -ESTALE, "not open yet");
	fixture_names(f.segment, 1);
	segment_live(f.segment);
	cr_expect_eq(tg_renew(tg), 0);
	tg_detach(tg);
	fixture_end(&f);
}

Test(segment, cut_short_by_a_worker_is_made_whole)
{
	struct publish_limits limits = limited();
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	cr_assert_eq(ftruncate(f.segment->fds[LAYOUT_COUNTERS], LAYOUT_PAGE), 0);
	cr_assert_eq(ftruncate(f.segment->fds[LAYOUT_RINGS], LAYOUT_PAGE + 5), 0);
	segment_close(f.segment, false);
	fixture_reopen(&f);
	cr_expect(f.segment->adopted);
	segment_repair(f.segment, 0, UINT32_MAX, FIXTURE_NOW);
	tg = fixture_attach(&f);
	struct tg_flow again = resolve(tg, "192.0.2.1", "provider");

	cr_expect_eq(again.slot, flow.slot, "its key was put back from control");
	cr_expect_eq(admitted(tg, &again, 100), BURST);
	tg_detach(tg);
	fixture_end(&f);
}

/* While no sidecar lives: what only it may write must not go with what anybody in the group can. */
Test(segment, that_the_group_cut_to_nothing_costs_counters_alone)
{
	for (int how = 0; how < 3; how++) {
		struct publish_limits limits = limited();
		struct layout_header nothing = {0};
		struct tg_flow flow;
		struct fixture f;
		int fd;

		fixture_open(&f);
		limits.hold_until_ns = UINT64_MAX / 4;
		flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
		memset(segment_engine(f.segment, flow.slot), 0xab, 64);
		fd = f.segment->fds[how == 2 ? LAYOUT_RINGS : LAYOUT_COUNTERS];
		cr_assert_eq(how == 1 ? pwrite(fd, &nothing, sizeof(nothing), 0) ==
						(ssize_t)sizeof(nothing)
				      : ftruncate(fd, 0) == 0,
			     1);
		segment_close(f.segment, false);
		fixture_reopen(&f);
		cr_expect(f.segment->adopted && f.segment->cut, "row %d", how);
		cr_expect_eq(segment_kind(f.segment, flow.slot), SEGMENT_FLOW, "row %d", how);
		cr_expect_eq(atomic_load(&f.segment->limits[flow.slot].hold_until_ns),
			     UINT64_MAX / 4, "row %d", how);
		cr_expect_eq(*(unsigned char *)segment_engine(f.segment, flow.slot), 0xab);
		cr_expect_eq(atomic_load(&f.segment->view.counters[flow.slot].key[1]),
			     segment_slot(f.segment, flow.slot)->key[1],
			     "before anybody looks for it");
		segment_close(f.segment, false);
		fixture_reopen(&f);
		cr_expect(!f.segment->cut, "once is enough");
		fixture_end(&f);
	}
}

/* Any member of the group may open the folder. */
Test(segment, is_not_locked_by_what_the_group_can_open)
{
	struct fixture f;
	char path[128];
	int folder;

	fixture_open(&f);
	segment_close(f.segment, false);
	folder = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(flock(folder, LOCK_EX | LOCK_NB), 0);
	fixture_reopen(&f);
	snprintf(path, sizeof(path), "%s/lock", f.path);
	struct stat st;
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	close(folder);
	fixture_end(&f);
}

static struct segment *faulted;
static volatile sig_atomic_t faults;

static void on_bus(int number, siginfo_t *info, void *context)
{
	faults++;
	if (!segment_restore(faulted, info->si_addr))
		_exit(99);
}

Test(segment, cut_short_while_it_runs_is_put_back)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	struct fixture f;

	fixture_open(&f);
	faulted = f.segment;
	sigaction(SIGBUS, &action, NULL);
	cr_assert_eq(ftruncate(f.segment->fds[LAYOUT_COUNTERS], 0), 0);
	cr_expect_eq(segment_repair(f.segment, 0, UINT32_MAX, FIXTURE_NOW), 0);
	cr_expect_eq(atomic_load(&f.segment->view.counters[f.segment->view.slots - 1].tat), 0);
	cr_expect_eq(faults, 1);
	cr_expect(!segment_restore(f.segment, f.segment->maps[LAYOUT_LIMITS]),
		  "limits are nobody's to cut");
	cr_expect(!segment_restore(f.segment, NULL));
	fixture_end(&f);
}

Test(segment, cut_short_or_written_over_takes_new_workers_again)
{
	struct fixture f;
	struct tg *tg = NULL;

	fixture_open(&f);
	cr_expect_eq(segment_repair_files(f.segment), 0);
	cr_assert_eq(ftruncate(f.segment->fds[LAYOUT_COUNTERS], LAYOUT_PAGE), 0);
	memset(f.segment->maps[LAYOUT_RINGS], 0x5a, sizeof(struct layout_header));
	cr_expect_eq(segment_repair_files(f.segment), 2);
	cr_expect_eq(segment_repair_files(f.segment), 0);
	tg = fixture_attach(&f);
	tg_detach(tg);
	fixture_end(&f);
}

Test(segment, that_cannot_be_opened_for_want_of_descriptors_is_left_as_it_is)
{
	struct publish_limits limits = limited();
	struct tg_flow flow;
	struct fixture f;
	int status, errors = 0;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	atomic_store(&f.segment->view.counters[flow.slot].tat, 4711);
	segment_close(f.segment, false);
	for (rlim_t max = 3; max < 20; max++) {
		pid_t child = fork();

		if (child == 0) {
			struct rlimit limit = {max, max};
			char reason[SEGMENT_REASON];
			struct segment *s;

			close_range(3, ~0U, 0);
			setrlimit(RLIMIT_NOFILE, &limit);
			_exit(segment_open(&f.options, &s, reason) != 0);
		}
		waitpid(child, &status, 0);
		cr_assert(WIFEXITED(status));
		errors += WEXITSTATUS(status);
	}
	cr_expect_gt(errors, 2);
	fixture_reopen(&f);
	cr_expect(f.segment->adopted);
	cr_expect_eq(atomic_load(&f.segment->view.counters[flow.slot].tat), 4711);
	fixture_end(&f);
}

Test(segment, learns_only_what_fits_its_slot)
{
	struct layout_record record = {.kind = LAYOUT_RECORD_DESTINATION};
	struct tg_destination destination;
	struct tg_source source;
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_source(tg, "192.0.2.9", &source), 0);
	cr_assert_eq(tg_destination(tg, "mx.provider.test", &destination), 0);
	cr_assert_eq(tg_flow(tg, &source, &destination, &flow), 0);
	memcpy(record.text, "provider", 8);
	record.length = record.length_original = 8;
	record.slot = destination.slot;

	const struct {
		const char *what;
		uint32_t kind, slot;
		uint16_t length, whole;
		int error;
	} rows[] = {
		{"no such kind", 77, destination.slot, 8, 8, -EBADMSG},
		{"a slot out of range", LAYOUT_RECORD_DESTINATION, f.segment->view.slots, 8, 8,
		 -EBADMSG},
		{"another slot", LAYOUT_RECORD_DESTINATION, flow.slot, 8, 8, -EBADMSG},
		{"a name cut", LAYOUT_RECORD_DESTINATION, destination.slot, 8, 300, -EBADMSG},
		{"too long", LAYOUT_RECORD_DESTINATION, destination.slot, 60000, 60000, -EBADMSG},
		{"empty", LAYOUT_RECORD_DESTINATION, destination.slot, 0, 0, -EBADMSG},
		{"another kind", LAYOUT_RECORD_SOURCE, destination.slot, 8, 8, -EBADMSG},
		{"a flow of 8 bytes", LAYOUT_RECORD_FLOW, flow.slot, 8, 8, -EBADMSG},
		{"what it is", LAYOUT_RECORD_DESTINATION, destination.slot, 8, 8, 0},
		{"again", LAYOUT_RECORD_DESTINATION, destination.slot, 8, 8, -EALREADY},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		record.kind = rows[i].kind;
		record.slot = rows[i].slot;
		record.length = rows[i].length;
		record.length_original = rows[i].whole;
		cr_expect_eq(segment_learn(f.segment, &record), rows[i].error, "%s", rows[i].what);
	}
	/* A flow that names parents that are not its own. */
	record = (struct layout_record){.kind = LAYOUT_RECORD_FLOW,
					.slot = flow.slot,
					.length = 16,
					.length_original = 16,
					.source = source.slot,
					.destination = source.slot};
	memcpy(record.text, source.address, 16);
	cr_expect_eq(segment_learn(f.segment, &record), -EAGAIN);
	record.destination = UINT32_MAX;
	cr_expect_eq(segment_learn(f.segment, &record), -EBADMSG);
	record.destination = destination.slot;
	record.source = destination.slot;
	cr_expect_eq(segment_learn(f.segment, &record), -EBADMSG);
	record.source = source.slot;
	/* By a reply it is known as far as its parents are. */
	record.kind = LAYOUT_RECORD_REPLY;
	cr_expect_eq(segment_learn(f.segment, &record), -EAGAIN);
	cr_expect_eq(segment_source(f.segment, source.address), source.slot);
	record.destination = source.slot;
	cr_expect_eq(segment_learn(f.segment, &record), -EAGAIN);
	record.destination = destination.slot;
	record.slot = destination.slot;
	cr_expect_eq(segment_learn(f.segment, &record), -EBADMSG);
	record.slot = flow.slot;
	cr_expect_eq(segment_learn(f.segment, &record), 0);
	cr_expect_eq(segment_slot(f.segment, flow.slot)->kind, SEGMENT_FLOW);
	record.kind = LAYOUT_RECORD_FLOW;
	cr_expect_eq(segment_learn(f.segment, &record), -EALREADY);
	tg_detach(tg);
	fixture_end(&f);
}

Test(segment, gauges_that_disagree_twice_are_counted_anew)
{
	struct publish_limits limits = limited();
	struct tg_lease lease;
	struct tg_flow flow;
	struct fixture f;
	struct tg *tg;
	_Atomic uint64_t *gauge;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, 0);
	tg = fixture_attach(&f);
	gauge = &f.segment->view.counters_more[flow.slot].gauge;
	cr_assert_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(segment_repair_gauges(f.segment, 0, segment_count(f.segment)), 0,
			     "agreeing ones are left alone");
	atomic_store(gauge, UINT64_C(77) << 48 | 12345);
	cr_expect_eq(segment_repair_gauges(f.segment, 0, segment_count(f.segment)), 0);
	cr_expect_eq(segment_repair_gauges(f.segment, 0, segment_count(f.segment)), 1);
	cr_expect_eq(lease_count(atomic_load(gauge)), 1);
	cr_expect_eq(tg_disconnect(tg, &lease), 0);
	cr_expect_eq(lease_count(atomic_load(gauge)), 0);
	tg_detach(tg);
	fixture_end(&f);
}

Test(segment, names_are_replaced_while_workers_read_them)
{
	struct fixture f;
	struct tg *tg;
	struct tg_destination destination;

	fixture_open(&f);
	tg = fixture_attach(&f);
	for (int i = 0; i < 10; i++) {
		fixture_names(f.segment, (uint32_t)i % 4 + 1);
		cr_expect_eq(tg_destination(tg, "mx.provider.test", &destination), 0);
	}
	cr_expect_eq(segment_publish_names(f.segment, "", (size_t)f.options.sizes.names_bytes + 1),
		     -EMSGSIZE);
	tg_detach(tg);
	fixture_end(&f);
}
