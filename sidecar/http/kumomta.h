/* SPDX-License-Identifier: MIT
 *
 * KumoMTA's automation protocol, in its own daemon's place: it tells us what receivers answered, and
 * asks what to do. See sidecar/doc/kumomta.md.
 *
 *   POST /publish_log_v1               a log record; taken whatever it is, or it would come again
 *   GET  /get_config_v1/shaping.toml   what each flow may do (kumomta_shaping.h)
 *   WS   /subscribe_event_v1           holds, as suspensions that end soon and are renewed
 *   WS   /subscribe_suspension_v1      the same in an older form
 *
 * There is no event that ends a suspension, so each is told for a minute and again before that is
 * over: what is released, or held by a sidecar that died, goes on within the minute.
 */
#ifndef SIDECAR_HTTP_KUMOMTA_H
#define SIDECAR_HTTP_KUMOMTA_H

#include "sidecar/ingest/intake.h"
#include "sidecar/serve/http.h"

#define KUMOMTA_HOLD_NS UINT64_C(60000000000)

struct kumomta;

/* Answers these paths from now on. -ENOMEM, -ENOSPC. */
int kumomta_create(struct loop *loop, struct http *http, struct segment *segment,
		   struct engine *engine, struct kumomta **ret);
/* Before the door is freed; its paths are not asked any more. NULL is fine. */
void kumomta_free(struct kumomta *kumomta);

/* A configuration is in force in the engine, and lives until the next call or the end. */
void kumomta_configure(struct kumomta *kumomta, const struct config *config);

/* The segment was replaced: slots have other numbers. */
void kumomta_renewed(struct kumomta *kumomta);

void kumomta_put(const struct kumomta *kumomta, struct json_writer *writer, const char *key);

#endif
