/* SPDX-License-Identifier: MIT
 *
 * Embeds files by .incbin, which the assembler finds from the top of the tree, where make runs.
 * They are data of the program, so that it works from one binary, and are printed as they stand.
 * What is made of several files stands there as one text, in the order named here.
 */
#include "sidecar/data/embedded.h"

#define INCLUDED(path) ".incbin \"" path "\"\n"

#define BUILTIN(name, included)                                            \
	__asm__(".section .rodata\n"                                       \
		".hidden builtin_" #name "\n"                              \
		".hidden builtin_" #name "_end\n"                          \
		".global builtin_" #name "\n"                              \
		".global builtin_" #name "_end\n"                          \
		"builtin_" #name ":\n" included "builtin_" #name "_end:\n" \
		".byte 0\n"                                                \
		".previous\n")

BUILTIN(config, INCLUDED("sidecar/data/builtin.yaml"));
BUILTIN(rules, INCLUDED("sidecar/data/rules.yaml") INCLUDED("sidecar/data/rules_receivers.yaml")
		       INCLUDED("sidecar/data/rules_words.yaml"));
BUILTIN(import_kumomta, INCLUDED("sidecar/data/import_kumomta.py"));
