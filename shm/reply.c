/* SPDX-License-Identifier: MIT
 *
 * Reading what a receiver answered. Pure: nothing is copied, nothing beyond the length is read.
 */
#include <errno.h>

#include "shm/handle.h"

static const char *digits(const char *at, const char *end, unsigned max, unsigned *ret)
{
	const char *start = at;
	unsigned value = 0;

	while (at < end && at - start < (ptrdiff_t)max && *at >= '0' && *at <= '9')
		value = value * 10 + (unsigned)(*at++ - '0');
	*ret = value;
	return at > start ? at : NULL;
}

/* RFC 3463: class "." subject "." detail, class 2, 4 or 5, the others up to three digits. */
static void enhanced_parse(const char *at, const char *end, uint16_t ret[3])
{
	unsigned part[3];

	for (int i = 0; i < 3; i++) {
		at = digits(at, end, i == 0 ? 1 : 3, &part[i]);
		if (at == NULL || (i < 2 && (at >= end || *at++ != '.')))
			return;
	}
	if ((part[0] != 2 && part[0] != 4 && part[0] != 5) ||
	    (at < end && *at >= '0' && *at <= '9'))
		return;
	for (int i = 0; i < 3; i++)
		ret[i] = (uint16_t)part[i];
}

int tg_reply_parse(const char *line, size_t length, struct tg_reply *ret)
{
	/* Every field has a value: a caller's own worker may be built by any compiler. */
	struct tg_reply reply = {.stage = TG_STAGE_MESSAGE,
				 .traffic = TG_BULK,
				 .n = 1,
				 .text = line,
				 .length = length};
	const char *end, *at;
	unsigned code = 0;

	if (line == NULL)
		return -EINVAL;
	end = line + length;
	at = digits(line, end, 3, &code);
	if (at == NULL || at != line + 3 || code < 200 || code > 599 ||
	    (at < end && *at != ' ' && *at != '-' && *at != '\r' && *at != '\n'))
		return -EINVAL;
	reply.code = (uint16_t)code;
	if (at < end)
		enhanced_parse(at + 1, end, reply.enhanced);
	*ret = reply;
	return 0;
}

int tg_report_line(struct tg *tg, const struct tg_flow *flow, const char *line, size_t length,
		   enum tg_class traffic, enum tg_stage stage, uint32_t n, uint64_t admitted_ns)
{
	struct tg_reply reply = {0};
	int error = line ? tg_reply_parse(line, length, &reply) : 0;

	if ((unsigned)traffic >= TG_CLASSES || (unsigned)stage >= TG_STAGES)
		return -EINVAL;
	if (error)
		return error;
	reply.traffic = (uint8_t)traffic;
	reply.stage = (uint8_t)stage;
	reply.n = n;
	reply.admitted_ns = admitted_ns;
	tg_report(tg, flow, &reply);
	return 0;
}
