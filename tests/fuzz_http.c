/* SPDX-License-Identifier: MIT
 *
 * Any bytes at the HTTP door of a whole engine: as a request, as a body that is posted, as frames of
 * a WebSocket. The first byte chooses. The door must go on answering, to as many clients as may be,
 * so let go of each that has hung up; and say nothing that could not stand in a shaping file.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sidecar/config/generation.h"
#include "sidecar/engine/engine.h"
#include "sidecar/http/door.h"
#include "sidecar/io/loop.h"
#include "tests/segment_fixture.h"

#define ANSWER_MAX (1u << 20)
#define SURE_NS	   UINT64_C(60000000000) /* of what is answered for sure */
#define END_NS	   UINT64_C(50000000)	 /* then the client hangs up */

static struct {
	struct fixture fixture;
	struct loop *loop;
	struct engine *engine;
	struct generation generation;
	struct door *door;
	char socket[100];
	int timer, fd, watch;
	char answer[ANSWER_MAX];
	size_t length;
	bool ended;
	bool head; /* no more is waited for than an answer's head */
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
	if (got > 0 && world.length + (size_t)got < ANSWER_MAX) {
		world.length += (size_t)got;
		if (world.head && memmem(world.answer, world.length, "\r\n\r\n", 4))
			loop_stop(world.loop);
		return;
	}
	world.ended = true;
	loop_stop(world.loop);
}

static void world_end(void)
{
	door_free(world.door);
	engine_free(world.engine);
	fixture_end(&world.fixture);
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
	snprintf(world.socket, sizeof(world.socket), "%s/http", world.fixture.path);
	snprintf(path, sizeof(path), "%s/yaml", world.fixture.path);
	file = fopen(path, "w");
	must(file != NULL);
	fprintf(file,
		"builtin_rules: false\n"
		"pools: [{name: p, sources: [192.0.2.1, acme]}]\n"
		"http: {listen: ['unix:%s'], kumomta: true, halon: true, sources: [{name: n, address: acme}]}\n",
		world.socket);
	fclose(file);
	must(generation_load(path, &world.generation, &report) == 0);
	must(loop_create(&world.loop, reason) == 0);
	must(engine_create(world.fixture.segment, &world.engine) == 0);
	must(engine_configure(world.engine, world.generation.config, world.generation.classifier,
			      world.generation.rules, loop_now()) == 0);
	must(door_create(world.loop, world.fixture.segment, world.engine, world.generation.config,
			 -1, &world.door) == 0);
	door_configure(world.door, world.generation.config);
	world.timer = loop_timer(world.loop, too_late, NULL);
	atexit(world_end);
}

static void client_begin(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int size = 4 << 20;

	strcpy(address.sun_path, world.socket);
	world.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(world.fd >= 0);
	setsockopt(world.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	must(connect(world.fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	world.length = 0;
	world.ended = false;
}

static void client_send(const void *bytes, size_t length)
{
	/* What does not fit into the socket's buffer at once is not worth waiting for. */
	if (send(world.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		must(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
}

/* Runs the loop until the door has answered, or closed. */
static void client_wait(bool head, uint64_t most_ns)
{
	world.head = head;
	world.watch = loop_watch(world.loop, world.fd, POLLIN, answered, NULL);
	loop_timer_set(world.loop, world.timer, loop_now() + most_ns);
	must(loop_run(world.loop) == 0);
	loop_timer_set(world.loop, world.timer, LOOP_NEVER);
	loop_unwatch(world.loop, world.watch);
}

static void client_finish(uint64_t most_ns)
{
	shutdown(world.fd, SHUT_WR);
	if (!world.ended)
		client_wait(false, most_ns);
	close(world.fd);
}

static void post(const char *path, const uint8_t *body, size_t size)
{
	char head[200];
	int length =
		snprintf(head, sizeof(head),
			 "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", path, size);

	client_begin();
	client_send(head, (size_t)length);
	client_send(body, size);
	client_finish(END_NS);
}

static void shaping_look(void)
{
	static const char get[] = "GET /get_config_v1/shaping.toml HTTP/1.0\r\n\r\n";
	const char *body;

	client_begin();
	client_send(get, sizeof(get) - 1);
	client_finish(SURE_NS);
	world.answer[world.length < ANSWER_MAX ? world.length : ANSWER_MAX - 1] = '\0';
	body = strstr(world.answer, "\r\n\r\n");
	must(body != NULL && strncmp(world.answer + 8, " 200", 4) == 0);
	for (body += 4; body < world.answer + world.length; body++)
		must((*body >= ' ' && *body <= '~' && *body != '\\') || *body == '\n');
}

static void frames(const char *path, const uint8_t *data, size_t size)
{
	char head[300];
	int length = snprintf(head, sizeof(head),
			      "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: "
			      "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
			      "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			      path);

	client_begin();
	client_send(head, (size_t)length);
	client_wait(true, SURE_NS); /* the door refuses what comes before it has accepted */
	client_send(data, size);
	client_finish(END_NS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (world.loop == NULL)
		world_make();
	if (size == 0)
		return 0;
	switch (data[0] % 7) {
	case 0: post("/events", data + 1, size - 1); break;
	case 1: post("/sendgrid", data + 1, size - 1); break;
	case 2:
		post("/publish_log_v1", data + 1, size - 1);
		shaping_look();
		break;
	case 3: frames("/subscribe_event_v1", data + 1, size - 1); break;
	case 4: frames("/subscribe_suspension_v1", data + 1, size - 1); break;
	case 6: frames("/policyd", data + 1, size - 1); break;
	default:
		client_begin();
		client_send(data + 1, size - 1);
		client_finish(END_NS);
	}
	return 0;
}
