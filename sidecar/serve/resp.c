/* SPDX-License-Identifier: MIT
 *
 * See resp.h. The one file of the sidecar that includes hiredis.
 *
 * hiredis reads from a copy of its own, whose front it drops now and then; so words are kept as
 * places in what the client sent.
 */
#include "sidecar/serve/resp.h"

#include <errno.h>
#include <hiredis/read.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING_FED SIZE_MAX
#define ERROR_MAX   256

struct resp_reader {
	redisReader *hiredis;
	const char *bytes;
	size_t length;
	size_t taken;
	size_t fed_at;	/* hiredis was fed from there to the end; or NOTHING_FED */
	size_t before;	/* bytes that it then had still, all read */
	size_t dropped; /* of both, by hiredis */
	struct resp_request *request;
	const char *wrong; /* with the request, in words; NULL: nothing */
};

/* ---- what hiredis makes of a request: words, or a complaint ---------------------------------- */

static void *wrong(const redisReadTask *task, const char *why)
{
	struct resp_reader *reader = task->privdata;

	reader->wrong = why;
	return NULL; /* hiredis stops there */
}

static void *word_make(const redisReadTask *task, char *text, size_t length)
{
	struct resp_reader *reader = task->privdata;
	size_t at = reader->fed_at + reader->dropped + (size_t)(text - reader->hiredis->buf) -
		    reader->before;

	if (task->type != REDIS_REPLY_STRING || task->parent == NULL)
		return wrong(task, "Protocol error: expected '$'");
	reader->request->word[task->idx] = (struct resp_word){reader->bytes + at, length};
	return reader;
}

static void *array_make(const redisReadTask *task, int count)
{
	struct resp_reader *reader = task->privdata;

	if (task->parent != NULL)
		return wrong(task, "Protocol error: expected '$', got '*'");
	if (count < 0 || count > RESP_WORDS_MAX)
		return wrong(task, "Protocol error: invalid multibulk length");
	reader->request->count = (unsigned)count;
	return reader;
}

static void *number_make(const redisReadTask *task, long long number)
{
	return wrong(task, "Protocol error: expected '$', got ':'");
}

/* "*-1" is as good as "*0"; "$-1" is no word. */
static void *nil_make(const redisReadTask *task)
{
	struct resp_reader *reader = task->privdata;

	if (task->parent != NULL || task->type != REDIS_REPLY_ARRAY)
		return wrong(task, "Protocol error: invalid bulk length");
	reader->request->count = 0;
	return reader;
}

static void object_free(void *object)
{
	/* They are places in somebody else's memory. */
}

static redisReplyObjectFunctions words = {.createString = word_make,
					  .createArray = array_make,
					  .createInteger = number_make,
					  .createNil = nil_make,
					  .freeObject = object_free};

/* ---- reading --------------------------------------------------------------------------------- */

/* hiredis anew: it keeps what it has read of a request, and no longer where that lies. */
static int hiredis_renew(struct resp_reader *reader)
{
	redisReaderFree(reader->hiredis);
	reader->hiredis = redisReaderCreateWithFunctions(&words);
	if (reader->hiredis == NULL)
		return -ENOMEM;
	reader->hiredis->maxbuf = 0; /* its memory is kept for the next */
	redisReaderSetPrivdata(reader->hiredis, reader);
	return 0;
}

int resp_reader_create(struct resp_reader **ret)
{
	struct resp_reader *reader = calloc(1, sizeof(*reader));
	int error = reader ? hiredis_renew(reader) : -ENOMEM;

	if (error)
		free(reader);
	else
		*ret = reader;
	return error;
}

void resp_reader_free(struct resp_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->hiredis)
		redisReaderFree(reader->hiredis);
	free(reader);
}

void resp_reader_begin(struct resp_reader *reader, const char *bytes, size_t length)
{
	reader->bytes = bytes;
	reader->length = length;
	reader->taken = 0;
	reader->fed_at = NOTHING_FED;
}

size_t resp_reader_taken(const struct resp_reader *reader)
{
	return reader->taken;
}

static int feed(struct resp_reader *reader)
{
	const redisReader *hiredis = reader->hiredis;
	bool clean =
		hiredis && hiredis->err == 0 && hiredis->ridx == -1 && hiredis->pos == hiredis->len;
	size_t left = reader->length - reader->taken;

	if (!clean && hiredis_renew(reader) != 0)
		return -ENOMEM;
	reader->before = reader->hiredis->len;
	if (redisReaderFeed(reader->hiredis, reader->bytes + reader->taken, left) != REDIS_OK)
		return -ENOMEM;
	reader->fed_at = reader->taken;
	return 0;
}

static int array_next(struct resp_reader *reader, const char **ret_reason)
{
	size_t fed = reader->length - reader->fed_at;
	void *object = NULL;

	if (reader->fed_at == NOTHING_FED) {
		if (feed(reader) != 0)
			return -ENOMEM;
		fed = reader->length - reader->fed_at;
	}
	reader->dropped = reader->before + fed - reader->hiredis->len;
	reader->wrong = NULL;
	if (redisReaderGetReply(reader->hiredis, &object) != REDIS_OK) {
		*ret_reason = reader->wrong ? reader->wrong : "Protocol error";
		return -EPROTO;
	}
	if (object == NULL)
		return 0;
	reader->taken = reader->fed_at + fed - (reader->hiredis->len - reader->hiredis->pos);
	return 1;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Words with blanks between them, up to a line feed. */
static int line_next(struct resp_reader *reader, const char **ret_reason)
{
	struct resp_request *request = reader->request;
	const char *at = reader->bytes + reader->taken;
	const char *end = memchr(at, '\n', reader->length - reader->taken);

	if (end == NULL)
		return 0;
	request->count = 0;
	for (const char *word = at; word < end; word = at) {
		while (word < end && blank(*word))
			word++;
		for (at = word; at < end && !blank(*at);)
			at++;
		if (at == word)
			break;
		if (request->count == RESP_WORDS_MAX) {
			*ret_reason = "Protocol error: too big inline request";
			return -EPROTO;
		}
		request->word[request->count++] = (struct resp_word){word, (size_t)(at - word)};
	}
	reader->taken = (size_t)(end + 1 - reader->bytes);
	reader->fed_at = NOTHING_FED;
	return 1;
}

int resp_reader_next(struct resp_reader *reader, struct resp_request *ret, const char **ret_reason)
{
	if (reader->taken == reader->length)
		return 0;
	reader->request = ret;
	return reader->bytes[reader->taken] == '*' ? array_next(reader, ret_reason)
						   : line_next(reader, ret_reason);
}

bool resp_word_number(const struct resp_word *word, int64_t *ret)
{
	bool negative = word->length > 0 && word->at[0] == '-';
	size_t at = word->length > 0 && (negative || word->at[0] == '+');
	int64_t number = 0;

	if (at == word->length)
		return false;
	for (; at < word->length; at++) {
		int digit = word->at[at] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_sub_overflow(number, digit, &number))
			return false;
	}
	/* Counted downwards, so that the least number is one too. */
	if (!negative && __builtin_sub_overflow(0, number, &number))
		return false;
	*ret = number;
	return true;
}

bool resp_word_is(const struct resp_word *word, const char *literal)
{
	size_t i = 0;

	for (; i < word->length && literal[i] != '\0'; i++) {
		char c = word->at[i];

		if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != literal[i])
			return false;
	}
	return i == word->length && literal[i] == '\0';
}

/* ---- answers --------------------------------------------------------------------------------- */

/* "*12\r\n", ":-1\r\n". */
static void head_put(struct listener_answer *answer, char kind, int64_t number)
{
	char text[32], *at = text + sizeof(text);
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

	*--at = '\n';
	*--at = '\r';
	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		*--at = '-';
	*--at = kind;
	listener_answer_add(answer, at, (size_t)(text + sizeof(text) - at));
}

void resp_put_status(struct listener_answer *answer, const char *text)
{
	listener_answer_add(answer, "+", 1);
	listener_answer_add(answer, text, strlen(text));
	listener_answer_add(answer, "\r\n", 2);
}

void resp_put_error(struct listener_answer *answer, const char *format, ...)
{
	char text[ERROR_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
	listener_answer_add(answer, "-", 1);
	listener_answer_add(answer, text, strlen(text));
	listener_answer_add(answer, "\r\n", 2);
}

void resp_put_number(struct listener_answer *answer, int64_t number)
{
	head_put(answer, ':', number);
}

void resp_put_bulk(struct listener_answer *answer, const char *text, size_t length)
{
	head_put(answer, '$', (int64_t)length);
	listener_answer_add(answer, text, length);
	listener_answer_add(answer, "\r\n", 2);
}

void resp_put_text(struct listener_answer *answer, const char *text)
{
	resp_put_bulk(answer, text, strlen(text));
}

void resp_put_null(struct listener_answer *answer, unsigned version)
{
	const char *null = version >= 3 ? "_\r\n" : "$-1\r\n";

	listener_answer_add(answer, null, strlen(null));
}

void resp_put_array(struct listener_answer *answer, size_t count)
{
	head_put(answer, '*', (int64_t)count);
}

void resp_put_map(struct listener_answer *answer, size_t count, unsigned version)
{
	if (version >= 3)
		head_put(answer, '%', (int64_t)count);
	else
		resp_put_array(answer, 2 * count);
}
