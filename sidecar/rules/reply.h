/* SPDX-License-Identifier: MIT
 *
 * The words for what a receiver answered: its class, and the limit that it hit.
 *
 * Classify writes them, rules and control read them, the command line prints them. The numbers are
 * stored in the control file of a segment, so a value keeps its meaning: add at the end.
 */
#ifndef SIDECAR_RULES_REPLY_H
#define SIDECAR_RULES_REPLY_H

enum reply_class {
	REPLY_DELIVERED,      /* 2xx */
	REPLY_RATE,	      /* too fast, too many connections or messages: see enum reply_limit */
	REPLY_REPUTATION,     /* the IP is throttled or held for its reputation */
	REPLY_VOLUME_SPIKE,   /* far above the IP's own history */
	REPLY_GREYLIST,	      /* first-contact delay */
	REPLY_RECIPIENT,      /* this mailbox only */
	REPLY_INFRASTRUCTURE, /* the receiver's own trouble */
	REPLY_POLICY,	      /* authentication or DNS of the sender */
	REPLY_CONTENT,	      /* this message */
	REPLY_BLOCKLIST,      /* the IP is listed */
	REPLY_UNKNOWN_USER,   /* no such mailbox */
	REPLY_OTHER,	      /* nothing known matched */
	REPLY_CLASSES
};

enum reply_limit {
	REPLY_LIMIT_NONE,
	REPLY_LIMIT_MESSAGES,
	REPLY_LIMIT_CONNECTIONS,
	REPLY_LIMIT_PER_CONNECTION,
	REPLY_LIMIT_HOUR,
	REPLY_LIMIT_DAY,
	REPLY_LIMIT_CONNECTION_RATE,
	REPLY_LIMITS
};

/* The names as the command line, the rule file and the API print them: "unknown-user",
 * "per-connection". */
const char *reply_class_name(enum reply_class class);
const char *reply_limit_name(enum reply_limit limit);

#endif
