/* SPDX-License-Identifier: MIT
 *
 * The cap of each day is a black line, what was sent a blue bar, what was deferred an orange one in
 * it; days of trouble are shaded. The legend says so.
 */
#include "sidecar/cli/warmup_plot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/base/xml.h"

#define WIDTH  960
#define LEFT   100
#define RIGHT  20
#define TITLE  40
#define HEIGHT 180
#define PANEL  (TITLE + HEIGHT + 40)
#define LEGEND 30

#define SENT	 "#0a6ed1"
#define DEFERRED "#d14a0a"
#define TROUBLE	 "#f6d5c8"

struct panel_scale {
	double top;  /* y of the title */
	double days; /* in a row */
	double max;  /* messages at the panel's top */
};

static double x_of(const struct panel_scale *p, double day)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * day / p->days;
}

static double y_of(const struct panel_scale *p, double count)
{
	return p->top + TITLE + HEIGHT * (1 - count / p->max);
}

static void bar(FILE *out, const struct panel_scale *p, double day, double count,
		const char *colour, double part)
{
	double wide = (WIDTH - LEFT - RIGHT) / p->days * part;

	fprintf(out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'/>\n",
		x_of(p, day + 0.5) - wide / 2, y_of(p, count), wide, HEIGHT * count / p->max,
		colour);
}

static void draw_day(FILE *out, const struct panel_scale *p, size_t i, const struct json *day)
{
	double at = (double)i;

	if (json_get_bool(day, "trouble", false))
		bar(out, p, at, p->max, TROUBLE, 1);
	bar(out, p, at, json_get_double(day, "sent", 0), SENT, 0.7);
	bar(out, p, at, json_get_double(day, "deferred", 0), DEFERRED, 0.7);
	if (json_kind(json_get(day, "cap")) == JSON_KIND_NUMBER)
		fprintf(out, "<path d='M%.1f %.1fH%.1f' stroke='#000' stroke-width='2'/>\n",
			x_of(p, at), y_of(p, json_get_double(day, "cap", 0)), x_of(p, at + 1));
	if (i == 0 || i + 1 == (size_t)p->days)
		fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='middle'>%s</text>\n",
			x_of(p, at + 0.5), p->top + TITLE + HEIGHT + 18,
			json_get_text(day, "date", ""));
}

static double highest(const struct json *days)
{
	double most = 1;

	for (size_t i = 0; i < json_count(days); i++) {
		double cap = json_get_double(json_at(days, i), "cap", 0);
		double sent = json_get_double(json_at(days, i), "sent", 0);

		most = cap > most ? cap : most;
		most = sent > most ? sent : most;
	}
	return most;
}

static void draw_panel(FILE *out, double top, const struct json *flow)
{
	const struct json *days = json_get(flow, "days");
	struct panel_scale p = {top, (double)(json_count(days) ? json_count(days) : 1),
				1.05 * highest(days)};

	fprintf(out, "<text x='%d' y='%.1f' font-weight='bold'>", LEFT, top + 26);
	xml_escape(out, json_get_text(flow, "source", "?"));
	fputs(" to ", out);
	xml_escape(out, json_get_text(flow, "destination", "?"));
	fprintf(out, ", %s</text>\n", json_get_text(flow, "state", "?"));
	for (int part = 0; part <= 4; part++) {
		double count = p.max / 1.05 * part / 4;

		fprintf(out,
			"<path d='M%d %.1fH%d' stroke='#ddd'/><text x='%d' y='%.1f' "
			"text-anchor='end'>%.0f</text>\n",
			LEFT, y_of(&p, count), WIDTH - RIGHT, LEFT - 8, y_of(&p, count) + 4, count);
	}
	for (size_t i = 0; i < json_count(days); i++)
		draw_day(out, &p, i, json_at(days, i));
}

int warmup_plot_add(struct warmup_plot *plot, const struct json *flow)
{
	char *text = NULL, *more;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	int error = out ? 0 : -ENOMEM;

	if (out)
		draw_panel(out, LEGEND + (double)PANEL * plot->panels, flow);
	if (out && fclose(out) != 0)
		error = -ENOMEM;
	more = error ? NULL : realloc(plot->text, plot->length + length);
	if (more) {
		memcpy(more + plot->length, text, length);
		plot->text = more;
		plot->length += length;
		plot->panels++;
	}
	free(text);
	return more ? 0 : -ENOMEM;
}

int warmup_plot_write(const struct warmup_plot *plot, const char *path)
{
	FILE *out = fopen(path, "we");
	bool failed;

	if (out == NULL)
		return -errno;
	fprintf(out,
		"<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
		"font-family='sans-serif' font-size='12'>\n"
		"<rect width='100%%' height='100%%' fill='#fff'/>\n"
		"<text x='%d' y='20'>messages of each day with mail: <tspan>cap (black)</tspan>, "
		"<tspan fill='" SENT "'>sent</tspan>, of it <tspan fill='" DEFERRED
		"'>deferred</tspan>; shaded: trouble</text>\n",
		WIDTH, LEGEND + PANEL * (int)plot->panels, LEFT);
	if (plot->length)
		fwrite(plot->text, 1, plot->length, out);
	fputs("</svg>\n", out);
	failed = ferror(out) != 0;
	return fclose(out) != 0 || failed ? -EIO : 0;
}

void warmup_plot_free(struct warmup_plot *plot)
{
	free(plot->text);
}
