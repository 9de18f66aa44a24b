/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/file.h"

static char path[] = "/tmp/tollgate-file-XXXXXX";

static void make(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(write(fd, "0123456789", 10), 10);
	close(fd);
}

static void drop(void)
{
	unlink(path);
}

Test(file, is_read_up_to_its_end_or_the_bound, .init = make, .fini = drop)
{
	static const size_t bounds[] = {0, 1, 4095, 4096, 4097, 9999, 10000, 10001, 1 << 20};

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		size_t length = 7, expected = bounds[i] < 10000 ? bounds[i] : 10000;
		char *text = NULL;

		cr_assert_eq(file_read(path, bounds[i], &text, &length), 0);
		cr_expect_eq(length, expected, "%zu of %zu", length, bounds[i]);
		cr_expect_eq(strlen(text), expected);
		cr_expect(expected == 0 || text[expected - 1] == '0' + (int)((expected - 1) % 10));
		free(text);
	}
}

Test(file, that_cannot_be_read_says_why, .init = make, .fini = drop)
{
	char *text = NULL, some[8] = "before";
	size_t length;

	cr_expect_eq(file_read("/nonexistent/file", 10, &text, &length), -ENOENT);
	cr_expect_eq(file_read("/proc", 10, &text, &length), -EISDIR);
	cr_expect_null(text);
	cr_expect_eq(file_read_into("/nonexistent/file", some, sizeof(some)), -ENOENT);
	cr_expect_str_eq(some, "");
	cr_expect_eq(file_read_into(path, some, sizeof(some)), 0);
	cr_expect_str_eq(some, "0123456");
}
