/* SPDX-License-Identifier: MIT
 *
 * A change of a flow's limits in words, with who decided it and why: for the journal, for those who
 * watch, and for hooks.
 */
#ifndef SIDECAR_ENGINE_CHANGE_TEXT_H
#define SIDECAR_ENGINE_CHANGE_TEXT_H

#include "sidecar/engine/engine.h"

struct change_text {
	char what[320];		/* "rate 12/min, was 30/min; hold for 5min" */
	size_t length;		/* of it; 0: nothing that people call a change */
	const char *decided_by; /* "configuration", "control", "rule", "operator" */
	const char *reason;	/* the rule, or the operator's words; NULL: none. The engine's. */
	bool was_held, is_held; /* the flow, or its lower classes */
};

/* From within an engine_watcher's change. */
void change_text_make(const struct engine *engine, const struct engine_change *change,
		      uint64_t now_ns, struct change_text *ret);

#endif
