/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a line that tells what was sent before.
 */
#include <stdlib.h>
#include <string.h>

#include "sidecar/feeds/history.h"
#include "tests/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = guard_copy(data, size);
	struct ingest_line line = {.bytes = copy, .length = size};
	struct history_row row;
	const char *why = NULL;

	switch (history_read(&line, &row, &why)) {
	case HISTORY_ROW:
		if (row.delivered > HISTORY_COUNT_MAX || row.minute > row.delivered ||
		    row.hour > row.delivered || row.destination[0] == '\0' || row.day < 0)
			abort();
		break;
	case HISTORY_BAD:
		if (why == NULL)
			abort();
		break;
	default: break;
	}
	guard_free(copy, size);
	return 0;
}
