/* SPDX-License-Identifier: MIT
 *
 * The sizes of the public structs, for callers that have no C compiler.
 */
#include "shm/handle.h"

size_t tg_struct_size(enum tg_struct which)
{
	static const size_t sizes[TG_STRUCTS] = {
		[TG_STRUCT_OPTIONS] = sizeof(struct tg_options),
		[TG_STRUCT_SOURCE] = sizeof(struct tg_source),
		[TG_STRUCT_DESTINATION] = sizeof(struct tg_destination),
		[TG_STRUCT_FLOW] = sizeof(struct tg_flow),
		[TG_STRUCT_VERDICT] = sizeof(struct tg_verdict),
		[TG_STRUCT_REQUEST] = sizeof(struct tg_request),
		[TG_STRUCT_RESERVATION] = sizeof(struct tg_reservation),
		[TG_STRUCT_ADVICE] = sizeof(struct tg_advice),
		[TG_STRUCT_LEASE] = sizeof(struct tg_lease),
		[TG_STRUCT_REPLY] = sizeof(struct tg_reply),
	};

	return (unsigned)which < TG_STRUCTS ? sizes[which] : 0;
}
