/* SPDX-License-Identifier: MIT
 *
 * RFC 3492, encoding alone: see punycode.h.
 */
#include "shm/punycode.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LABEL_POINTS_MAX 255

/* RFC 3629: the shortest form, no surrogates. */
static int utf8_decode(const uint8_t **at, const uint8_t *end, uint32_t *ret)
{
	static const uint32_t min[] = {0, 0x80, 0x800, 0x10000};
	const uint8_t *p = *at;
	uint32_t c = *p++;
	int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

	if (c >= 0xf8 || (c >= 0x80 && more == 0))
		return -EINVAL;
	if (more)
		c &= 0x3fu >> more;
	for (int i = 0; i < more; i++) {
		if (p == end || (*p & 0xc0) != 0x80)
			return -EINVAL;
		c = c << 6 | (*p++ & 0x3f);
	}
	if (c < min[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -EINVAL;
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
	uint32_t points[LABEL_POINTS_MAX];
	uint32_t count = 0;
	bool ascii = true;
	int used;

	while (at < end) {
		if (count == LABEL_POINTS_MAX || utf8_decode(&at, end, &points[count]) < 0)
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

int punycode_name(const char *name, char *ret, unsigned size)
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
