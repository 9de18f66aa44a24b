/* SPDX-License-Identifier: MIT
 *
 * A request is lines "name=value" and an empty line. A line without "=" ends the connection: it is
 * another protocol. A request without a recipient, or not about one, is answered DUNNO.
 *
 * A message to several recipients of one destination is charged once where the flow counts
 * messages: Postfix asks for each recipient, and says by `instance` that it is the same message.
 */
#include "sidecar/doors/policy_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE_MAX 64
#define SECOND_NS    UINT64_C(1000000000)

struct policy_door {
	struct gatekeeper *gate;
	const struct config_policy *config;
	uint64_t passed, deferred, unasked; /* unasked: passed without an answer of the gate's */
};

/* Of the last message that was charged on a connection. */
struct policy_client {
	char instance[INSTANCE_MAX];
	uint32_t
		destination; /* its slot: for another recipient the pool may offer another source */
	uint64_t generation;
};

struct text {
	const char *at; /* NULL: not there */
	size_t length;
};

struct policy_request {
	struct text request, state, recipient, instance;
};

static bool text_is(struct text text, const char *literal)
{
	return text.at && text.length == strlen(literal) &&
	       memcmp(text.at, literal, text.length) == 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A name that stands twice counts as it stood last. */
static void attribute_take(struct policy_request *request, struct text name, struct text value)
{
	const struct {
		const char *name;
		struct text *to;
	} wanted[] = {{"request", &request->request},
		      {"protocol_state", &request->state},
		      {"recipient", &request->recipient},
		      {"instance", &request->instance}};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (text_is(name, wanted[i].name))
			*wanted[i].to = value;
}

/* Its length with the empty line; 0: it is not all there; negative: it is none. */
static ssize_t request_read(const char *bytes, size_t length, struct policy_request *ret)
{
	const char *at = bytes, *end = bytes + length, *stop, *equals;

	*ret = (struct policy_request){0};
	while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		size_t line = (size_t)(stop - at);

		line -= line > 0 && at[line - 1] == '\r';
		if (line == 0)
			return stop + 1 - bytes;
		equals = memchr(at, '=', line);
		if (equals == NULL || equals == at || memchr(at, '\0', line) != NULL)
			return LISTENER_BAD;
		attribute_take(ret, (struct text){at, (size_t)(equals - at)},
			       (struct text){equals + 1, (size_t)(at + line - equals - 1)});
		at = stop + 1;
	}
	return 0;
}

/* What stands behind the last "@". */
static struct text domain_of(struct text recipient)
{
	const char *sign = recipient.at ? memrchr(recipient.at, '@', recipient.length) : NULL;

	if (sign == NULL)
		return (struct text){0};
	return (struct text){sign + 1, (size_t)(recipient.at + recipient.length - sign - 1)};
}

/* ---- deciding -------------------------------------------------------------------------------- */

static bool charged_before(struct policy_door *door, const struct policy_client *client,
			   const struct policy_request *request, const struct tg_flow *flow)
{
	size_t length = strlen(client->instance);

	return length > 0 && client->generation == gatekeeper_generation(door->gate) &&
	       client->destination == flow->destination && request->instance.length == length &&
	       memcmp(client->instance, request->instance.at, length) == 0 &&
	       !gatekeeper_counts_recipients(door->gate, flow);
}

static void charged(struct policy_door *door, struct policy_client *client,
		    const struct policy_request *request, const struct tg_flow *flow)
{
	size_t length = request->instance.at ? request->instance.length : 0;

	if (length >= INSTANCE_MAX)
		length = 0;
	memcpy(client->instance, request->instance.at ? request->instance.at : "", length);
	client->instance[length] = '\0';
	client->destination = flow->destination;
	client->generation = gatekeeper_generation(door->gate);
}

/* The flow: of the source, or of the pool's that can send soonest. */
static int flow_of(struct policy_door *door, struct text domain, struct tg_flow *ret)
{
	const struct config_policy *config = door->config;
	char chosen[GATEKEEPER_NAME];
	const char *source = config->source;
	int error = 0;

	if (config->pool) {
		error = gatekeeper_pick(door->gate, config->pool, domain.at, domain.length,
					(enum tg_class)config->class.value, chosen);
		source = chosen;
	}
	return error ? error
		     : gatekeeper_flow(door->gate, source, strlen(source), domain.at, domain.length,
				       ret);
}

/* TG_REASONS: the gate cannot be asked, or not about that. */
static enum tg_reason decide(struct policy_door *door, struct policy_client *client,
			     const struct policy_request *request, uint64_t *ret_wait_ns)
{
	const struct config_policy *config = door->config;
	enum tg_reason reason = TG_RETIRED;
	struct tg_flow flow;

	for (int attempt = 0; attempt < 2 && reason == TG_RETIRED; attempt++) {
		if (flow_of(door, domain_of(request->recipient), &flow) != 0)
			return TG_REASONS;
		if (charged_before(door, client, request, &flow))
			return TG_ADMITTED;
		reason = gatekeeper_admit(door->gate, &flow, (enum tg_class)config->class.value,
					  config->take.value ? 1 : 0, ret_wait_ns);
	}
	if (reason == TG_ADMITTED && config->take.value)
		charged(door, client, request, &flow);
	return reason;
}

static void defer_put(struct listener_answer *answer, enum tg_reason reason, uint64_t wait_ns)
{
	char text[160];
	int length;

	if (wait_ns == UINT64_MAX)
		length = snprintf(text, sizeof(text),
				  "action=DEFER_IF_PERMIT 4.7.1 Mail to that destination is held "
				  "back (%s): try again later\n\n",
				  tg_reason_name(reason));
	else
		length = snprintf(text, sizeof(text),
				  "action=DEFER_IF_PERMIT 4.7.1 Mail to that destination is paced "
				  "(%s): try again in %llu s\n\n",
				  tg_reason_name(reason),
				  (unsigned long long)((wait_ns + SECOND_NS - 1) / SECOND_NS));
	listener_answer_add(answer, text, (size_t)length);
}

static void request_answer(struct policy_door *door, struct policy_client *client,
			   const struct policy_request *request, struct listener_answer *answer)
{
	static const char pass[] = "action=DUNNO\n\n";
	enum tg_reason reason = TG_REASONS;
	uint64_t wait_ns = 0;

	if (text_is(request->request, "smtpd_access_policy") && text_is(request->state, "RCPT") &&
	    domain_of(request->recipient).length > 0)
		reason = decide(door, client, request, &wait_ns);
	door->unasked += reason == TG_REASONS;
	if (reason != TG_ADMITTED && reason != TG_REASONS &&
	    wait_ns > door->config->max_wait.value) {
		door->deferred++;
		defer_put(answer, reason, wait_ns);
		return;
	}
	door->passed++;
	listener_answer_add(answer, pass, sizeof(pass) - 1);
}

static ssize_t take(void *arg, void *state, const char *bytes, size_t length,
		    struct listener_answer *answer, uint64_t *ret_requests)
{
	struct policy_door *door = arg;
	size_t taken = 0;

	for (int i = 0; i < LISTENER_REQUESTS && answer->length < LISTENER_ANSWER_MAX; i++) {
		struct policy_request request;
		ssize_t size = request_read(bytes + taken, length - taken, &request);

		if (size < 0)
			return size;
		if (size == 0)
			break;
		++*ret_requests;
		taken += (size_t)size;
		request_answer(door, state, &request, answer);
	}
	return (ssize_t)taken;
}

const struct listener_protocol policy_protocol = {
	.name = "postfix_policy",
	.take = take,
	.state_size = sizeof(struct policy_client),
	.request_max = 16384,
};

/* ---- making ---------------------------------------------------------------------------------- */

int policy_door_create(struct gatekeeper *gate, struct policy_door **ret)
{
	struct policy_door *door = calloc(1, sizeof(*door));

	if (door == NULL)
		return -ENOMEM;
	door->gate = gate;
	*ret = door;
	return 0;
}

void policy_door_free(struct policy_door *door)
{
	free(door);
}

void policy_door_configure(struct policy_door *door, const struct config_policy *config)
{
	door->config = config;
}

void policy_door_put(const struct policy_door *door, struct json_writer *writer)
{
	json_put_u64(writer, "passed", door->passed);
	json_put_u64(writer, "deferred", door->deferred);
	json_put_u64(writer, "unasked", door->unasked);
}
