/* SPDX-License-Identifier: MIT
 *
 * Reading the Public Suffix List's text form.
 */
#include "sidecar/config/public_suffix.h"

#include <errno.h>
#include <libpsl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/destination.h"

#define DEBIAN_PATH "/usr/share/publicsuffix/public_suffix_list.dat"

const char *public_suffix_path(void)
{
	static const char compiled[] = ".dafsa"; /* libpsl's own form; the text stands beside it */
	static _Thread_local char path[512];
	const char *known = psl_dist_filename();
	size_t length = known ? strlen(known) : 0;

	if (length == 0 || length >= sizeof(path))
		return DEBIAN_PATH;
	memcpy(path, known, length + 1);
	if (length >= sizeof(compiled) &&
	    strcmp(path + length - (sizeof(compiled) - 1), compiled) == 0)
		memcpy(path + length - (sizeof(compiled) - 1), ".dat", sizeof(".dat"));
	return access(path, R_OK) == 0 ? path : DEBIAN_PATH;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct suffix_reading {
	int (*take)(void *context, const char *name, uint16_t rule);
	void *context;
	bool private_section;
	bool icann_seen;
};

/* One line of the list: up to the first space a rule, or a comment, or nothing. */
static int take_line(struct suffix_reading *reading, char *line)
{
	char name[DESTINATION_NAME_MAX + 1];
	bool private_section = reading->private_section;
	uint16_t rule = private_section ? DESTINATION_RULE_PRIVATE : DESTINATION_RULE_ICANN;

	if (strstr(line, "===BEGIN ICANN DOMAINS==="))
		reading->icann_seen = true;
	if (strstr(line, "===BEGIN PRIVATE DOMAINS==="))
		reading->private_section = true;
	line[strcspn(line, " \t\r\n")] = '\0';
	if (line[0] == '\0' || strncmp(line, "//", 2) == 0)
		return 0;
	if (line[0] == '!') {
		rule = DESTINATION_EXCEPTION;
		line++;
	} else if (strncmp(line, "*.", 2) == 0) {
		rule = private_section ? DESTINATION_STAR_PRIVATE : DESTINATION_STAR_ICANN;
		line += 2;
	}
	/* A rule that no name can match (a newer syntax) is passed over, as libpsl does. */
	if (destination_normalise(line, name) < 0)
		return 0;
	return reading->take(reading->context, name, rule);
}

int public_suffix_read(const char *path,
		       int (*take)(void *context, const char *name, uint16_t rule), void *context)
{
	struct suffix_reading reading = {.take = take, .context = context};
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	if (!file)
		return -errno;
	while (rc == 0 && getline(&line, &size, file) >= 0)
		rc = take_line(&reading, line);
	if (rc == 0 && ferror(file))
		rc = -EIO;
	if (rc == 0 && !reading.icann_seen)
		rc = -EBADMSG;
	free(line);
	fclose(file);
	return rc;
}
