/* SPDX-License-Identifier: MIT
 *
 * A segment as it stands, for somebody who only looks: mapped read-only, whoever owns it, whether a
 * sidecar lives or not.
 */
#ifndef SIDECAR_SEGMENT_READONLY_H
#define SIDECAR_SEGMENT_READONLY_H

#include "sidecar/segment/segment.h"

/* Maps what may be read of the segment in a folder. `control`, which holds the names, is the
 * owner's and root's alone: without it ret->slots is NULL. Nothing of *ret may be written to.
 *
 * -ENOENT: none there; -EACCES; -EBADMSG: not a segment of this version, or damaged; reason
 * (SEGMENT_REASON bytes) says it in words. */
int segment_open_readonly(const char *path, struct segment **ret, char *reason);
void segment_close_readonly(struct segment *segment); /* NULL is fine */

#endif
