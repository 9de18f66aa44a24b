/* SPDX-License-Identifier: MIT */
#include "sidecar/rules/reply.h"

#include <stddef.h>

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
	[REPLY_LIMIT_CONNECTION_RATE] = "connection-rate",
};

const char *reply_class_name(enum reply_class class)
{
	return (unsigned)class < REPLY_CLASSES ? class_names[class] : "invalid";
}

const char *reply_limit_name(enum reply_limit limit)
{
	return (unsigned)limit < REPLY_LIMITS ? limit_names[limit] : "invalid";
}
