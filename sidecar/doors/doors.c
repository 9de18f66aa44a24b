/* SPDX-License-Identifier: MIT */
#include "sidecar/doors/doors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/log.h"
#include "sidecar/doors/gatekeeper.h"
#include "sidecar/doors/maps_door.h"
#include "sidecar/doors/policy_door.h"
#include "sidecar/doors/redis_door.h"
#include "sidecar/serve/listener.h"

#define TICK_NS UINT64_C(1000000000)

enum { REDIS, POLICY, MAPS, DOORS };

/* What a listener was opened with, to be told when that changes. */
struct opened {
	struct listener *listener; /* NULL: shut */
	char **listen;
	uint32_t count;
	int64_t gid;
	uint64_t mode;
};

struct doors {
	struct loop *loop;
	struct gatekeeper *gate;
	struct redis_door *redis; /* NULL: not opened yet */
	struct policy_door *policy;
	struct maps_door *maps;
	uint64_t throttles; /* that redis has room for */
	struct opened opened[DOORS];
	int timer;
};

/* ---- a listener ------------------------------------------------------------------------------ */

static void opened_close(struct opened *opened)
{
	listener_free(opened->listener);
	for (uint32_t i = 0; opened->listen && i < opened->count; i++)
		free(opened->listen[i]);
	free(opened->listen);
	*opened = (struct opened){0};
}

static bool opened_same(const struct opened *opened, const struct config_listen *at)
{
	if (opened->count != at->listen_count || opened->mode != at->mode.value ||
	    opened->gid != at->gid)
		return false;
	for (uint32_t i = 0; i < opened->count; i++)
		if (strcmp(opened->listen[i], at->listen[i]) != 0)
			return false;
	return true;
}

static int opened_note(struct opened *opened, const struct config_listen *at)
{
	opened->mode = at->mode.value;
	opened->gid = at->gid;
	opened->listen = calloc(at->listen_count, sizeof(char *));
	if (opened->listen == NULL)
		return -ENOMEM;
	for (opened->count = 0; opened->count < at->listen_count; opened->count++) {
		opened->listen[opened->count] = strdup(at->listen[opened->count]);
		if (opened->listen[opened->count] == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* Opens it, or leaves it as it is; shut where nothing is listed. */
static int opened_set(struct doors *doors, struct opened *opened,
		      const struct listener_protocol *protocol, void *arg,
		      const struct config_listen *at)
{
	const struct listener_options options = {
		.protocol = protocol,
		.arg = arg,
		.addresses = at->listen,
		.address_count = at->listen_count,
		.clients_max = (uint32_t)at->clients.value,
		.idle_ns = at->idle.value,
		.mode = (unsigned)at->mode.value,
		.group = at->gid,
	};
	uint32_t missing;
	int error;

	if (opened->listener && opened_same(opened, at)) {
		listener_bounds(opened->listener, options.clients_max, options.idle_ns);
		return 0;
	}
	opened_close(opened);
	if (at->listen_count == 0)
		return 0;
	error = opened_note(opened, at);
	if (!error)
		error = listener_create(doors->loop, &options, &opened->listener, &missing);
	if (error)
		opened_close(opened);
	return error;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void tick(void *arg, uint64_t now_ns)
{
	struct doors *doors = arg;

	if (doors->redis)
		redis_door_tick(doors->redis, now_ns);
	loop_timer_set(doors->loop, doors->timer, doors->redis ? now_ns + TICK_NS : LOOP_NEVER);
}

int doors_create(const struct doors_options *options, struct doors **ret)
{
	struct doors *doors = calloc(1, sizeof(*doors));
	int error;

	if (doors == NULL)
		return -ENOMEM;
	doors->loop = options->loop;
	doors->timer = loop_timer(options->loop, tick, doors);
	error = doors->timer < 0
			? doors->timer
			: gatekeeper_create(options->segment, options->owner, &doors->gate);
	if (!error)
		error = policy_door_create(doors->gate, &doors->policy);
	if (!error)
		error = maps_door_create(doors->gate, options->engine, &options->gate,
					 &doors->maps);
	if (error)
		doors_free(doors);
	else
		*ret = doors;
	return error;
}

void doors_free(struct doors *doors)
{
	if (doors == NULL)
		return;
	for (int door = 0; door < DOORS; door++)
		opened_close(&doors->opened[door]);
	redis_door_free(doors->redis);
	policy_door_free(doors->policy);
	maps_door_free(doors->maps);
	gatekeeper_free(doors->gate);
	free(doors);
}

/* Another number of throttles is another table: those that are known are forgotten. */
static int redis_set(struct doors *doors, const struct config_redis *config)
{
	int error = 0;

	if (doors->redis && doors->throttles != config->throttles.value) {
		opened_close(&doors->opened[REDIS]);
		redis_door_free(doors->redis);
		doors->redis = NULL;
	}
	if (doors->redis == NULL && config->at.listen_count > 0)
		error = redis_door_create(doors->gate, (uint32_t)config->throttles.value,
					  &doors->redis);
	doors->throttles = config->throttles.value;
	if (doors->redis)
		redis_door_password(doors->redis, config->password);
	return error;
}

int doors_open(struct doors *doors, const struct config *config)
{
	int error;

	policy_door_configure(doors->policy, &config->policy);
	maps_door_configure(doors->maps, config);
	error = redis_set(doors, &config->redis);
	if (!error)
		error = opened_set(doors, &doors->opened[REDIS], &redis_protocol, doors->redis,
				   &config->redis.at);
	if (!error)
		error = opened_set(doors, &doors->opened[POLICY], &policy_protocol, doors->policy,
				   &config->policy.at);
	if (!error)
		error = opened_set(doors, &doors->opened[MAPS], &maps_protocol, doors->maps,
				   &config->maps.at);
	loop_timer_set(doors->loop, doors->timer, loop_now() + TICK_NS);
	return error;
}

void doors_configure(struct doors *doors, const struct config *config)
{
	int error = doors_open(doors, config);

	if (error)
		log_error("listen", "not all doors could be opened: %s", strerror(-error));
}

void doors_put(const struct doors *doors, struct json_writer *writer, const char *key)
{
	json_put_array(writer, key);
	for (int door = 0; door < DOORS; door++) {
		if (doors->opened[door].listener == NULL)
			continue;
		json_put_object(writer, NULL);
		listener_put(doors->opened[door].listener, writer);
		if (door == REDIS)
			redis_door_put(doors->redis, writer);
		else if (door == POLICY)
			policy_door_put(doors->policy, writer);
		else
			maps_door_put(doors->maps, writer);
		json_put_end(writer);
	}
	json_put_end(writer);
}
