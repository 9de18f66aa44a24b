/* SPDX-License-Identifier: MIT */
#include "sidecar/doors/maps_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/source.h"
#include "sidecar/ingest/intake.h"

#define REQUEST_MAX   16384
#define NOT_FOUND     "9:NOTFOUND ,"
#define TRANSPORT     "transport"
#define TRANSPORT_MAX 255 /* of a transport */

struct maps_door {
	struct gatekeeper *gate;
	struct engine *engine;
	const struct config *config;
	struct intake_memory memory;
	struct intake intake;
	uint64_t outcomes, not_understood;
	uint64_t chosen, not_chosen; /* transports */
	char line[REQUEST_MAX];	     /* an outcome, which its parser rewrites */
};

/* "11:NAME key...,": its length; 0: it is not all there; negative: it is none. */
static ssize_t netstring_read(const char *bytes, size_t length, const char **ret,
			      size_t *ret_length)
{
	size_t at = 0, size = 0;

	for (; at < length && bytes[at] >= '0' && bytes[at] <= '9'; at++) {
		size = size * 10 + (size_t)(bytes[at] - '0');
		if (size > REQUEST_MAX - 16 || (at > 0 && bytes[0] == '0'))
			return LISTENER_BAD;
	}
	if (at == length)
		return 0;
	if (at == 0 || bytes[at] != ':')
		return LISTENER_BAD;
	if (length - at - 1 <= size)
		return 0;
	if (bytes[at + 1 + size] != ',')
		return LISTENER_BAD;
	*ret = bytes + at + 1;
	*ret_length = size;
	return (ssize_t)(at + size + 2);
}

/* ---- an outcome ------------------------------------------------------------------------------ */

static void outcome_take(struct maps_door *door, const char *name, size_t name_length,
			 const char *key, size_t key_length)
{
	struct ingest_line line = {.bytes = door->line, .length = key_length};
	struct ingest_event event;
	struct timespec now;
	enum ingest_result result;
	struct intake_place place;

	memcpy(door->line, key, key_length);
	door->outcomes++;
	result = postfix_status_parse(&line, &event);
	door->not_understood += result == INGEST_BAD;
	if (result != INGEST_EVENT)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	event.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	event.source = (struct ingest_text){name, name_length};
	event.by = ENGINE_BY_FILTER;
	door->intake.engine = door->engine;
	door->intake.config = door->config;
	door->intake.log = &door->config->maps.names;
	door->intake.memory = &door->memory;
	intake_take(&door->intake, &event, event.time_ns, loop_now(), &place);
}

/* ---- a transport ----------------------------------------------------------------------------- */

/* What the source is called in `sources`. */
static const char *transport_of(const struct config_mta_log *names, const char *source)
{
	uint8_t address[16];

	if (source_read(source, address) != 0)
		return NULL;
	for (uint32_t i = 0; i < names->sources_count; i++)
		if (memcmp(names->sources[i].source, address, sizeof(address)) == 0)
			return names->sources[i].name;
	return NULL;
}

/* The key is an address, or "*" to begin with. */
static const char *transport_choose(struct maps_door *door, const char *key, size_t length)
{
	const struct config_maps *maps = &door->config->maps;
	const char *sign = memrchr(key, '@', length), *domain = sign ? sign + 1 : NULL;
	char source[GATEKEEPER_NAME];

	if (maps->pool == NULL || domain == NULL || domain == key + length ||
	    gatekeeper_pick(door->gate, maps->pool, domain, (size_t)(key + length - domain),
			    (enum tg_class)maps->class.value, source) != 0)
		return NULL;
	return transport_of(&maps->names, source);
}

static void transport_put(struct maps_door *door, const char *key, size_t length,
			  struct listener_answer *answer)
{
	const char *transport = transport_choose(door, key, length);
	char text[TRANSPORT_MAX + 32];
	int size;

	if (transport == NULL || strlen(transport) > TRANSPORT_MAX) {
		door->not_chosen++;
		listener_answer_add(answer, NOT_FOUND, strlen(NOT_FOUND));
		return;
	}
	door->chosen++;
	size = snprintf(text, sizeof(text), "%zu:OK %s:,", strlen(transport) + 4, transport);
	listener_answer_add(answer, text, (size_t)size);
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool request_answer(struct maps_door *door, const char *text, size_t length,
			   struct listener_answer *answer)
{
	const char *blank = memchr(text, ' ', length);
	size_t name = blank ? (size_t)(blank - text) : 0;

	if (name == 0)
		return false;
	if (name == strlen(TRANSPORT) && memcmp(text, TRANSPORT, name) == 0) {
		transport_put(door, blank + 1, length - name - 1, answer);
		return true;
	}
	/* The answer does not depend on what is made of it. */
	listener_answer_add(answer, NOT_FOUND, strlen(NOT_FOUND));
	outcome_take(door, text, name, blank + 1, length - name - 1);
	return true;
}

static ssize_t take(void *arg, void *state, const char *bytes, size_t length,
		    struct listener_answer *answer, uint64_t *ret_requests)
{
	struct maps_door *door = arg;
	size_t taken = 0;

	for (int i = 0; i < LISTENER_REQUESTS && answer->length < LISTENER_ANSWER_MAX; i++) {
		const char *text = NULL;
		size_t text_length = 0;
		ssize_t size = netstring_read(bytes + taken, length - taken, &text, &text_length);

		if (size == 0)
			break;
		if (size < 0 || !request_answer(door, text, text_length, answer))
			return LISTENER_BAD;
		++*ret_requests;
		taken += (size_t)size;
	}
	return (ssize_t)taken;
}

const struct listener_protocol maps_protocol = {
	.name = "postfix_maps",
	.take = take,
	.request_max = REQUEST_MAX,
};

/* ---- making ---------------------------------------------------------------------------------- */

int maps_door_create(struct gatekeeper *gate, struct engine *engine,
		     const struct intake_gate *kernel, struct maps_door **ret)
{
	struct maps_door *door = calloc(1, sizeof(*door));

	if (door == NULL)
		return -ENOMEM;
	door->gate = gate;
	door->engine = engine;
	/* Whose it was the map's name says; a filter has no times to find it by. */
	door->intake.gate = (struct intake_gate){.kept = kernel->kept, .arg = kernel->arg};
	*ret = door;
	return 0;
}

void maps_door_free(struct maps_door *door)
{
	free(door);
}

void maps_door_configure(struct maps_door *door, const struct config *config)
{
	door->config = config;
}

void maps_door_put(const struct maps_door *door, struct json_writer *writer)
{
	json_put_u64(writer, "outcomes", door->outcomes);
	json_put_u64(writer, "not_understood", door->not_understood);
	intake_totals_put(&door->intake.totals, writer);
	json_put_u64(writer, "chosen", door->chosen);
	json_put_u64(writer, "not_chosen", door->not_chosen);
}
