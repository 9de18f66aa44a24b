/* SPDX-License-Identifier: MIT
 *
 * What Postfix's own configuration says of its log and its addresses: main.cf and master.cf, read
 * as postconf(5) and master(5) have them. Nothing of Postfix is run.
 *
 * Known of main.cf are plain values and $name, ${name}, $(name); what is conditional or comes from
 * a table is not worked out: it is empty then, and so is said to be unknown.
 */
#ifndef SIDECAR_CONFIG_POSTFIX_FILES_H
#define SIDECAR_CONFIG_POSTFIX_FILES_H

#include <stddef.h>
#include <stdint.h>

#define POSTFIX_VALUE	512
#define POSTFIX_CLIENTS 256

/* One SMTP client of master.cf: what it calls itself in the log, and where it sends from. */
struct postfix_client {
	char name[64];
	char address[64];
};

struct postfix_files {
	char maillog_file[POSTFIX_VALUE];    /* "": not set */
	char queue_directory[POSTFIX_VALUE]; /* of the running master's number */
	/* Names that stand for one address alone, each once. */
	struct postfix_client clients[POSTFIX_CLIENTS];
	uint32_t count;
	uint32_t unclear; /* names that stand for several addresses, or for what the system picks */
};

/* Texts as read, with a NUL behind them. ret is as large as it is: not for a stack of a thread. */
void postfix_files_read(const char *main_cf, const char *master_cf, struct postfix_files *ret);

#endif
