/* SPDX-License-Identifier: MIT
 *
 * Inputs that end at a page nobody may read: one byte too far is a SIGSEGV, not luck.
 *
 * guard_copy() returns a copy of len bytes whose end is the start of a PROT_NONE page; guard_text()
 * the same of a string, its NUL being the last byte. Test programs are short-lived: nothing is
 * unmapped unless guard_free() is called with the same length.
 */
#ifndef TESTS_GUARD_H
#define TESTS_GUARD_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline size_t guard_span(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + page - 1) / page * page;
}

static inline char *guard_copy(const void *data, size_t len)
{
	size_t span = guard_span(len);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *base =
		mmap(NULL, span + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + span, page, PROT_NONE) < 0)
		abort();
	if (len)
		memcpy(base + span - len, data, len);
	return base + span - len;
}

static inline char *guard_text(const char *text)
{
	return guard_copy(text, strlen(text) + 1);
}

static inline void guard_free(char *copy, size_t len)
{
	size_t span = guard_span(len);

	munmap(copy + len - span, span + (size_t)sysconf(_SC_PAGESIZE));
}

#endif
