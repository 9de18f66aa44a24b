/* SPDX-License-Identifier: MIT
 *
 * Any bytes as main.cf and master.cf: up to the first NUL the one, behind it the other. What comes
 * out is bounded, terminated, and each name stands for one address.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/config/postfix_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct postfix_files *files)
{
	if (files->count > POSTFIX_CLIENTS || files->unclear > POSTFIX_CLIENTS ||
	    memchr(files->maillog_file, '\0', sizeof(files->maillog_file)) == NULL ||
	    memchr(files->queue_directory, '\0', sizeof(files->queue_directory)) == NULL)
		abort();
	for (uint32_t i = 0; i < files->count; i++) {
		const struct postfix_client *client = &files->clients[i];

		if (memchr(client->name, '\0', sizeof(client->name)) == NULL ||
		    memchr(client->address, '\0', sizeof(client->address)) == NULL ||
		    client->name[0] == '\0' || client->address[0] == '\0')
			abort();
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(files->clients[j].name, client->name) == 0)
				abort();
	}
}

/* Each in memory of its own, so that what is read behind its end is found. */
static char *copy(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
	size_t first = end ? (size_t)(end - data) : size;
	char *main_cf = copy(data, first);
	char *master_cf = copy(data + first, size - first);
	static struct postfix_files files;

	/* The NUL itself is the end of an empty text. */
	for (size_t i = 0; i < size - first; i++)
		if (master_cf[i] == '\0')
			master_cf[i] = '\n';
	postfix_files_read(main_cf, master_cf, &files);
	check(&files);
	free(main_cf);
	free(master_cf);
	return 0;
}
