/* SPDX-License-Identifier: MIT
 *
 * Flows as `tollgate flows` prints them: for replay, whose flows end where a log does.
 */
#ifndef SIDECAR_CLI_FLOWS_TABLE_H
#define SIDECAR_CLI_FLOWS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "sidecar/base/json.h"

/* A zeroed one is ready. */
struct flows_table {
	bool json, wide;
	bool began;
	unsigned long long flows;
};

/* Prints a flow, the object read and as it came; a client_line. The first comes under a header. */
int flows_table_line(void *table, const struct json *flow, const char *line, size_t length);

#endif
