/* SPDX-License-Identifier: MIT
 *
 * Embeds files by .incbin, which the assembler finds from the top of the tree, where make runs.
 * They are data of the program, so that it works from one binary, and are printed as they stand.
 */
#include "sidecar/builtin.h"

#define BUILTIN_FILE(name, path)                  \
	__asm__(".section .rodata\n"              \
		".hidden builtin_" #name "\n"     \
		".hidden builtin_" #name "_end\n" \
		".global builtin_" #name "\n"     \
		".global builtin_" #name "_end\n" \
		"builtin_" #name ":\n"            \
		".incbin \"" path "\"\n"          \
		"builtin_" #name "_end:\n"        \
		".byte 0\n"                       \
		".previous\n")

BUILTIN_FILE(config, "sidecar/builtin.yaml");
BUILTIN_FILE(rules, "sidecar/rules.yaml");
BUILTIN_FILE(import_kumomta, "sidecar/ctl/import_kumomta.py");
