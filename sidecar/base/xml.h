/* SPDX-License-Identifier: MIT
 *
 * A text within XML, as the plots need it.
 */
#ifndef SIDECAR_BASE_XML_H
#define SIDECAR_BASE_XML_H

#include <stdio.h>

/* Writes it with what XML has a meaning for, and control characters, as numbers. */
void xml_escape(FILE *out, const char *text);

#endif
