/* SPDX-License-Identifier: MIT
 *
 * Fuzzes what a worker can put on its ring: the check of records, and what the sidecar learns from
 * them.
 *
 * The input is a run of records as a hostile worker would write them; the segment is one of its
 * own, so that announcements find slots with keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/segment/ring_reader.h"
#include "sidecar/segment/segment.h"

static struct segment *segment;
static char path[64];

static void gone(void)
{
	segment_close(segment, true);
}

static void begin(void)
{
	char reason[SEGMENT_REASON];
	struct segment_options options = {
		.path = path,
		.owner = -1,
		.group = -1,
		.shape.engine_bytes = 64,
		.sizes = {.flows = 64,
			  .workers = 2,
			  .ring_records = 16,
			  .minutes = 2,
			  .leases = 4,
			  .names_bytes = 4096},
	};

	snprintf(path, sizeof(path), "/dev/shm/tollgate-fuzz-%d", (int)getpid());
	if (segment_open(&options, &segment, reason) != 0) {
		fprintf(stderr, "%s\n", reason);
		abort();
	}
	atexit(gone);
	segment_destination(segment, "example.com");
}

static void take(void *arg, const struct layout_record *record, uint32_t worker)
{
	char name[64];

	if (record->slot >= segment->view.slots || record->length > LAYOUT_TEXT)
		abort();
	if (record->kind != LAYOUT_RECORD_REPLY)
		segment_learn(segment, record);
	segment_name(segment, record->slot, name, sizeof(name));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct ring_reader_totals totals = {0};
	struct layout_worker *worker;
	uint64_t head;

	if (segment == NULL)
		begin();
	worker = &segment->workers[0];
	if (size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);
	size -= sizeof(head);
	memcpy(segment->records, data,
	       size < 16 * sizeof(struct layout_record) ? size : 16 * sizeof(struct layout_record));
	/* Half of the inputs have a head that could be, and records that carry their numbers. */
	if (head & 1) {
		head = segment->tails[0] + (head >> 1) % 17;
		for (uint64_t i = 0; i < 16; i++)
			segment->records[(segment->tails[0] + i) & 15].sequence =
				segment->tails[0] + i;
	}
	atomic_store(&worker->head, head);
	ring_reader_drain(segment, 0, 64, UINT64_C(1) << 40,
			  &(struct ring_reader_sink){take, NULL, &totals});
	if (segment->tails[0] != head)
		abort();
	return 0;
}
