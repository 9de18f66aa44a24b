/* SPDX-License-Identifier: MIT
 *
 * The rule file's schema, and loading it. What is written wrong is said with line and column; what
 * is written well and can never act is the lint's business (rule_lint.c).
 */
#include "sidecar/rules/rule_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/data/embedded.h"

/* ---- schema -----------------------------------------------------------------------------------
 */
const cyaml_strval_t rule_choices[] = {
	{"default", RULE_DEFAULT}, {"yes", RULE_YES},  {"true", RULE_YES},
	{"no", RULE_NO},	   {"false", RULE_NO},
};
_Static_assert(CYAML_ARRAY_LEN(rule_choices) == RULE_CHOICES, "the schemas name the count");

static const cyaml_strval_t class_names[] = {
	{"delivered", REPLY_DELIVERED},
	{"rate", REPLY_RATE},
	{"reputation", REPLY_REPUTATION},
	{"volume-spike", REPLY_VOLUME_SPIKE},
	{"greylist", REPLY_GREYLIST},
	{"recipient", REPLY_RECIPIENT},
	{"infrastructure", REPLY_INFRASTRUCTURE},
	{"policy", REPLY_POLICY},
	{"content", REPLY_CONTENT},
	{"blocklist", REPLY_BLOCKLIST},
	{"unknown-user", REPLY_UNKNOWN_USER},
	{"other", REPLY_OTHER},
};
_Static_assert(CYAML_ARRAY_LEN(class_names) == REPLY_CLASSES, "each class has a name here");

static const cyaml_strval_t limit_names[] = {
	{"none", REPLY_LIMIT_NONE},
	{"messages", REPLY_LIMIT_MESSAGES},
	{"connections", REPLY_LIMIT_CONNECTIONS},
	{"per-connection", REPLY_LIMIT_PER_CONNECTION},
	{"hour", REPLY_LIMIT_HOUR},
	{"day", REPLY_LIMIT_DAY},
};
_Static_assert(CYAML_ARRAY_LEN(limit_names) == REPLY_LIMITS, "each limit has a name here");

static const cyaml_schema_value_t string_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED)};
static const cyaml_schema_value_t class_name_schema = {
	CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, enum reply_class, class_names, REPLY_CLASSES)};
static const cyaml_schema_value_t limit_name_schema = {
	CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, enum reply_limit, limit_names, REPLY_LIMITS)};

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define LIST(structure, key, member, schema)                                                   \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | OPTIONAL, structure, member, schema, 1, \
			     CYAML_UNLIMITED)
#define TEXT(structure, key, member)                                                     \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPTIONAL, structure, member, 1, \
			       CYAML_UNLIMITED)

static const cyaml_schema_field_t match_fields[] = {
	LIST(struct rule_match, "class", class, &class_name_schema),
	LIST(struct rule_match, "limit", limit, &limit_name_schema),
	LIST(struct rule_match, "code", code, &string_schema),
	LIST(struct rule_match, "enhanced", enhanced, &string_schema),
	LIST(struct rule_match, "text", text, &string_schema),
	LIST(struct rule_match, "not_text", not_text, &string_schema),
	LIST(struct rule_match, "destination", destination, &string_schema),
	LIST(struct rule_match, "source", source, &string_schema),
	LIST(struct rule_match, "pool", pool, &string_schema),
	CYAML_FIELD_ENUM("lowers_cap", OPTIONAL | CYAML_FLAG_STRICT, struct rule_match, lowers_cap,
			 rule_choices, RULE_CHOICES),
	CYAML_FIELD_END};

/* A class is told from the reply alone: no class, source or pool to ask for. */
static const cyaml_schema_field_t class_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct rule_class, name, 1, 64),
	CYAML_FIELD_ENUM("class", CYAML_FLAG_STRICT, struct rule_class, class, class_names,
			 REPLY_CLASSES),
	CYAML_FIELD_ENUM("limit", OPTIONAL | CYAML_FLAG_STRICT, struct rule_class, limit,
			 limit_names, REPLY_LIMITS),
	CYAML_FIELD_ENUM("lowers_cap", OPTIONAL | CYAML_FLAG_STRICT, struct rule_class, lowers_cap,
			 rule_choices, RULE_CHOICES),
	LIST(struct rule_class, "code", match.code, &string_schema),
	LIST(struct rule_class, "enhanced", match.enhanced, &string_schema),
	LIST(struct rule_class, "text", match.text, &string_schema),
	LIST(struct rule_class, "not_text", match.not_text, &string_schema),
	LIST(struct rule_class, "destination", match.destination, &string_schema),
	CYAML_FIELD_END};

const cyaml_schema_value_t rule_class_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rule_class, class_fields)};

static const cyaml_schema_field_t alert_fields[] = {
	LIST(struct rule_alert, "command", command, &string_schema),
	TEXT(struct rule_alert, "timeout", timeout), CYAML_FIELD_END};

static const cyaml_schema_field_t action_fields[] = {
	TEXT(struct rule_action_text, "hold", hold),
	TEXT(struct rule_action_text, "hold_max", hold_max),
	TEXT(struct rule_action_text, "scale", scale),
	TEXT(struct rule_action_text, "rate", rate),
	CYAML_FIELD_UINT("connections", OPTIONAL, struct rule_action_text, connections),
	CYAML_FIELD_UINT("per_connection", OPTIONAL, struct rule_action_text, per_connection),
	CYAML_FIELD_UINT("warmup_step_back", OPTIONAL, struct rule_action_text, warmup_step_back),
	TEXT(struct rule_action_text, "for", until),
	CYAML_FIELD_MAPPING_PTR("alert", OPTIONAL | CYAML_FLAG_POINTER, struct rule_action_text,
				alert, alert_fields),
	CYAML_FIELD_END};

static const cyaml_schema_field_t rule_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct rule, name, 1, 64),
	CYAML_FIELD_MAPPING("match", OPTIONAL, struct rule, match, match_fields),
	TEXT(struct rule, "trigger", trigger),
	CYAML_FIELD_MAPPING("action", CYAML_FLAG_DEFAULT, struct rule, action, action_fields),
	CYAML_FIELD_END};

const cyaml_schema_value_t rule_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct rule, rule_fields)};

static const cyaml_schema_field_t file_fields[] = {RULE_FILE_FIELDS(struct rule_file, ),
						   CYAML_FIELD_END};

/* ---- load -------------------------------------------------------------------------------------
 */
static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct rule_file, file_fields)};

int rule_file_load(const char *text, size_t len, const char *name, struct rule_file **ret_file,
		   struct yaml_marks **ret_marks, struct yaml_error *error)
{
	struct yaml_marks *marks = NULL;
	void *loaded = NULL;
	int err = yaml_load_marked(text, len, name, &file_schema, NULL, &loaded, &marks, error);

	if (err == 0)
		err = rule_file_check(loaded, marks, name, error);
	if (err != 0) {
		yaml_unload(&file_schema, NULL, loaded);
		yaml_marks_free(marks);
		return err;
	}
	if (ret_marks != NULL)
		*ret_marks = marks;
	else
		yaml_marks_free(marks);
	*ret_file = loaded;
	return 0;
}

void rule_file_free(struct rule_file *file)
{
	yaml_unload(&file_schema, NULL, file);
}

static int read_whole(const char *path, char **ret_text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat status;
	size_t len = 0;
	char *text = NULL;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) != 0)
		err = -errno;
	else if (S_ISDIR(status.st_mode))
		err = -EISDIR;
	while (err == 0) {
		char *grown = realloc(text, len + 65536);
		ssize_t n;

		if (grown == NULL) {
			err = -ENOMEM;
			break;
		}
		text = grown;
		n = read(fd, text + len, 65536);
		if (n <= 0) {
			err = n < 0 ? -errno : 0;
			break;
		}
		len += (size_t)n;
		if (len > YAML_TEXT_MAX)
			err = -EFBIG;
	}
	close(fd);
	if (err != 0) {
		free(text);
		return err;
	}
	*ret_text = text, *ret_len = len;
	return 0;
}

int rule_file_read(const char *path, struct rule_file **ret_file, struct yaml_marks **ret_marks,
		   struct yaml_error *error)
{
	char *text = NULL;
	size_t len = 0;
	int err = read_whole(path, &text, &len);

	if (err != 0) {
		*error = (struct yaml_error){.name = path};
		snprintf(error->reason, sizeof(error->reason), "%s", strerror(-err));
		return err;
	}
	err = rule_file_load(text, len, path, ret_file, ret_marks, error);
	free(text);
	return err;
}

int rule_file_builtin(struct rule_file **ret_file, struct yaml_marks **ret_marks,
		      struct yaml_error *error)
{
	return rule_file_load(builtin_rules, builtin_rules_size(), "the built-in rules", ret_file,
			      ret_marks, error);
}
