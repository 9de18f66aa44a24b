/* SPDX-License-Identifier: MIT
 *
 * What a policy makes of a receiver's answer in the simulator: its class, through the classifier
 * that runs in production.
 */
#ifndef SIDECAR_SIMULATE_REPLY_H
#define SIDECAR_SIMULATE_REPLY_H

#include "sidecar/reply.h"

struct simulate_class {
	enum reply_class class;
	enum reply_limit limit;
};

void simulate_reply_class(const char *text, struct simulate_class *ret);

#endif
