/* SPDX-License-Identifier: MIT
 *
 * The rows of a file's keys in words, a line each.
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/base/yaml.h"

static void print_type(const struct yaml_key *key, FILE *out)
{
	static const char *const mappings[] = {
		[YAML_MAPPING] = "mapping",
		[YAML_PART] = "mapping",
		[YAML_POINTER] = "mapping",
		[YAML_LIST] = "list of mappings",
		[YAML_SOME] = "mapping or list of mappings",
	};

	if (key->keys)
		fputs(mappings[key->shape], out);
	else if (key->shape == YAML_SCALARS)
		fputs("list of ", out);
	for (const struct yaml_word_value *word = key->words; word && word->text; word++)
		fprintf(out, "%s%s", word == key->words ? "" : " | ", word->text);
	if (key->type && !key->words)
		fputs(key->type->name, out);
}

/* As the type writes it; "less than 1h" where the bound is just below. */
static const char *bound_text(const struct yaml_key *key, uint64_t bound, char *text, size_t size)
{
	bool below = bound % 1000 == 999;

	if (strcmp(key->type->name, "duration") != 0)
		return units_count_text(bound, text, size);
	snprintf(text, size, "%s", below ? "less than " : "");
	units_duration_text(bound + below, text + strlen(text), size - strlen(text));
	return text;
}

static void print_bounds(const struct yaml_key *key, FILE *out)
{
	char min[64], max[64];

	if (key->entries_min || key->entries_max)
		fprintf(out, ", at %s %u entries", key->entries_max ? "most" : "least",
			key->entries_max ? key->entries_max : key->entries_min);
	if (key->max == 0 || key->max == UINT64_MAX)
		return;
	if (key->type == &yaml_text)
		fprintf(out, ", at most %s characters",
			units_count_text(key->max, max, sizeof(max)));
	else
		fprintf(out, ", %s to %s", bound_text(key, key->min, min, sizeof(min)),
			bound_text(key, key->max, max, sizeof(max)));
}

void yaml_keys_print(const struct yaml_keys *keys, const char *path, FILE *out)
{
	for (unsigned i = 0; i < keys->count; i++) {
		const struct yaml_key *key = &keys->key[i];
		const bool list = key->shape == YAML_LIST || key->shape == YAML_SOME;
		char below[160];

		fprintf(out, "%s%s: ", path, key->name);
		print_type(key, out);
		print_bounds(key, out);
		if (key->needed)
			fputs(", required", out);
		if (key->default_text)
			fprintf(out, ", default %s", key->default_text);
		fprintf(out, "; %s\n", key->help);
		snprintf(below, sizeof(below), "%s%s%s.", path, key->name, list ? "[]" : "");
		if (key->keys)
			yaml_keys_print(key->keys, below, out);
	}
}
