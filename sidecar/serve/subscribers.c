/* SPDX-License-Identifier: MIT */
#include "sidecar/serve/subscribers.h"

#include "sidecar/base/log.h"

static void subscriber_close(struct subscriber *subscriber)
{
	struct websocket *websocket = subscriber->websocket;

	subscriber->websocket = NULL;
	websocket_free(websocket);
}

static void gone(void *arg, struct websocket *websocket)
{
	subscriber_close(arg);
}

struct subscriber *subscribers_add(struct subscribers *all, int form, int fd, void (*close)(void *),
				   void *handle)
{
	struct subscriber *subscriber = all->each;
	struct websocket_options options = {
		.loop = all->loop, .fd = fd, .close_fd = close, .close_arg = handle, .gone = gone};

	while (subscriber < all->each + SUBSCRIBERS && subscriber->websocket)
		subscriber++;
	if (subscriber == all->each + SUBSCRIBERS) {
		log_warning(all->name, "%d listen already: one was turned away", SUBSCRIBERS);
		close(handle);
		return NULL;
	}
	*subscriber = (struct subscriber){.all = all, .form = form};
	options.arg = subscriber;
	if (websocket_create(&options, &subscriber->websocket) == 0)
		return subscriber;
	subscriber->websocket = NULL;
	return NULL;
}

void subscriber_send(struct subscriber *subscriber, const char *text, size_t length)
{
	struct subscribers *all = subscriber->all;

	if (subscriber->websocket == NULL)
		return;
	if (text && websocket_send(subscriber->websocket, text, length) == 0) {
		all->sent++;
		return;
	}
	if (all->dropped++ == 0)
		log_warning(all->name, "who listens does not take what is said and is dropped "
				       "(said once, counted in status)");
	subscriber_close(subscriber);
}

void subscribers_look(struct subscribers *all, uint64_t now_ns)
{
	for (int i = 0; i < SUBSCRIBERS; i++)
		if (all->each[i].websocket && !websocket_alive(all->each[i].websocket, now_ns))
			subscriber_close(&all->each[i]);
}

uint32_t subscribers_count(const struct subscribers *all)
{
	uint32_t count = 0;

	for (int i = 0; i < SUBSCRIBERS; i++)
		count += all->each[i].websocket != NULL;
	return count;
}

void subscribers_close(struct subscribers *all)
{
	for (int i = 0; i < SUBSCRIBERS; i++)
		if (all->each[i].websocket)
			subscriber_close(&all->each[i]);
}
