/* SPDX-License-Identifier: MIT */
#include "sidecar/config/state_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *state_folder(const struct config *config, char *text, size_t size)
{
	const char *given = getenv("STATE_DIRECTORY"); /* of several the first */

	if (config->state && strcmp(config->state, STATE_FOLDER_NONE) == 0)
		return NULL;
	if (config->state)
		snprintf(text, size, "%s", config->state);
	else if (given && *given == '/')
		snprintf(text, size, "%.*s", (int)strcspn(given, ":"), given);
	else
		snprintf(text, size, "%s", STATE_FOLDER_DEFAULT);
	return text;
}
