/* SPDX-License-Identifier: MIT */
#include "sidecar/http/door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/log.h"
#include "sidecar/http/halon.h"
#include "sidecar/http/kumomta.h"
#include "sidecar/ingest/webhook.h"
#include "sidecar/serve/http.h"

struct door {
	struct http *http;
	struct webhook *webhook;
	struct kumomta *kumomta;
	struct halon *halon;
	char **listen; /* as it was at the start */
	uint32_t listen_count;
	uint64_t connections;
};

static int listen_begin(struct door *door, const struct config_http *config)
{
	door->listen = calloc(config->listen_count, sizeof(*door->listen));
	if (door->listen == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->listen_count; i++) {
		int error = http_listen(door->http, config->listen[i]);

		door->listen[i] = strdup(config->listen[i]);
		if (error || door->listen[i] == NULL)
			return error ? error : -ENOMEM;
		door->listen_count++;
	}
	return 0;
}

int door_create(struct loop *loop, struct segment *segment, struct engine *engine,
		const struct config *config, int64_t group, struct door **ret)
{
	struct door *door;
	int error;

	*ret = NULL;
	if (config->http.listen_count == 0)
		return 0;
	door = calloc(1, sizeof(*door));
	if (door == NULL)
		return -ENOMEM;
	door->connections = config->http.connections.value;
	error = http_create(loop, (uint32_t)door->connections, group, &door->http);
	if (!error)
		error = webhook_create(door->http, engine, &door->webhook);
	if (!error)
		error = kumomta_create(loop, door->http, segment, engine, &door->kumomta);
	if (!error)
		error = halon_create(loop, door->http, segment, &door->halon);
	if (!error)
		error = listen_begin(door, &config->http);
	if (error) {
		door_free(door);
		return error;
	}
	*ret = door;
	return 0;
}

void door_free(struct door *door)
{
	if (door == NULL)
		return;
	kumomta_free(door->kumomta); /* its WebSockets are the door's */
	halon_free(door->halon);
	http_free(door->http);
	webhook_free(door->webhook);
	for (uint32_t i = 0; i < door->listen_count; i++)
		free(door->listen[i]);
	free(door->listen);
	free(door);
}

static bool listen_changed(const struct door *door, const struct config_http *config)
{
	bool changed = door->listen_count != config->listen_count ||
		       door->connections != config->connections.value;

	for (uint32_t i = 0; i < door->listen_count && !changed; i++)
		changed = strcmp(door->listen[i], config->listen[i]) != 0;
	return changed;
}

void door_configure(struct door *door, const struct config *config)
{
	if (door ? listen_changed(door, &config->http) : config->http.listen_count > 0)
		log_warning("reload", "where HTTP listens, and for how many, is taken up at the "
				      "next start");
	if (door == NULL)
		return;
	webhook_configure(door->webhook, config);
	kumomta_configure(door->kumomta, config);
	halon_configure(door->halon, config);
}

void door_renewed(struct door *door)
{
	if (door)
		kumomta_renewed(door->kumomta);
}

void door_put(const struct door *door, struct json_writer *writer, const char *key)
{
	if (door == NULL) {
		json_put_null(writer, key);
		return;
	}
	json_put_object(writer, key);
	http_put(door->http, writer);
	webhook_put(door->webhook, writer);
	kumomta_put(door->kumomta, writer, "kumomta");
	halon_put(door->halon, writer, "halon");
	json_put_end(writer);
}
