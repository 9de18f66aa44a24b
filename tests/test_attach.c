/* SPDX-License-Identifier: MIT
 *
 * Attaching: what is refused, and with which error; fork, exec and unloading; what workers cannot
 * do.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>

#include "shm/lease.h"
#include "tests/segment_fixture.h"

static void patch(const struct fixture *f, const char *file, size_t offset, const void *bytes,
		  size_t length)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->path, file);
	fd = open(path, O_RDWR);
	cr_assert(fd >= 0 && pwrite(fd, bytes, length, (off_t)offset) == (ssize_t)length);
	close(fd);
}

static void mode(const struct fixture *f, const char *file, mode_t bits)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", f->path, file);
	cr_assert_eq(chmod(path, bits), 0);
}

static const char *const files[] = {"limits", "counters", "rings"};

#define FIELD(name) offsetof(struct layout_header, name), sizeof(((struct layout_header *)0)->name)

Test(attach, refuses_each_unfit_header_with_an_error_of_its_own)
{
	static const uint64_t swapped = 0x746f6c6c67617465;
	static const struct {
		const char *what;
		size_t offset, size;
		uint64_t value;
		int error;
	} rows[] = {
		{"magic", FIELD(magic), 0x1122334455667788, -EPROTO},
		{"magic of the other byte order", FIELD(magic), swapped, -EBADE},
		{"byte order", FIELD(byte_order), 0x04030201, -EBADE},
		{"older version", FIELD(version), 0, -EPROTONOSUPPORT},
		{"newer version", FIELD(version), LAYOUT_VERSION + 1, -EPROTONOSUPPORT},
		{"another file", FIELD(file), LAYOUT_CONTROL, -EPROTO},
		{"another owner", FIELD(owner), 4711, -EPERM},
		{"bytes", FIELD(bytes), 12345, -EMSGSIZE},
		{"no flows", offsetof(struct layout_header, sizes.flows), 4, 0, -EPROTO},
		{"slots that do not follow", offsetof(struct layout_header, sizes.slots), 4, 123456,
		 -EPROTO},
		{"a ring of 3", offsetof(struct layout_header, sizes.ring_records), 4, 3, -EPROTO},
		{"too many workers", offsetof(struct layout_header, sizes.workers), 4, 70000,
		 -EPROTO},
	};

	for (size_t file = 0; file < 3; file++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct fixture f;
			struct tg *tg = NULL;

			fixture_open(&f);
			patch(&f, files[file], rows[i].offset, &rows[i].value, rows[i].size);
			cr_expect_eq(fixture_try(&f, &tg), rows[i].error, "%s: %s", files[file],
				     rows[i].what);
			cr_expect_null(tg);
			fixture_end(&f);
		}
}

Test(attach, refuses_what_is_not_there_or_not_whole)
{
	struct tg_options options = {
		.size = sizeof(options), .segment = "/dev/shm/tg-test-none", .owner = -1};
	struct tg *tg = NULL;

	cr_expect_eq(tg_attach(&options, &tg), -ENOENT);
	for (size_t file = 0; file < 3; file++) {
		struct fixture f;
		char path[96];

		fixture_open(&f);
		snprintf(path, sizeof(path), "%s/%s", f.path, files[file]);
		cr_assert_eq(truncate(path, (off_t)f.segment->bytes[file] - 1), 0);
		cr_expect_eq(fixture_try(&f, &tg), -EMSGSIZE, "%s", files[file]);
		cr_assert_eq(truncate(path, 100), 0);
		cr_expect_eq(fixture_try(&f, &tg), -EMSGSIZE, "%s", files[file]);
		cr_assert_eq(unlink(path), 0);
		cr_expect_eq(fixture_try(&f, &tg), -ENOENT, "%s", files[file]);
		cr_assert_eq(symlink("/dev/zero", path), 0);
		cr_expect_eq(fixture_try(&f, &tg), -ELOOP, "%s", files[file]);
		cr_expect_null(tg);
		segment_close(f.segment, false);
		fixture_clear(f.path);
	}
}

Test(attach, refuses_a_segment_of_somebody_else)
{
	struct tg_options options = {.size = sizeof(options), .owner = (int64_t)geteuid() + 1};
	struct fixture f;
	struct tg *tg = NULL;

	fixture_open(&f);
	options.segment = f.path;
	cr_expect_eq(tg_attach(&options, &tg), -EPERM);
	options.owner = geteuid();
	cr_expect_eq(tg_attach(&options, &tg), 0);
	tg_detach(tg);
	mode(&f, "limits", 0660);
	cr_expect_eq(fixture_try(&f, &tg), -EPERM, "limits that the group may write");
	mode(&f, "limits", 0640);
	mode(&f, "counters", 0662);
	cr_expect_eq(fixture_try(&f, &tg), -EPERM, "counters that all may write");
	mode(&f, "counters", 0660);
	cr_assert_eq(chmod(f.path, 0777), 0);
	cr_expect_eq(fixture_try(&f, &tg), -EPERM, "a folder that all may write");
	cr_assert_eq(chmod(f.path, 0700), 0);
	cr_expect_eq(fixture_try(&f, &tg), 0);
	tg_detach(tg);
	fixture_end(&f);
}

Test(attach, refuses_files_of_different_segments)
{
	struct fixture f;
	struct tg *tg = NULL;
	uint64_t other = 1;

	fixture_open(&f);
	patch(&f, "rings", offsetof(struct layout_header, segment), &other, sizeof(other));
	cr_expect_eq(fixture_try(&f, &tg), -ESTALE);
	fixture_end(&f);
}

Test(attach, refuses_files_that_say_they_have_other_sizes_than_limits)
{
	struct layout_sizes sizes = {.flows = 16,
				     .slots = layout_slots(16),
				     .workers = 1,
				     .ring_records = 2,
				     .minutes = 1,
				     .leases = 1,
				     .names_bytes = 65536};
	struct layout_offsets offsets = layout_offsets(&sizes);
	struct fixture f;
	struct tg *tg = NULL;

	fixture_open(&f);
	patch(&f, "counters", offsetof(struct layout_header, sizes), &sizes, sizeof(sizes));
	patch(&f, "counters", offsetof(struct layout_header, bytes), &offsets.counters_bytes, 8);
	cr_expect_eq(fixture_try(&f, &tg), -EPROTO, "what is mapped of them is not theirs to say");
	fixture_end(&f);
}

Test(attach, refuses_one_that_is_not_open_yet_or_retired)
{
	struct fixture f;
	struct tg *tg = NULL;

	fixture_begin(&f);
	fixture_reopen(&f);
	cr_expect_eq(fixture_try(&f, &tg), -ESTALE);
	segment_live(f.segment);
	cr_expect_eq(fixture_try(&f, &tg), 0);
	tg_detach(tg);
	atomic_store(&f.segment->live->state, LAYOUT_RETIRED);
	cr_expect_eq(fixture_try(&f, &tg), -ESTALE);
	fixture_end(&f);
}

Test(attach, refuses_options_it_does_not_know)
{
	struct tg_options rows[] = {
		{.size = sizeof(rows[0].size) - 1, .owner = -1},
		{.size = LAYOUT_PAGE + 1, .owner = -1},
		{.size = sizeof(rows[0]), .owner = -1, .flags = 1},
		{.size = sizeof(rows[0]), .owner = -1, .clock = (enum tg_clock)7},
	};
	struct fixture f;
	struct tg *tg = NULL;
	char path[400];

	fixture_open(&f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rows[i].segment = f.path;
		cr_expect_eq(tg_attach(&rows[i], &tg), -EINVAL, "row %zu", i);
	}
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	rows[0] = (struct tg_options){.size = sizeof(rows[0]), .owner = -1, .segment = path};
	cr_expect_eq(tg_attach(&rows[0], &tg), -ENAMETOOLONG);
	setenv("TOLLGATE_SEGMENT", f.path, 1);
	cr_expect_eq(tg_attach(NULL, &tg), 0, "the environment names the segment");
	tg_detach(tg);
	fixture_end(&f);
}

Test(attach, takes_options_of_other_sizes)
{
	struct {
		struct tg_options options;
		char later[32];
	} grown = {.options = {.size = sizeof(grown), .owner = -1}};
	struct tg_options cut;
	struct fixture f;
	struct tg *tg = NULL;

	fixture_open(&f);
	/* A shorter struct: what lies beyond its size is not looked at. */
	memset(&cut, 0xfe, sizeof(cut));
	cut.size = offsetof(struct tg_options, owner);
	cut.segment = f.path;
	cr_assert_eq(tg_attach(&cut, &tg), 0);
	tg_detach(tg);
	/* A member of which a part lies within counts as not given. */
	cut.size += 3;
	cr_assert_eq(tg_attach(&cut, &tg), 0);
	tg_detach(tg);
	grown.options.segment = f.path;
	cr_assert_eq(tg_attach(&grown.options, &tg), 0);
	tg_detach(tg);
	grown.later[31] = 1;
	tg = NULL;
	cr_expect_eq(tg_attach(&grown.options, &tg), -E2BIG);
	cr_expect_null(tg);
	fixture_end(&f);
}

Test(attach, every_error_has_a_sentence_with_the_cure)
{
	static const struct {
		int error;
		const char *says;
	} rows[] = {
		{-ENOENT, "no segment at /x: is tollgated running?"},
		{-EPROTO, "no segment"},
		{-EPROTONOSUPPORT, "version"},
		{-EBADE, "byte order"},
		{-EMSGSIZE, "restart tollgated"},
		{-EPERM, "not trusted"},
		{-EACCES, "group"},
		{-ESTALE, "try again"},
		{-EUSERS, "segment.workers"},
		{-ENOSPC, "segment.flows"},
		{-E2BIG, "later version"},
		{-EINVAL, "argument"},
		{-ENAMETOOLONG, "too long"},
		{-ENOMEM, "Cannot allocate memory"},
	};
	char text[256], small[8];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(tg_error_text(rows[i].error, "/x", text, sizeof(text)), text);
		cr_expect(strstr(text, rows[i].says) && strstr(text, "/x"), "%s", text);
	}
	cr_expect_str_eq(tg_error_text(-ENOENT, "/x", small, sizeof(small)), "no segm");
	setenv("TOLLGATE_SEGMENT", "/from/there", 1);
	cr_expect(strstr(tg_error_text(-ENOENT, NULL, text, sizeof(text)), "/from/there"));
	unsetenv("TOLLGATE_SEGMENT");
	cr_expect(strstr(tg_error_text(-ENOENT, NULL, text, sizeof(text)), TG_SEGMENT_DEFAULT));
}

Test(attach, the_sizes_of_structs_are_told)
{
	cr_expect_eq(tg_struct_size(TG_STRUCT_OPTIONS), sizeof(struct tg_options));
	cr_expect_eq(tg_struct_size(TG_STRUCT_REPLY), sizeof(struct tg_reply));
	cr_expect_eq(tg_struct_size(TG_STRUCTS), 0);
	for (int i = 0; i < TG_STRUCTS; i++)
		cr_expect(tg_struct_size((enum tg_struct)i) >= 16, "%d", i);
}

Test(attach, refuses_the_caller_that_is_not_in_the_group)
{
	struct fixture f;
	pid_t child;
	int status;

	if (geteuid() != 0) {
		fprintf(stderr, "SKIP: only root can become somebody else\n");
		return;
	}
	fixture_open(&f);
	cr_assert_eq(chmod(f.path, 0755), 0);
	child = fork();
	if (child == 0) {
		struct tg *tg = NULL;

		_exit(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0 &&
				      fixture_try(&f, &tg) == -EACCES
			      ? 0
			      : 1);
	}
	waitpid(child, &status, 0);
	cr_expect_eq(status, 0);
	fixture_end(&f);
}

Test(attach, says_when_every_worker_slot_is_taken)
{
	struct fixture f;
	struct tg *tg[9] = {NULL};

	fixture_open(&f);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(fixture_try(&f, &tg[i]), 0);
	cr_expect_eq(fixture_try(&f, &tg[8]), -EUSERS);
	tg_detach(tg[3]);
	cr_expect_eq(fixture_try(&f, &tg[3]), 0);
	for (int i = 0; i < 9; i++)
		tg_detach(tg[i]);
	fixture_end(&f);
}

Test(attach, a_worker_that_writes_limits_dies_and_nothing_has_changed)
{
	struct fixture f;
	struct publish_limits limits = fixture_rate(SECOND, 5, 5, 5);
	struct tg_flow flow;
	uint64_t before;
	int status;
	pid_t child;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "example.org", &limits, FIXTURE_NOW);
	before = atomic_load(&f.segment->limits[flow.slot].rate[TG_BULK]);
	child = fork();
	if (child == 0) {
		struct tg *tg = fixture_attach(&f);

		signal(SIGSEGV, SIG_DFL);
		*(volatile uint64_t *)(uintptr_t)&tg->view.limits[flow.slot].rate[TG_BULK] =
			GCRA_UNLIMITED;
		_exit(0);
	}
	waitpid(child, &status, 0);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x", status);
	cr_expect_eq(atomic_load(&f.segment->limits[flow.slot].rate[TG_BULK]), before);
	fixture_end(&f);
}

Test(attach, what_is_mapped_read_only_cannot_be_made_writable)
{
	struct fixture f;
	struct tg *tg;

	fixture_open(&f);
	tg = fixture_attach(&f);
	cr_expect_eq(mprotect(tg->files[LAYOUT_LIMITS].base, LAYOUT_PAGE, PROT_READ | PROT_WRITE),
		     -1);
	cr_expect_eq(errno, EACCES);
	tg_detach(tg);
	fixture_end(&f);
}

Test(attach, a_forked_child_has_a_slot_and_leases_of_its_own)
{
	struct fixture f;
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_flow flow;
	struct tg_lease lease;
	struct tg *tg;
	int status;
	pid_t child;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "example.org", &limits, FIXTURE_NOW);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
	child = fork();
	if (child == 0) {
		struct tg_lease mine;
		int bad = 0;

		/* The first lease of the child has the entry and the sequence of the parent's
		 * first. */
		bad |= tg_connect(tg, &flow, TG_BULK, &mine).reason != TG_ADMITTED;
		bad |= (tg_disconnect(tg, &lease) != -EINVAL) << 1;
		bad |= (lease_count(atomic_load(&tg->view.counters_more[flow.slot].gauge)) != 2)
		       << 2;
		bad |= (atomic_load(&tg_worker(tg)->owner) >> LAYOUT_PID_SHIFT !=
			(uint64_t)getpid())
		       << 3;
		bad |= (tg_disconnect(tg, &mine) != 0) << 4;
		tg_detach(tg);
		_exit(bad);
	}
	waitpid(child, &status, 0);
	cr_expect_eq(status, 0, "status %x", status);
	cr_expect_eq(lease_count(atomic_load(&tg->view.counters_more[flow.slot].gauge)), 1);
	cr_expect_eq(atomic_load(&tg_worker(tg)->owner) >> LAYOUT_PID_SHIFT, (uint64_t)getpid());
	cr_expect_eq(tg_disconnect(tg, &lease), 0);
	tg_detach(tg);
	fixture_end(&f);
}

Test(attach, a_forked_child_that_never_calls_takes_nothing_with_it)
{
	struct fixture f;
	struct publish_limits limits = fixture_rate(0, 1, 1, 1);
	struct tg_flow flow;
	struct tg_lease lease;
	struct tg *tg;
	pid_t child;

	fixture_open(&f);
	flow = fixture_flow(f.segment, "192.0.2.1", "example.org", &limits, FIXTURE_NOW);
	tg = fixture_attach(&f);
	cr_assert_eq(tg_connect(tg, &flow, TG_BULK, &lease).reason, TG_ADMITTED);
	child = fork();
	if (child == 0) {
		tg_detach(tg);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	cr_expect_eq(lease_count(atomic_load(&tg->view.counters_more[flow.slot].gauge)), 1);
	cr_expect_neq(atomic_load(&tg_worker(tg)->owner), 0);
	cr_expect_eq(tg_disconnect(tg, &lease), 0);
	tg_detach(tg);
	fixture_end(&f);
}

static uint32_t owners(const struct fixture *f)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < f->options.sizes.workers; i++)
		count += atomic_load(&f->segment->workers[i].owner) != 0;
	return count;
}

static uint32_t entries(const char *folder)
{
	DIR *dir = opendir(folder);
	uint32_t count = 0;

	cr_assert_not_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static uint32_t mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uint32_t lines = 0;

	cr_assert_not_null(maps);
	for (int c; (c = getc(maps)) != EOF;)
		lines += c == '\n';
	fclose(maps);
	return lines;
}

Test(attach, ten_thousand_times_leaks_nothing)
{
	struct fixture f;
	uint32_t descriptors, maps;

	fixture_open(&f);
	for (int i = 0; i < 100; i++)
		tg_detach(fixture_attach(&f));
	descriptors = entries("/proc/self/fd");
	maps = mappings();
	for (int i = 0; i < 10000; i++)
		tg_detach(fixture_attach(&f));
	cr_expect_eq(entries("/proc/self/fd"), descriptors);
	/* The allocator may take a mapping or two of its own. */
	cr_expect(mappings() <= maps + 4, "%u mappings, %u before", mappings(), maps);
	cr_expect_eq(owners(&f), 0);
	fixture_end(&f);
}

Test(attach, a_refused_attach_leaks_nothing)
{
	struct fixture f;
	uint64_t other = 1;
	uint32_t descriptors, maps;
	struct tg *tg;

	fixture_open(&f);
	patch(&f, "rings", offsetof(struct layout_header, segment), &other, sizeof(other));
	cr_expect_eq(fixture_try(&f, &tg), -ESTALE);
	descriptors = entries("/proc/self/fd");
	maps = mappings();
	for (int i = 0; i < 1000; i++)
		fixture_try(&f, &tg);
	cr_expect_eq(entries("/proc/self/fd"), descriptors);
	cr_expect(mappings() <= maps + 4);
	fixture_end(&f);
}

Test(attach, works_after_exec_and_nothing_is_inherited)
{
	struct fixture f;
	struct tg *tg;
	char command[128];

	fixture_open(&f);
	tg = fixture_attach(&f);
	/* Descriptors are closed on exec; mappings go with the image. */
	snprintf(command, sizeof(command), "! ls -l /proc/self/fd | grep -q %s", f.path);
	cr_expect_eq(system(command), 0);
	snprintf(command, sizeof(command), "! grep -q %s /proc/self/maps", f.path);
	cr_expect_eq(system(command), 0);
	tg_detach(tg);
	fixture_end(&f);
}

static void library(char path[256])
{
	const char *build = getenv("TG_BUILD");

	snprintf(path, 256, "%s/libtollgate.so", build ? build : "build");
}

Test(attach, can_be_loaded_and_unloaded_again_and_again)
{
	struct fixture f;
	char path[256];

	library(path);
	fixture_open(&f);
	setenv("TOLLGATE_SEGMENT", f.path, 1);
	for (int i = 0; i < 50; i++) {
		void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		int (*attach)(const struct tg_options *, struct tg **);
		void (*detach)(struct tg *);
		struct tg *tg;

		cr_assert_not_null(so, "%s", dlerror());
		*(void **)&attach = dlsym(so, "tg_attach");
		*(void **)&detach = dlsym(so, "tg_detach");
		cr_assert_eq(attach(NULL, &tg), 0);
		detach(tg);
		cr_assert_eq(dlclose(so), 0);
	}
	cr_expect_eq(owners(&f), 0);
	fixture_end(&f);
}

Test(attach, exports_tg_and_nothing_else)
{
	char path[256], command[600];

	library(path);
	snprintf(
		command, sizeof(command),
		"nm -D --defined-only %s | awk '$3 !~ /^tg_[a-z_]+@@TOLLGATE_0$/ && $3 != \"TOLLGATE_0\" {print; bad = 1} END {exit bad}'",
		path);
	cr_expect_eq(system(command), 0);
	snprintf(
		command, sizeof(command),
		"for s in $(grep -o '\\btg_[a-z_]*(' shm/tollgate.h | tr -d '(' | sort -u); do nm -D %s | grep -q \" $s@@\" || exit 1; done",
		path);
	cr_expect_eq(system(command), 0, "every function of the header is there");
}

Test(attach, needs_libc_alone)
{
	char path[256], command[400];

	library(path);
	snprintf(
		command, sizeof(command),
		"! readelf -d %s | grep NEEDED | grep -vE 'libc\\.so|libpthread|ld-linux|libasan|libubsan|libtsan'",
		path);
	cr_expect_eq(system(command), 0);
}

Test(attach, the_header_pleases_a_cxx_compiler)
{
	static const char source[] =
		"#include \"shm/tollgate.h\"\\nint main() { tg_options o{}; o.size = sizeof o; "
		"struct tg *t = nullptr; return tg_attach(&o, &t); }\\n";
	char command[600], path[256];

	library(path);
	snprintf(
		command, sizeof(command),
		"printf '%s' | g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -I. -x c++ -fsyntax-only -",
		source);
	cr_expect_eq(system(command), 0);
	snprintf(
		command, sizeof(command),
		"printf '#include \"shm/tollgate.h\"\\n' | gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -I. -x c -fsyntax-only -");
	cr_expect_eq(system(command), 0);
}
