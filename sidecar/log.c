/* SPDX-License-Identifier: MIT */
#include "sidecar/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE 2048

static struct {
	bool json;
	enum log_level most;
} settings = {false, LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static const int priorities[] = {3, 4, 5, 6, 7}; /* sd-daemon(3) */

void log_configure(bool json, enum log_level most)
{
	settings.json = json;
	settings.most = most;
}

/* Control characters, and in JSON quotes and backslashes, are escaped; bytes above 0x7f stay. */
static void escape(const char *from, char *to, size_t size, bool json)
{
	size_t at = 0;

	for (; *from && at + 8 < size; from++) {
		unsigned char c = (unsigned char)*from;

		if (json && (c == '"' || c == '\\')) {
			to[at++] = '\\';
			to[at++] = (char)c;
		} else if (c < 0x20 || c == 0x7f)
			at += (size_t)snprintf(to + at, size - at, json ? "\\u%04x" : "\\x%02x", c);
		else
			to[at++] = (char)c;
	}
	to[at] = '\0';
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

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	char said[LINE], clean[2 * LINE], line[3 * LINE], when[40];
	va_list args;
	int length;

	if (level > settings.most)
		return;
	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	escape(said, clean, sizeof(clean), settings.json);
	time_write(when, sizeof(when));
	if (settings.json)
		length = snprintf(
			line, sizeof(line),
			"{\"time\": \"%s\", \"level\": \"%s\", \"event\": \"%s\", \"text\": \"%s\"}\n",
			when, level_names[level], event, clean);
	else if (getenv("JOURNAL_STREAM"))
		length = snprintf(line, sizeof(line), "<%d>%s: %s\n", priorities[level], event,
				  clean);
	else
		length = snprintf(line, sizeof(line), "%s %s %s: %s\n", when, level_names[level],
				  event, clean);
	/* One write, so that lines of several threads or processes do not mix. A log that nobody
	 * takes is no reason to stop pacing mail. */
	if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
		return;
}
