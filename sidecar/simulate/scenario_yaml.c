/* SPDX-License-Identifier: MIT
 *
 * The schema of a scenario's file.
 *
 * Three keys of a receiver can be written in two ways: `over` as a text or a map, `noise` as a map
 * or a list, `windows` as a map or a word. A schema knows one type a key, so before loading the
 * rarer form's key is overwritten, in a copy of the text, by a name of the same length that no
 * scenario has: the place of everything else stays what it was.
 */
#include "sidecar/simulate/scenario_yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(key, structure, member)                                                             \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, \
			       0, CYAML_UNLIMITED)
#define NEEDED(key, structure, member) \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, structure, member, 0, CYAML_UNLIMITED)
#define MAP(key, structure, member, fields)                                                       \
	CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, \
				fields)
#define LIST(key, structure, member, entry)                                                    \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, \
			     &entry, 0, CYAML_UNLIMITED)
#define ENTRY(name, structure, fields)             \
	static const cyaml_schema_value_t name = { \
		CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, structure, fields)}

static const cyaml_schema_field_t accept_fields[] = {
	NEEDED("rate", struct file_accept, rate),
	TEXT("burst", struct file_accept, burst),
	TEXT("connections", struct file_accept, connections),
	TEXT("per_connection", struct file_accept, per_connection),
	TEXT("hour", struct file_accept, hour),
	TEXT("day", struct file_accept, day),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t source_fields[] = {
	TEXT("address", struct file_source, address),
	TEXT("pool", struct file_source, pool),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t traffic_fields[] = {
	TEXT("pool", struct file_traffic, pool),
	TEXT("destination", struct file_traffic, destination),
	TEXT("class", struct file_traffic, class),
	TEXT("messages", struct file_traffic, messages),
	TEXT("start", struct file_traffic, start),
	TEXT("over", struct file_traffic, over),
	TEXT("arrival", struct file_traffic, arrival),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t over_fields[] = {
	TEXT("rate", struct file_over, rate),
	TEXT("connections", struct file_over, connections),
	TEXT("per_connection", struct file_over, per_connection),
	TEXT("hour", struct file_over, hour),
	TEXT("day", struct file_over, day),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t penalty_fields[] = {
	TEXT("when", struct file_penalty, when),
	TEXT("hold", struct file_penalty, hold),
	TEXT("repeat", struct file_penalty, repeat),
	TEXT("reply", struct file_penalty, reply),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t history_fields[] = {
	TEXT("factor", struct file_history, factor),
	TEXT("floor", struct file_history, floor),
	TEXT("over", struct file_history, over),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t greylist_fields[] = {
	TEXT("delay", struct file_greylist, delay),
	TEXT("reply", struct file_greylist, reply),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t noise_fields[] = {
	TEXT("share", struct file_noise, share),
	TEXT("reply", struct file_noise, reply),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t change_fields[] = {
	TEXT("at", struct file_change, at),
	TEXT("rate", struct file_change, accept.rate),
	TEXT("burst", struct file_change, accept.burst),
	TEXT("connections", struct file_change, accept.connections),
	TEXT("per_connection", struct file_change, accept.per_connection),
	TEXT("hour", struct file_change, accept.hour),
	TEXT("day", struct file_change, accept.day),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t outage_fields[] = {
	TEXT("at", struct file_outage, at),
	TEXT("for", struct file_outage, length),
	TEXT("reply", struct file_outage, reply),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t windows_fields[] = {
	TEXT("kind", struct file_windows, kind),
	TEXT("phase", struct file_windows, phase),
	CYAML_FIELD_END,
};

ENTRY(noise_entry, struct file_noise, noise_fields);
ENTRY(change_entry, struct file_change, change_fields);
ENTRY(outage_entry, struct file_outage, outage_fields);

static const cyaml_schema_field_t receiver_fields[] = {
	NEEDED("destination", struct file_receiver, destination),
	CYAML_FIELD_MAPPING("accept", CYAML_FLAG_DEFAULT, struct file_receiver, accept,
			    accept_fields),
	MAP("windows", struct file_receiver, windows, windows_fields),
	TEXT("~window", struct file_receiver, windows_kind),
	MAP("over", struct file_receiver, over, over_fields),
	TEXT("~txt", struct file_receiver, over_text),
	MAP("penalty", struct file_receiver, penalty, penalty_fields),
	MAP("history", struct file_receiver, history, history_fields),
	MAP("greylist", struct file_receiver, greylist, greylist_fields),
	MAP("noise", struct file_receiver, noise, noise_fields),
	LIST("~list", struct file_receiver, noises, noise_entry),
	LIST("changes", struct file_receiver, changes, change_entry),
	LIST("outage", struct file_receiver, outages, outage_entry),
	TEXT("latency", struct file_receiver, latency),
	CYAML_FIELD_END,
};

ENTRY(source_entry, struct file_source, source_fields);
ENTRY(traffic_entry, struct file_traffic, traffic_fields);
ENTRY(receiver_entry, struct file_receiver, receiver_fields);

static const cyaml_schema_field_t file_fields[] = {
	TEXT("duration", struct file, duration),
	TEXT("seed", struct file, seed),
	LIST("sources", struct file, sources, source_entry),
	LIST("traffic", struct file, traffic, traffic_entry),
	CYAML_FIELD_SEQUENCE("receivers", CYAML_FLAG_POINTER, struct file, receivers,
			     &receiver_entry, 1, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields)};

/* A key of which one form is found by something that only it has. */
static const struct form {
	const char *key;
	const char *internal;  /* of the same length */
	const char *probes[6]; /* below the key */
	bool renamed_if_found;
} forms[] = {
	{"over", "~txt", {".rate", ".connections", ".per_connection", ".hour", ".day"}, false},
	{"windows", "~window", {".kind", ".phase"}, false},
	{"noise", "~list", {"[0]"}, true},
};

/* The byte at a mark, or NULL. Columns count characters of UTF-8. */
static char *text_at(char *text, struct yaml_mark mark)
{
	for (uint32_t line = 1; line < mark.line; line++) {
		text = strchr(text, '\n');
		if (!text)
			return NULL;
		text++;
	}
	for (uint32_t column = 1; column < mark.column; column++) {
		if (!*text)
			return NULL;
		for (text++; (*text & 0xc0) == 0x80; text++)
			;
	}
	return text;
}

static void form_rename(const struct form *form, char *text, struct yaml_mark key)
{
	char *at = text_at(text, key);

	if (at && (*at == '"' || *at == '\''))
		at++;
	if (at && strncmp(at, form->key, strlen(form->key)) == 0)
		memcpy(at, form->internal, strlen(form->internal));
}

static void forms_rename(const struct yaml_marks *marks, unsigned receiver, char *text)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		const struct form *form = &forms[i];
		struct yaml_mark key, found;
		bool any = false;
		char path[96];
		int length = snprintf(path, sizeof path, "receivers[%u].%s", receiver, form->key);

		if (yaml_marks_key(marks, path, &key) != 0)
			continue;
		for (size_t j = 0; form->probes[j]; j++) {
			snprintf(path + length, sizeof path - (size_t)length, "%s",
				 form->probes[j]);
			any |= yaml_marks_find(marks, path, &found) == 0;
		}
		if (any == form->renamed_if_found)
			form_rename(form, text, key);
	}
}

int simulate_file_load(const char *text, size_t length, const char *name, struct file **ret,
		       struct yaml_marks **ret_marks, struct yaml_error *error)
{
	struct yaml_marks *marks;
	struct yaml_mark found;
	void *file = NULL;
	char path[32], *copy;
	int rc = yaml_marks_read(text, length, name, &marks, error);

	if (rc < 0)
		return rc;
	copy = strndup(text, length);
	if (!copy) {
		*error = (struct yaml_error){.name = name, .reason = "out of memory"};
		yaml_marks_free(marks);
		return -ENOMEM;
	}
	for (unsigned i = 0; snprintf(path, sizeof path, "receivers[%u]", i),
		      yaml_marks_find(marks, path, &found) == 0;
	     i++)
		forms_rename(marks, i, copy);
	rc = yaml_load(copy, strlen(copy), name, &file_schema, &file, error);
	free(copy);
	if (rc < 0) {
		yaml_marks_free(marks);
		return rc;
	}
	*ret = file;
	*ret_marks = marks;
	return 0;
}

void simulate_file_free(struct file *file)
{
	yaml_unload(&file_schema, NULL, file);
}
