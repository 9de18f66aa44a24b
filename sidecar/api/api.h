/* SPDX-License-Identifier: MIT
 *
 * The commands of the control socket: what the sidecar tells an operator, and what it does for one.
 *
 * Each file answers one command, or a family of them, and does a bounded piece of work a call.
 */
#ifndef SIDECAR_API_API_H
#define SIDECAR_API_API_H

#include "sidecar/api/context.h"
#include "sidecar/api/flow_json.h"
#include "sidecar/serve/control_socket.h"

/* Makes all commands known to the sidecar's server. */
int api_register(struct api_context *context);

/* Once the server is gone. What was never registered is no harm. */
void api_end(struct api_context *context);

/* arg is the struct api_context of each. */
control_run api_status, api_flows, api_explain, api_hold, api_release, api_set, api_reset,
	api_reload, api_report, api_warmup, api_warmup_order, api_seed, api_snds;

/* Adds to an object that is open how a flow warms up: its day, what of it is used, what is to come.
 */
void warmup_json_put(struct json_writer *out, const struct engine_warmup *warmup);

#define API_PIECE 1024 /* slots looked at in one call */

#define API_FLOWS 16 /* … and flows visited: each may have an hour of minutes or 42 days */

/* Visits the known flows that the request's "source" and "destination" let through, a piece a call.
 * SERVER_MORE, SERVER_DONE, or -EINVAL with the reason in call. */
typedef void api_visit(struct api_context *context, struct control_call *call, uint32_t slot,
		       void *arg);
int api_each_flow(struct api_context *context, struct control_call *call, api_visit *visit,
		  void *arg);

/* Members "source" and "destination" of a request, both there: which flow. claim: it need not be
 * known yet, if both names are, or the request has "new": true. LAYOUT_NONE, with the reason in
 * call: no such flow, or not well said. */
uint32_t api_flow(struct api_context *context, struct control_call *call, bool claim);

/* The flow that a filter of both names means, if it is known; LAYOUT_NONE. */
uint32_t api_flow_find(struct segment *segment, const struct flow_json_filter *filter);

/* The same of an object within the request; "new" stands in the request itself. */
uint32_t api_flow_of(struct api_context *context, struct control_call *call,
		     const struct json *named, bool claim);

#endif
