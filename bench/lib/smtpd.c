/* SPDX-License-Identifier: MIT
 *
 * One SMTP session of the receiver model: see smtpd.h.
 */
#include "bench/lib/smtpd.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_BYTES 2048 /* RFC 5321 4.5.3.1.4 asks for 512, and more for each extension */
#define RECIPIENTS_MAX 100
#define ERRORS_MAX     20
#define OUT_ROOM       1024 /* the longest that one command answers */

enum phase { PHASE_COMMAND, PHASE_DATA };

/* Where in a message: what the next byte means depends on it. */
enum line { LINE_START, LINE_TEXT, LINE_CR, LINE_DOT, LINE_DOT_CR };

__attribute__((format(printf, 2, 3))) static void reply(struct smtpd *s, const char *format, ...)
{
	size_t room = sizeof(s->out) - s->out_length;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(s->out + s->out_length, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		s->out_length += (size_t)n < room - 2 ? (size_t)n : room - 3;
	memcpy(s->out + s->out_length, "\r\n", 2);
	s->out_length += 2;
}

/* A text of the family with the source address in place of %s; 421 ends the session. */
static void reply_answer(struct smtpd *s, enum throttle_answer answer)
{
	const char *text = s->host->texts[answer];
	const char *hole = strstr(text, "%s");

	if (hole)
		reply(s, "%.*s%s%s", (int)(hole - text), text, s->address, hole + 2);
	else
		reply(s, "%s", text);
	if (strncmp(text, "421", 3) == 0)
		s->closing = true;
}

/* What no honest client says. (A command out of order is what a pipelining client sends behind one
 * that was refused, so it counts for nothing.) */
static void reply_error(struct smtpd *s, const char *text)
{
	s->host->errors++;
	if (++s->errors < ERRORS_MAX) {
		reply(s, "%s", text);
		return;
	}
	reply(s, "421 4.7.0 %s Too many errors", s->host->name);
	s->closing = true;
}

static void tell(struct smtpd *s, const char *what, enum throttle_answer answer, uint64_t now_ns)
{
	struct smtpd_event event = {.what = what,
				    .answer = answer,
				    .place = s->place,
				    .bytes = s->bytes,
				    .crc = ~s->crc};

	if (s->host->event)
		s->host->event(s->host, s, &event, now_ns);
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
	static uint32_t table[256];

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			table[i] = i;
			for (int bit = 0; bit < 8; bit++)
				table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
		}
	return crc >> 8 ^ table[(crc ^ byte) & 0xff];
}

static void transaction_reset(struct smtpd *s)
{
	s->sender = 0;
	s->recipients = 0;
}

/* ---- commands -----------------------------------------------------------------------------------
 */

static void command_ehlo(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	if (*argument == '\0') {
		reply_error(s, "501 5.5.4 A domain is needed");
		return;
	}
	s->greeted = true;
	transaction_reset(s);
	reply(s, "250-%s Hello [%s]", s->host->name, s->address);
	reply(s,
	      "250-SIZE %llu\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
	      "250 SMTPUTF8",
	      (unsigned long long)s->host->size_max);
}

static void command_helo(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	if (*argument == '\0') {
		reply_error(s, "501 5.5.4 A domain is needed");
		return;
	}
	s->greeted = true;
	transaction_reset(s);
	reply(s, "250 %s", s->host->name);
}

/* "FROM:<a@b> SIZE=1": the path between the brackets; NULL: no path. */
static const char *path_find(const char *argument, const char *word, size_t *ret_length)
{
	size_t n = strlen(word);
	const char *end;

	if (strncasecmp(argument, word, n) != 0)
		return NULL;
	argument += n;
	while (*argument == ' ')
		argument++;
	end = *argument == '<' ? strchr(argument, '>') : NULL;
	if (!end || end - argument > 257)
		return NULL;
	*ret_length = (size_t)(end - argument - 1);
	return argument + 1;
}

static bool size_fits(const struct smtpd *s, const char *parameters)
{
	const char *size = strcasestr(parameters, " SIZE=");
	unsigned long long bytes;

	return !size || sscanf(size + 6, "%llu", &bytes) != 1 || bytes <= s->host->size_max;
}

static void command_mail(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	enum throttle_answer answer;
	const char *path;
	size_t length;

	if (!s->greeted || s->sender) {
		reply(s, "%s",
		      s->greeted ? "503 5.5.1 Sender already given" : "503 5.5.1 Send hello first");
		return;
	}
	path = path_find(argument, "FROM:", &length);
	if (!path) {
		reply_error(s, "501 5.1.7 Syntax error in the sender");
		return;
	}
	if (!size_fits(s, path + length)) {
		reply(s, "552 5.3.4 Message too big");
		return;
	}
	s->place++;
	answer = throttle_message(s->host->throttle, s->entry, s->place, now_ns);
	tell(s, "mail", answer, now_ns);
	if (answer != THROTTLE_OK) {
		reply_answer(s, answer);
		return;
	}
	s->sender = hash_text(UINT64_C(0xcbf29ce484222325), path, length);
	reply(s, "250 2.1.0 Sender OK");
}

/* As it may stand in a line of JSON. */
static void recipient_keep(struct smtpd *s, const char *path, size_t length)
{
	size_t kept = length < sizeof(s->to) ? length : sizeof(s->to) - 1;

	for (size_t i = 0; i < kept; i++)
		s->to[i] = isgraph((unsigned char)path[i]) && path[i] != '"' && path[i] != '\\'
				   ? path[i]
				   : '?';
	s->to[kept] = '\0';
}

static void command_rcpt(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	enum throttle_answer answer;
	const char *path;
	size_t length;

	if (!s->sender) {
		reply(s, "503 5.5.1 Need MAIL first");
		return;
	}
	path = path_find(argument, "TO:", &length);
	if (!path || length == 0) {
		reply_error(s, "501 5.1.3 Syntax error in the recipient");
		return;
	}
	if (s->recipients >= RECIPIENTS_MAX) {
		reply(s, "452 4.5.3 Too many recipients");
		return;
	}
	answer = throttle_recipient(s->host->throttle, s->entry, hash_text(s->sender, path, length),
				    now_ns);
	if (answer != THROTTLE_OK) {
		tell(s, "rcpt", answer, now_ns);
		reply_answer(s, answer);
		return;
	}
	s->recipients++;
	recipient_keep(s, path, length);
	reply(s, "250 2.1.5 Recipient OK");
}

static void command_data(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	if (!s->recipients) {
		reply(s, "%s",
		      s->sender ? "554 5.5.1 No valid recipients" : "503 5.5.1 Need MAIL first");
		return;
	}
	s->phase = PHASE_DATA;
	s->line = LINE_START;
	s->bytes = 0;
	s->crc = UINT32_MAX;
	reply(s, "354 Start mail input; end with <CRLF>.<CRLF>");
}

static void command_rset(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	transaction_reset(s);
	reply(s, "250 2.0.0 Resetting");
}

static void command_noop(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	reply(s, "250 2.0.0 OK");
}

static void command_vrfy(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	reply(s, "252 2.1.5 Cannot VRFY user");
}

static void command_help(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	reply(s, "214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
}

static void command_quit(struct smtpd *s, const char *argument, uint64_t now_ns)
{
	reply(s, "221 2.0.0 %s closing", s->host->name);
	s->closing = true;
}

struct smtp_command {
	const char *name;
	void (*run)(struct smtpd *s, const char *argument, uint64_t now_ns);
};

static const struct smtp_command commands[] = {
	{"EHLO", command_ehlo}, {"HELO", command_helo}, {"MAIL", command_mail},
	{"RCPT", command_rcpt}, {"DATA", command_data}, {"RSET", command_rset},
	{"NOOP", command_noop}, {"VRFY", command_vrfy}, {"HELP", command_help},
	{"QUIT", command_quit},
};

static void command_run(struct smtpd *s, char *line, uint64_t now_ns)
{
	char *argument = line + strcspn(line, " ");

	if (*argument == ' ')
		*argument++ = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcasecmp(line, commands[i].name) == 0) {
			commands[i].run(s, argument, now_ns);
			return;
		}
	reply_error(s, "500 5.5.2 Unknown command");
}

/* ---- input --------------------------------------------------------------------------------------
 */

/* A command line from in[at]; the bytes taken, 0: it is not complete yet. */
static size_t input_command(struct smtpd *s, size_t at, uint64_t now_ns)
{
	size_t left = s->in_length - at;
	char *start = s->in + at;
	char *end = memmem(start, left, "\r\n", 2);

	if (!end) {
		if (left < LINE_MAX_BYTES)
			return 0;
		s->overlong = true;
		return left - 1; /* the last byte may be the CR */
	}
	if (s->overlong || end - start > LINE_MAX_BYTES || memchr(start, '\0', end - start)) {
		s->overlong = false;
		reply_error(s, "500 5.5.2 Line too long or malformed");
	} else {
		*end = '\0';
		command_run(s, start, now_ns);
	}
	return (size_t)(end - start) + 2;
}

static void message_end(struct smtpd *s, uint64_t now_ns)
{
	s->phase = PHASE_COMMAND;
	transaction_reset(s);
	if (s->bytes > s->host->size_max) {
		reply(s, "552 5.3.4 Message too big");
		return;
	}
	s->host->delivered++;
	s->host->bytes += s->bytes;
	tell(s, "delivered", THROTTLE_OK, now_ns);
	reply(s, "250 2.6.0 <%llu@%s> Queued mail for delivery",
	      (unsigned long long)s->host->delivered, s->host->name);
}

static void message_byte(struct smtpd *s, char byte)
{
	s->bytes++;
	s->crc = crc_byte(s->crc, (uint8_t)byte);
}

/* The state after a byte of a message; bytes that stay in the message are counted. */
static enum line line_next(struct smtpd *s, enum line line, char byte)
{
	if (line == LINE_START && byte == '.')
		return LINE_DOT; /* stuffed, or the end */
	if (line == LINE_DOT && byte == '\r')
		return LINE_DOT_CR;
	if (line == LINE_DOT_CR)
		message_byte(s, '\r'); /* it was a line that began with a lone dot and CR */
	message_byte(s, byte);
	if (byte == '\r')
		return LINE_CR;
	return line == LINE_CR && byte == '\n' ? LINE_START : LINE_TEXT;
}

static size_t input_data(struct smtpd *s, size_t at, uint64_t now_ns)
{
	size_t i = at;

	while (i < s->in_length) {
		char byte = s->in[i++];

		if (s->line == LINE_DOT_CR && byte == '\n') {
			message_end(s, now_ns);
			break;
		}
		s->line = line_next(s, s->line, byte);
	}
	return i - at;
}

void smtpd_run(struct smtpd *s, uint64_t now_ns)
{
	size_t at = 0;

	while (at < s->in_length && !s->closing && s->out_length + OUT_ROOM <= sizeof(s->out)) {
		size_t taken = s->phase == PHASE_DATA ? input_data(s, at, now_ns)
						      : input_command(s, at, now_ns);

		if (taken == 0)
			break;
		at += taken;
	}
	if (s->closing)
		at = s->in_length;
	memmove(s->in, s->in + at, s->in_length - at);
	s->in_length -= at;
}

void smtpd_begin(struct smtpd *s, struct smtpd_host *host, struct throttle_entry *entry,
		 const char *address, uint64_t now_ns)
{
	enum throttle_answer answer = throttle_open(host->throttle, entry, now_ns);

	memset(s, 0, offsetof(struct smtpd, in));
	s->host = host;
	s->entry = entry;
	s->counted = answer == THROTTLE_OK;
	snprintf(s->address, sizeof(s->address), "%s", address);
	tell(s, "connect", answer, now_ns);
	if (answer == THROTTLE_OK) {
		reply(s, "220 %s ESMTP", host->name);
		return;
	}
	reply_answer(s, answer);
	s->closing = true;
}

void smtpd_end(struct smtpd *s, uint64_t now_ns)
{
	if (s->counted)
		throttle_close(s->entry);
	s->counted = false;
	tell(s, "close", THROTTLE_OK, now_ns);
}
