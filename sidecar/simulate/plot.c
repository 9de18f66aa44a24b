/* SPDX-License-Identifier: MIT
 *
 * The plot of a run: one SVG, a panel a receiver, time from left to right, messages per minute
 * upwards. The hidden limit is a black line; each policy's accepted rate a coloured one, the
 * oracle's dashed above the others; what was deferred stands below in a strip for each policy;
 * outages and blocks that began by themselves are shaded. A legend says so.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/base/xml.h"
#include "sidecar/simulate/report.h"

#define WIDTH  960
#define LEFT   110
#define RIGHT  20
#define TOP    40
#define HEIGHT 240 /* of a panel's drawing */
#define STRIP  12  /* of a policy's deferrals */
#define MARGIN 48
#define LEGEND 40 /* two rows */

static const char *const colours[] = {"#0a6ed1", "#d14a0a", "#8a5fbf",
				      "#2e8b57", "#c0a000", "#888888"};

#define OUTAGE "#ddd"
#define BLOCK  "#f6d5c8"
#define DASHED " stroke-dasharray='5 3'"

static bool is_oracle(const struct simulate_result *result)
{
	return strcmp(result->policy, "oracle") == 0;
}

struct panel {
	FILE *out;
	const struct scenario *scenario;
	const struct scenario_receiver *receiver;
	size_t index;
	double accounts; /* that the limit holds for, each by itself */
	double max;	 /* messages a minute at the top */
	double top;
	size_t strips; /* a policy each */
};

static double panel_height(size_t strips)
{
	return TOP + HEIGHT + STRIP * (double)strips + MARGIN;
}

static const char *colour_of(size_t policy)
{
	return colours[policy % (sizeof colours / sizeof *colours)];
}

static double x_of(const struct panel *panel, double ns)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * ns / (double)panel->scenario->duration_ns;
}

static double y_of(const struct panel *panel, double per_minute)
{
	return panel->top + HEIGHT * (1 - fmin(per_minute, panel->max) / panel->max);
}

static double slot_minutes(const struct scenario *scenario)
{
	return (double)scenario->duration_ns / SIMULATE_SLOTS / UNITS_MINUTE_NS;
}

static bool writes(const struct scenario *scenario, uint32_t source, uint32_t receiver)
{
	for (size_t t = 0; t < scenario->traffic_count; t++)
		if (scenario->traffic[t].receiver == receiver &&
		    scenario->traffic[t].pool == scenario->sources[source].pool)
			return true;
	return false;
}

/* How many times over the limit holds: once for those that are counted together. */
static double accounts_of(const struct scenario *scenario, uint32_t receiver)
{
	bool counted[SCENARIO_SOURCES_MAX] = {false};
	double count = 0;

	for (uint32_t s = 0; s < scenario->source_count; s++) {
		uint32_t account = scenario_account(scenario, receiver, s);

		if (counted[account] || !writes(scenario, s, receiver))
			continue;
		counted[account] = true;
		count++;
	}
	return count;
}

static double highest_of(const struct simulate_series *series)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < SIMULATE_SLOTS; i++)
		if (series->accepted[i] > highest)
			highest = series->accepted[i];
	return highest;
}

/* The scale: up to a little above the highest limit, or where there is none the highest rate. */
static double scale_of(const struct panel *panel, const struct simulate_result *results,
		       size_t count)
{
	const struct scenario_receiver *receiver = panel->receiver;
	double max = isfinite(receiver->accept.rate) ? receiver->accept.rate : 0, highest = 0;

	for (size_t i = 0; i < receiver->change_count; i++)
		if (isfinite(receiver->changes[i].accept.rate))
			max = fmax(max, receiver->changes[i].accept.rate);
	max *= 60 * panel->accounts;
	for (size_t i = 0; max == 0 && i < count; i++)
		highest = fmax(highest, highest_of(&results[i].series[panel->index]));
	if (max == 0)
		max = highest / slot_minutes(panel->scenario);
	return max > 0 ? 1.5 * max : 1;
}

static void draw_frame(const struct panel *panel)
{
	unsigned hours = (unsigned)(panel->scenario->duration_ns / UNITS_HOUR_NS);
	unsigned step = hours <= 12 ? 1 : hours <= 48 ? 4 : hours <= 240 ? 24 : 168;

	fprintf(panel->out, "<text x='%d' y='%.0f' font-weight='bold'>", LEFT, panel->top - 10);
	xml_escape(panel->out, panel->receiver->destination);
	fprintf(panel->out,
		"</text>\n<rect x='%d' y='%.1f' width='%d' height='%d' fill='none' "
		"stroke='#bbb'/>\n",
		LEFT, panel->top, WIDTH - LEFT - RIGHT, HEIGHT);
	for (unsigned hour = 0; hour <= hours; hour += step)
		fprintf(panel->out, "<text x='%.1f' y='%.1f' text-anchor='middle'>%u</text>\n",
			x_of(panel, (double)hour * UNITS_HOUR_NS), panel->top + HEIGHT + 16, hour);
	for (int i = 0; i <= 3; i++)
		fprintf(panel->out, "<text x='%d' y='%.1f' text-anchor='end'>%.4g</text>\n",
			LEFT - 6, y_of(panel, panel->max * i / 3) + 4, panel->max * i / 3);
	fprintf(panel->out,
		"<text x='40' y='%.0f' transform='rotate(-90 40 %.0f)' "
		"text-anchor='middle'>messages accepted a minute</text>\n",
		panel->top + HEIGHT / 2.0, panel->top + HEIGHT / 2.0);
	fprintf(panel->out, "<text x='%d' y='%.1f' text-anchor='end'>hours of the run</text>\n",
		WIDTH - RIGHT, panel->top + HEIGHT + 30);
	fprintf(panel->out, "<text x='%d' y='%.1f'>deferred, a strip a policy</text>\n", LEFT,
		panel->top + HEIGHT + 30);
}

static void draw_shade(const struct panel *panel, uint64_t at_ns, uint64_t for_ns,
		       const char *colour)
{
	uint64_t end = at_ns + for_ns;

	if (at_ns >= panel->scenario->duration_ns)
		return;
	if (end > panel->scenario->duration_ns)
		end = panel->scenario->duration_ns;
	fprintf(panel->out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' fill='%s'/>\n",
		x_of(panel, (double)at_ns), panel->top,
		x_of(panel, (double)end) - x_of(panel, (double)at_ns), HEIGHT, colour);
}

static void draw_trouble(const struct panel *panel)
{
	for (size_t i = 0; i < panel->receiver->outage_count; i++)
		draw_shade(panel, panel->receiver->outages[i].at_ns,
			   panel->receiver->outages[i].for_ns, OUTAGE);
	for (size_t i = 0; i < panel->receiver->block_count; i++)
		draw_shade(panel, panel->receiver->blocks[i].at_ns,
			   panel->receiver->blocks[i].for_ns, BLOCK);
}

static void draw_limit(const struct panel *panel)
{
	const struct scenario_receiver *receiver = panel->receiver;
	double rate = receiver->accept.rate;

	fprintf(panel->out,
		"<polyline fill='none' stroke='black' stroke-width='1.6' points='%d,%.1f", LEFT,
		y_of(panel, rate * 60 * panel->accounts));
	for (size_t i = 0; i < receiver->change_count; i++) {
		double x = x_of(panel, (double)receiver->changes[i].at_ns);

		if (receiver->changes[i].at_ns >= panel->scenario->duration_ns)
			break;
		fprintf(panel->out, " %.1f,%.1f", x, y_of(panel, rate * 60 * panel->accounts));
		rate = receiver->changes[i].accept.rate;
		fprintf(panel->out, " %.1f,%.1f", x, y_of(panel, rate * 60 * panel->accounts));
	}
	fprintf(panel->out, " %d,%.1f'/>\n", WIDTH - RIGHT,
		y_of(panel, rate * 60 * panel->accounts));
}

/* The accepted rate as a line. The oracle's is dashed, so that one that keeps up with it shows. */
static void draw_result(const struct panel *panel, const struct simulate_result *result,
			size_t policy)
{
	const struct simulate_series *series = &result->series[panel->index];
	double slot_ns = (double)panel->scenario->duration_ns / SIMULATE_SLOTS;

	fprintf(panel->out, "<polyline fill='none' stroke='%s' stroke-width='%s'%s points='",
		colour_of(policy), is_oracle(result) ? "1.6" : "1.2",
		is_oracle(result) ? DASHED : "");
	for (size_t i = 0; i < SIMULATE_SLOTS; i++)
		fprintf(panel->out, "%s%.1f,%.1f", i ? " " : "",
			x_of(panel, slot_ns * ((double)i + 0.5)),
			y_of(panel, series->accepted[i] / slot_minutes(panel->scenario)));
	fputs("'/>\n", panel->out);
}

/* Each slot with deferrals as a tick, darker the more there are. */
static void draw_strip(const struct panel *panel, const struct simulate_result *result,
		       size_t policy)
{
	const struct simulate_series *series = &result->series[panel->index];
	double slot_ns = (double)panel->scenario->duration_ns / SIMULATE_SLOTS;
	double top = panel->top + HEIGHT + MARGIN - 12 + STRIP * (double)policy;

	fprintf(panel->out, "<text x='%d' y='%.1f' text-anchor='end' fill='%s'>%s</text>\n",
		LEFT - 6, top + STRIP - 3, colour_of(policy), result->policy);
	fprintf(panel->out, "<rect x='%d' y='%.1f' width='%d' height='%d' fill='#f6f6f6'/>\n", LEFT,
		top, WIDTH - LEFT - RIGHT, STRIP - 2);
	for (size_t i = 0; i < SIMULATE_SLOTS; i++)
		if (series->deferred[i])
			fprintf(panel->out,
				"<rect x='%.1f' y='%.1f' width='1.6' height='%d' fill='%s' "
				"fill-opacity='%.2f'/>\n",
				x_of(panel, slot_ns * (double)i), top, STRIP - 2, colour_of(policy),
				fmin(1, 0.3 + 0.1 * series->deferred[i]));
}

static void draw_sample(FILE *out, int x, int y, const char *colour, const char *dashes,
			const char *text)
{
	fprintf(out,
		"<line x1='%d' y1='%d' x2='%d' y2='%d' stroke='%s' stroke-width='2'%s/>\n"
		"<text x='%d' y='%d'>%s</text>\n",
		x, y - 4, x + 22, y - 4, colour, dashes, x + 27, y, text);
}

static void draw_swatch(FILE *out, int x, int y, const char *colour, const char *text)
{
	fprintf(out,
		"<rect x='%d' y='%d' width='22' height='10' fill='%s'/>\n"
		"<text x='%d' y='%d'>%s</text>\n",
		x, y - 9, colour, x + 27, y, text);
}

static void draw_legend(FILE *out, const struct simulate_result *results, size_t count)
{
	draw_sample(out, LEFT, 18, "black", "", "the limit that the receiver hides");
	draw_swatch(out, LEFT + 230, 18, OUTAGE, "outage");
	draw_swatch(out, LEFT + 310, 18, BLOCK, "block that begins by itself");
	for (size_t i = 0; i < count; i++)
		draw_sample(out, LEFT + 125 * (int)i, 36, colour_of(i),
			    is_oracle(&results[i]) ? DASHED : "", results[i].policy);
}

static void draw_panel(const struct panel *panel, const struct simulate_result *results)
{
	draw_trouble(panel);
	draw_frame(panel);
	for (int oracle = 0; oracle < 2; oracle++)
		for (size_t i = panel->strips; i-- > 0;)
			if (is_oracle(&results[i]) == oracle)
				draw_result(panel, &results[i], i);
	for (size_t i = 0; i < panel->strips; i++)
		draw_strip(panel, &results[i], i);
	draw_limit(panel);
}

int simulate_report_plot(const char *path, const struct scenario *scenario,
			 const struct simulate_outcome *outcome)
{
	const struct simulate_result *results = outcome->results;
	size_t count = outcome->count;
	FILE *out = fopen(path, "we");
	int rc = 0;

	if (!out)
		return -errno;
	fprintf(out,
		"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %.0f' "
		"font-family='sans-serif' font-size='11'>\n<rect width='100%%' height='100%%' "
		"fill='white'/>\n",
		WIDTH, LEGEND + panel_height(count) * scenario->receiver_count);
	draw_legend(out, results, count);
	for (size_t r = 0; r < scenario->receiver_count; r++) {
		struct panel panel = {
			.out = out,
			.scenario = scenario,
			.receiver = &scenario->receivers[r],
			.index = r,
			.accounts = accounts_of(scenario, (uint32_t)r),
			.top = LEGEND + TOP + panel_height(count) * (double)r,
			.strips = count,
		};

		panel.max = scale_of(&panel, results, count);
		draw_panel(&panel, results);
	}
	fputs("</svg>\n", out);
	if (ferror(out))
		rc = -EIO;
	if (fclose(out) != 0 && !rc)
		rc = -errno;
	return rc;
}
