/* SPDX-License-Identifier: MIT
 *
 * Any bytes at the control socket of a whole engine, by root: each command with any arguments, half
 * ones, several in a piece. Whatever came, the next client is told the status, in whole lines of
 * JSON that end.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sidecar/api/api.h"
#include "tests/segment_fixture.h"

#define ANSWER_MAX (4u << 20)
#define SURE_NS	   UINT64_C(60000000000) /* of what is answered for sure */
#define END_NS	   UINT64_C(20000000)	 /* then the client hangs up */

static struct {
	struct fixture fixture;
	struct loop *loop;
	struct engine *engine;
	struct generation generation;
	struct control_socket *server;
	struct gate_bridge *gate;
	struct logs *logs;
	struct doors *doors;
	struct ring_reader_totals drained;
	struct rate_meter recent;
	struct api_reload_result reloaded;
	struct api_context context;
	int timer, fd, watch;
	char answer[ANSWER_MAX + 1];
	size_t length;
	bool ended;
} world;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void too_late(void *arg, uint64_t now_ns)
{
	loop_stop(world.loop);
}

static void answered(void *arg, int revents)
{
	ssize_t got = recv(world.fd, world.answer + world.length, ANSWER_MAX - world.length,
			   MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		world.length += (size_t)got;
		if (world.length < ANSWER_MAX)
			return;
	}
	world.ended = got <= 0;
	loop_stop(world.loop);
}

static uint64_t reload(void *daemon)
{
	return world.reloaded.done;
}

static uint64_t repaired(const void *daemon)
{
	return 0;
}

static void store(const void *daemon, struct json_writer *out)
{
	json_put_null(out, "store");
}

static void world_end(void)
{
	control_socket_free(world.server);
	api_end(&world.context);
	doors_free(world.doors);
	logs_free(world.logs);
	gate_bridge_free(world.gate);
	engine_free(world.engine);
	fixture_end(&world.fixture);
}

static void parts_make(void)
{
	const struct intake_gate none = {0};
	const struct doors_options doors = {.loop = world.loop,
					    .engine = world.engine,
					    .segment = world.fixture.path,
					    .owner = geteuid()};
	char reason[SEGMENT_REASON];

	must(control_socket_create(world.loop, world.fixture.segment->folder, -1, &world.server,
				   reason) == 0);
	must(gate_bridge_create(world.loop, world.fixture.segment, world.engine, world.server,
				world.generation.config, &world.gate) == 0);
	must(logs_create(world.loop, world.fixture.segment->folder, world.engine, &none,
			 &world.logs) == 0);
	must(doors_create(&doors, &world.doors) == 0);
	world.context = (struct api_context){.loop = world.loop,
					     .segment = world.fixture.segment,
					     .engine = world.engine,
					     .server = world.server,
					     .gate = world.gate,
					     .logs = world.logs,
					     .doors = world.doors,
					     .generation = &world.generation,
					     .drained = &world.drained,
					     .recent = &world.recent,
					     .reload = reload,
					     .reload_result = &world.reloaded,
					     .repaired = repaired,
					     .store = store};
	must(api_register(&world.context) == 0);
}

static void world_make(void)
{
	struct diagnostics report = {0};
	char reason[SEGMENT_REASON], path[100];
	FILE *file;

	fixture_begin(&world.fixture);
	world.fixture.options.sizes.names_bytes = 1 << 20;
	engine_shape(&world.fixture.options);
	fixture_reopen(&world.fixture);
	snprintf(path, sizeof(path), "%s/yaml", world.fixture.path);
	file = fopen(path, "w");
	must(file != NULL);
	fprintf(file, "builtin_rules: false\n"
		      "pools: [{name: p, sources: [192.0.2.1, 192.0.2.2, acme]}]\n"
		      "warmup: {flows: [{pool: p, schedule: sparkpost}]}\n");
	fclose(file);
	must(generation_load(path, &world.generation, &report) == 0);
	must(loop_create(&world.loop, reason) == 0);
	must(engine_create(world.fixture.segment, &world.engine) == 0);
	must(engine_configure(world.engine, world.generation.config, world.generation.classifier,
			      world.generation.rules, loop_now()) == 0);
	parts_make();
	world.timer = loop_timer(world.loop, too_late, NULL);
	atexit(world_end);
}

/* Sends, says that this was all, and hears what comes until the end, or for so long. */
static void ask(const void *bytes, size_t length, uint64_t most_ns)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int size = 1 << 20;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SERVER_SOCKET,
		 world.fixture.segment->path);
	world.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(world.fd >= 0);
	setsockopt(world.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	must(connect(world.fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	if (send(world.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		must(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
	shutdown(world.fd, SHUT_WR);
	world.length = 0;
	world.ended = false;
	world.watch = loop_watch(world.loop, world.fd, POLLIN, answered, NULL);
	loop_timer_set(world.loop, world.timer, loop_now() + most_ns);
	must(loop_run(world.loop) == 0);
	loop_timer_set(world.loop, world.timer, LOOP_NEVER);
	loop_unwatch(world.loop, world.watch);
	close(world.fd);
	world.answer[world.length] = '\0';
}

static void lines_look(void)
{
	char reason[JSON_REASON];

	for (char *line = world.answer, *stop; *line; line = stop + 1) {
		struct json *json;

		stop = strchr(line, '\n');
		if (stop == NULL) {
			must(!world.ended || world.length == ANSWER_MAX);
			return;
		}
		must(json_read(line, (size_t)(stop - line), &json, reason) == 0);
		json_release(json);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char status[] = "{\"command\": \"status\"}\n";

	if (world.loop == NULL)
		world_make();
	ask(data, size, END_NS);
	lines_look();
	ask(status, sizeof(status) - 1, SURE_NS);
	lines_look();
	must(world.ended && strncmp(world.answer, "{\"ok\": true}", 12) == 0);
	must(strcmp(world.answer + world.length - 14, "{\"end\": true}\n") == 0);
	return 0;
}
