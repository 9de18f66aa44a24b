/* SPDX-License-Identifier: MIT
 *
 * One program, two names: tollgated is the sidecar, as `tollgate` it is the command line.
 */
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/base/log_queue.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/config/types.h"
#include "sidecar/daemon/daemon.h"

struct tollgated_options {
	const char *config;
	bool remove;
};

static const char *log_take(void *into, const char *name, char *text)
{
	(void)into;
	if (strcmp(text, "json") != 0 && strcmp(text, "text") != 0)
		return "it is text or json";
	log_given(strcmp(text, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
	return NULL;
}

static const struct cli_option option_rows[] = {
	{"config", 'c', "FILE",
	 "the configuration; without it " CONFIG_PATH_DEFAULT
	 " if that is there, else the built-in one",
	 CLI_TEXT, offsetof(struct tollgated_options, config), 0, NULL},
	{"log", 0, "FORMAT", "text or json, until the configuration says otherwise", CLI_READ, 0, 0,
	 log_take},
	{"remove", 0, NULL, "take the segment away at the end", CLI_FLAG,
	 offsetof(struct tollgated_options, remove), 0, NULL},
	{0}};

static const struct cli_syntax syntax = {
	.about =
		"The sidecar that paces outbound mail. SIGHUP reads the configuration anew; SIGTERM ends "
		"and leaves the segment for the next sidecar. The manual is tollgated(8).",
	.options = option_rows,
};

static int sidecar_live(const char *config, bool remove)
{
	char reason[SIDECAR_REASON];
	struct sidecar *sidecar;
	int error = sidecar_create(config, remove, &sidecar, reason);

	if (error) {
		log_error("start", "%s", reason);
		return 1;
	}
	error = sidecar_run(sidecar);
	if (error)
		log_error("loop", "%s", strerror(-error));
	sidecar_free(sidecar);
	return error ? 1 : 0;
}

static int sidecar_main(const char *config, bool remove)
{
	int status = log_queue_begin() == 0 ? sidecar_live(config, remove) : 1;

	log_queue_end(SIDECAR_LAST_WORDS_NS);
	return status;
}

static int tollgated(int argc, char **argv)
{
	struct tollgated_options options = {0};
	char **arguments;

	options_read(&syntax, argc, argv, &options, &arguments);
	if (options.config == NULL && access(CONFIG_PATH_DEFAULT, F_OK) == 0)
		options.config = CONFIG_PATH_DEFAULT;
	return sidecar_main(options.config, options.remove);
}

int main(int argc, char **argv)
{
	if (argc > 0 && strcmp(basename(argv[0]), "tollgated") != 0)
		return command_run(argc, argv);
	return tollgated(argc, argv);
}
