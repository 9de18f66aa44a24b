/* SPDX-License-Identifier: MIT */
#include "sidecar/base/xml.h"

#include <string.h>

void xml_escape(FILE *out, const char *text)
{
	for (; *text; text++)
		if (strchr("<>&\"'", *text) || (unsigned char)*text < ' ')
			fprintf(out, "&#%d;", (unsigned char)*text);
		else
			fputc(*text, out);
}
