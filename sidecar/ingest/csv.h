/* SPDX-License-Identifier: MIT
 *
 * CSV as RFC 4180 has it: fields separated by commas; one in quotes may hold commas, line ends and,
 * twice, quotes.
 */
#ifndef SIDECAR_INGEST_CSV_H
#define SIDECAR_INGEST_CSV_H

#include "sidecar/ingest/scan.h"

/* Takes a field and the comma behind it; quotes are undone in place. *ret_last: no comma followed.
 * False: a quote does not end, or something else than a comma stands behind it. */
bool csv_field(struct scan *scan, struct ingest_text *ret, bool *ret_last);

/* How long the record is that the bytes begin with, its line feed included. 0: its end is not
 * there. Where quotes are not as they must be, the record is its first line: so what was cut off in
 * the middle does not take the rest of the file with it. */
size_t csv_record(const char *bytes, size_t length);

#endif
