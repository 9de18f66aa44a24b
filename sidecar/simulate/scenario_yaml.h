/* SPDX-License-Identifier: MIT
 *
 * A scenario's file as it is written: the texts of its YAML, in the shape of the schema. What they
 * mean is scenario.c's business. A key that is not there is NULL, a list that is not there
 * is empty.
 */
#ifndef SIDECAR_SIMULATE_SCENARIO_YAML_H
#define SIDECAR_SIMULATE_SCENARIO_YAML_H

#include <stddef.h>

#include "sidecar/base/yaml.h"

struct file_accept {
	char *rate, *burst, *connections, *per_connection, *hour, *day;
};

struct file_source {
	char *address, *pool;
};

struct file_traffic {
	char *pool, *destination, *class, *messages, *start, *over, *arrival;
};

struct file_over {
	char *rate, *connections, *per_connection, *hour, *day;
};

struct file_penalty {
	char *when, *hold, *repeat, *reply;
};

struct file_history {
	char *factor, *floor, *over;
};

struct file_greylist {
	char *delay, *reply;
};

struct file_noise {
	char *share, *reply;
};

struct file_change {
	char *at;
	struct file_accept accept;
};

struct file_outage {
	char *at, *length, *reply;
};

struct file_windows {
	char *kind, *phase;
};

struct file_receiver {
	char *destination;
	struct file_accept accept;
	struct file_windows *windows;
	char *windows_kind; /* where `windows` is a word */
	struct file_over *over;
	char *over_text; /* where `over` is a text */
	struct file_penalty *penalty;
	struct file_history *history;
	struct file_greylist *greylist;
	struct file_noise *noise;
	struct file_noise *noises; /* where `noise` is a list */
	unsigned noises_count;
	struct file_change *changes;
	unsigned changes_count;
	struct file_outage *outages;
	unsigned outages_count;
	char *latency;
};

struct file {
	char *duration, *seed;
	struct file_source *sources;
	unsigned sources_count;
	struct file_traffic *traffic;
	unsigned traffic_count;
	struct file_receiver *receivers;
	unsigned receivers_count;
};

/* 0; -EINVAL or -ENOMEM with *error filled. The marks are those of the text as it was written. The
 * caller frees both. */
int simulate_file_load(const char *text, size_t length, const char *name, struct file **ret,
		       struct yaml_marks **ret_marks, struct yaml_error *error);
void simulate_file_free(struct file *file);

#endif
