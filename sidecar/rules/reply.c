/* SPDX-License-Identifier: MIT */
#include "sidecar/rules/reply.h"

#include <stddef.h>
#include <string.h>

static const char *const class_names[REPLY_CLASSES] = {
	[REPLY_DELIVERED] = "delivered",
	[REPLY_RATE] = "rate",
	[REPLY_REPUTATION] = "reputation",
	[REPLY_VOLUME_SPIKE] = "volume-spike",
	[REPLY_GREYLIST] = "greylist",
	[REPLY_RECIPIENT] = "recipient",
	[REPLY_INFRASTRUCTURE] = "infrastructure",
	[REPLY_POLICY] = "policy",
	[REPLY_CONTENT] = "content",
	[REPLY_BLOCKLIST] = "blocklist",
	[REPLY_UNKNOWN_USER] = "unknown-user",
	[REPLY_OTHER] = "other",
};

static const char *const limit_names[REPLY_LIMITS] = {
	[REPLY_LIMIT_NONE] = "none",
	[REPLY_LIMIT_MESSAGES] = "messages",
	[REPLY_LIMIT_CONNECTIONS] = "connections",
	[REPLY_LIMIT_PER_CONNECTION] = "per-connection",
	[REPLY_LIMIT_HOUR] = "hour",
	[REPLY_LIMIT_DAY] = "day",
};

static int name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

const char *reply_class_name(enum reply_class class)
{
	return (unsigned)class < REPLY_CLASSES ? class_names[class] : "invalid";
}

const char *reply_limit_name(enum reply_limit limit)
{
	return (unsigned)limit < REPLY_LIMITS ? limit_names[limit] : "invalid";
}

int reply_class_of(const char *name)
{
	return name_index(class_names, REPLY_CLASSES, name);
}

int reply_limit_of(const char *name)
{
	return name_index(limit_names, REPLY_LIMITS, name);
}
