/* SPDX-License-Identifier: MIT
 *
 * One log, followed through the loop: from where the last run stopped, through rotation, and for as
 * long as it grows.
 *
 * A file may be renamed, copied and truncated, deleted, or not be there yet. Which file it is and
 * how far it was read stands in a small file of the segment's folder, written after each piece: a
 * restart reads on there, in the renamed file too if that still lies in the same folder. A file
 * that is seen for the first time is read from its end when we start, from its start when it
 * appears later. FIFOs are read for as long as they are there, a Unix socket takes datagrams, a
 * line each, and
 * "-" is standard input.
 *
 * Reads are of a bounded length, and return to the loop in between. All calls from its thread.
 */
#ifndef SIDECAR_INGEST_FOLLOW_H
#define SIDECAR_INGEST_FOLLOW_H

#include "sidecar/ingest/format.h"
#include "sidecar/ingest/lines.h"
#include "sidecar/io/loop.h"

struct follow;

struct follow_totals {
	uint64_t lines;
	uint64_t bad;	    /* not understood, too long ones among them */
	uint64_t rotations; /* another file, or the same cut short */
	uint64_t
		lost_files; /* went on in a file that is not there any more: its end was not read */
	bool open;
	int error; /* of the last attempt to open or read; 0: none */
};

/* An outcome; good during the call. */
typedef void follow_event(void *arg, const struct ingest_event *event);

struct follow_options {
	struct loop *loop;
	int timer; /* of the loop; its owner has every log looked at when it is due, and sets it to at
		       most FOLLOW_LOOK_NS later */
	int folder; /* the segment's, for the place in the log (it is named by a hash of the path) */
	const char *path;
	const struct ingest_format *format;
	follow_event *event;
	void *arg; /* of it */
};

/* A path that cannot be opened is tried again. -ENOMEM, or what the loop says. */
int follow_create(const struct follow_options *options, struct follow **ret);
void follow_free(struct follow *follow); /* NULL is fine */

/* How often a log is looked at whatever the kernel tells: not every file system tells. */
#define FOLLOW_LOOK_NS UINT64_C(2000000000)

/* Reads what is there, a bounded piece of it. True: there may be more at once. */
bool follow_look(struct follow *follow);

const struct follow_totals *follow_totals(const struct follow *follow);
const char *follow_path(const struct follow *follow);
const struct ingest_format *follow_format(const struct follow *follow);

#endif
