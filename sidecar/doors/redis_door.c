/* SPDX-License-Identifier: MIT */
#include "sidecar/doors/redis_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/doors/cells.h"
#include "sidecar/serve/resp.h"

#define FLOW_MARK "flow:"
#define SECOND_NS UINT64_C(1000000000)
#define DATABASES 16

struct redis_door {
	struct gatekeeper *gate;
	struct cells *cells;
	struct resp_reader *reader;
	const char *password;
	uint64_t clients; /* that have ever asked for a number */
	uint64_t limited, gate_refused, gate_missing, full;
};

struct redis_client {
	uint64_t id;
	uint8_t version; /* of the protocol; 0: 2 */
	uint8_t database;
	bool known; /* has given the password */
};

/* A command under way. */
struct redis_call {
	struct redis_door *door;
	struct redis_client *client;
	const struct resp_request *request;
	struct listener_answer *answer;
	uint64_t now_ns;
	bool end; /* of the connection */
};

typedef void redis_run(struct redis_call *call);

struct redis_command {
	const char *name; /* in lower case */
	int words;	  /* exactly, or negative: at least; with its name */
	bool stranger;	  /* may be given before the password */
	redis_run *run;
};

static unsigned version_of(const struct redis_call *call)
{
	return call->client->version ? call->client->version : 2;
}

static const struct resp_word *word(const struct redis_call *call, unsigned index)
{
	return &call->request->word[index];
}

/* ---- CL.THROTTLE ----------------------------------------------------------------------------- */

struct flow_name {
	struct resp_word source, destination;
	enum tg_class traffic;
};

/* "flow:192.0.2.10:google", "flow:[2001:db8::1]:google:transactional". */
static bool flow_name_read(const struct resp_word *key, struct flow_name *ret)
{
	const char *at = key->at + strlen(FLOW_MARK), *end = key->at + key->length, *stop;

	if (at < end && *at == '[') {
		stop = memchr(at, ']', (size_t)(end - at));
		if (stop == NULL || stop + 1 == end || stop[1] != ':')
			return false;
		ret->source = (struct resp_word){at + 1, (size_t)(stop - at - 1)};
		at = stop + 2;
	} else {
		stop = memchr(at, ':', (size_t)(end - at));
		if (stop == NULL)
			return false;
		ret->source = (struct resp_word){at, (size_t)(stop - at)};
		at = stop + 1;
	}
	stop = memchr(at, ':', (size_t)(end - at));
	ret->destination = (struct resp_word){at, (size_t)((stop ? stop : end) - at)};
	ret->traffic = TG_BULK;
	return stop == NULL || gatekeeper_class(stop + 1, (size_t)(end - stop - 1), &ret->traffic);
}

/* The flow that the cell stands for, found anew where the segment is another. False: an error has
 * been answered. */
static bool flow_find(struct redis_call *call, struct cell *cell, const struct flow_name *name)
{
	struct redis_door *door = call->door;
	int error;

	if (cell->generation == gatekeeper_generation(door->gate))
		return true;
	error = gatekeeper_flow(door->gate, name->source.at, name->source.length,
				name->destination.at, name->destination.length, &cell->flow);
	if (error == 0) {
		cell->generation = gatekeeper_generation(door->gate);
		return true;
	}
	door->gate_missing += error != -EINVAL && error != -ESRCH;
	if (error == -EINVAL)
		resp_put_error(call->answer, "ERR the key names no flow: not an address or a "
					     "source, or not a destination");
	else if (error == -ESRCH)
		resp_put_error(call->answer,
			       "ERR the key names no flow: no pool lists that source");
	else
		resp_put_error(call->answer, "ERR the gate cannot be asked: %s", strerror(-error));
	return false;
}

/* Rounded as the command's own times are. */
static int64_t seconds_up(uint64_t ns)
{
	return (int64_t)(ns / SECOND_NS + (ns % SECOND_NS >= 1000000));
}

/* The gate's word on what the throttle would let pass. False: an error has been answered. */
static bool gate_ask(struct redis_call *call, struct cell *cell, const struct flow_name *name,
		     int64_t quantity, struct cell_answer *answer)
{
	struct redis_door *door = call->door;
	enum tg_reason reason = TG_RETIRED;
	uint64_t wait_ns = 0;

	for (int attempt = 0; attempt < 2 && reason == TG_RETIRED; attempt++) {
		if (!flow_find(call, cell, name))
			return false;
		reason = gatekeeper_admit(door->gate, &cell->flow, name->traffic,
					  (uint32_t)quantity, &wait_ns);
	}
	if (reason == TG_ADMITTED)
		return true;
	door->gate_refused++;
	answer->limited = quantity > 0;
	answer->remaining = 0;
	answer->retry_after_s = wait_ns == UINT64_MAX || quantity == 0 ? -1 : seconds_up(wait_ns);
	if (wait_ns != UINT64_MAX && seconds_up(wait_ns) > answer->reset_after_s)
		answer->reset_after_s = seconds_up(wait_ns);
	return true;
}

static void answer_put(struct redis_call *call, const struct cell_answer *answer)
{
	resp_put_array(call->answer, 5);
	resp_put_number(call->answer, answer->limited);
	resp_put_number(call->answer, answer->limit);
	resp_put_number(call->answer, answer->remaining);
	resp_put_number(call->answer, answer->retry_after_s);
	resp_put_number(call->answer, answer->reset_after_s);
}

/* Databases keep their keys apart. */
static struct cell *cell_find(struct redis_call *call, const struct resp_word *key)
{
	char name[CELL_NAME_MAX];

	if (key->length >= sizeof(name))
		return NULL;
	name[0] = (char)call->client->database;
	memcpy(name + 1, key->at, key->length);
	return cells_get(call->door->cells, name, key->length + 1, (int64_t)call->now_ns);
}

static bool quota_read(const struct redis_call *call, struct cell_quota *ret)
{
	int64_t *to[] = {&ret->max_burst, &ret->count, &ret->period_s, &ret->quantity};
	unsigned words = call->request->count;

	ret->quantity = 1;
	for (unsigned i = 2; i < words; i++)
		if (!resp_word_number(word(call, i), to[i - 2])) {
			resp_put_error(
				call->answer, "Cell error: Couldn't parse as integer: %.*s",
				(int)(word(call, i)->length < 64 ? word(call, i)->length : 64),
				word(call, i)->at);
			return false;
		}
	return true;
}

static void throttle(struct redis_call *call, struct cell *cell, const struct flow_name *name,
		     const struct cell_quota *quota)
{
	struct cell_answer answer;
	int64_t tat_ns;
	int error = cell_decide(quota, cell->tat_ns, (int64_t)call->now_ns, &answer, &tat_ns);

	if (error == -EINVAL) {
		resp_put_error(call->answer, "Cell error: Zero rates are not supported");
		return;
	}
	if (error || (name && quota->quantity > UINT32_MAX)) {
		resp_put_error(call->answer, "Cell error: a number is negative or too large");
		return;
	}
	if (name && !answer.limited && !gate_ask(call, cell, name, quota->quantity, &answer))
		return;
	if (!answer.limited)
		cell->tat_ns = tat_ns;
	call->door->limited += answer.limited;
	answer_put(call, &answer);
}

static void run_throttle(struct redis_call *call)
{
	const struct resp_word *key = word(call, 1);
	struct cell_quota quota;
	struct flow_name name;
	struct cell *cell;
	bool flow;

	if (call->request->count != 5 && call->request->count != 6) {
		resp_put_error(call->answer, "Cell error: Usage: cl.throttle <key> <max_burst> "
					     "<count per period> <period> [<quantity>]");
		return;
	}
	if (!quota_read(call, &quota))
		return;
	flow = key->length > strlen(FLOW_MARK) &&
	       memcmp(key->at, FLOW_MARK, strlen(FLOW_MARK)) == 0;
	if (flow && !flow_name_read(key, &name)) {
		resp_put_error(call->answer,
			       "ERR the key names no flow: flow:SOURCE:DESTINATION or "
			       "flow:SOURCE:DESTINATION:CLASS");
		return;
	}
	cell = cell_find(call, key);
	if (cell) {
		throttle(call, cell, flow ? &name : NULL, &quota);
		return;
	}
	call->door->full += key->length < CELL_NAME_MAX;
	resp_put_error(call->answer, key->length < CELL_NAME_MAX
					     ? "OOM there are as many throttles as may be"
					     : "ERR the key is longer than 511 bytes");
}

/* ---- who is there ---------------------------------------------------------------------------- */

static void run_ping(struct redis_call *call)
{
	if (call->request->count > 2)
		resp_put_error(call->answer, "ERR wrong number of arguments for 'ping' command");
	else if (call->request->count == 2)
		resp_put_bulk(call->answer, word(call, 1)->at, word(call, 1)->length);
	else
		resp_put_status(call->answer, "PONG");
}

static void run_echo(struct redis_call *call)
{
	resp_put_bulk(call->answer, word(call, 1)->at, word(call, 1)->length);
}

static void run_quit(struct redis_call *call)
{
	resp_put_status(call->answer, "OK");
	call->end = true;
}

static void run_select(struct redis_call *call)
{
	int64_t number;

	if (!resp_word_number(word(call, 1), &number)) {
		resp_put_error(call->answer, "ERR value is not an integer or out of range");
	} else if (number < 0 || number >= DATABASES) {
		resp_put_error(call->answer, "ERR DB index is out of range");
	} else {
		call->client->database = (uint8_t)number;
		resp_put_status(call->answer, "OK");
	}
}

/* Takes as long for a wrong one, whatever is wrong with it. */
static bool password_is(const struct redis_door *door, const struct resp_word *given)
{
	size_t length = strlen(door->password);
	unsigned differs = given->length != length;

	for (size_t i = 0; i < given->length; i++)
		differs |= (unsigned char)given->at[i] ^
			   (unsigned char)door->password[length ? i % length : 0];
	return differs == 0;
}

/* A name, if there is one, must be that of the one user there is. False: it has been answered. */
static bool password_take(struct redis_call *call, const struct resp_word *user,
			  const struct resp_word *password)
{
	if (call->door->password == NULL) {
		/* Redis's own user without a password takes any. */
		if (user && resp_word_is(user, "default"))
			return true;
		resp_put_error(call->answer,
			       "ERR AUTH <password> called without any password configured for the "
			       "default user. Are you sure your configuration is correct?");
		return false;
	}
	if ((user && !resp_word_is(user, "default")) || !password_is(call->door, password)) {
		resp_put_error(call->answer,
			       "WRONGPASS invalid username-password pair or user is disabled.");
		return false;
	}
	call->client->known = true;
	return true;
}

static void run_auth(struct redis_call *call)
{
	unsigned words = call->request->count;

	if (words > 3)
		resp_put_error(call->answer, "ERR syntax error");
	else if (password_take(call, words == 3 ? word(call, 1) : NULL, word(call, words - 1)))
		resp_put_status(call->answer, "OK");
}

/* "AUTH user password", "SETNAME name". False: it has been answered. */
static bool hello_options(struct redis_call *call)
{
	unsigned words = call->request->count;

	for (unsigned i = 2; i < words;) {
		if (resp_word_is(word(call, i), "auth") && i + 2 < words) {
			if (!password_take(call, word(call, i + 1), word(call, i + 2)))
				return false;
			i += 3;
		} else if (resp_word_is(word(call, i), "setname") && i + 1 < words) {
			i += 2;
		} else {
			resp_put_error(call->answer, "ERR syntax error in HELLO");
			return false;
		}
	}
	return true;
}

static uint64_t client_id(struct redis_call *call)
{
	if (call->client->id == 0)
		call->client->id = ++call->door->clients;
	return call->client->id;
}

static void run_hello(struct redis_call *call)
{
	int64_t version = version_of(call);
	struct listener_answer *answer = call->answer;

	if (call->request->count > 1 &&
	    (!resp_word_number(word(call, 1), &version) || version < 2 || version > 3)) {
		resp_put_error(answer, "NOPROTO unsupported protocol version");
		return;
	}
	if (!hello_options(call))
		return;
	if (call->door->password && !call->client->known) {
		resp_put_error(answer,
			       "NOAUTH HELLO must be called with the client already "
			       "authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
			       "option can be used to authenticate the client and select the "
			       "RESP protocol version at the same time");
		return;
	}
	call->client->version = (uint8_t)version;
	resp_put_map(answer, 7, version_of(call));
	resp_put_text(answer, "server");
	resp_put_text(answer, "redis");
	resp_put_text(answer, "version");
	resp_put_text(answer, "7.0.0");
	resp_put_text(answer, "proto");
	resp_put_number(answer, version);
	resp_put_text(answer, "id");
	resp_put_number(answer, (int64_t)client_id(call));
	resp_put_text(answer, "mode");
	resp_put_text(answer, "standalone");
	resp_put_text(answer, "role");
	resp_put_text(answer, "master");
	resp_put_text(answer, "modules");
	resp_put_array(answer, 0);
}

static void run_info(struct redis_call *call)
{
	char text[512];
	int length = snprintf(text, sizeof(text),
			      "# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n"
			      "tollgate_version:%s\r\nprocess_id:%d\r\n"
			      "# Persistence\r\nloading:0\r\nasync_loading:0\r\n"
			      "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
			      "# Stats\r\nthrottles:%u\r\nlimited:%llu\r\n",
			      TG_VERSION, (int)getpid(), cells_count(call->door->cells),
			      (unsigned long long)call->door->limited);

	resp_put_bulk(call->answer, text, (size_t)length);
}

static void run_client(struct redis_call *call)
{
	const struct resp_word *what = word(call, 1);

	if (resp_word_is(what, "id"))
		resp_put_number(call->answer, (int64_t)client_id(call));
	else if (resp_word_is(what, "getname"))
		resp_put_null(call->answer, version_of(call));
	else if (resp_word_is(what, "setinfo") || resp_word_is(what, "setname") ||
		 resp_word_is(what, "no-evict") || resp_word_is(what, "no-touch"))
		resp_put_status(call->answer, "OK");
	else
		resp_put_error(call->answer,
			       "ERR Unknown subcommand or wrong number of arguments "
			       "for '%.*s'. Try CLIENT HELP.",
			       (int)(what->length < 64 ? what->length : 64), what->at);
}

/* What redis-benchmark asks for; nothing else is known of us. */
static void run_config(struct redis_call *call)
{
	static const char *const settings[][2] = {{"save", ""}, {"appendonly", "no"}};
	const struct resp_word *what = word(call, 1);

	if (!resp_word_is(what, "get") || call->request->count != 3) {
		resp_put_error(call->answer, "ERR only CONFIG GET PARAMETER is answered here");
		return;
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (!resp_word_is(word(call, 2), settings[i][0]))
			continue;
		resp_put_map(call->answer, 1, version_of(call));
		resp_put_text(call->answer, settings[i][0]);
		resp_put_text(call->answer, settings[i][1]);
		return;
	}
	resp_put_map(call->answer, 0, version_of(call));
}

/* ---- the table ------------------------------------------------------------------------------- */

static void run_command(struct redis_call *call);

static const struct redis_command commands[] = {
	{"cl.throttle", -1, false, run_throttle},
	{"ping", -1, false, run_ping},
	{"echo", 2, false, run_echo},
	{"hello", -1, true, run_hello},
	{"auth", -2, true, run_auth},
	{"quit", -1, true, run_quit},
	{"select", 2, false, run_select},
	{"info", -1, false, run_info},
	{"client", -2, false, run_client},
	{"config", -2, false, run_config},
	{"command", -1, false, run_command},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* As Redis 6 has it: name, words, flags, first key, last key, step. */
static void command_put(struct redis_call *call, const struct redis_command *command)
{
	bool keyed = command->run == run_throttle;

	resp_put_array(call->answer, 6);
	resp_put_text(call->answer, command->name);
	resp_put_number(call->answer, command->words);
	resp_put_array(call->answer, 1);
	resp_put_status(call->answer, keyed ? "write" : "fast");
	for (int i = 0; i < 3; i++)
		resp_put_number(call->answer, keyed);
}

static void run_command(struct redis_call *call)
{
	const struct resp_word *what = call->request->count > 1 ? word(call, 1) : NULL;

	if (what == NULL) {
		resp_put_array(call->answer, COMMANDS);
		for (size_t i = 0; i < COMMANDS; i++)
			command_put(call, &commands[i]);
	} else if (resp_word_is(what, "count")) {
		resp_put_number(call->answer, COMMANDS);
	} else if (resp_word_is(what, "docs")) {
		resp_put_map(call->answer, 0, version_of(call));
	} else if (resp_word_is(what, "list")) {
		resp_put_array(call->answer, COMMANDS);
		for (size_t i = 0; i < COMMANDS; i++)
			resp_put_text(call->answer, commands[i].name);
	} else {
		resp_put_error(call->answer, "ERR only COMMAND, COUNT, DOCS and LIST are answered "
					     "here");
	}
}

static void unknown_put(struct redis_call *call)
{
	const struct resp_word *name = word(call, 0);

	resp_put_error(call->answer, "ERR unknown command '%.*s', with args beginning with: ",
		       (int)(name->length < 128 ? name->length : 128), name->at);
}

static const struct redis_command *command_find(const struct resp_word *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (resp_word_is(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* A browser that was led here by a page of somebody's: it goes before its body is read. */
static bool from_browser(const struct resp_word *name)
{
	return resp_word_is(name, "post") || resp_word_is(name, "host:");
}

static void command_run(struct redis_call *call)
{
	const struct redis_command *command = command_find(word(call, 0));
	unsigned words = call->request->count;

	call->end = command == NULL && from_browser(word(call, 0));
	if (command == NULL)
		unknown_put(call);
	else if (command->words > 0 ? words != (unsigned)command->words
				    : words < (unsigned)-command->words)
		resp_put_error(call->answer, "ERR wrong number of arguments for '%s' command",
			       command->name);
	else if (call->door->password && !call->client->known && !command->stranger)
		resp_put_error(call->answer, "NOAUTH Authentication required.");
	else
		command->run(call);
}

static ssize_t take(void *arg, void *state, const char *bytes, size_t length,
		    struct listener_answer *answer, uint64_t *ret_requests)
{
	struct redis_door *door = arg;
	struct resp_request request;
	struct redis_call call = {.door = door,
				  .client = state,
				  .request = &request,
				  .answer = answer,
				  .now_ns = loop_now()};
	const char *reason = "out of memory";

	resp_reader_begin(door->reader, bytes, length);
	for (int i = 0; i < LISTENER_REQUESTS && answer->length < LISTENER_ANSWER_MAX; i++) {
		int status = resp_reader_next(door->reader, &request, &reason);

		if (status == 0)
			break;
		if (status < 0) {
			resp_put_error(answer, "ERR %s", reason);
			return LISTENER_BAD;
		}
		if (request.count == 0)
			continue;
		++*ret_requests;
		command_run(&call);
		if (call.end)
			return LISTENER_END;
	}
	return (ssize_t)resp_reader_taken(door->reader);
}

const struct listener_protocol redis_protocol = {
	.name = "redis",
	.take = take,
	.state_size = sizeof(struct redis_client),
	.request_max = 16384,
	.full = "-ERR max number of clients reached\r\n",
};

/* ---- making ---------------------------------------------------------------------------------- */

int redis_door_create(struct gatekeeper *gate, uint32_t throttles_max, struct redis_door **ret)
{
	struct redis_door *door = calloc(1, sizeof(*door));
	int error = door ? cells_create(throttles_max, &door->cells) : -ENOMEM;

	if (!error)
		error = resp_reader_create(&door->reader);
	if (error) {
		redis_door_free(door);
		return error;
	}
	door->gate = gate;
	*ret = door;
	return 0;
}

void redis_door_free(struct redis_door *door)
{
	if (door == NULL)
		return;
	cells_free(door->cells);
	resp_reader_free(door->reader);
	free(door);
}

void redis_door_password(struct redis_door *door, const char *password)
{
	door->password = password;
}

void redis_door_tick(struct redis_door *door, uint64_t now_ns)
{
	cells_sweep(door->cells, (int64_t)now_ns);
}

void redis_door_put(const struct redis_door *door, struct json_writer *writer)
{
	json_put_u64(writer, "throttles", cells_count(door->cells));
	json_put_u64(writer, "throttles_refused", door->full);
	json_put_u64(writer, "limited", door->limited);
	json_put_u64(writer, "gate_refused", door->gate_refused);
	json_put_u64(writer, "gate_missing", door->gate_missing);
}
