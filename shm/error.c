/* SPDX-License-Identifier: MIT
 *
 * What an error of the library means, in words that say what to do about it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/handle.h"

/* Each takes the segment's folder once. */
static const struct {
	int error;
	const char *text;
} sentences[] = {
	{-ENOENT, "no segment at %s: is tollgated running?"},
	{-ENOTDIR, "%s is no folder: segments are"},
	{-EPROTO, "%s holds no segment of tollgate"},
	{-EPROTONOSUPPORT, "the segment at %s is of another version: restart tollgated, or build "
			   "this program against the version that runs"},
	{-EBADE, "the segment at %s was made by a machine of another byte order"},
	{-EMSGSIZE, "a file of the segment at %s is shorter than it says: restart tollgated"},
	{-EPERM, "the segment at %s is not trusted: it is writable for others, or belongs to "
		 "neither root, this user nor \"tollgate\" (tg_options.owner allows another)"},
	{-EACCES, "no permission for the segment at %s: is this user in the segment's group?"},
	{-ESTALE, "the segment at %s is being replaced: try again"},
	{-EUSERS, "every worker slot of the segment at %s is taken: raise segment.workers"},
	{-ENOSPC, "the directory of the segment at %s is full: raise segment.flows"},
	{-E2BIG, "the options for %s are of a later version of the library than this one"},
	{-EINVAL, "not a valid argument (segment %s)"},
	{-ENAMETOOLONG, "the name of the segment is too long: %s"},
};

const char *segment_path(const char *wanted)
{
	if (wanted == NULL)
		wanted = getenv("TOLLGATE_SEGMENT");
	return wanted == NULL || *wanted == '\0' ? TG_SEGMENT_DEFAULT : wanted;
}

const char *tg_error_text(int error, const char *segment, char *text, size_t size)
{
	char other[128];

	if (size == 0)
		return "";
	segment = segment_path(segment);
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (sentences[i].error == error) {
			snprintf(text, size, sentences[i].text, segment);
			return text;
		}
	snprintf(text, size, "%s (segment %s)",
		 error < 0 ? strerror_r(-error, other, sizeof(other)) : "no error", segment);
	return text;
}
