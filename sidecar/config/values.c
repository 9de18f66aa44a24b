/* SPDX-License-Identifier: MIT
 *
 * The types of a configuration's scalars: from a text to the number it stands for. What cannot be
 * read is told at its place and the reading goes on, so that a report holds all of it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sidecar/base/units.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"

static int refuse(struct yaml_scalar *scalar, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "rate: '10/fortnight': " and why. */
static int refuse(struct yaml_scalar *scalar, const char *format, ...)
{
	const size_t room = sizeof(scalar->reason);
	va_list args;
	bool listed = scalar->key->shape == YAML_SCALARS;
	int used = snprintf(scalar->reason, room, "%s%s'%.40s': ", listed ? "" : scalar->key->name,
			    listed ? "" : ": ", scalar->text);

	va_start(args, format);
	vsnprintf(scalar->reason + used, room - (size_t)used, format, args);
	va_end(args);
	return -EINVAL;
}

/* Takes a number that lies within the row's bounds. */
static int take(struct yaml_scalar *scalar, struct config_value *value, uint64_t number,
		bool duration)
{
	const struct yaml_key *key = scalar->key;
	char min[64], max[64];

	if (key->max == 0 || (number >= key->min && number <= key->max)) {
		value->value = number;
		return 0;
	}
	if (!duration)
		return refuse(scalar, "must be from %s to %s",
			      units_count_text(key->min, min, sizeof(min)),
			      units_count_text(key->max, max, sizeof(max)));
	units_duration_text(key->min, min, sizeof(min));
	/* A bound such as 59m 59s 999ms is told as what it lies below. */
	if (key->max % 1000 == 999)
		return refuse(scalar, "must be from %s to less than %s", min,
			      units_duration_text(key->max + 1, max, sizeof(max)));
	return refuse(scalar, "must be from %s to %s", min,
		      units_duration_text(key->max, max, sizeof(max)));
}

/* The value in *ret, with the text and the place of what was written. Where that cannot be read the
 * default stays, so that nothing else is found wrong on account of it. */
static struct config_value *begin(const struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = ret;

	if (scalar->mark.line)
		value->text = scalar->text;
	value->mark = scalar->mark;
	return value;
}

static int read_rate(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	struct units_rate rate = {0, 0};
	const char *why;

	if (units_rate(scalar->text, &rate, &why) < 0)
		return refuse(scalar, "%s", why);
	value->value = rate.count;
	value->period_ns = rate.period_ns;
	return 0;
}

static int read_count(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	uint64_t number;
	const char *why;

	if (units_count(scalar->text, &number, &why) < 0)
		return refuse(scalar, "%s", why);
	return take(scalar, value, number, false);
}

static int read_cap(struct yaml_scalar *scalar, void *ret)
{
	if (strcmp(scalar->text, "unlimited") != 0)
		return read_count(scalar, ret);
	begin(scalar, ret)->value = CONFIG_UNLIMITED;
	return 0;
}

static int read_part(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	uint32_t share = 0;
	const char *why;

	if (!strchr(scalar->text, '%'))
		return read_count(scalar, ret);
	if (units_share(scalar->text, &share, &why) < 0)
		return refuse(scalar, "%s", why);
	value->value = share;
	value->share = 1;
	return 0;
}

/* A number of at most 100, which may have a fraction: as a share's is read. */
static int read_factor(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	char text[40];
	uint32_t share;
	const char *why;

	if (snprintf(text, sizeof(text), "%s%%", scalar->text) >= (int)sizeof(text) ||
	    strchr(scalar->text, '%') || units_share(text, &share, &why) < 0)
		return refuse(scalar, "must be a number up to 100, such as 1.4");
	value->value = UINT64_C(100) * share;
	return 0;
}

static int read_duration(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	uint64_t ns;
	const char *why;

	if (units_duration(scalar->text, &ns, &why) < 0)
		return refuse(scalar, "%s", why);
	return take(scalar, value, ns, true);
}

static int read_switch(struct yaml_scalar *scalar, void *ret)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
	struct config_value *value = begin(scalar, ret);

	for (unsigned i = 0; i < YAML_COUNT(words); i++) {
		if (strcasecmp(scalar->text, words[i]) != 0)
			continue;
		value->value = i & 1;
		return 0;
	}
	return refuse(scalar, "must be true or false");
}

static int read_word(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	const struct yaml_word_value *word;
	char all[160] = "";
	size_t used = 0;

	for (word = scalar->key->words; word->text; word++) {
		if (strcmp(scalar->text, word->text) == 0) {
			value->value = word->value;
			return 0;
		}
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used, " %s", word->text);
	}
	return refuse(scalar, "must be one of%s", all);
}

/* In octal digits, as chmod takes them. */
static int read_octal(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	uint64_t number = 0;
	const char *at = scalar->text;

	for (; *at >= '0' && *at <= '7' && at - scalar->text < 5; at++)
		number = number * 8 + (uint64_t)(*at - '0');
	if (at == scalar->text || *at != '\0' || number > 0777)
		return refuse(scalar, "must be permissions in octal, such as 0660");
	value->value = number;
	return 0;
}

/* "2", "1.5" or "off". */
static int read_factor_or_off(struct yaml_scalar *scalar, void *ret)
{
	struct config_value *value = begin(scalar, ret);
	const struct yaml_key *key = scalar->key;
	double factor;
	char *end;

	if (strcmp(scalar->text, "off") == 0 || strcmp(scalar->text, "false") == 0) {
		value->value = 0;
		return 0;
	}
	factor = strtod(scalar->text, &end);
	if (end == scalar->text || *end != '\0' || !(factor >= (double)key->min) ||
	    !(factor <= (double)key->max))
		return refuse(scalar, "must be off, or a number from %g to %g", (double)key->min,
			      (double)key->max);
	value->value = (uint64_t)(factor * 1000 + 0.5);
	return 0;
}

static int read_port(struct yaml_scalar *scalar, void *ret)
{
	struct config_value value = {.value = 0};
	int rc = read_count(scalar, &value);
	uint16_t port = (uint16_t)value.value;

	memcpy(ret, &port, sizeof(port));
	return rc;
}

#define VALUE sizeof(struct config_value)

const struct yaml_type config_rate = {"rate", VALUE, read_rate, true};
const struct yaml_type config_count = {"count", VALUE, read_count, true};
const struct yaml_type config_cap = {"count | unlimited", VALUE, read_cap, true};
const struct yaml_type config_part = {"part", VALUE, read_part, true};
const struct yaml_type config_factor = {"factor", VALUE, read_factor, true};
const struct yaml_type config_duration = {"duration", VALUE, read_duration, true};
const struct yaml_type config_switch = {"switch", VALUE, read_switch, true};
const struct yaml_type config_word = {"word", VALUE, read_word, true};
const struct yaml_type config_octal = {"octal", VALUE, read_octal, true};
const struct yaml_type config_factor_or_off = {"factor | off", VALUE, read_factor_or_off, true};
const struct yaml_type config_port = {"port", sizeof(uint16_t), read_port, true};

/* ---- checks of mappings ---------------------------------------------------------------------- */

static void add(const struct yaml_problems *problems, struct yaml_mark mark, const char *format,
		...) __attribute__((format(printf, 3, 4)));

static void add(const struct yaml_problems *problems, struct yaml_mark mark, const char *format,
		...)
{
	char text[sizeof(((struct diagnostic *)NULL)->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	problems->add(problems->context, mark, text);
}

/* The segment holds phases in these units. */
static void check_grain(const struct yaml_problems *problems, const struct config_limits *limits,
			enum config_limit key, uint64_t grain_ns, const char *grain)
{
	const struct config_value *value = &limits->key[key];

	if (value->value % grain_ns)
		add(problems, value->mark, "%s: '%.40s': must be whole %s", config_limit_name(key),
		    value->text, grain);
}

void config_check_flow(const void *limits, const struct yaml_problems *problems)
{
	check_grain(problems, limits, LIMIT_HOUR_STARTS, UNITS_SECOND_NS, "seconds");
	check_grain(problems, limits, LIMIT_DAY_STARTS, UNITS_MINUTE_NS, "minutes");
}

/* Connections are counted by flow alone: of a total nobody would keep them. */
void config_check_total(const void *limits, const struct yaml_problems *problems)
{
	const struct config_limits *total = limits;

	config_check_flow(limits, problems);
	for (int key = LIMIT_TOTAL_KEYS; key < LIMIT_KEYS; key++)
		if (total->key[key].text)
			add(problems, total->key[key].mark,
			    "%s: is limited for each flow alone, not for all of them together: "
			    "write it under limits",
			    config_limit_name((enum config_limit)key));
}

void config_check_segment(const void *mapping, const struct yaml_problems *problems)
{
	const struct config_segment *segment = mapping;

	if (segment->ring.value & (segment->ring.value - 1))
		add(problems, segment->ring.mark, "ring: must be a power of two, such as 1024");
}

/* ---- problems at places ---------------------------------------------------------------------- */

struct yaml_mark config_mark(const struct config_loader *loader, const char *format, ...)
{
	struct yaml_mark mark = {0, 0};
	char path[256];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	yaml_marks_find(loader->marks, path, &mark);
	return mark;
}

void config_error(const struct config_loader *loader, struct yaml_mark mark, const char *format,
		  ...)
{
	char text[sizeof(((struct diagnostic *)NULL)->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diagnostics_add(loader->report, true, loader->file, mark, "%s", text);
}

void config_warning(const struct config_loader *loader, struct yaml_mark mark, const char *format,
		    ...)
{
	char text[sizeof(((struct diagnostic *)NULL)->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diagnostics_add(loader->report, false, loader->file, mark, "%s", text);
}
