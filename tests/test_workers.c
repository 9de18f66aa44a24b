/* SPDX-License-Identifier: MIT
 *
 * The registry of workers: who leaves is forgotten, who is written over is put back.
 */
#include <criterion/criterion.h>

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

Test(watch, a_living_worker_whose_word_was_written_over_is_put_back)
{
	static const uint64_t words[] = {0, 1, UINT64_MAX, UINT64_C(0xa5a5a5a5a5a5a5a5),
					 /* a pid that lives, begun at the end of time */
					 (UINT64_C(1) << LAYOUT_START_BITS) * 2 - 1};
	struct workers_fixture world;
	uint64_t own;

	if (!world_begin(&world))
		return;
	own = atomic_load(&world.mine->owner);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		atomic_store(&world.mine->owner, words[i]);
		cr_expect_eq(workers_scan(world.list), 1, "word %zu", i);
		cr_expect_eq(atomic_load(&world.mine->owner), own);
		cr_expect_eq(workers_repaired(world.list), i + 1);
	}
	/* The whole line, what says that it left as well. */
	memset((void *)world.mine, 0, LAYOUT_LINE);
	cr_expect_eq(workers_scan(world.list), 1);
	cr_expect_eq(world.last, 0, "nobody left");
	cr_expect_eq(open_connections(&world), 1);
	cr_expect_eq(tg_disconnect(world.tg, &world.lease), 0, "its lease is its own still");
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

Test(watch, a_slot_that_another_took_and_died_in_is_cleared)
{
	uint64_t another;
	struct workers_fixture world;
	pid_t child;
	int status;

	if (!world_begin(&world))
		return;
	child = fork();
	if (child == 0)
		pause();
	another = worker_identity(child);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	atomic_store(&world.mine->owner, another);
	cr_expect_eq(workers_scan(world.list), 0);
	cr_expect_eq(atomic_load(&world.mine->owner), 0);
	cr_expect_eq(open_connections(&world), 0, "what stood there was taken back");
	cr_expect_eq(workers_repaired(world.list), 0);
	world_end(&world);
}
