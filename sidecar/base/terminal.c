/* SPDX-License-Identifier: MIT
 *
 * See terminal.h. The guard is a stream over each of the two descriptors (fopencookie(3)), so that
 * no place that prints can forget it.
 */
#include "sidecar/base/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/utf8.h"

#define CHARACTER_MAX 4 /* bytes of UTF-8 */
#define ESCAPED_MAX   8

struct guard {
	int fd;
	unsigned char kept[CHARACTER_MAX]; /* the begin of a character whose end comes with the next
					      write */
	size_t kept_length;
};

size_t terminal_escape(char to[8], uint32_t c)
{
	return (size_t)snprintf(to, ESCAPED_MAX, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
}

static int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t took = write(fd, text, length);

		if (took < 0 && errno == EINTR)
			continue;
		if (took < 0)
			return -errno;
		text += took;
		length -= (size_t)took;
	}
	return 0;
}

/* Whether these bytes become a character when more come. */
static bool unfinished(const unsigned char *at, size_t left)
{
	size_t whole = *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
	unsigned char padded[CHARACTER_MAX] = {0x80, 0x80, 0x80, 0x80};

	if (*at < 0xc2 || *at > 0xf4 || left >= whole)
		return false;
	memcpy(padded, at, left);
	/* Which second bytes a first one allows is known once it is there. */
	return left == 1 || utf8_length(padded, whole) == whole;
}

/* Puts the first character of what is kept, or its first byte where that begins none. Returns how
 * many bytes it took; 0: more are needed. */
static size_t character_put(const struct guard *guard, bool last, char *to, size_t *put)
{
	const unsigned char *at = guard->kept;
	size_t length = utf8_length(at, guard->kept_length);
	uint32_t c = length ? utf8_code_point(at, length) : *at;

	if (length == 0 && !last && unfinished(at, guard->kept_length))
		return 0;
	if (length && (c == '\n' || c == '\t' || !utf8_unsafe(c))) {
		memcpy(to + *put, at, length);
		*put += length;
		return length;
	}
	*put += terminal_escape(to + *put, c);
	return length ? length : 1;
}

static void kept_put(struct guard *guard, bool last, char *to, size_t *put)
{
	while (guard->kept_length > 0) {
		size_t took = character_put(guard, last, to, put);

		if (took == 0)
			return;
		guard->kept_length -= took;
		memmove(guard->kept, guard->kept + took, guard->kept_length);
	}
}

static ssize_t guard_write(void *cookie, const char *text, size_t size)
{
	struct guard *guard = cookie;
	char out[4096];
	size_t put = 0;
	int error = 0;

	for (size_t i = 0; i < size && !error; i++) {
		guard->kept[guard->kept_length++] = (unsigned char)text[i];
		kept_put(guard, false, out, &put);
		if (put > sizeof(out) - CHARACTER_MAX * ESCAPED_MAX) {
			error = write_all(guard->fd, out, put);
			put = 0;
		}
	}
	if (!error)
		error = write_all(guard->fd, out, put);
	if (error)
		errno = -error;
	return error ? 0 : (ssize_t)size;
}

static int guard_close(void *cookie)
{
	struct guard *guard = cookie;
	char out[CHARACTER_MAX * ESCAPED_MAX];
	size_t put = 0;

	kept_put(guard, true, out, &put);
	return write_all(guard->fd, out, put) ? EOF : 0;
}

static FILE *guarded(struct guard *guard, int mode)
{
	FILE *stream = fopencookie(
		guard, "w", (cookie_io_functions_t){.write = guard_write, .close = guard_close});

	if (stream && setvbuf(stream, NULL, mode, 0) != 0) {
		fclose(stream);
		stream = NULL;
	}
	return stream;
}

int terminal_guard(void)
{
	static struct guard guards[] = {{.fd = STDOUT_FILENO}, {.fd = STDERR_FILENO}};
	FILE *out = guarded(&guards[0], isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
	FILE *error = out ? guarded(&guards[1], _IONBF) : NULL;

	if (error == NULL) {
		if (out)
			fclose(out);
		return -ENOMEM;
	}
	/* exit(3) flushes both, as it does all streams. */
	stdout = out;
	stderr = error;
	return 0;
}
