/* SPDX-License-Identifier: MIT
 *
 * The registry of workers: who lives is told by the locks alone, whatever stands in the words.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shm/alive.h"
#include "shm/lease.h"
#include "sidecar/daemon/workers.h"
#include "sidecar/io/loop.h"
#include "tests/segment_fixture.h"

struct workers_fixture {
	struct fixture f;
	struct loop *loop;
	struct workers *list;
	struct tg *tg;
	struct layout_worker *mine;
	struct tg_lease lease;
	uint32_t last; /* how often a ring was drained because its owner was gone */
};

static void last(void *arg, uint32_t worker)
{
	struct workers_fixture *world = arg;

	world->last++;
}

/* A worker that holds a connection, and has been seen. False: no io_uring here. */
static bool world_begin(struct workers_fixture *world)
{
	struct publish_limits limits;
	char reason[LOOP_REASON];
	struct tg_flow flow;

	memset(world, 0, sizeof(*world));
	if (loop_create(&world->loop, reason) != 0) {
		printf("SKIP: %s\n", reason);
		return false;
	}
	fixture_open(&world->f);
	publish_unlimited(&limits);
	cr_assert_eq(workers_create(world->f.segment, world->loop, last, world, &world->list), 0);
	world->tg = fixture_attach(&world->f);
	flow = fixture_flow(world->f.segment, "192.0.2.1", "a.example", &limits, clock_vdso());
	cr_assert_eq(tg_connect(world->tg, &flow, TG_BULK, &world->lease).reason, TG_ADMITTED);
	world->mine = &world->f.segment->workers[world->tg->process->index];
	cr_assert_eq(workers_scan(world->list), 1);
	world->last = 0;
	return true;
}

static void world_end(struct workers_fixture *world)
{
	tg_detach(world->tg);
	workers_free(world->list);
	loop_free(world->loop);
	fixture_end(&world->f);
}

static uint32_t open_connections(const struct workers_fixture *world)
{
	return lease_count(
		atomic_load(&world->f.segment->view.counters_more[world->lease.flow.slot].gauge));
}

Test(watch, a_living_worker_keeps_its_place_whatever_is_written_over_its_word)
{
	static const uint64_t words[] = {0, 1, UINT64_MAX, UINT64_C(0xa5a5a5a5a5a5a5a5),
					 /* a process that lives, and is none of ours */
					 (UINT64_C(1) << LAYOUT_PID_SHIFT) + 1};
	struct workers_fixture world;
	struct tg *other;

	if (!world_begin(&world))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		atomic_store(&world.mine->owner, words[i]);
		cr_expect_eq(workers_scan(world.list), 1, "word %zu", i);
		cr_expect_eq(workers_beat(world.list), 1, "word %zu", i);
		cr_expect_neq(atomic_load(&world.mine->owner), 0);
	}
	cr_expect_eq(workers_repaired(world.list), 1, "that of a free slot");
	cr_expect_eq(open_connections(&world), 1);
	other = fixture_attach(&world.f);
	cr_expect_neq(tg_worker(other)->attached_ns, 0);
	cr_expect_neq(tg_worker(other), world.mine);
	tg_detach(other);
	cr_expect_eq(tg_disconnect(world.tg, &world.lease), 0, "its lease is its own still");
	world_end(&world);
}

Test(watch, a_worker_that_seems_to_have_left_is_found_by_its_lock)
{
	struct workers_fixture world;

	if (!world_begin(&world))
		return;
	/* The whole first line, with what says that it left in order. */
	atomic_store(&world.mine->left, 1);
	atomic_store(&world.mine->owner, 0);
	cr_expect_eq(workers_scan(world.list), 0, "nobody can tell at once");
	workers_beat(world.list);
	workers_beat(world.list);
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_connections(&world), 1);
	cr_expect_eq(tg_disconnect(world.tg, &world.lease), 0);
	world_end(&world);
}

Test(watch, who_leaves_in_order_is_forgotten_though_it_lives)
{
	struct workers_fixture world;

	if (!world_begin(&world))
		return;
	tg_detach(world.tg);
	world.tg = NULL;
	cr_expect_eq(workers_scan(world.list), 0);
	cr_expect_eq(atomic_load(&world.mine->owner), 0);
	/* It comes again, into the same slot, and leaves again between two looks. */
	world.tg = fixture_attach(&world.f);
	tg_worker(world.tg);
	cr_expect_eq(workers_scan(world.list), 1);
	tg_detach(world.tg);
	world.tg = fixture_attach(&world.f);
	tg_worker(world.tg);
	tg_detach(world.tg);
	world.tg = NULL;
	cr_expect_eq(workers_scan(world.list), 0);
	cr_expect_eq(workers_repaired(world.list), 0);
	world_end(&world);
}

Test(watch, the_name_of_a_dead_process_takes_nothing_from_a_living_worker)
{
	struct workers_fixture world;
	uint64_t forged;
	pid_t child;

	if (!world_begin(&world))
		return;
	child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	forged = (uint64_t)child << LAYOUT_PID_SHIFT | 7;
	atomic_store(&world.mine->owner, forged);
	cr_expect_eq(workers_scan(world.list), 1);
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_connections(&world), 1);
	cr_expect_eq(tg_disconnect(world.tg, &world.lease), 0);
	world_end(&world);
}

/* A child that takes a connection, says so, and does what it is told. */
static pid_t child_begin(struct workers_fixture *world, const struct tg_flow *flow,
			 void (*then)(void))
{
	int ends[2];
	pid_t child;
	char byte = 0;

	cr_assert_eq(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		struct tg *tg = fixture_attach(&world->f);
		struct tg_lease lease;

		byte = tg_connect(tg, flow, TG_BULK, &lease).reason == TG_ADMITTED ? 'y' : 'n';
		must(write(ends[1], &byte, 1) == 1);
		close(ends[1]);
		then();
		_exit(1);
	}
	close(ends[1]);
	cr_expect(read(ends[0], &byte, 1) == 1 && byte == 'y');
	/* Whatever `then` does: an image that follows closes the other end. */
	close(ends[0]);
	return child;
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void child_end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static struct tg_flow flow_any(struct workers_fixture *world)
{
	struct publish_limits limits;

	publish_unlimited(&limits);
	return fixture_flow(world->f.segment, "192.0.2.9", "b.example", &limits, clock_vdso());
}

static uint32_t open_of(const struct workers_fixture *world, const struct tg_flow *flow)
{
	return lease_count(atomic_load(&world->f.segment->view.counters_more[flow->slot].gauge));
}

Test(watch, what_a_dead_worker_held_is_taken_back_though_its_name_was_forged)
{
	struct workers_fixture world;
	struct tg_flow flow;
	pid_t child;

	if (!world_begin(&world))
		return;
	flow = flow_any(&world);
	child = child_begin(&world, &flow, wait_for_ever);
	cr_expect_eq(workers_beat(world.list), 2);
	for (uint32_t i = 0; i < world.f.options.sizes.workers; i++)
		if (atomic_load(&world.f.segment->workers[i].owner))
			atomic_store(&world.f.segment->workers[i].owner,
				     (uint64_t)getpid() << LAYOUT_PID_SHIFT | i);
	child_end(child);
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_of(&world, &flow), 0);
	cr_expect_eq(open_connections(&world), 1);
	world_end(&world);
}

static void another_image(void)
{
	execlp("sleep", "sleep", "1000", (char *)NULL);
}

Test(watch, another_image_of_the_same_process_holds_nothing)
{
	struct workers_fixture world;
	struct tg_flow flow;
	pid_t child;

	if (!world_begin(&world))
		return;
	flow = flow_any(&world);
	child = child_begin(&world, &flow, another_image);
	/* The kernel may still be at it. */
	for (int i = 0; i < 1000000 && workers_beat(world.list) != 1; i++)
		sched_yield();
	cr_expect_eq(kill(child, 0), 0);
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_of(&world, &flow), 0);
	child_end(child);
	world_end(&world);
}

Test(watch, a_forked_child_keeps_nothing_of_its_parent_alive)
{
	struct workers_fixture world;
	struct tg_flow flow;
	pid_t child;
	pid_t orphan = 0;
	int ends[2];

	if (!world_begin(&world))
		return;
	flow = flow_any(&world);
	cr_assert_eq(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		struct tg *tg = fixture_attach(&world.f);
		struct tg_lease lease;

		tg_connect(tg, &flow, TG_BULK, &lease);
		orphan = fork();
		if (orphan == 0)
			wait_for_ever();
		must(write(ends[1], &orphan, sizeof(orphan)) == sizeof(orphan));
		_exit(0);
	}
	cr_assert_eq(read(ends[0], &orphan, sizeof(orphan)), sizeof(orphan));
	waitpid(child, NULL, 0);
	cr_expect_eq(kill(orphan, 0), 0);
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_of(&world, &flow), 0);
	kill(orphan, SIGKILL);
	world_end(&world);
}

Test(watch, a_worker_in_a_pid_namespace_of_its_own_lives_and_dies)
{
	struct workers_fixture world;
	struct tg_flow flow;
	pid_t child;
	int own;

	if (!world_begin(&world))
		return;
	own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	cr_assert_geq(own, 0);
	if (unshare(CLONE_NEWPID) != 0) {
		printf("SKIP: no PID namespace to be had: %s\n", strerror(errno));
		close(own);
		world_end(&world);
		return;
	}
	flow = flow_any(&world);
	/* It is 1 where it lives: another process here. */
	child = child_begin(&world, &flow, wait_for_ever);
	/* A namespace whose first process has ended takes no others: a sanitizer begins one at the
	 * end. */
	cr_assert_eq(setns(own, CLONE_NEWPID), 0);
	close(own);
	for (int i = 0; i < 4; i++)
		cr_expect_eq(workers_beat(world.list), 2, "look %d", i);
	cr_expect_eq(open_of(&world, &flow), 1);
	child_end(child);
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_of(&world, &flow), 0);
	world_end(&world);
}

Test(watch, an_owner_that_closed_all_its_descriptors_lives)
{
	struct workers_fixture world;

	if (!world_begin(&world))
		return;
	close(world.tg->wake);
	close(world.tg->folder);
	world.tg->wake = world.tg->folder = -1;
	/* And one of the same process that attached later and left. */
	tg_detach(fixture_attach(&world.f));
	cr_expect_eq(workers_beat(world.list), 1);
	cr_expect_eq(open_connections(&world), 1);
	cr_expect_eq(tg_disconnect(world.tg, &world.lease), 0);
	world_end(&world);
}

/* However much is in it: the loop has others to look after. */
Test(workers, of_a_bell_that_is_rung_without_end_a_page_is_taken_at_once)
{
	char bytes[LAYOUT_PAGE] = {0};
	int bell[2], before, after;

	cr_assert_eq(pipe2(bell, O_NONBLOCK), 0);
	while (write(bell[1], bytes, sizeof(bytes)) > 0)
		;
	cr_assert_eq(ioctl(bell[0], FIONREAD, &before), 0);
	cr_assert_geq(before, 2 * LAYOUT_PAGE);
	workers_bell_take(bell[0]);
	cr_assert_eq(ioctl(bell[0], FIONREAD, &after), 0);
	cr_expect_eq(after, before - LAYOUT_PAGE, "%d of %d are left", after, before);
	/* An empty one is not waited for. */
	while (read(bell[0], bytes, sizeof(bytes)) > 0)
		;
	workers_bell_take(bell[0]);
	close(bell[0]);
	close(bell[1]);
}
