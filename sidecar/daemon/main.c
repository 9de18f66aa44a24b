/* SPDX-License-Identifier: MIT
 *
 * One program, two names: tollgated is the sidecar, as `tollgate` it is the command line.
 */
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/log.h"
#include "sidecar/base/log_queue.h"
#include "sidecar/cli/command.h"
#include "sidecar/daemon/daemon.h"

static int usage(FILE *out, int status)
{
	fputs("usage: tollgated [-c FILE] [--log text|json] [--remove]\n\n"
	      "  -c, --config FILE    the configuration; without it " CONFIG_PATH_DEFAULT "\n"
	      "                       if that is there, else the built-in one\n"
	      "      --log FORMAT     text or json, until the configuration says otherwise\n"
	      "      --remove         take the segment away at the end\n"
	      "      --version\n\n"
	      "SIGHUP reads the configuration anew; SIGTERM ends and leaves the segment for the next\n"
	      "sidecar. The manual is tollgated(8).\n",
	      out);
	return status;
}

static int sidecar_live(const char *config, bool remove)
{
	char reason[SIDECAR_REASON];
	struct sidecar *sidecar;
	int error = sidecar_create(config, &sidecar, reason);

	if (error) {
		log_error("start", "%s", reason);
		return 1;
	}
	sidecar->remove = remove;
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
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"log", required_argument, NULL, 'l'},
		{"remove", no_argument, NULL, 'r'},	  {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},	  {NULL, 0, NULL, 0},
	};
	const char *config = NULL;
	bool remove = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c': config = optarg; break;
		case 'l':
			if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
				return usage(stderr, 2);
			log_given(strcmp(optarg, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
			break;
		case 'r': remove = true; break;
		case 'h': return usage(stdout, 0);
		case 'v': puts("tollgated " TG_VERSION); return 0;
		default: return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	if (config == NULL && access(CONFIG_PATH_DEFAULT, F_OK) == 0)
		config = CONFIG_PATH_DEFAULT;
	return sidecar_main(config, remove);
}

int main(int argc, char **argv)
{
	if (argc > 0 && strcmp(basename(argv[0]), "tollgated") != 0)
		return command_run(argc, argv);
	return tollgated(argc, argv);
}
