/* SPDX-License-Identifier: MIT */
#include "sidecar/http/kumomta_flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX (16 + DESTINATION_NAME_MAX + 1 + KUMOMTA_NAME_MAX)

struct kumomta_flows {
	struct kumomta_flow *by_key;
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

/* The source, the destination with its end, and KumoMTA's name of the source. Returns the length. */
static size_t key_make(const struct intake_flow *flow, const struct ingest_text *egress,
		       char ret[KEY_MAX])
{
	size_t name = strlen(flow->destination) + 1;

	memcpy(ret, flow->source, 16);
	memcpy(ret + 16, flow->destination, name);
	memcpy(ret + 16 + name, egress->at, egress->length);
	return 16 + name + egress->length;
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
	free(flow->key);
	free(flow);
}

void kumomta_flows_free(struct kumomta_flows *flows)
{
	if (flows == NULL)
		return;
	HASH_CLEAR(hh, flows->by_key);
	for (uint32_t i = 0; i < flows->count; i++)
		flow_free(flows->all[i]);
	free(flows);
}

static struct kumomta_flow *flow_make(const struct intake_flow *flow,
				      const struct ingest_text *egress, const char *key,
				      size_t length)
{
	struct kumomta_flow *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return NULL;
	made->flow = *flow;
	made->egress = copy(egress);
	made->key = malloc(length);
	if (made->egress && made->key) {
		memcpy(made->key, key, length);
		return made;
	}
	flow_free(made);
	return NULL;
}

/* The flow of that name, found or made. */
static struct kumomta_flow *flow_get(struct kumomta_flows *flows, const struct intake_flow *flow,
				     const struct ingest_text *egress)
{
	char key[KEY_MAX];
	size_t length = key_make(flow, egress, key);
	struct kumomta_flow *found;

	HASH_FIND(hh, flows->by_key, key, length, found);
	if (found || flows->count == KUMOMTA_FLOWS)
		return found;
	found = flow_make(flow, egress, key, length);
	if (found == NULL)
		return NULL;
	HASH_ADD_KEYPTR(hh, flows->by_key, found->key, length, found);
	if (hash_table_lacks(found)) {
		flow_free(found);
		return NULL;
	}
	flows->all[flows->count++] = found;
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

	if (name_fits(&event->via) && name_fits(&event->site))
		found = flow_get(flows, flow, &event->via);
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

	HASH_DEL(flows->by_key, flow);
	flows->all[i] = flows->all[--flows->count];
	flow_free(flow);
}

void kumomta_flows_forget(struct kumomta_flows *flows, uint64_t now_ns)
{
	for (uint32_t i = 0; flows->by_key != NULL && i < flows->count;) {
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
