/* SPDX-License-Identifier: MIT
 *
 * Reading the Public Suffix List's text form, and punycode.
 */
#include "sidecar/config/public_suffix.h"

#include <errno.h>
#include <libpsl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/destination.h"

#define DEBIAN_PATH "/usr/share/publicsuffix/public_suffix_list.dat"

const char *suffix_list_path(void)
{
	static const char compiled[] = ".dafsa"; /* libpsl's own form; the text stands beside it */
	static _Thread_local char path[512];
	const char *known = psl_dist_filename();
	size_t length = known ? strlen(known) : 0;

	if (length == 0 || length >= sizeof(path))
		return DEBIAN_PATH;
	memcpy(path, known, length + 1);
	if (length >= sizeof(compiled) &&
	    strcmp(path + length - (sizeof(compiled) - 1), compiled) == 0)
		memcpy(path + length - (sizeof(compiled) - 1), ".dat", sizeof(".dat"));
	return access(path, R_OK) == 0 ? path : DEBIAN_PATH;
}

/* ---- punycode, RFC 3492 ---------------------------------------------------------------------- */

static int utf8_decode(const uint8_t **at, const uint8_t *end, uint32_t *ret)
{
	const uint8_t *p = *at;
	uint32_t c = *p++;
	int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

	if (c >= 0xf8 || (c >= 0x80 && more == 0))
		return -EINVAL;
	if (more)
		c &= 0x3fu >> more;
	for (; more > 0; more--) {
		if (p == end || (*p & 0xc0) != 0x80)
			return -EINVAL;
		c = c << 6 | (*p++ & 0x3f);
	}
	*at = p;
	*ret = c;
	return 0;
}

static uint32_t puny_adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / 700 : delta / 2;
	delta += delta / points;
	for (; delta > 35 * 26 / 2; k += 36)
		delta /= 35;
	return k + 36 * delta / (delta + 38);
}

static char puny_digit(uint32_t d)
{
	return (char)(d < 26 ? 'a' + d : '0' + (d - 26));
}

/* Writes delta as a variable-length integer. Returns the bytes written, 0 if they do not fit. */
static unsigned puny_integer(uint32_t delta, uint32_t bias, char *ret, unsigned size)
{
	unsigned used = 0;

	for (uint32_t k = 36;; k += 36) {
		uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;

		if (used == size)
			return 0;
		if (delta < t) {
			ret[used++] = puny_digit(delta);
			return used;
		}
		ret[used++] = puny_digit(t + (delta - t) % (36 - t));
		delta = (delta - t) / (36 - t);
	}
}

/* Encodes the code points of one label behind its "xn--". Returns the length, or -EINVAL. */
static int puny_encode(const uint32_t *points, uint32_t count, char *ret, unsigned size)
{
	uint32_t n = 128;
	uint32_t delta = 0;
	uint32_t bias = 72;
	uint32_t done = 0;
	uint32_t basic;
	unsigned used = 0;

	for (uint32_t i = 0; i < count; i++)
		if (points[i] < 128 && used < size)
			ret[used++] = (char)points[i];
	done = basic = used;
	if (basic > 0 && used < size)
		ret[used++] = '-';
	while (done < count) {
		uint32_t next = UINT32_MAX;

		for (uint32_t i = 0; i < count; i++)
			if (points[i] >= n && points[i] < next)
				next = points[i];
		delta += (next - n) * (done + 1); /* <= 0x1fffff * 255: no overflow */
		n = next;
		for (uint32_t i = 0; i < count; i++) {
			unsigned wrote;

			if (points[i] < n)
				delta++;
			if (points[i] != n)
				continue;
			wrote = puny_integer(delta, bias, ret + used, size - used);
			if (wrote == 0)
				return -EINVAL;
			used += wrote;
			bias = puny_adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		delta++;
		n++;
	}
	return (int)used;
}

/* One label to ASCII. Returns the length, or -EINVAL. */
static int label_ascii(const char *label, size_t length, char *ret, unsigned size)
{
	const uint8_t *at = (const uint8_t *)label;
	const uint8_t *end = at + length;
	uint32_t points[DESTINATION_NAME_MAX];
	uint32_t count = 0;
	bool ascii = true;
	int used;

	while (at < end) {
		if (count == DESTINATION_NAME_MAX || utf8_decode(&at, end, &points[count]) < 0)
			return -EINVAL;
		ascii = ascii && points[count] < 128;
		count++;
	}
	if (ascii) {
		if (length > size)
			return -EINVAL;
		memcpy(ret, label, length);
		return (int)length;
	}
	if (size < 4)
		return -EINVAL;
	memcpy(ret, "xn--", 4);
	used = puny_encode(points, count, ret + 4, size - 4);
	return used < 0 ? used : used + 4;
}

int suffix_list_ascii(const char *name, char *ret, unsigned size)
{
	unsigned used = 0;

	for (;;) {
		size_t length = strcspn(name, ".");
		int wrote = label_ascii(name, length, ret + used, size - used);

		if (wrote < 0 || used + (unsigned)wrote + 1 > size)
			return -EINVAL;
		used += (unsigned)wrote;
		ret[used] = '\0';
		name += length;
		if (*name == '\0')
			return (int)used;
		name++;
		ret[used++] = '.';
	}
}

/* ---- the list -------------------------------------------------------------------------------- */

struct reading {
	int (*take)(void *context, const char *name, uint16_t rule);
	void *context;
	bool private_section;
	bool icann_seen;
};

/* One line of the list: up to the first space a rule, or a comment, or nothing. */
static int take_line(struct reading *reading, char *line)
{
	char ascii[DESTINATION_NAME_MAX + 1];
	char name[DESTINATION_NAME_MAX + 1];
	bool private_section = reading->private_section;
	uint16_t rule = private_section ? DESTINATION_RULE_PRIVATE : DESTINATION_RULE_ICANN;
	int rc;

	if (strstr(line, "===BEGIN ICANN DOMAINS==="))
		reading->icann_seen = true;
	if (strstr(line, "===BEGIN PRIVATE DOMAINS==="))
		reading->private_section = true;
	line[strcspn(line, " \t\r\n")] = '\0';
	if (line[0] == '\0' || strncmp(line, "//", 2) == 0)
		return 0;
	if (line[0] == '!') {
		rule = DESTINATION_EXCEPTION;
		line++;
	} else if (strncmp(line, "*.", 2) == 0) {
		rule = private_section ? DESTINATION_STAR_PRIVATE : DESTINATION_STAR_ICANN;
		line += 2;
	}
	/* A rule that no name can match (a newer syntax) is passed over, as libpsl does. */
	if (destination_normalise(line, name) < 0)
		return 0;
	rc = reading->take(reading->context, name, rule);
	if (rc < 0 || suffix_list_ascii(name, ascii, sizeof(ascii)) < 0 || strcmp(name, ascii) == 0)
		return rc;
	return reading->take(reading->context, ascii, rule);
}

int suffix_list_read(const char *path, int (*take)(void *context, const char *name, uint16_t rule),
		     void *context)
{
	struct reading reading = {.take = take, .context = context};
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	if (!file)
		return -errno;
	while (rc == 0 && getline(&line, &size, file) >= 0)
		rc = take_line(&reading, line);
	if (rc == 0 && ferror(file))
		rc = -EIO;
	if (rc == 0 && !reading.icann_seen)
		rc = -EBADMSG;
	free(line);
	fclose(file);
	return rc;
}
