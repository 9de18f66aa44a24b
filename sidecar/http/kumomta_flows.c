/* SPDX-License-Identifier: MIT */
#include "sidecar/http/kumomta_flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096 /* a power of two */

struct kumomta_flows {
	struct kumomta_flow *buckets[BUCKETS];
	struct kumomta_flow *all[KUMOMTA_FLOWS];
	uint32_t count;
	uint64_t unfit;
};

/* Printed as it stands in a TOML or a JSON string. */
static bool name_fits(const struct ingest_text *name)
{
	if (name->at == NULL || name->length == 0 || name->length > KUMOMTA_NAME_MAX)
		return false;
	for (size_t i = 0; i < name->length; i++)
		if (name->at[i] < ' ' || name->at[i] > '~' || name->at[i] == '"' ||
		    name->at[i] == '\\')
			return false;
	return true;
}

/* A name in DNS of two labels or more: "default" and "provider" mean something else there. */
static bool domain_fits(const struct ingest_text *domain)
{
	char text[DESTINATION_NAME_MAX + 1], name[DESTINATION_NAME_MAX + 1];

	if (!name_fits(domain) || domain->length >= sizeof(text))
		return false;
	memcpy(text, domain->at, domain->length);
	text[domain->length] = '\0';
	return destination_normalise(text, name) >= 0 && strcmp(text, name) == 0 &&
	       strchr(name, '.') != NULL;
}

static char *copy(const struct ingest_text *text)
{
	char *made = malloc(text->length + 1);

	if (made == NULL)
		return NULL;
	memcpy(made, text->at, text->length);
	made[text->length] = '\0';
	return made;
}

static bool same(const char *kept, const struct ingest_text *text)
{
	return strlen(kept) == text->length && memcmp(kept, text->at, text->length) == 0;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001B3);
	return hash;
}

static struct kumomta_flow **bucket_of(struct kumomta_flows *flows, const struct intake_flow *flow,
				       const void *egress, size_t length)
{
	uint64_t hash = mix(UINT64_C(0xCBF29CE484222325), flow->source, 16);

	hash = mix(mix(hash, flow->destination, strlen(flow->destination)), egress, length);
	return &flows->buckets[(hash ^ hash >> 32) & (BUCKETS - 1)];
}

int kumomta_flows_create(struct kumomta_flows **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void site_free(struct kumomta_site *site)
{
	free(site->name);
	free(site->domain);
}

static void flow_free(struct kumomta_flow *flow)
{
	for (uint32_t i = 0; i < flow->site_count; i++)
		site_free(&flow->sites[i]);
	free(flow->sites);
	free(flow->egress);
	free(flow);
}

void kumomta_flows_free(struct kumomta_flows *flows)
{
	for (uint32_t i = 0; flows && i < flows->count; i++)
		flow_free(flows->all[i]);
	free(flows);
}

static struct kumomta_flow *flow_add(struct kumomta_flows *flows, const struct intake_flow *flow,
				     const struct ingest_text *egress)
{
	struct kumomta_flow **bucket = bucket_of(flows, flow, egress->at, egress->length);
	struct kumomta_flow *made = flows->count < KUMOMTA_FLOWS ? calloc(1, sizeof(*made)) : NULL;

	if (made == NULL || (made->egress = copy(egress)) == NULL) {
		free(made);
		return NULL;
	}
	made->flow = *flow;
	made->next = *bucket;
	*bucket = made;
	flows->all[flows->count++] = made;
	return made;
}

static struct kumomta_flow *flow_find(struct kumomta_flows *flows, const struct intake_flow *flow,
				      const struct ingest_text *egress)
{
	struct kumomta_flow *found = *bucket_of(flows, flow, egress->at, egress->length);

	while (found && (memcmp(found->flow.source, flow->source, 16) != 0 ||
			 strcmp(found->flow.destination, flow->destination) != 0 ||
			 !same(found->egress, egress)))
		found = found->next;
	return found;
}

/* A place for another queue: a new one, or that of the queue that was seen longest ago. */
static struct kumomta_site *site_place(struct kumomta_flow *flow)
{
	struct kumomta_site *oldest;

	if (flow->site_count == flow->site_room && flow->site_room < KUMOMTA_SITES) {
		uint32_t room = flow->site_room ? flow->site_room * 4 : 1;
		struct kumomta_site *more = realloc(flow->sites, room * sizeof(*more));

		if (more == NULL)
			return NULL;
		flow->sites = more;
		flow->site_room = room;
	}
	if (flow->site_count < flow->site_room)
		return &flow->sites[flow->site_count++];
	oldest = &flow->sites[0];
	for (uint32_t i = 1; i < flow->site_count; i++)
		if (flow->sites[i].seen_ns < oldest->seen_ns)
			oldest = &flow->sites[i];
	site_free(oldest);
	return oldest;
}

static int site_learn(struct kumomta_flow *flow, const struct ingest_event *event, uint64_t now_ns)
{
	const struct ingest_text *domain = &event->domain;
	const struct ingest_text empty = {"", 0};
	struct kumomta_site *site, made = {.seen_ns = now_ns};

	for (uint32_t i = 0; i < flow->site_count; i++)
		if (same(flow->sites[i].name, &event->site)) {
			flow->sites[i].seen_ns = now_ns;
			return 0;
		}
	made.name = copy(&event->site);
	made.domain = copy(domain_fits(domain) ? domain : &empty);
	site = made.name && made.domain ? site_place(flow) : NULL;
	if (site == NULL) {
		site_free(&made);
		return -ENOMEM;
	}
	*site = made;
	return 0;
}

struct kumomta_flow *kumomta_flows_learn(struct kumomta_flows *flows,
					 const struct intake_flow *flow,
					 const struct ingest_event *event, uint64_t now_ns)
{
	struct kumomta_flow *found = NULL;

	if (name_fits(&event->via) && name_fits(&event->site)) {
		found = flow_find(flows, flow, &event->via);
		if (found == NULL)
			found = flow_add(flows, flow, &event->via);
	}
	if (found == NULL || site_learn(found, event, now_ns) != 0) {
		flows->unfit++;
		return NULL;
	}
	found->flow.slot = flow->slot;
	found->seen_ns = now_ns;
	return found;
}

uint32_t kumomta_flows_count(const struct kumomta_flows *flows)
{
	return flows->count;
}

struct kumomta_flow *kumomta_flows_nth(const struct kumomta_flows *flows, uint32_t i)
{
	return flows->all[i];
}

static void flow_drop(struct kumomta_flows *flows, uint32_t i)
{
	struct kumomta_flow *flow = flows->all[i];
	struct kumomta_flow **link =
		bucket_of(flows, &flow->flow, flow->egress, strlen(flow->egress));

	while (*link != flow)
		link = &(*link)->next;
	*link = flow->next;
	flows->all[i] = flows->all[--flows->count];
	flow_free(flow);
}

void kumomta_flows_forget(struct kumomta_flows *flows, uint64_t now_ns)
{
	for (uint32_t i = 0; i < flows->count;) {
		uint64_t seen_ns = flows->all[i]->seen_ns;

		if (now_ns > seen_ns && now_ns - seen_ns >= KUMOMTA_FORGET_NS)
			flow_drop(flows, i);
		else
			i++;
	}
}

uint64_t kumomta_flows_unfit(const struct kumomta_flows *flows)
{
	return flows->unfit;
}
