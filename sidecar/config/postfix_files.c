/* SPDX-License-Identifier: MIT */
#include "sidecar/config/postfix_files.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 8192
#define EXPAND_DEPTH   8
#define FIELDS	       8 /* of a service, before its arguments; the last is the command */

/* ---- lines ----------------------------------------------------------------------------------- */

/* The next whole line: what begins with a blank goes on with the line before; a comment or an empty
 * line between them does not end it. What is longer than `into` is cut. False: no more. */
static bool line_next(const char **at, char into[LINE_MAX_BYTES])
{
	size_t used = 0;

	while (**at != '\0') {
		const char *end = strchrnul(*at, '\n');
		const char *word = *at + strspn(*at, " \t\r");
		bool empty = word >= end || *word == '#';
		size_t length = (size_t)(end - *at);

		if (!empty && used > 0 && word == *at)
			break;
		if (!empty && (used > 0 || word == *at)) {
			if (length > LINE_MAX_BYTES - 2 - used)
				length = LINE_MAX_BYTES - 2 - used;
			memcpy(into + used, *at, length);
			used += length;
			into[used++] = ' ';
			if (used > LINE_MAX_BYTES - 2)
				used = LINE_MAX_BYTES - 2;
		}
		*at = *end ? end + 1 : end;
	}
	while (used > 0 && isspace((unsigned char)into[used - 1]))
		used--;
	into[used] = '\0';
	return used > 0;
}

/* "name = value" at text; the value, or NULL: it is another name's. */
static const char *value_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(text, name, length) != 0)
		return NULL;
	text += length;
	text += strspn(text, " \t");
	if (*text++ != '=')
		return NULL;
	return text + strspn(text, " \t");
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Where values are looked up: a service's own first. */
struct scope {
	const char *main_cf;
	const char *arguments; /* of the service; NULL: none */
	const char *service;
};

static const char *default_of(const char *name)
{
	static const struct {
		const char *name, *value;
	} defaults[] = {{"syslog_name", "postfix"}, {"queue_directory", "/var/spool/postfix"}};

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (strcmp(defaults[i].name, name) == 0)
			return defaults[i].value;
	return "";
}

static void copy(char *into, size_t size, const char *from, size_t length)
{
	if (length >= size)
		length = size - 1;
	memcpy(into, from, length);
	into[length] = '\0';
}

/* "-o name=value" or "-o { name = value }" among a service's arguments; the last one holds. */
static bool argument_find(const char *arguments, const char *name, char into[POSTFIX_VALUE])
{
	bool found = false;

	for (const char *at = arguments; (at = strstr(at, "-o")) != NULL; at += 2) {
		const char *text = at + 2 + strspn(at + 2, " \t"), *value, *end;
		bool braces = *text == '{';

		if (at > arguments && !isspace((unsigned char)at[-1]))
			continue;
		text += braces ? 1 + strspn(text + 1, " \t") : 0;
		value = value_of(text, name);
		if (value == NULL)
			continue;
		end = value + strcspn(value, braces ? "}" : " \t");
		while (end > value && isspace((unsigned char)end[-1]))
			end--;
		copy(into, POSTFIX_VALUE, value, (size_t)(end - value));
		found = true;
	}
	return found;
}

static void raw_find(const struct scope *scope, const char *name, char into[POSTFIX_VALUE])
{
	char line[LINE_MAX_BYTES];
	const char *at = scope->main_cf, *value;

	if (scope->service != NULL && strcmp(name, "service_name") == 0) {
		copy(into, POSTFIX_VALUE, scope->service, strlen(scope->service));
		return;
	}
	if (scope->arguments != NULL && argument_find(scope->arguments, name, into))
		return;
	copy(into, POSTFIX_VALUE, default_of(name), strlen(default_of(name)));
	while (line_next(&at, line))
		if ((value = value_of(line, name)) != NULL)
			copy(into, POSTFIX_VALUE, value, strlen(value));
}

/* The name behind a "$"; *at is behind it then. False: something that is not worked out. */
static bool reference_read(const char **at, char name[64])
{
	const char *text = *at;
	char close = *text == '{' ? '}' : *text == '(' ? ')' : '\0';
	size_t length;

	text += close ? 1 : 0;
	for (length = 0; isalnum((unsigned char)text[length]) || text[length] == '_';)
		length++;
	if (length == 0 || length > 63 || (close && text[length] != close))
		return false;
	copy(name, 64, text, length);
	*at = text + length + (close ? 1 : 0);
	return true;
}

/* The value of a name, with what it refers to put in; "" where that is not plain. */
static void value_find(const struct scope *scope, const char *name, unsigned depth,
		       char into[POSTFIX_VALUE])
{
	char raw[POSTFIX_VALUE], other[POSTFIX_VALUE], referred[64];
	const char *at = raw;
	size_t used = 0, length;

	raw_find(scope, name, raw);
	while (*at != '\0') {
		other[0] = *at;
		other[1] = '\0';
		if (*at++ == '$') {
			if (depth == 0 || !reference_read(&at, referred)) {
				into[0] = '\0';
				return;
			}
			value_find(scope, referred, depth - 1, other);
		}
		length = strlen(other);
		if (used + length >= POSTFIX_VALUE)
			break;
		memcpy(into + used, other, length);
		used += length;
	}
	into[used] = '\0';
}

/* ---- the clients ----------------------------------------------------------------------------- */

/* A name may stand for one address: another client of the same name and another address makes it
 * unclear, and so it stays (the address is then empty). */
static void client_add(struct postfix_files *files, const char *name, const char *address)
{
	struct postfix_client *client = files->clients;

	if (name[0] == '\0' || strlen(name) >= sizeof(client->name) ||
	    strlen(address) >= sizeof(client->address))
		return;
	for (uint32_t i = 0; i < files->count; i++, client++) {
		if (strcmp(client->name, name) != 0)
			continue;
		if (strcmp(client->address, address) != 0)
			client->address[0] = '\0';
		return;
	}
	if (files->count == POSTFIX_CLIENTS)
		return;
	strcpy(client->name, name);
	strcpy(client->address, address);
	files->count++;
}

/* What sends from an address of each kind stands for two. */
static void client_read(const struct scope *scope, struct postfix_files *files)
{
	char name[POSTFIX_VALUE], four[POSTFIX_VALUE], six[POSTFIX_VALUE];

	value_find(scope, "syslog_name", EXPAND_DEPTH, name);
	value_find(scope, "smtp_bind_address", EXPAND_DEPTH, four);
	value_find(scope, "smtp_bind_address6", EXPAND_DEPTH, six);
	client_add(files, name, four[0] && six[0] ? "" : four[0] ? four : six);
}

static void service_read(char *line, const char *main_cf, struct postfix_files *files)
{
	char *field[FIELDS], *rest = line;
	struct scope scope = {.main_cf = main_cf};

	for (unsigned i = 0; i < FIELDS; i++) {
		rest += strspn(rest, " \t");
		field[i] = rest;
		rest += strcspn(rest, " \t");
		if (*rest != '\0')
			*rest++ = '\0';
	}
	if (strcmp(field[FIELDS - 1], "smtp") != 0)
		return;
	scope.service = field[0];
	scope.arguments = rest;
	client_read(&scope, files);
}

void postfix_files_read(const char *main_cf, const char *master_cf, struct postfix_files *ret)
{
	const struct scope scope = {.main_cf = main_cf};
	char line[LINE_MAX_BYTES];
	uint32_t kept = 0;

	memset(ret, 0, sizeof(*ret));
	value_find(&scope, "maillog_file", EXPAND_DEPTH, ret->maillog_file);
	value_find(&scope, "queue_directory", EXPAND_DEPTH, ret->queue_directory);
	while (line_next(&master_cf, line))
		service_read(line, main_cf, ret);
	for (uint32_t i = 0; i < ret->count; i++) {
		if (ret->clients[i].address[0] == '\0')
			continue;
		if (kept != i)
			ret->clients[kept] = ret->clients[i];
		kept++;
	}
	ret->unclear = ret->count - kept;
	ret->count = kept;
}
