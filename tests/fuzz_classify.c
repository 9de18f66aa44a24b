/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a reply, through the line parser, the fold and the rules that we ship. The first two
 * bytes choose the codes, so that texts are tried with and without.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/rules/classify.h"

static struct classifier *classifier;
static struct classify_scratch *scratch;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char extra[] =
		"builtin_rules: no\n"
		"classes:\n"
		"  - {name: a, class: rate, text: ['(?<!x)a+b(?=c)', '(..)\\1', 'too many']}\n"
		"  - {name: b, class: other, enhanced: [x.7.x, 4.1.2-9], not_text: ['[^a-z]q']}\n";
	struct rule_file *file;
	struct yaml_error error;
	struct classify_error fault;

	if (rule_file_load(extra, sizeof(extra) - 1, "fuzz", &file, NULL, &error) != 0 ||
	    classifier_create(file, NULL, &classifier, &fault) != 0 ||
	    classify_scratch_create(classifier, &scratch) != 0)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct classification found;
	struct reply_line line;
	char *copy;

	if (size < 2)
		return 0;
	copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	reply_line_parse(copy, size, &line);
	if ((line.code != 0 && (line.code < 200 || line.code > 599)) || line.text < copy ||
	    line.text + line.len > copy + size)
		abort();
	classify(classifier, scratch, NULL, &line, &found);
	line = (struct reply_line){data[0] * 4u, (unsigned)data[1] << 16 | data[0], copy, size};
	classify(classifier, scratch, "example", &line, &found);
	if ((unsigned)found.class >= REPLY_CLASSES || (unsigned)found.limit >= REPLY_LIMITS)
		abort();
	free(copy);
	return 0;
}
