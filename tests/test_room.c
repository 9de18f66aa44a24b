/* SPDX-License-Identifier: MIT
 *
 * A file system without room: an error of the start or of attaching, never a signal in a worker.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sidecar/segment/segment.h"
#include "sidecar/segment/segment_files.h"
#include "tests/segment_fixture.h"

/* A tmpfs of that many KiB below the fixture's folder, which goes with this process. False: such a
 * one cannot be had here. */
static bool small_begin(struct fixture *f, unsigned kib, char *path, size_t size)
{
	char options[32];

	fixture_begin(f);
	snprintf(path, size, "%s/small", f->path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(options, sizeof(options), "size=%uk", kib);
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", path, "tmpfs", 0, options) != 0) {
		printf("SKIP: no tmpfs to be mounted: %s\n", strerror(errno));
		fixture_clear(f->path);
		return false;
	}
	return true;
}

static void small_end(struct fixture *f, char *path)
{
	umount2(path, MNT_DETACH);
	fixture_clear(f->path);
}

static struct segment_options options_in(const struct fixture *f, const char *folder)
{
	struct segment_options options = f->options;

	options.path = folder;
	return options;
}

/* Takes all that is left. */
static void fill(const char *folder)
{
	static const char block[LAYOUT_PAGE];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/filler", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
		;
	cr_assert_eq(errno, ENOSPC);
	close(fd);
}

Test(room, that_is_missing_at_the_start_is_said_and_leaves_nothing)
{
	char path[96], folder[128], reason[SEGMENT_REASON] = "";
	struct segment *s = NULL;
	struct fixture f;

	if (!small_begin(&f, 256, path, sizeof(path)))
		return;
	snprintf(folder, sizeof(folder), "%s/segment", path);
	f.options = options_in(&f, folder);
	cr_expect_eq(segment_open(&f.options, &s, reason), -ENOSPC);
	cr_expect(strstr(reason, "MiB") && strstr(reason, "segment.flows"), "%s", reason);
	cr_expect_eq(access(folder, F_OK), -1, "the folder stayed");
	/* One that was there, made at boot, stays; what was made in it does not. */
	cr_assert_eq(mkdir(folder, 0700), 0);
	cr_expect_eq(segment_open(&f.options, &s, reason), -ENOSPC);
	for (int file = 0; file < LAYOUT_FILES; file++) {
		char made[160];

		snprintf(made, sizeof(made), "%s/%s" SEGMENT_NEW, folder, segment_file_names[file]);
		cr_expect_eq(access(made, F_OK), -1, "%s stayed", made);
	}
	small_end(&f, path);
}

/* All that a worker does, beside a file system that is full. */
Test(room, that_goes_after_attaching_is_nothing_to_a_worker)
{
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_reply reply = {.code = 451, .text = "451 4.7.0 later", .length = 15, .n = 1};
	struct tg_options attach = {.size = sizeof(attach), .owner = -1};
	char path[96], folder[128], reason[SEGMENT_REASON] = "", filler[128];
	struct tg *tg = NULL, *late = NULL;
	struct tg_flow flow;
	struct fixture f;

	if (!small_begin(&f, 8192, path, sizeof(path)))
		return;
	snprintf(folder, sizeof(folder), "%s/segment", path);
	snprintf(filler, sizeof(filler), "%s/filler", path);
	f.options = options_in(&f, folder);
	cr_assert_eq(segment_open(&f.options, &f.segment, reason), 0, "%s", reason);
	cr_expect(!f.segment->scarce);
	fixture_names(f.segment, 4);
	segment_live(f.segment);
	flow = fixture_flow(f.segment, "192.0.2.1", "provider", &limits, clock_vdso());
	attach.segment = folder;
	cr_assert_eq(tg_attach(&attach, &tg), 0);
	tg_report(tg, &flow, &reply);
	fill(path);
	cr_expect_eq(tg_attach(&attach, &late), -ENOSPC);
	for (uint32_t i = 0; i < 2 * f.options.sizes.ring_records; i++) {
		struct tg_source source;
		struct tg_lease lease;
		char address[32];

		/* Each in a line of its own, of every page. */
		snprintf(address, sizeof(address), "192.0.2.%u", i % 250 + 1);
		tg_source(tg, address, &source);
		cr_expect_eq(tg_admit(tg, &flow, TG_BULK, 1).reason, TG_ADMITTED);
		if (tg_connect(tg, &flow, TG_BULK, &lease).reason == TG_ADMITTED && i % 2)
			tg_disconnect(tg, &lease);
		tg_report(tg, &flow, &reply);
	}
	unlink(filler);
	cr_expect_eq(tg_attach(&attach, &late), 0, "there is room again");
	tg_detach(late);
	tg_detach(tg);
	segment_close(f.segment, true);
	small_end(&f, path);
}

/* A container's /dev/shm has 64 MiB. */
Test(room, of_a_container_is_enough_for_the_default)
{
	char path[96], folder[128], reason[SEGMENT_REASON] = "";
	struct fixture f;

	if (!small_begin(&f, 65536, path, sizeof(path)))
		return;
	snprintf(folder, sizeof(folder), "%s/segment", path);
	f.options = options_in(&f, folder);
	f.options.sizes = (struct layout_sizes){.flows = 65536,
						.workers = 256,
						.ring_records = 1024,
						.minutes = 60,
						.leases = 1024,
						.names_bytes = 1 << 20};
	cr_expect_eq(segment_open(&f.options, &f.segment, reason), 0, "%s", reason);
	segment_close(f.segment, true);
	small_end(&f, path);
}
