/* SPDX-License-Identifier: MIT
 *
 * Redis's protocol, RESP 2 and 3, as a server has it: requests by hiredis's reader, or as a line
 * of words ("inline"); answers written by hand.
 */
#ifndef SIDECAR_SERVE_RESP_H
#define SIDECAR_SERVE_RESP_H

#include "sidecar/serve/listener.h"

#define RESP_WORDS_MAX 64

struct resp_word {
	const char *at; /* not terminated */
	size_t length;
};

struct resp_request {
	struct resp_word word[RESP_WORDS_MAX];
	unsigned count; /* 0: an empty one, which has no answer */
};

struct resp_reader;

int resp_reader_create(struct resp_reader **ret);
void resp_reader_free(struct resp_reader *reader); /* NULL is fine */

/* Begins with what a client has sent. The bytes stay the caller's, and words point into them. */
void resp_reader_begin(struct resp_reader *reader, const char *bytes, size_t length);

/* The next request. 1; 0: it is not all there; -EPROTO, with the reason in words; -ENOMEM. */
int resp_reader_next(struct resp_reader *reader, struct resp_request *ret, const char **ret_reason);

/* How many of the bytes whole requests took. */
size_t resp_reader_taken(const struct resp_reader *reader);

/* A decimal number as Redis takes it: a sign perhaps, digits, nothing else. False: none, or beyond
 * 64 bits. */
bool resp_word_number(const struct resp_word *word, int64_t *ret);
/* Is the word this one, whatever its case? literal in lower case. */
bool resp_word_is(const struct resp_word *word, const char *literal);

/* ---- answers --------------------------------------------------------------------------------- */

void resp_put_status(struct listener_answer *answer, const char *text); /* "OK" */
/* "ERR …", cut, and without line ends whatever it quotes. */
void resp_put_error(struct listener_answer *answer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void resp_put_number(struct listener_answer *answer, int64_t number);
void resp_put_bulk(struct listener_answer *answer, const char *text, size_t length);
void resp_put_text(struct listener_answer *answer, const char *text); /* as a bulk string */
void resp_put_null(struct listener_answer *answer, unsigned version);
void resp_put_array(struct listener_answer *answer, size_t count);
/* A map of so many pairs; in RESP 2 an array of twice as many. */
void resp_put_map(struct listener_answer *answer, size_t count, unsigned version);

#endif
