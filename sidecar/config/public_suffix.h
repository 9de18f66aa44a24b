/* SPDX-License-Identifier: MIT
 *
 * The Public Suffix List: which names are those below which anybody may register.
 *
 * libpsl knows where the system keeps the list and answers questions about one name; workers need
 * the whole of it, in their table, and libpsl cannot enumerate. So the text form of the list is
 * read here, rule by rule (https://publicsuffix.org/list/), and a test holds the published table
 * against libpsl over all of it. Rules in other scripts are given in ASCII, as all names are
 * compared.
 */
#ifndef SIDECAR_CONFIG_PUBLIC_SUFFIX_H
#define SIDECAR_CONFIG_PUBLIC_SUFFIX_H

#include <stdint.h>

/* Where the list should be: beside the file that libpsl names, else Debian's path. Never NULL; the
 * file may be missing. */
const char *public_suffix_path(void);

/* Calls take for each rule with its name, normalised (destination_normalise), without "*." or "!",
 * and its meaning (one of enum destination_rule). take returns 0, or a negative errno that ends the
 * reading. Returns 0, -errno of opening or reading, -EBADMSG if the file holds no ICANN section, or
 * what take returned.
 */
int public_suffix_read(const char *path,
		       int (*take)(void *context, const char *name, uint16_t rule), void *context);

#endif
