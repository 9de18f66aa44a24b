/* SPDX-License-Identifier: MIT
 *
 * Files of the source tree that are part of the program.
 */
#ifndef SIDECAR_DATA_EMBEDDED_H
#define SIDECAR_DATA_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

/* builtin_NAME is the text, builtin_NAME_size its length without the NUL that follows it. */
#define BUILTIN_DECLARE(name)                                                       \
	extern const char builtin_##name[];                                         \
	extern const char builtin_##name##_end[];                                   \
	static inline size_t builtin_##name##_size(void)                            \
	{                                                                           \
		return (uintptr_t)builtin_##name##_end - (uintptr_t)builtin_##name; \
	}

BUILTIN_DECLARE(config)		/* builtin.yaml */
BUILTIN_DECLARE(import_kumomta) /* import_kumomta.py */
BUILTIN_DECLARE(rules)		/* rules.yaml, rules_receivers.yaml, rules_words.yaml */

#endif
