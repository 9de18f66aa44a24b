/* SPDX-License-Identifier: MIT
 *
 * Rate limiters on Redis: see redis.h. The one file that includes hiredis.
 */
#include "bench/lib/redis.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/now.h"
#include "sidecar/base/random.h"

#define WINDOW_MS 60000
#define LIMIT	  10

/* State: the theoretical arrival time. KEYS[1]; ARGV: interval and burst. Redis's own clock, as it
 * has to be where clients are on several hosts. */
static const char gcra_script[] =
	"local now = redis.call('TIME')\n"
	"local t = now[1] + now[2] / 1000000\n"
	"local interval = tonumber(ARGV[1])\n"
	"local tat = tonumber(redis.call('GET', KEYS[1]) or t)\n"
	"if tat < t then tat = t end\n"
	"local allow_at = tat + interval - interval * tonumber(ARGV[2])\n"
	"if allow_at > t then return {0, tostring(allow_at - t)} end\n"
	"redis.call('SET', KEYS[1], tat + interval, 'EX', math.ceil(tat + interval - t))\n"
	"return {1, '0'}\n";

struct redis_client {
	redisContext *context;
	enum redis_limiter limiter;
	uint64_t random, sequence;
	char sha[64];
	char version[32];
};

static void log_tell(const struct redis_server *server)
{
	char line[512];
	FILE *file = fopen(server->log, "r");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		fprintf(stderr, "redis: %s", line);
	fclose(file);
}

/* The socket's name is there a moment before anybody listens. */
static bool listens(const struct redis_server *server)
{
	redisContext *context = redisConnectUnix(server->socket);
	bool good = context && !context->err;

	if (context)
		redisFree(context);
	return good;
}

/* Until it listens or has ended: how long that takes is the machine's affair. */
static int listen_wait(struct redis_server *server)
{
	while (!listens(server)) {
		if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
			server->pid = 0;
			log_tell(server);
			return -ECHILD;
		}
		usleep(10000);
	}
	return 0;
}

int redis_start(struct redis_server *server)
{
	/* Debian's redis-tools holds the server under this name; its first argument says what it
	 * is. */
	static const char program[] = "/usr/bin/redis-check-rdb";
	int error;

	memset(server, 0, sizeof(*server));
	if (access(program, X_OK) != 0)
		return -ENOENT;
	strcpy(server->folder, "/tmp/tollgate-redis.XXXXXX");
	if (!mkdtemp(server->folder))
		return -errno;
	snprintf(server->socket, sizeof(server->socket), "%s/socket", server->folder);
	snprintf(server->log, sizeof(server->log), "%s/log", server->folder);
	server->pid = fork();
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, "redis-server", "--port", "0", "--unixsocket", server->socket,
		      "--save", "", "--appendonly", "no", "--dir", server->folder, "--daemonize",
		      "no", "--loglevel", "warning", "--logfile", server->log, (char *)NULL);
		_exit(127);
	}
	error = server->pid < 0 ? -errno : listen_wait(server);
	if (error < 0)
		redis_stop(server);
	return error;
}

void redis_stop(struct redis_server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
	}
	server->pid = 0;
	if (server->folder[0]) {
		unlink(server->socket);
		unlink(server->log);
		rmdir(server->folder);
	}
}

static int script_load(struct redis_client *client)
{
	redisReply *reply = redisCommand(client->context, "SCRIPT LOAD %s", gcra_script);
	int error = -EPROTO;

	if (reply && reply->type == REDIS_REPLY_STRING && reply->len < sizeof(client->sha)) {
		strcpy(client->sha, reply->str);
		error = 0;
	}
	freeReplyObject(reply);
	return error;
}

static void version_ask(struct redis_client *client)
{
	redisReply *reply = redisCommand(client->context, "INFO server");
	const char *at = reply && reply->type == REDIS_REPLY_STRING
				 ? strstr(reply->str, "redis_version:")
				 : NULL;

	if (at)
		sscanf(at, "redis_version:%31[^\r\n]", client->version);
	freeReplyObject(reply);
}

int redis_connect(const struct redis_server *server, enum redis_limiter limiter,
		  struct redis_client **ret)
{
	struct redis_client *client = calloc(1, sizeof(*client));
	int error = 0;

	if (!client)
		return -ENOMEM;
	client->limiter = limiter;
	client->random = (uint64_t)getpid();
	client->context = redisConnectUnix(server->socket);
	if (!client->context || client->context->err)
		error = -ECONNREFUSED;
	if (error == 0)
		version_ask(client);
	if (error == 0 && limiter == REDIS_GCRA)
		error = script_load(client);
	if (error < 0)
		redis_close(client);
	else
		*ret = client;
	return error;
}

void redis_close(struct redis_client *client)
{
	if (!client)
		return;
	if (client->context)
		redisFree(client->context);
	free(client);
}

const char *redis_version(struct redis_client *client)
{
	return client->version;
}

static uint32_t flow_draw(struct redis_client *client, uint32_t flows)
{
	return (uint32_t)random_below(&client->random, flows);
}

static void sorted_set_ask(struct redis_client *client, uint32_t flow)
{
	uint64_t now_ms = now_monotonic() / 1000000;

	redisAppendCommand(client->context, "MULTI");
	redisAppendCommand(client->context, "ZREMRANGEBYSCORE limit:%u 0 %llu", flow,
			   (unsigned long long)(now_ms > WINDOW_MS ? now_ms - WINDOW_MS : 0));
	redisAppendCommand(client->context, "ZCARD limit:%u", flow);
	redisAppendCommand(client->context, "ZADD limit:%u %llu %llu", flow,
			   (unsigned long long)now_ms, (unsigned long long)client->sequence++);
	redisAppendCommand(client->context, "EXPIRE limit:%u %d", flow, WINDOW_MS / 1000);
	redisAppendCommand(client->context, "EXEC");
}

/* The answer of EXEC, after five lesser ones. 1 admitted, 0 refused, -errno. */
static int sorted_set_answer(struct redis_client *client)
{
	redisReply *reply;
	int admitted = -EPROTO;

	for (int i = 0; i < 6; i++) {
		if (redisGetReply(client->context, (void **)&reply) != REDIS_OK)
			return -EPIPE;
		if (i == 5 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 4)
			admitted = reply->element[1]->integer < LIMIT;
		freeReplyObject(reply);
	}
	return admitted;
}

/* Five integers, of which the first is 0 where it is admitted. */
static int cell_answer(struct redis_client *client)
{
	redisReply *reply;
	int admitted = -EPROTO;

	if (redisGetReply(client->context, (void **)&reply) != REDIS_OK)
		return -EPIPE;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 5)
		admitted = reply->element[0]->integer == 0;
	freeReplyObject(reply);
	return admitted;
}

static int gcra_answer(struct redis_client *client)
{
	redisReply *reply;
	int admitted = -EPROTO;

	if (redisGetReply(client->context, (void **)&reply) != REDIS_OK)
		return -EPIPE;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
		admitted = reply->element[0]->integer == 1;
	freeReplyObject(reply);
	return admitted;
}

static void ask(struct redis_client *client, uint32_t flow)
{
	if (client->limiter == REDIS_SORTED_SET)
		sorted_set_ask(client, flow);
	else if (client->limiter == REDIS_CELL)
		redisAppendCommand(client->context, "CL.THROTTLE gcra:%u %d %d %d", flow, LIMIT - 1,
				   LIMIT, WINDOW_MS / 1000);
	else
		redisAppendCommand(client->context, "EVALSHA %s 1 gcra:%u %d %d", client->sha, flow,
				   WINDOW_MS / 1000 / LIMIT, LIMIT);
}

static int answer_of(struct redis_client *client)
{
	return client->limiter == REDIS_SORTED_SET ? sorted_set_answer(client)
	       : client->limiter == REDIS_CELL	   ? cell_answer(client)
						   : gcra_answer(client);
}

int redis_decide(struct redis_client *client, uint32_t depth, uint32_t flows,
		 uint64_t *ret_admitted)
{
	for (uint32_t i = 0; i < depth; i++)
		ask(client, flow_draw(client, flows));
	for (uint32_t i = 0; i < depth; i++) {
		int admitted = answer_of(client);

		if (admitted < 0)
			return admitted;
		*ret_admitted += (uint64_t)admitted;
	}
	return 0;
}
