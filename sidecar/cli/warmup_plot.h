/* SPDX-License-Identifier: MIT
 *
 * The plot of warm-ups: one SVG, a panel a flow, days with mail from left to right.
 */
#ifndef SIDECAR_CLI_WARMUP_PLOT_H
#define SIDECAR_CLI_WARMUP_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "sidecar/base/json.h"

/* A zeroed one is ready. */
struct warmup_plot {
	char *text; /* of the panels so far */
	size_t length;
	unsigned panels;
};

/* Draws a flow, an answer of the command warmup. 0 or -ENOMEM. */
int warmup_plot_add(struct warmup_plot *plot, const struct json *flow);

/* Writes the file, anew. 0 or -errno. */
int warmup_plot_write(const struct warmup_plot *plot, const char *path);
void warmup_plot_free(struct warmup_plot *plot);

#endif
