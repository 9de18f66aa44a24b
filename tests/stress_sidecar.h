/* SPDX-License-Identifier: MIT
 *
 * A real tollgated for stress programs, on a segment of its own in /dev/shm.
 */
#ifndef TESTS_STRESS_SIDECAR_H
#define TESTS_STRESS_SIDECAR_H

#include "bench/lib/daemon.h"
#include "tests/stress_workers.h"

struct stress_sidecar {
	struct fixture f; /* the folder that holds segment and configuration, with its guardian */
	char segment[96];
	char config[96];
	char log[96];
	pid_t pid;
};

/* sizes: keys of the segment's section; limits, and further keys on lines after it. */
static inline void sidecar_configure_sizes(struct stress_sidecar *s, const char *sizes,
					   const char *limits)
{
	FILE *file = fopen(s->config, "w");

	must(file != NULL);
	fprintf(file, "segment: {path: %s, workers: 16, %s}\nlog: {level: info}\nlimits: %s\n",
		s->segment, sizes, limits);
	fclose(file);
}

static inline void sidecar_configure(struct stress_sidecar *s, const char *limits)
{
	fixture_begin(&s->f);
	snprintf(s->segment, sizeof(s->segment), "%s/segment", s->f.path);
	snprintf(s->config, sizeof(s->config), "%s/tollgate.yaml", s->f.path);
	snprintf(s->log, sizeof(s->log), "%s/log", s->f.path);
	sidecar_configure_sizes(s, "flows: 500, ring: 256", limits);
}

static inline void sidecar_start(struct stress_sidecar *s)
{
	const char *build = getenv("TG_BUILD");

	s->pid = daemon_spawn(build ? build : "build", s->config, s->log, NULL);
	must(s->pid > 0);
}

/* Ends it by a signal and returns how it ended. */
static inline int sidecar_end(struct stress_sidecar *s, int number)
{
	int status = 0;

	must(s->pid > 0 && kill(s->pid, number) == 0);
	waitpid(s->pid, &status, 0);
	return status;
}

static inline bool sidecar_lives(const struct stress_sidecar *s)
{
	return waitpid(s->pid, NULL, WNOHANG) == 0;
}

/* What it said, for a failure. */
static inline void sidecar_tell(const struct stress_sidecar *s)
{
	FILE *file = fopen(s->log, "r");
	char line[512];

	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		fprintf(stderr, "%s", line);
	fclose(file);
}

/* Waits for a segment that can be attached to. */
static inline struct tg *sidecar_attach(const struct stress_sidecar *s)
{
	struct tg *tg = NULL;
	int error = daemon_attach(s->segment, s->pid, &tg);

	if (error != 0)
		sidecar_tell(s);
	stress_expect(error == 0, "cannot attach: %d", error);
	return tg;
}

/* Until the sidecar has looked at all that was done before: a beat that began after it is over. */
static inline void sidecar_look(struct tg *tg)
{
	for (int i = 0; i < 2; i++) {
		uint64_t heart = atomic_load(&tg->live->heartbeat_ns);

		stress_until(atomic_load(&tg->live->heartbeat_ns) != heart, "no heartbeat");
	}
}

static inline void sidecar_clear(struct stress_sidecar *s)
{
	fixture_clear(s->f.path);
}

static inline bool sidecar_flow(struct tg *tg, const char *address, struct tg_flow *ret)
{
	struct tg_destination destination;
	struct tg_source source;

	return tg_source(tg, address, &source) == 0 &&
	       tg_destination(tg, "mx.example.org", &destination) == 0 &&
	       tg_flow(tg, &source, &destination, ret) == 0;
}

#endif
