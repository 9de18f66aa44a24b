/* SPDX-License-Identifier: MIT */
#include "sidecar/ingest/event.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESS_MAX 45 /* characters of an IPv6 address */

const char *ingest_outcome_name(enum ingest_outcome outcome)
{
	static const char *const names[INGEST_OUTCOMES] = {
		[INGEST_DELIVERED] = "delivered",
		[INGEST_DEFERRED] = "deferred",
		[INGEST_BOUNCED] = "bounced",
	};

	return (unsigned)outcome < INGEST_OUTCOMES ? names[outcome] : "?";
}

bool ingest_event_reply(const struct ingest_event *event, struct reply_line *ret)
{
	if (event->heard) {
		reply_line_parse(event->heard_text.at ? event->heard_text.at : "",
				 event->heard_text.length, ret);
		if (event->heard_code != 0)
			ret->code = event->heard_code;
		if (event->heard_enhanced != 0)
			ret->enhanced = event->heard_enhanced;
		return true;
	}
	if (event->outcome != INGEST_DELIVERED)
		return false;
	/* The log has lost the code, and there is but one that delivers. */
	*ret = (struct reply_line){.code = 250,
				   .text = event->text.at ? event->text.at : "",
				   .len = event->text.length};
	return true;
}

/* ---- our address in a reply ------------------------------------------------------------------ */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool hex(char c)
{
	return digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool name_character(char c)
{
	return digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' || c == '-' ||
	       c == '_';
}

/* What could be an address at `at`: digits and dots, or hexadecimal digits and colons. */
static size_t address_span(const char *at, const char *end, bool *ret_v6)
{
	size_t n = 0, colons = 0, dots = 0;

	while (at + n < end && (hex(at[n]) || at[n] == ':' || at[n] == '.')) {
		colons += at[n] == ':';
		dots += at[n] == '.';
		n++;
	}
	while (n > 0 && (at[n - 1] == '.' || at[n - 1] == ':')) {
		n--;
		colons -= at[n] == ':';
		dots -= at[n] == '.';
	}
	*ret_v6 = colons >= 2;
	if (!*ret_v6 && colons == 1) /* "192.0.2.1:25" */
		n = (size_t)((const char *)memchr(at, ':', n) - at);
	return *ret_v6 || dots == 3 ? n : 0;
}

/* "4.16.55.1" is a code of Yahoo's, "203.0.113.0/24" a network, "[192.0.2.2]" behind a name that
 * name's address, and "7.7.7.7.7" nothing. */
static bool quoted_alone(const char *text, const char *at, const char *after, const char *end,
			 bool v6)
{
	char before = at > text ? at[-1] : ' ';

	if (after + 1 < end && *after == '/' && digit(after[1]))
		return false;
	if (after < end && (name_character(*after) && *after != '.' && *after != '-'))
		return false;
	if (after + 1 < end && (*after == '.' || *after == '-') && name_character(after[1]))
		return false;
	if (v6 && after < end && *after == ':')
		return false;
	if (before == '[')
		return at - 2 < text || !name_character(at[-2]);
	if (name_character(before) || before == ':' || before == '/') {
		if (before != '/' || v6)
			return false;
	}
	return v6 || (*at != '4' && *at != '5') || at[1] != '.';
}

static bool address_binary(const char *at, size_t length, bool v6, uint8_t ret[16])
{
	char text[ADDRESS_MAX + 1];

	if (length > ADDRESS_MAX)
		return false;
	memcpy(text, at, length);
	text[length] = '\0';
	memset(ret, 0, 16);
	return inet_pton(v6 ? AF_INET6 : AF_INET, text, ret) == 1;
}

struct ingest_text ingest_event_quoted(const struct ingest_event *event)
{
	const char *text = event->heard_text.at, *end;
	struct ingest_text found = {0};
	uint8_t first[16], other[16], peer[16];
	bool peer_known =
		event->peer.at != NULL &&
		address_binary(event->peer.at, event->peer.length,
			       memchr(event->peer.at, ':', event->peer.length) != NULL, peer);

	if (!event->heard || text == NULL)
		return found;
	end = text + event->heard_text.length;
	for (const char *at = text; at < end; at++) {
		bool v6;
		size_t n;

		if (!hex(*at) && *at != ':')
			continue;
		n = address_span(at, end, &v6);
		if (n > 0 && address_binary(at, n, v6, other) &&
		    quoted_alone(text, at, at + n, end, v6) &&
		    (!peer_known || memcmp(other, peer, 16) != 0) && other[0] != 127) {
			if (found.at != NULL && memcmp(first, other, 16) != 0)
				return (struct ingest_text){0};
			found = (struct ingest_text){at, n};
			memcpy(first, other, 16);
		}
		/* On to the end of the word. */
		while (at + 1 < end && (name_character(at[1]) || at[1] == ':'))
			at++;
	}
	return found;
}
