/* SPDX-License-Identifier: MIT */
#include "sidecar/base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sidecar/base/json.h"
#include "sidecar/base/log_queue.h"
#include "sidecar/base/terminal.h"
#include "sidecar/base/utf8.h"

#define LINE 2048

static struct {
	enum log_format given;
	bool json;
	enum log_level max;
} settings = {LOG_FORMAT_TEXT, false, LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static const int priorities[] = {3, 4, 5, 6, 7}; /* sd-daemon(3) */

void log_given(enum log_format format)
{
	settings.given = format;
	settings.json = format == LOG_FORMAT_JSON;
}

void log_configure(enum log_format format, enum log_level max)
{
	format = format == LOG_FORMAT_GIVEN ? settings.given : format;
	settings.json = format == LOG_FORMAT_JSON;
	settings.max = max;
}

/* What a terminal would obey and what is not UTF-8 is escaped. */
static size_t escape_plain(const char *from, size_t left, char to[8], size_t *ret_taken)
{
	const unsigned char *character = (const unsigned char *)from;
	size_t one = utf8_length(character, left);
	uint32_t c = one ? utf8_code_point(character, one) : *character;

	*ret_taken = one ? one : 1;
	if (one == 0 || utf8_unsafe(c))
		return terminal_escape(to, c);
	memcpy(to, character, one);
	return one;
}

static void escape(const char *from, char *to, size_t size, bool json)
{
	size_t at = 0, left = strlen(from);

	while (left > 0 && at + 8 < size) {
		char escaped[8];
		size_t taken, length = json ? json_escape(from, left, escaped, &taken)
					    : escape_plain(from, left, escaped, &taken);

		memcpy(to + at, escaped, length);
		at += length;
		from += taken;
		left -= taken;
	}
	to[at] = '\0';
}

/* Whether what reads standard error is journald: the variable goes on to children whose standard
 * error is something else. */
static bool journal_reads(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void time_write(char *text, size_t size)
{
	struct timespec now;
	struct tm parts;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
}

static void line_write(enum log_level level, const char *event, const char *said)
{
	char clean[2 * LINE], line[3 * LINE], when[40];
	int length;

	escape(said, clean, sizeof(clean), settings.json);
	time_write(when, sizeof(when));
	if (settings.json)
		length = snprintf(
			line, sizeof(line),
			"{\"time\": \"%s\", \"level\": \"%s\", \"event\": \"%s\", \"text\": \"%s\"}\n",
			when, level_names[level], event, clean);
	else if (journal_reads())
		length = snprintf(line, sizeof(line), "<%d>%s: %s\n", priorities[level], event,
				  clean);
	else
		length = snprintf(line, sizeof(line), "%s %s %s: %s\n", when, level_names[level],
				  event, clean);
	if (length <= 0 || log_queue_put(line, (size_t)length))
		return;
	/* One write, so that lines of several threads or processes do not mix. A log that nobody
	 * takes is no reason to stop pacing mail. */
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return;
}

/* Lines that found no room are told of by the first that may find some again. */
static void dropped_tell(void)
{
	static _Atomic uint64_t told;
	uint64_t dropped = log_queue_dropped(), before = atomic_load(&told);
	char said[64];

	if (dropped == before || !log_queue_roomy() ||
	    !atomic_compare_exchange_strong(&told, &before, dropped))
		return;
	snprintf(said, sizeof(said), "%" PRIu64 " lines were lost: nobody read them",
		 dropped - before);
	line_write(LOG_LEVEL_WARNING, "log", said);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	char said[LINE];
	va_list args;

	if (level > settings.max)
		return;
	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	dropped_tell();
	line_write(level, event, said);
}
