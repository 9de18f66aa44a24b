/* SPDX-License-Identifier: MIT */
#include "sidecar/engine/saved.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STAMP_NS 10000000

/* Those of struct engine_life besides the controller's. */
static const struct {
	const char *name;
	enum control_value_kind kind;
} own[] = {{"trouble_ns", CONTROL_TIME},	   {"warmup_step_back_ns", CONTROL_TIME},
	   {"pace.minute_ns", CONTROL_TIME},	   {"pace.count", CONTROL_PLAIN},
	   {"pace.peak", CONTROL_PLAIN},	   {"baseline.minute.count", CONTROL_PLAIN},
	   {"baseline.hour.count", CONTROL_PLAIN}, {"baseline.day.count", CONTROL_PLAIN},
	   {"baseline.peak", CONTROL_PLAIN},	   {"baseline.best", CONTROL_PLAIN},
	   {"baseline.when", CONTROL_PLAIN}};

#define OWN (sizeof(own) / sizeof(own[0]))
_Static_assert(CONTROL_VALUES + OWN == SAVED_VALUES, "as the header says");

static enum control_value_kind value_name(unsigned i, char text[CONTROL_VALUE_NAME])
{
	if (i < CONTROL_VALUES)
		return control_value(i, text);
	snprintf(text, CONTROL_VALUE_NAME, "%s", own[i - CONTROL_VALUES].name);
	return own[i - CONTROL_VALUES].kind;
}

const char *saved_names(char text[SAVED_NAMES_BYTES])
{
	size_t at = 0;

	for (unsigned i = 0; i < SAVED_VALUES; i++) {
		char name[CONTROL_VALUE_NAME];

		value_name(i, name);
		at += (size_t)snprintf(text + at, SAVED_NAMES_BYTES - at, "%s%s", i ? " " : "",
				       name);
	}
	return text;
}

static int place_of(const char *name, size_t length)
{
	char own_name[CONTROL_VALUE_NAME];

	for (unsigned i = 0; i < SAVED_VALUES; i++) {
		value_name(i, own_name);
		if (strlen(own_name) == length && memcmp(own_name, name, length) == 0)
			return (int)i;
	}
	return -1;
}

int saved_map_read(const char *names, struct saved_map *ret)
{
	uint32_t found = 0;
	size_t length;

	ret->count = 0;
	for (; *names; names += length + (names[length] == ' ')) {
		length = strcspn(names, " ");
		if (ret->count == sizeof(ret->to) / sizeof(ret->to[0]))
			return -E2BIG;
		ret->to[ret->count] = (int16_t)place_of(names, length);
		found += ret->to[ret->count++] >= 0;
	}
	ret->whole = found == SAVED_VALUES;
	return 0;
}

/* ---- times ----------------------------------------------------------------------------------- */

static uint64_t time_to_wall(uint64_t ns, int64_t wall_offset_ns)
{
	return ns == 0 || ns == UINT64_MAX ? ns : ns + (uint64_t)wall_offset_ns;
}

uint64_t saved_time_from_wall(uint64_t wall_ns, int64_t wall_offset_ns)
{
	int64_t ns = (int64_t)(wall_ns - (uint64_t)wall_offset_ns);

	if (wall_ns == 0 || wall_ns == UINT64_MAX)
		return wall_ns;
	return ns < 1 ? 1 : (uint64_t)ns;
}

static uint64_t value_to_wall(enum control_value_kind kind, uint64_t value, int64_t offset)
{
	switch (kind) {
	case CONTROL_TIME: return time_to_wall(value, offset);
	case CONTROL_STAMP: return (uint32_t)(value + (uint64_t)(offset / STAMP_NS));
	default: return value;
	}
}

static uint64_t value_from_wall(enum control_value_kind kind, uint64_t value, int64_t offset)
{
	switch (kind) {
	case CONTROL_TIME: return saved_time_from_wall(value, offset);
	case CONTROL_STAMP: return (uint32_t)(value - (uint64_t)(offset / STAMP_NS));
	default: return value;
	}
}

/* ---- numbers --------------------------------------------------------------------------------- */

struct saved_writer {
	uint8_t *at;
};

struct saved_reader {
	const uint8_t *at, *end;
	bool damaged;
};

static void put(struct saved_writer *w, uint64_t number)
{
	while (number >= 128) {
		*w->at++ = (uint8_t)(number | 128);
		number >>= 7;
	}
	*w->at++ = (uint8_t)number;
}

static uint64_t take(struct saved_reader *r)
{
	uint64_t number = 0;

	for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
		uint8_t byte = *r->at++;

		number |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return number;
	}
	r->damaged = true;
	return 0;
}

/* As many numbers as are known here, zeros for those that are missing. */
static void numbers_take(struct saved_reader *r, uint64_t *numbers, uint64_t room)
{
	uint64_t count = take(r);

	for (uint64_t i = 0; i < count && !r->damaged; i++) {
		uint64_t number = take(r);

		if (i < room)
			numbers[i] = number;
	}
}

static void put_text(struct saved_writer *w, const char *text)
{
	size_t length = strlen(text);

	put(w, length);
	memcpy(w->at, text, length);
	w->at += length;
}

/* Terminated; what is longer than there is room for is cut. */
static void take_text(struct saved_reader *r, char *text, size_t size)
{
	uint64_t length = take(r);
	size_t kept = length < size ? (size_t)length : size - 1;

	if (r->damaged || length > (uint64_t)(r->end - r->at)) {
		r->damaged = true;
		return;
	}
	memcpy(text, r->at, kept);
	text[kept] = '\0';
	r->at += length;
}

/* ---- a life ---------------------------------------------------------------------------------- */

/* Numbers of 16 bits, the last of them lowest. */
static uint64_t packed_of(const uint16_t *numbers, int count)
{
	uint64_t packed = 0;

	for (int i = 0; i < count; i++)
		packed = packed << 16 | numbers[i];
	return packed;
}

static void unpack_to(uint64_t packed, uint16_t *numbers, int count)
{
	for (int i = count - 1; i >= 0; i--, packed >>= 16)
		numbers[i] = (uint16_t)packed;
}

/* A file of before the upper byte had a meaning has any there, and none in front of the minute. */
static uint16_t bytes_of(uint8_t low, uint8_t high)
{
	return (uint16_t)(low | high << 8);
}

static void baseline_values(const struct baseline *b, uint64_t mine[6])
{
	const uint16_t best[] = {bytes_of(b->paced, b->hour_before), b->best[BASELINE_MINUTE],
				 b->best[BASELINE_HOUR]};
	const uint16_t when[] = {bytes_of((uint8_t)b->ahead, b->day_before), b->minute,
				 bytes_of(b->hour, b->minute_before), b->day};

	for (int span = 0; span < BASELINE_SPANS; span++)
		mine[span] = b->count[span];
	mine[3] = packed_of(b->peak, BASELINE_SPANS);
	mine[4] = packed_of(best, 3);
	mine[5] = packed_of(when, 4);
}

static struct baseline baseline_of(const uint64_t mine[6])
{
	struct baseline b = {.ahead = 0};
	uint16_t best[3], when[4];

	for (int span = 0; span < BASELINE_SPANS; span++)
		b.count[span] = mine[span] < UINT32_MAX ? (uint32_t)mine[span] : UINT32_MAX;
	unpack_to(mine[3], b.peak, BASELINE_SPANS);
	unpack_to(mine[4], best, 3);
	unpack_to(mine[5], when, 4);
	b.paced = (uint8_t)best[0];
	b.hour_before = (uint8_t)(best[0] >> 8);
	b.best[BASELINE_MINUTE] = best[1];
	b.best[BASELINE_HOUR] = best[2];
	b.ahead = (int8_t)(uint8_t)when[0];
	b.day_before = (uint8_t)(when[0] >> 8);
	b.minute = when[1];
	b.hour = (uint8_t)when[2];
	b.minute_before = (uint8_t)(when[2] >> 8);
	b.day = when[3];
	return b;
}

static void values_of(const struct engine_life *life, uint64_t values[SAVED_VALUES])
{
	uint64_t *mine = values + CONTROL_VALUES;

	control_save(&life->control, values);
	mine[0] = life->trouble_ns;
	mine[1] = life->warmup_step_back_ns;
	mine[2] = life->pace.minute_ns;
	mine[3] = life->pace.count;
	mine[4] = life->pace.peak;
	baseline_values(&life->baseline, mine + 5);
}

static bool life_of(const uint64_t values[SAVED_VALUES], struct engine_life *life)
{
	const uint64_t *mine = values + CONTROL_VALUES;

	if (mine[3] > UINT32_MAX || mine[4] > UINT32_MAX || !control_load(&life->control, values))
		return false;
	life->trouble_ns = mine[0];
	life->warmup_step_back_ns = mine[1];
	life->pace = (struct pool_rate){mine[2], (uint32_t)mine[3], (uint32_t)mine[4]};
	life->baseline = baseline_of(mine + 5);
	return true;
}

static enum control_value_kind kind_of(unsigned i)
{
	static enum control_value_kind kinds[SAVED_VALUES];
	static bool known;
	char name[CONTROL_VALUE_NAME];

	for (unsigned k = 0; !known && k < SAVED_VALUES; k++)
		kinds[k] = value_name(k, name);
	known = true;
	return kinds[i];
}

size_t saved_life_write(const struct engine_life *life, int64_t offset,
			uint8_t bytes[SAVED_LIFE_BYTES])
{
	struct saved_writer w = {bytes};
	uint64_t values[SAVED_VALUES];

	values_of(life, values);
	for (unsigned i = 0; i < SAVED_VALUES; i++)
		put(&w, value_to_wall(kind_of(i), values[i], offset));
	return (size_t)(w.at - bytes);
}

bool saved_life_read(const uint8_t *bytes, size_t length, const struct saved_map *map,
		     int64_t offset, struct engine_life *life)
{
	struct saved_reader r = {bytes, bytes + length, false};
	uint64_t values[SAVED_VALUES];

	values_of(life, values);
	for (uint32_t i = 0; i < map->count && !r.damaged; i++) {
		uint64_t value = take(&r);

		if (map->to[i] >= 0)
			values[map->to[i]] =
				value_from_wall(kind_of((unsigned)map->to[i]), value, offset);
	}
	return !r.damaged && r.at == r.end && life_of(values, life);
}

/* ---- a limit that sources share --------------------------------------------------------------- */

size_t saved_shared_write(const struct engine_shared *shared, int64_t offset,
			  uint8_t bytes[SAVED_SHARED_BYTES])
{
	const struct sharing_kept *kept = &shared->kept;
	const uint64_t numbers[SAVED_SHARED_NUMBERS] = {
		shared->pool,
		kept->known,
		time_to_wall(kept->changed_ns, offset),
		time_to_wall(kept->again_ns, offset),
		control_bits_of(kept->tested),
		kept->refuted,
		kept->confirmed,
		kept->proven,
	};
	const struct engine_life life = {.control = kept->control};
	struct saved_writer w = {bytes};

	put(&w, SAVED_SHARED_NUMBERS);
	for (int i = 0; i < SAVED_SHARED_NUMBERS; i++)
		put(&w, numbers[i]);
	if (kept->known)
		w.at += saved_life_write(&life, offset, w.at);
	return (size_t)(w.at - bytes);
}

static void shared_of(const uint64_t n[SAVED_SHARED_NUMBERS], int64_t offset,
		      struct engine_shared *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->pool = n[0];
	ret->kept.known = n[1] != 0;
	ret->kept.changed_ns = saved_time_from_wall(n[2], offset);
	ret->kept.again_ns = saved_time_from_wall(n[3], offset);
	ret->kept.tested = control_float_of(n[4]);
	ret->kept.refuted = (uint8_t)n[5];
	ret->kept.confirmed = (uint8_t)n[6];
	ret->kept.proven = n[7] != 0;
}

bool saved_shared_read(const uint8_t *bytes, size_t length, const struct saved_map *map,
		       int64_t offset, struct engine_shared *ret)
{
	struct saved_reader r = {bytes, bytes + length, false};
	struct engine_life life = {.control = ret->kept.control};
	uint64_t n[SAVED_SHARED_NUMBERS] = {0};

	numbers_take(&r, n, SAVED_SHARED_NUMBERS);
	if (r.damaged || n[4] > UINT32_MAX || n[5] > UINT8_MAX || n[6] > UINT8_MAX)
		return false;
	if (n[1] ? !saved_life_read(r.at, (size_t)(r.end - r.at), map, offset, &life)
		 : r.at != r.end)
		return false;
	shared_of(n, offset, ret);
	if (n[1])
		ret->kept.control = life.control;
	return sharing_kept_valid(&ret->kept);
}

/* ---- effects --------------------------------------------------------------------------------- */

static bool holds(const struct constraint *constraint, uint64_t now_ns)
{
	return constraint->kind != CONSTRAINT_NONE && constraint->until_ns > now_ns;
}

static void effect_put(struct saved_writer *w, const struct constraint *c, int64_t offset)
{
	put(w, 5); /* numbers */
	put(w, c->kind);
	put(w, c->by_operator);
	put(w, c->value);
	put(w, time_to_wall(c->from_ns, offset));
	put(w, time_to_wall(c->until_ns, offset));
	put_text(w, c->name);
	put_text(w, c->why);
}

/* With none that holds: 0. */
size_t saved_effects_write(const struct constraint constraints[CONSTRAINTS], int64_t offset,
			   uint64_t now_ns, uint8_t bytes[SAVED_EFFECT_BYTES])
{
	struct saved_writer w = {bytes};
	unsigned count = 0;

	for (int i = 0; i < CONSTRAINTS; i++)
		count += holds(&constraints[i], now_ns);
	if (count == 0)
		return 0;
	put(&w, count);
	for (int i = 0; i < CONSTRAINTS; i++)
		if (holds(&constraints[i], now_ns))
			effect_put(&w, &constraints[i], offset);
	return (size_t)(w.at - bytes);
}

static void effect_take(struct saved_reader *r, int64_t offset, struct constraint *ret)
{
	uint64_t numbers[5] = {0}, count = take(r);

	for (uint64_t i = 0; i < count && !r->damaged; i++) {
		uint64_t number = take(r);

		if (i < 5)
			numbers[i] = number;
	}
	ret->kind = (uint32_t)numbers[0];
	ret->by_operator = (uint32_t)numbers[1];
	ret->value = numbers[2];
	ret->from_ns = saved_time_from_wall(numbers[3], offset);
	ret->until_ns = saved_time_from_wall(numbers[4], offset);
	take_text(r, ret->name, sizeof(ret->name));
	take_text(r, ret->why, sizeof(ret->why));
}

bool saved_effects_read(const uint8_t *bytes, size_t length, int64_t offset,
			struct constraint ret[CONSTRAINTS])
{
	struct saved_reader r = {bytes, bytes + length, false};
	uint64_t count = take(&r);
	struct constraint found[CONSTRAINTS] = {{.kind = CONSTRAINT_NONE}};

	if (count > CONSTRAINTS)
		return false;
	for (uint64_t i = 0; i < count && !r.damaged; i++)
		effect_take(&r, offset, &found[i]);
	if (r.damaged || r.at != r.end)
		return false;
	constraints_check(found);
	memcpy(ret, found, sizeof(found));
	return true;
}

/* ---- warm-up --------------------------------------------------------------------------------- */

static void day_put(struct saved_writer *w, const struct warmup_day *day)
{
	const uint64_t numbers[] = {day->day,	    day->cap,	   day->sent,
				    day->delivered, day->deferred, day->flags};

	put(w, sizeof(numbers) / sizeof(numbers[0]));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		put(w, numbers[i]);
}

/* The oldest day first, today last. */
size_t saved_warmup_write(const struct warmup *from, uint8_t bytes[SAVED_WARMUP_BYTES])
{
	const uint64_t numbers[SAVED_WARMUP_NUMBERS] = {
		from->phase,
		from->step,
		from->began,
		control_bits_of(from->growth),
		control_bits_of(from->worst),
		from->good,
		from->back,
		from->low_days,
		from->hour,
		from->hour_sent,
	};
	uint32_t days = from->records < WARMUP_DAYS - 1 ? from->records : WARMUP_DAYS - 1;
	struct saved_writer w = {bytes};

	put(&w, SAVED_WARMUP_NUMBERS);
	for (int i = 0; i < SAVED_WARMUP_NUMBERS; i++)
		put(&w, numbers[i]);
	put(&w, days + 1);
	for (uint32_t i = days; i-- > 0;)
		day_put(&w, warmup_before(from, i));
	day_put(&w, warmup_today(from));
	return (size_t)(w.at - bytes);
}

static void day_take(struct saved_reader *r, struct warmup_day *ret)
{
	uint64_t n[6] = {0};

	numbers_take(r, n, 6);
	*ret = (struct warmup_day){(uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2],
				   (uint32_t)n[3], (uint32_t)n[4], (uint32_t)n[5]};
}

static void numbers_into(const uint64_t n[SAVED_WARMUP_NUMBERS], struct warmup *ret)
{
	*ret = (struct warmup){
		.phase = (uint32_t)n[0],
		.step = (uint32_t)n[1],
		.began = (uint32_t)n[2],
		.growth = control_float_of(n[3]),
		.worst = control_float_of(n[4]),
		.good = (uint32_t)n[5],
		.back = (uint32_t)n[6],
		.low_days = (uint32_t)n[7],
		.hour = (uint32_t)n[8],
		.hour_sent = (uint32_t)n[9],
	};
}

bool saved_warmup_read(const uint8_t *bytes, size_t length, struct warmup *ret)
{
	struct saved_reader r = {bytes, bytes + length, false};
	uint64_t numbers[SAVED_WARMUP_NUMBERS] = {0}, days;
	struct warmup found;

	numbers_take(&r, numbers, SAVED_WARMUP_NUMBERS);
	numbers_into(numbers, &found);
	days = take(&r);
	if (days == 0 || days > WARMUP_DAYS)
		return false;
	found.records = (uint32_t)days - 1;
	for (uint64_t i = 0; i < days && !r.damaged; i++)
		day_take(&r, &found.days[i]);
	if (r.damaged || r.at != r.end || !warmup_valid(&found))
		return false;
	*ret = found;
	return true;
}
