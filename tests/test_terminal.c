/* SPDX-License-Identifier: MIT
 *
 * What reaches a terminal, byte by byte and in pieces.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sidecar/base/terminal.h"

static const struct {
	const char *text;
	const char *shown;
} rows[] = {
	{"plain\n\ttext\n", "plain\n\ttext\n"},
	{"\x1b[31mred", "\\x1b[31mred"},
	{"bell\a return\r", "bell\\x07 return\\x0d"},
	{"\xc2\x9b"
	 "2J",
	 "\\x9b2J"},
	{"\x7f", "\\x7f"},
	{"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xaa", "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xaa"},
	{"\xe2\x80\xae \xe2\x81\xa6 \xe2\x80\xa8 \xd8\x9c \xef\xbb\xbf",
	 "\\u202e \\u2066 \\u2028 \\u061c \\ufeff"},
	{"\xff\xfe", "\\xff\\xfe"},
	{"\xc0\x80 \xed\xa0\x80 \xf4\x90", "\\xc0\\x80 \\xed\\xa0\\x80 \\xf4\\x90"},
	{"cut \xe2\x82", "cut \\xe2\\x82"},
	{"\xe2\x82x", "\\xe2\\x82x"},
};

/* A child prints the text under the guard, `piece` bytes a write. */
static void print(int to, int fd, const char *text, size_t piece)
{
	size_t length = strlen(text);

	if (dup2(to, fd) < 0 || terminal_guard() != 0)
		_exit(1);
	for (size_t at = 0; at < length; at += piece) {
		FILE *out = fd == STDOUT_FILENO ? stdout : stderr;

		fwrite(text + at, 1, length - at < piece ? length - at : piece, out);
		fflush(out);
	}
	fclose(fd == STDOUT_FILENO ? stdout : stderr);
	_exit(0);
}

static void shown(int fd, const char *text, size_t piece, char *ret, size_t size)
{
	int ends[2], status;
	ssize_t got;
	size_t length = 0;
	pid_t child;

	cr_assert_eq(pipe(ends), 0);
	child = fork();
	if (child == 0)
		print(ends[1], fd, text, piece);
	close(ends[1]);
	while ((got = read(ends[0], ret + length, size - 1 - length)) > 0)
		length += (size_t)got;
	ret[length] = '\0';
	close(ends[0]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(terminal, obeys_nothing_that_a_stranger_wrote)
{
	static const int fds[] = {STDOUT_FILENO, STDERR_FILENO};
	char got[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int which = 0; which < 2; which++)
			for (size_t piece = 1; piece < 8; piece++) {
				shown(fds[which], rows[i].text, piece, got, sizeof(got));
				cr_expect_str_eq(got, rows[i].shown, "row %zu by %zu: %s", i, piece,
						 got);
			}
}

Test(terminal, passes_much_text_whole)
{
	static char text[20001], got[20100];

	memset(text, 'a', sizeof(text) - 1);
	shown(STDOUT_FILENO, text, sizeof(text), got, sizeof(got));
	cr_expect_str_eq(got, text);
}
