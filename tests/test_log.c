/* SPDX-License-Identifier: MIT
 *
 * The log's lines: whatever is written into them, each is one line, and in JSON it is JSON.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/base/json.h"
#include "sidecar/base/log.h"
#include "sidecar/base/log_queue.h"

static int pipes[2];
static char line[16384];

/* What the log writes by this call. */
static const char *said(const char *text)
{
	ssize_t got;

	log_info("test", "%s", text);
	got = read(pipes[0], line, sizeof(line) - 1);
	cr_assert_gt(got, 0);
	line[got] = '\0';
	cr_assert_eq(strchr(line, '\n'), line + got - 1, "one line");
	return line;
}

static void setup(void)
{
	cr_assert_eq(pipe(pipes), 0);
	cr_assert_geq(dup2(pipes[1], STDERR_FILENO), 0);
	unsetenv("JOURNAL_STREAM");
}

TestSuite(log, .init = setup);

Test(log, of_json_is_json_whatever_a_receiver_wrote)
{
	char bytes[256] = "", back[512];
	struct json *json = NULL;
	char reason[JSON_REASON];

	log_configure(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	for (int i = 1; i < 256; i++)
		bytes[i - 1] = (char)i;
	said(bytes);
	cr_assert_eq(json_read(line, strlen(line) - 1, &json, reason), 0, "%s: %s", reason, line);
	cr_expect_str_eq(json_get_text(json, "event", ""), "test");
	snprintf(back, sizeof(back), "%.127s", bytes);
	cr_expect_eq(strncmp(json_get_text(json, "text", ""), back, 127), 0, "ASCII comes back");
	json_release(json);
	said("\xc3\xa9 \xc2\x9b"
	     "1m");
	cr_expect(strstr(line, "\"\xc3\xa9 \\u009b1m\""), "%s", line);
}

Test(log, of_text_does_nothing_to_a_terminal)
{
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	said("\xc3\xa9 \x1b[31m \xc2\x9b \x9b \n \\ \"");
	cr_expect(strstr(line, "info test: \xc3\xa9 \\x1b[31m \\x9b \\x9b \\x0a \\ \"\n"), "%s",
		  line);
}

Test(log, a_configuration_that_says_nothing_leaves_what_the_command_line_gave)
{
	log_given(LOG_FORMAT_JSON);
	log_configure(LOG_FORMAT_GIVEN, LOG_LEVEL_INFO);
	cr_expect_eq(*said("x"), '{');
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	cr_expect_neq(*said("x"), '{');
	log_configure(LOG_FORMAT_GIVEN, LOG_LEVEL_INFO);
	cr_expect_eq(*said("x"), '{');
}

Test(log, carries_priorities_for_the_journal_alone)
{
	char stream[64];
	struct stat st;

	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	cr_expect_str_eq(said("x"), "<6>test: x\n");
	setenv("JOURNAL_STREAM", "8:1", 1);
	cr_expect_neq(*said("x"), '<');
}

Test(log, cuts_what_is_too_long)
{
	static char text[20000];

	memset(text, '"', sizeof(text) - 1);
	log_configure(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	said(text);
	cr_expect_str_eq(line + strlen(line) - 3, "\"}\n");
}

#define LINES 20000

/* Reads until it finds the text; what it read before is gone. */
static bool read_until(const char *text)
{
	size_t kept = 0, max = strlen(text);

	for (;;) {
		ssize_t got = read(pipes[0], line + kept, 4096);

		if (got <= 0)
			return false;
		line[kept + (size_t)got] = '\0';
		if (strstr(line, text))
			return true;
		kept = kept + (size_t)got > max ? max : kept + (size_t)got;
		memmove(line, line + strlen(line) - kept, kept);
	}
}

Test(log, that_nobody_reads_stops_nobody, .timeout = 60)
{
	uint64_t dropped;

	cr_assert_eq(log_queue_begin(), 0);
	cr_assert_eq(log_queue_run(), 0);
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	/* Many times what the pipe and the queue hold. */
	for (int i = 0; i < LINES; i++)
		log_info("test", "%d a line of some length, as they are, that nobody reads", i);
	dropped = log_queue_dropped();
	cr_expect_gt(dropped, LINES / 2);
	log_queue_end(1000000);
}

Test(log, that_is_read_again_says_how_much_was_lost, .timeout = 60)
{
	char lost[64];

	cr_assert_eq(log_queue_begin(), 0);
	cr_assert_eq(log_queue_run(), 0);
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	for (int i = 0; i < LINES; i++)
		log_info("test", "%d a line of some length, as they are, that nobody reads", i);
	snprintf(lost, sizeof(lost), "%lu lines were lost", log_queue_dropped());
	cr_assert(read_until("test: 0 a line"));
	while (!log_queue_roomy())
		cr_assert_gt(read(pipes[0], line, 4096), 0);
	log_info("test", "the first that is taken again");
	cr_expect(read_until(lost));
	cr_expect(strstr(line, "the first that is taken again") ||
		  read_until("the first that is taken again"));
	log_queue_end(UINT64_C(10000000000));
}

Test(log, of_a_start_that_fails_is_written_without_the_thread)
{
	cr_assert_eq(log_queue_begin(), 0);
	log_configure(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_error("start", "no");
	log_queue_end(UINT64_C(10000000000));
	cr_expect(read_until("start: no"));
}
