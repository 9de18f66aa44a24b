/* SPDX-License-Identifier: MIT */
#include "sidecar/doors/gatekeeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shm/decide.h"
#include "shm/destination.h"
#include "shm/handle.h"
#include "sidecar/base/log.h"
#include "sidecar/io/loop.h"

#define AGAIN_NS UINT64_C(1000000000) /* after an attempt to attach that failed */

struct gatekeeper {
	struct tg *tg; /* NULL: not attached yet */
	char *segment;
	int64_t owner;
	uint64_t generation;
	uint64_t again_ns;
	int error; /* why it is not attached */
};

int gatekeeper_create(const char *segment, int64_t owner, struct gatekeeper **ret)
{
	struct gatekeeper *gate = calloc(1, sizeof(*gate));

	if (gate == NULL)
		return -ENOMEM;
	*gate = (struct gatekeeper){.segment = strdup(segment), .owner = owner, .generation = 1};
	if (gate->segment == NULL) {
		free(gate);
		return -ENOMEM;
	}
	*ret = gate;
	return 0;
}

void gatekeeper_free(struct gatekeeper *gate)
{
	if (gate == NULL)
		return;
	tg_detach(gate->tg);
	free(gate->segment);
	free(gate);
}

static bool replaced(const struct gatekeeper *gate)
{
	return atomic_load_explicit(&gate->tg->live->state, memory_order_acquire) == LAYOUT_RETIRED;
}

/* -ESTALE: the next one is not there yet. */
static int retired(struct gatekeeper *gate)
{
	int error = tg_renew(gate->tg);

	gate->generation += error == 0;
	return error;
}

static int attached(struct gatekeeper *gate)
{
	const struct tg_options options = {
		.size = sizeof(options), .segment = gate->segment, .owner = gate->owner};
	char text[256];

	if (gate->tg != NULL)
		return replaced(gate) ? retired(gate) : 0;
	if (gate->error && loop_now() < gate->again_ns)
		return gate->error;
	gate->error = tg_attach(&options, &gate->tg);
	if (gate->error == 0)
		return 0;
	gate->tg = NULL;
	if (gate->again_ns == 0)
		log_warning("gate", "listeners cannot ask the gate: %s",
			    tg_error_text(gate->error, gate->segment, text, sizeof(text)));
	gate->again_ns = loop_now() + AGAIN_NS;
	return gate->error;
}

uint64_t gatekeeper_generation(const struct gatekeeper *gate)
{
	return gate->generation;
}

/* Terminated; names of sources are shorter than those of destinations. */
static bool text_copy(const char *text, size_t length, char ret[DESTINATION_NAME_MAX + 1])
{
	if (length > DESTINATION_NAME_MAX || memchr(text, '\0', length) != NULL)
		return false;
	memcpy(ret, text, length);
	ret[length] = '\0';
	return true;
}

int gatekeeper_flow(struct gatekeeper *gate, const char *source, size_t source_length,
		    const char *destination, size_t destination_length, struct tg_flow *ret)
{
	char from[DESTINATION_NAME_MAX + 1], to[DESTINATION_NAME_MAX + 1];
	struct tg_destination receiver;
	struct tg_source sender;
	struct tg_flow flow;
	int error = attached(gate);

	if (error)
		return error;
	if (!text_copy(source, source_length, from) ||
	    !text_copy(destination, destination_length, to))
		return -EINVAL;
	error = tg_source(gate->tg, from, &sender);
	if (error == -ENOENT)
		error = -ESRCH;
	if (!error)
		error = tg_destination(gate->tg, to, &receiver);
	/* Without room it is a flow that is refused. */
	if (!error && (error = tg_flow(gate->tg, &sender, &receiver, &flow)) == -ENOSPC)
		error = 0;
	if (!error)
		*ret = flow;
	return error;
}

static enum tg_reason look(struct gatekeeper *gate, const struct tg_flow *flow,
			   enum tg_class traffic, struct tg_verdict *ret)
{
	uint32_t room;

	if (replaced(gate))
		*ret = (struct tg_verdict){.at_ns = UINT64_MAX, .reason = TG_RETIRED};
	else if (flow->slot >= gate->tg->view.slots)
		*ret = (struct tg_verdict){.at_ns = UINT64_MAX, .reason = TG_REFUSED_DIRECTORY};
	else
		*ret = decide_ask(&gate->tg->view, flow, traffic, 1, tg_now(gate->tg), &room);
	return (enum tg_reason)ret->reason;
}

enum tg_reason gatekeeper_admit(struct gatekeeper *gate, const struct tg_flow *flow,
				enum tg_class traffic, uint32_t n, uint64_t *ret_wait_ns)
{
	struct tg_verdict verdict;
	enum tg_reason reason;

	if (n == 0)
		reason = look(gate, flow, traffic, &verdict);
	else
		reason = tg_admit_into(gate->tg, flow, traffic, n, &verdict, NULL);
	if (reason == TG_RETIRED)
		retired(gate);
	*ret_wait_ns = reason == TG_ADMITTED ? 0 : tg_until(gate->tg, verdict.at_ns);
	return reason;
}

bool gatekeeper_counts_recipients(struct gatekeeper *gate, const struct tg_flow *flow)
{
	struct tg_advice advice;

	return tg_advise(gate->tg, flow, TG_BULK, &advice) == 0 &&
	       (advice.flags & TG_COUNT_RECIPIENTS);
}

int gatekeeper_pick(struct gatekeeper *gate, const char *pool, const char *destination,
		    size_t destination_length, enum tg_class traffic, char ret[GATEKEEPER_NAME])
{
	char to[DESTINATION_NAME_MAX + 1];
	struct tg_destination receiver;
	struct tg_source chosen;
	uint64_t at_ns;
	int error = attached(gate);

	if (error)
		return error;
	if (!text_copy(destination, destination_length, to))
		return -EINVAL;
	error = tg_destination(gate->tg, to, &receiver);
	if (!error)
		error = tg_pick(gate->tg, pool, &receiver, traffic, &chosen, &at_ns);
	if (error)
		return error;
	tg_source_text(&chosen, ret, GATEKEEPER_NAME);
	return 0;
}

bool gatekeeper_class(const char *text, size_t length, enum tg_class *ret)
{
	static const char *const names[TG_CLASSES] = {
		[TG_TRANSACTIONAL] = "transactional", [TG_ENGAGED] = "engaged", [TG_BULK] = "bulk"};

	for (int class = 0; class < TG_CLASSES; class ++)
		if (strlen(names[class]) == length && memcmp(names[class], text, length) == 0) {
			*ret = (enum tg_class) class;
			return true;
		}
	return false;
}
