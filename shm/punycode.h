/* SPDX-License-Identifier: MIT
 *
 * Names in other scripts, in the ASCII form that the DNS has (IDNA's A-labels): mail software
 * writes both forms, and both are one name.
 *
 * The code points are encoded as they stand: whoever writes UTF-8 writes it in lower case and
 * composed (NFC), as IDNA2008 asks (RFC 5891, 5.3). The tables of Unicode that would map others are
 * not here.
 */
#ifndef TG_PUNYCODE_H
#define TG_PUNYCODE_H

/* Writes a name's labels in ASCII ("xn--..." where needed) and a NUL. Returns its length, or
 * -EINVAL for what is not UTF-8 or does not fit in size. Pure. */
int punycode_name(const char *name, char *ret, unsigned size);

#endif
