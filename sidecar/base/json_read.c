/* SPDX-License-Identifier: MIT
 *
 * Reading JSON: jansson behind a face of our own. Nothing else includes <jansson.h>.
 *
 * A text is a stranger's: jansson bounds the depth (2,048) and the caller the length.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/json.h"

static const json_t *inner(const struct json *json)
{
	return (const json_t *)json;
}

static const struct json *outer(const json_t *json)
{
	return (const struct json *)json;
}

int json_read(const char *text, size_t length, struct json **ret, char *reason)
{
	json_error_t error;
	json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	if (json == NULL) {
		bool memory = json_error_code(&error) == json_error_out_of_memory;

		snprintf(reason, JSON_REASON, "column %d: %s", error.column, error.text);
		return memory ? -ENOMEM : -EINVAL;
	}
	*ret = (struct json *)json;
	return 0;
}

void json_release(struct json *json)
{
	json_decref((json_t *)json);
}

const struct json *json_get(const struct json *object, const char *key)
{
	return outer(json_object_get(inner(object), key));
}

const struct json *json_at(const struct json *array, size_t index)
{
	return outer(json_array_get(inner(array), index));
}

size_t json_count(const struct json *json)
{
	return json_is_array(inner(json)) ? json_array_size(inner(json))
					  : json_object_size(inner(json));
}

enum json_kind json_kind(const struct json *json)
{
	static const enum json_kind kinds[] = {
		[JSON_OBJECT] = JSON_KIND_OBJECT, [JSON_ARRAY] = JSON_KIND_ARRAY,
		[JSON_STRING] = JSON_KIND_TEXT,	  [JSON_INTEGER] = JSON_KIND_NUMBER,
		[JSON_REAL] = JSON_KIND_NUMBER,	  [JSON_TRUE] = JSON_KIND_BOOL,
		[JSON_FALSE] = JSON_KIND_BOOL,	  [JSON_NULL] = JSON_KIND_NULL,
	};

	return json == NULL ? JSON_KIND_NONE : kinds[json_typeof(inner(json))];
}

const char *json_text(const struct json *json, const char *fallback)
{
	return json_is_string(inner(json)) ? json_string_value(inner(json)) : fallback;
}

uint64_t json_u64(const struct json *json, uint64_t fallback)
{
	json_int_t number = json_is_integer(inner(json)) ? json_integer_value(inner(json)) : -1;

	return number >= 0 ? (uint64_t)number : fallback;
}

double json_double(const struct json *json, double fallback)
{
	return json_is_number(inner(json)) ? json_number_value(inner(json)) : fallback;
}

static bool json_bool(const struct json *json, bool fallback)
{
	return json_is_boolean(inner(json)) ? json_is_true(inner(json)) : fallback;
}

const char *json_get_text(const struct json *object, const char *key, const char *fallback)
{
	return json_text(json_get(object, key), fallback);
}

uint64_t json_get_u64(const struct json *object, const char *key, uint64_t fallback)
{
	return json_u64(json_get(object, key), fallback);
}

double json_get_double(const struct json *object, const char *key, double fallback)
{
	return json_double(json_get(object, key), fallback);
}

bool json_get_bool(const struct json *object, const char *key, bool fallback)
{
	return json_bool(json_get(object, key), fallback);
}

int json_each(const struct json *object, json_member *each, void *arg)
{
	json_t *json = (json_t *)object;

	for (void *at = json_object_iter(json); at; at = json_object_iter_next(json, at)) {
		int stop = each(arg, json_object_iter_key(at), outer(json_object_iter_value(at)));

		if (stop)
			return stop;
	}
	return 0;
}
