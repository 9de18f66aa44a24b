/* SPDX-License-Identifier: MIT
 *
 * What KumoMTA calls our flows, learned from its records: its name of the source, and the queues
 * ("sites") that it sends to a destination by, each with a domain that stands for it.
 *
 * Bounded: KUMOMTA_FLOWS flows, of each the KUMOMTA_SITES queues that were seen last. What has not
 * been seen for a day is forgotten. Names are kept only if they can stand in TOML and JSON as they
 * are.
 */
#ifndef SIDECAR_HTTP_KUMOMTA_FLOWS_H
#define SIDECAR_HTTP_KUMOMTA_FLOWS_H

#include "sidecar/base/hash_table.h"
#include "sidecar/ingest/intake.h"

#define KUMOMTA_FLOWS	  4096
#define KUMOMTA_SITES	  256
#define KUMOMTA_NAME_MAX  1024
#define KUMOMTA_FORGET_NS UINT64_C(86400000000000)

struct kumomta_site {
	char *name;   /* as the record has it: "source->(mx1|mx2).x@smtp_client" */
	char *domain; /* "": none was given */
	uint64_t seen_ns;
	uint64_t told_until_ns; /* that it is held, to all who listen; 0: not */
};

struct kumomta_flow {
	UT_hash_handle hh;
	char *key; /* of the table of flows */
	struct intake_flow flow;
	char *egress; /* KumoMTA's name of the source */
	struct kumomta_site *sites;
	uint32_t site_count, site_room;
	uint64_t seen_ns;
};

struct kumomta_flows;

int kumomta_flows_create(struct kumomta_flows **ret); /* -ENOMEM */
void kumomta_flows_free(struct kumomta_flows *flows);

/* The flow that a record was of, known from now on; NULL: it has no name that can be used, or there
 * is no room. */
struct kumomta_flow *kumomta_flows_learn(struct kumomta_flows *flows,
					 const struct intake_flow *flow,
					 const struct ingest_event *event, uint64_t now_ns);

/* Each of them, by number; `count` changes in learn and forget. */
uint32_t kumomta_flows_count(const struct kumomta_flows *flows);
struct kumomta_flow *kumomta_flows_nth(const struct kumomta_flows *flows, uint32_t i);

void kumomta_flows_forget(struct kumomta_flows *flows, uint64_t now_ns);

/* Names that could not be kept, and flows there was no room for. */
uint64_t kumomta_flows_unfit(const struct kumomta_flows *flows);

#endif
