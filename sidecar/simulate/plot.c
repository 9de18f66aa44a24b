/* SPDX-License-Identifier: MIT
 *
 * The plot of a run: one SVG, a panel a receiver, time from left to right, messages per minute
 * upwards. The hidden limit is a black line; each policy's accepted rate a coloured one; what was
 * deferred stands as ticks below; outages are grey.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/units.h"
#include "sidecar/simulate/report.h"

#define WIDTH  960
#define LEFT   70
#define RIGHT  20
#define TOP    40
#define HEIGHT 240 /* of a panel's drawing */
#define TICKS  14  /* of deferrals, a row a policy */
#define MARGIN 40

static const char *const colours[] = {"#0a6ed1", "#d14a0a", "#8a5fbf",
				      "#2e8b57", "#c0a000", "#888888"};

struct panel {
	FILE *out;
	const struct scenario *scenario;
	const struct scenario_receiver *receiver;
	size_t index;
	double accounts; /* that the limit holds for, each by itself */
	double max;	 /* messages a minute at the top */
	double top;
};

static double x_of(const struct panel *panel, double ns)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * ns / (double)panel->scenario->duration_ns;
}

static double y_of(const struct panel *panel, double per_minute)
{
	return panel->top + HEIGHT * (1 - fmin(per_minute, panel->max) / panel->max);
}

static void escape(FILE *out, const char *text)
{
	for (; *text; text++)
		if (strchr("<>&\"'", *text) || (unsigned char)*text < ' ')
			fprintf(out, "&#%d;", (unsigned char)*text);
		else
			fputc(*text, out);
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
	escape(panel->out, panel->receiver->destination);
	fprintf(panel->out,
		"</text>\n<rect x='%d' y='%.1f' width='%d' height='%d' fill='none' "
		"stroke='#bbb'/>\n",
		LEFT, panel->top, WIDTH - LEFT - RIGHT, HEIGHT);
	for (unsigned hour = 0; hour <= hours; hour += step)
		fprintf(panel->out, "<text x='%.1f' y='%.1f' text-anchor='middle'>%uh</text>\n",
			x_of(panel, (double)hour * UNITS_HOUR_NS),
			panel->top + HEIGHT + MARGIN + TICKS, hour);
	for (int i = 0; i <= 3; i++)
		fprintf(panel->out, "<text x='%d' y='%.1f' text-anchor='end'>%.4g</text>\n",
			LEFT - 6, y_of(panel, panel->max * i / 3) + 4, panel->max * i / 3);
	fprintf(panel->out,
		"<text x='14' y='%.0f' transform='rotate(-90 14 %.0f)' "
		"text-anchor='middle'>messages/min</text>\n",
		panel->top + HEIGHT / 2.0, panel->top + HEIGHT / 2.0);
}

static void draw_outages(const struct panel *panel)
{
	for (size_t i = 0; i < panel->receiver->outage_count; i++) {
		const struct scenario_outage *outage = &panel->receiver->outages[i];
		uint64_t end = outage->at_ns + outage->for_ns;

		if (outage->at_ns >= panel->scenario->duration_ns)
			continue;
		if (end > panel->scenario->duration_ns)
			end = panel->scenario->duration_ns;
		fprintf(panel->out,
			"<rect x='%.1f' y='%.1f' width='%.1f' height='%d' fill='#ddd'/>\n",
			x_of(panel, (double)outage->at_ns), panel->top,
			x_of(panel, (double)end) - x_of(panel, (double)outage->at_ns), HEIGHT);
	}
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

/* The accepted rate as a line, and each slot with deferrals as a tick, darker the more there are.
 */
static void draw_result(const struct panel *panel, const struct simulate_result *result, size_t row,
			size_t rows)
{
	const struct simulate_series *series = &result->series[panel->index];
	double slot_ns = (double)panel->scenario->duration_ns / SIMULATE_SLOTS;
	double height = (double)TICKS / (double)rows;
	const char *colour = colours[row % (sizeof colours / sizeof *colours)];

	fprintf(panel->out, "<polyline fill='none' stroke='%s' stroke-width='1.1' points='",
		colour);
	for (size_t i = 0; i < SIMULATE_SLOTS; i++)
		fprintf(panel->out, "%s%.1f,%.1f", i ? " " : "",
			x_of(panel, slot_ns * ((double)i + 0.5)),
			y_of(panel, series->accepted[i] / slot_minutes(panel->scenario)));
	fputs("'/>\n", panel->out);
	for (size_t i = 0; i < SIMULATE_SLOTS; i++)
		if (series->deferred[i])
			fprintf(panel->out,
				"<rect x='%.1f' y='%.1f' width='1.6' height='%.1f' fill='%s' "
				"fill-opacity='%.2f'/>\n",
				x_of(panel, slot_ns * (double)i),
				panel->top + HEIGHT + 4 + height * (double)row, height, colour,
				fmin(1, 0.3 + 0.1 * series->deferred[i]));
}

static void draw_legend(FILE *out, const struct simulate_result *results, size_t count)
{
	fprintf(out, "<text x='%d' y='18'>hidden limit</text>\n", LEFT);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "<text x='%zu' y='18' fill='%s'>%s</text>\n", LEFT + 110 + 90 * i,
			colours[i % (sizeof colours / sizeof *colours)], results[i].policy);
	fprintf(out, "<text x='%d' y='18' text-anchor='end'>accepted; below: deferred</text>\n",
		WIDTH - RIGHT);
}

int simulate_report_plot(const char *path, const struct scenario *scenario,
			 const struct simulate_outcome *outcome)
{
	const struct simulate_result *results = outcome->results;
	size_t count = outcome->count;
	int panel_height = TOP + HEIGHT + TICKS + MARGIN + 10;
	FILE *out = fopen(path, "we");
	int rc = 0;

	if (!out)
		return -errno;
	fprintf(out,
		"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %u' "
		"font-family='sans-serif' font-size='11'>\n<rect width='100%%' height='100%%' "
		"fill='white'/>\n",
		WIDTH, 20 + panel_height * scenario->receiver_count);
	draw_legend(out, results, count);
	for (size_t r = 0; r < scenario->receiver_count; r++) {
		struct panel panel = {
			.out = out,
			.scenario = scenario,
			.receiver = &scenario->receivers[r],
			.index = r,
			.accounts = accounts_of(scenario, (uint32_t)r),
			.top = 20 + TOP + (double)panel_height * (double)r,
		};

		panel.max = scale_of(&panel, results, count);
		draw_outages(&panel);
		draw_frame(&panel);
		for (size_t i = count; i-- > 0;)
			draw_result(&panel, &results[i], i, count);
		draw_limit(&panel);
	}
	fputs("</svg>\n", out);
	if (ferror(out))
		rc = -EIO;
	if (fclose(out) != 0 && !rc)
		rc = -errno;
	return rc;
}
