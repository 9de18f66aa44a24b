/* SPDX-License-Identifier: MIT
 *
 * What a rule file's schema cannot say, told with line and column.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/base/address_range.h"
#include "sidecar/rules/rule_file.h"
#include "sidecar/rules/rule_parse.h"

struct check {
	const struct yaml_marks *marks;
	const char *name;
	struct yaml_error *error;
};

static int fault(const struct check *check, const char *reason, const char *format, ...)
{
	struct yaml_error error = {.name = check->name};
	char path[96];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (check->marks != NULL)
		yaml_marks_find(check->marks, path, &error.mark);
	snprintf(error.reason, sizeof(error.reason), "%.95s: %.120s", path, reason);
	*check->error = error;
	return -EINVAL;
}

/* Names go into logs, JSON and command lines as they are. */
static bool name_plain(const char *name)
{
	for (; *name != '\0'; name++)
		if (*name <= ' ' || *name > '~' || strchr("\"\\<>&", *name) != NULL)
			return false;
	return true;
}

static int check_match(const struct check *check, const struct rule_match *match, const char *path)
{
	struct address_range addresses;
	struct rule_range range;
	const char *reason;

	for (unsigned i = 0; i < match->code_count; i++)
		if (rule_parse_code(match->code[i], &range, &reason) != 0)
			return fault(check, reason, "%s.code[%u]", path, i);
	for (unsigned i = 0; i < match->enhanced_count; i++)
		if (rule_parse_enhanced(match->enhanced[i], &range, &reason) != 0)
			return fault(check, reason, "%s.enhanced[%u]", path, i);
	for (unsigned i = 0; i < match->source_count; i++)
		if (address_range_read(match->source[i], &addresses, &reason) != 0)
			return fault(check, reason, "%s.source[%u]", path, i);
	return 0;
}

static int check_class(const struct check *check, const struct rule_file *file, unsigned at)
{
	const struct rule_class *class = &file->classes[at];
	char path[64];

	snprintf(path, sizeof(path), "classes[%u]", at);
	if (!name_plain(class->name))
		return fault(check, "a name is letters, digits and -_./:", "%s.name", path);
	for (unsigned i = 0; i < at; i++)
		if (strcmp(file->classes[i].name, class->name) == 0)
			return fault(check, "the name is taken", "%s.name", path);
	if (class->limit != REPLY_LIMIT_NONE && class->class != REPLY_RATE)
		return fault(check, "only class rate has a limit", "%s.limit", path);
	return check_match(check, &class->match, path);
}

static int check_rule(const struct check *check, const struct rule_file *file, unsigned at)
{
	const struct rule *rule = &file->rules[at];
	struct rule_trigger trigger;
	struct rule_action plan;
	const char *reason, *key;
	char path[64];

	snprintf(path, sizeof(path), "rules[%u].match", at);
	if (check_match(check, &rule->match, path) != 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "rules[%u]", at);
	if (!name_plain(rule->name))
		return fault(check, "a name is letters, digits and -_./:", "%s.name", path);
	for (unsigned i = 0; i < at; i++)
		if (strcmp(file->rules[i].name, rule->name) == 0)
			return fault(check, "the name is taken", "%s.name", path);
	if (rule_parse_trigger(rule->trigger, &trigger, &reason) != 0)
		return fault(check, reason, "%s.trigger", path);
	if (rule_parse_plan(&rule->action, &plan, &key, &reason) != 0)
		return fault(check, reason, "%s.action%s%s", path, *key ? "." : "", key);
	return 0;
}

int rule_file_check(const struct rule_file *file, const struct yaml_marks *marks, const char *name,
		    struct yaml_error *error)
{
	const struct check check = {marks, name, error};
	int err = 0;

	for (unsigned i = 0; err == 0 && i < file->classes_count; i++)
		err = check_class(&check, file, i);
	for (unsigned i = 0; err == 0 && i < file->rules_count; i++)
		err = check_rule(&check, file, i);
	return err;
}
