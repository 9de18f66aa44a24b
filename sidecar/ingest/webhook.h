/* SPDX-License-Identifier: MIT
 *
 * Outcomes that come by HTTP: SendGrid's event webhook (POST /sendgrid), and our own JSON, a line or
 * an element of an array each (POST /events). They end where those of a log do.
 *
 * A request is answered once what it told is taken in. Events that have an id count once, however
 * often they are delivered.
 */
#ifndef SIDECAR_INGEST_WEBHOOK_H
#define SIDECAR_INGEST_WEBHOOK_H

#include "sidecar/ingest/intake.h"
#include "sidecar/serve/http.h"

struct webhook;

/* Answers both paths from now on. -ENOMEM, -ENOSPC. */
int webhook_create(struct http *http, struct engine *engine, struct webhook **ret);
void webhook_free(struct webhook *webhook); /* NULL is fine; its paths are not asked any more */

/* A configuration is in force in the engine, and lives until the next call or the end. */
void webhook_configure(struct webhook *webhook, const struct config *config);

/* Counts, as members of an object. */
void webhook_put(const struct webhook *webhook, struct json_writer *writer);

#endif
