/* SPDX-License-Identifier: MIT
 *
 * The journal: each change of a flow's limits in words, with who decided it and why.
 */
#include <string.h>

#include "shm/destination.h"
#include "sidecar/daemon/keeper.h"
#include "sidecar/daemon/keeper_state.h"
#include "sidecar/engine/change_text.h"

#define CHANGES_MAX 65536 /* that wait for the disk */

void keeper_change(void *arg, const struct engine_change *change, uint64_t now_ns)
{
	struct keeper *k = arg;
	const struct segment_slot *known = segment_slot(k->segment, change->slot);
	char name[DESTINATION_NAME_MAX + 1], reply[LAYOUT_TEXT + 1] = "";
	struct change_text words;
	struct db_change row = {
		.at_ns = (int64_t)now_ns + k->wall_offset_ns, .name = name, .what = words.what};

	change_text_make(k->engine, change, now_ns, &words);
	if (words.length == 0)
		return;
	memcpy(row.source, segment_address(k->segment, change->slot), sizeof(row.source));
	segment_name(k->segment, known->destination, name, sizeof(name));
	if (change->reply) {
		memcpy(reply, change->reply->text, change->reply->length);
		reply[change->reply->length] = '\0';
		row.reply = reply;
	}
	row.by = words.decided_by;
	row.rule = words.reason;
	if (k->batch == NULL)
		k->batch = store_batch_begin();
	if (k->batch == NULL || k->changes >= CHANGES_MAX || !store_batch_change(k->batch, &row))
		k->changes_lost++;
	else
		k->changes++;
}
