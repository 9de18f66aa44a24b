/* SPDX-License-Identifier: MIT
 *
 * One regular expression by PCRE2. No JIT: confirmation is rare, and the sidecar maps nothing that
 * is both writable and executable.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "sidecar/rules/pattern_pcre.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

struct pattern_pcre {
	pcre2_code *code;
};

struct pattern_match_data {
	pcre2_match_data *match;
	pcre2_match_context *context;
};

int pattern_pcre_create(const char *pattern, struct pattern_pcre **ret_confirm, char *reason,
			size_t reason_size)
{
	struct pattern_pcre *confirm = calloc(1, sizeof(*confirm));
	PCRE2_SIZE offset;
	int error;

	if (confirm == NULL)
		return -ENOMEM;
	confirm->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				      PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C,
				      &error, &offset, NULL);
	if (confirm->code == NULL) {
		char text[120];

		pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
		snprintf(reason, reason_size, "%s at offset %zu", text, (size_t)offset);
		free(confirm);
		return -EINVAL;
	}
	*ret_confirm = confirm;
	return 0;
}

void pattern_pcre_free(struct pattern_pcre *confirm)
{
	if (confirm == NULL)
		return;
	pcre2_code_free(confirm->code);
	free(confirm);
}

struct pattern_match_data *pattern_pcre_data_create(void)
{
	struct pattern_match_data *data = calloc(1, sizeof(*data));

	if (data == NULL)
		return NULL;
	data->match = pcre2_match_data_create(1, NULL);
	data->context = pcre2_match_context_create(NULL);
	if (data->match == NULL || data->context == NULL) {
		pattern_pcre_data_free(data);
		return NULL;
	}
	pcre2_set_match_limit(data->context, PATTERN_STEPS_MAX);
	pcre2_set_depth_limit(data->context, 1000);
	pcre2_set_heap_limit(data->context, 4096);
	return data;
}

void pattern_pcre_data_free(struct pattern_match_data *data)
{
	if (data == NULL)
		return;
	pcre2_match_data_free(data->match);
	pcre2_match_context_free(data->context);
	free(data);
}

bool pattern_pcre_match(const struct pattern_pcre *confirm, struct pattern_match_data *data,
			const char *text, size_t len)
{
	return pcre2_match(confirm->code, (PCRE2_SPTR)text, len, 0, 0, data->match,
			   data->context) >= 0;
}

bool pattern_pcre_exhausts(const struct pattern_pcre *confirm, struct pattern_match_data *data,
			   const char *text, size_t len)
{
	int found =
		pcre2_match(confirm->code, (PCRE2_SPTR)text, len, 0, 0, data->match, data->context);

	return found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
	       found == PCRE2_ERROR_HEAPLIMIT;
}

int pattern_pcre_last(const struct pattern_pcre *confirm)
{
	uint32_t has = 0, unit = 0;

	pcre2_pattern_info(confirm->code, PCRE2_INFO_LASTCODETYPE, &has);
	if (has == 1 && pcre2_pattern_info(confirm->code, PCRE2_INFO_LASTCODEUNIT, &unit) == 0)
		return (int)unit;
	has = 0;
	pcre2_pattern_info(confirm->code, PCRE2_INFO_FIRSTCODETYPE, &has);
	if (has == 1 && pcre2_pattern_info(confirm->code, PCRE2_INFO_FIRSTCODEUNIT, &unit) == 0)
		return (int)unit;
	return -1;
}

size_t pattern_pcre_min_len(const struct pattern_pcre *confirm)
{
	uint32_t len = 0;

	pcre2_pattern_info(confirm->code, PCRE2_INFO_MINLENGTH, &len);
	return len;
}
