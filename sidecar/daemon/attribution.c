/* SPDX-License-Identifier: MIT */
#include "sidecar/daemon/attribution.h"

static struct connection_query query_of(const uint8_t peer[16], const struct intake_time *time)
{
	return (struct connection_query){.remote = peer,
					 .replied_ns = time->replied_ns,
					 .stamp_ns = time->stamp_ns,
					 .spent_ns = time->spent_ns,
					 .setup_ns = time->setup_ns,
					 .fresh = time->fresh};
}

static int gate_source(void *arg, const uint8_t peer[16], const struct intake_time *time,
		       bool connecting, uint8_t ret[16])
{
	const struct connection_query query = query_of(peer, time);

	return gate_bridge_source(arg, &query, connecting, ret);
}

static bool gate_kept(void *arg, uint32_t slot, const uint8_t peer[16],
		      const struct intake_time *time)
{
	const struct connection_query query = query_of(peer, time);

	return gate_bridge_kept(arg, slot, &query);
}

static bool gate_gated(void *arg, uint32_t slot)
{
	return gate_bridge_gated(arg, slot);
}

struct intake_gate attribution_of(struct gate_bridge *gate)
{
	return (struct intake_gate){
		.source = gate_source, .gated = gate_gated, .kept = gate_kept, .arg = gate};
}
