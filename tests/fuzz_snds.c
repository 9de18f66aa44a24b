/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a line of SNDS.
 */
#include <stdlib.h>
#include <string.h>

#include "sidecar/feeds/snds.h"
#include "tests/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = guard_copy(data, size);
	struct ingest_line line = {.bytes = copy, .length = size};
	struct snds_row row;
	const char *why = NULL;

	switch (snds_read(&line, &row, &why)) {
	case SNDS_ROW:
		if ((unsigned)row.status >= SNDS_STATUSES || row.at_s < 0 ||
		    memcmp(row.first, row.last, sizeof(row.first)) > 0)
			abort();
		break;
	case SNDS_BAD:
		if (why == NULL)
			abort();
		break;
	default: break;
	}
	guard_free(copy, size);
	return 0;
}
