/* SPDX-License-Identifier: MIT
 *
 * The log: one line an event to standard error, as text or as JSON.
 *
 * What a receiver or a worker wrote is escaped here, so callers pass it as it is.
 */
#ifndef SIDECAR_BASE_LOG_H
#define SIDECAR_BASE_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

enum log_format {
	LOG_FORMAT_GIVEN, /* as log_given said */
	LOG_FORMAT_TEXT,  /* where journald reads it, with its priority prefix ("<4>") */
	LOG_FORMAT_JSON,
};

/* What the command line asked for: in force until a configuration says otherwise. At first text. */
void log_given(enum log_format format);
void log_configure(enum log_format format, enum log_level max);

/* An event: a word for it ("hold", "worker-gone"), then a sentence. */
void log_event(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(event, ...)	log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(event, ...) log_event(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_notice(event, ...)	log_event(LOG_LEVEL_NOTICE, event, __VA_ARGS__)
#define log_info(event, ...)	log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)	log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
