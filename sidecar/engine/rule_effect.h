/* SPDX-License-Identifier: MIT
 *
 * What rules ask for, as constraints on a flow. Pure.
 */
#ifndef SIDECAR_ENGINE_RULE_EFFECT_H
#define SIDECAR_ENGINE_RULE_EFFECT_H

#include "sidecar/engine/effective.h"
#include "sidecar/rules/rule_engine.h"

/* The constraints of a verdict, at most RULE_ACTIONS of them; `inforce` is what a scaled rate is a
 * part of (an unlimited rate cannot be scaled: that asks for nothing). Returns how many. */
unsigned rule_effects(const struct rule_verdict *verdict, const struct publish_limits *inforce,
		      uint64_t now_ns, struct constraint ret[RULE_ACTIONS]);

#endif
