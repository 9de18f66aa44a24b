/* SPDX-License-Identifier: MIT */
#include "sidecar/http/kumomta_shaping.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/source.h"

#define SECOND_NS UINT64_C(1000000000)
#define DAY_NS	  (86400 * SECOND_NS)
#define DOMAINS	  16		   /* of a flow that are written, one a queue */
#define BURST_NS  (SECOND_NS / 10) /* as many as come due in that time may go at once */
#define THROTTLE  64

/* Everything passes the filter by which KumoMTA leaves records out, and nothing is done. */
static const char head[] = "# Made by tollgated: what each flow may do now.\n"
			   "[[\"default\".automation]]\n"
			   "regex = \".\"\n"
			   "action = []\n"
			   "duration = \"1s\"\n"
			   "match_internal = true\n";

/* One table of the file: of a provider (the destination) or of a domain. */
struct row {
	const char *key;			   /* domain, or the destination's name */
	const struct config_destination *provider; /* NULL: a domain */
	const struct kumomta_flow *flow;
};

/* ---- numbers --------------------------------------------------------------------------------- */

/* In the smallest unit in which a hundred or a whole number come due: what is cut off is less than
 * a hundredth. */
const char *kumomta_throttle_text(uint64_t interval_ns, uint32_t burst, char *text, size_t size)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {
		{SECOND_NS, "s"}, {60 * SECOND_NS, "min"}, {3600 * SECOND_NS, "hr"}, {DAY_NS, "d"}};
	uint64_t due = BURST_NS / interval_ns + 1;

	burst = burst < due ? burst : (uint32_t)due;
	burst = burst > 0 ? burst : 1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double count = (double)units[i].ns / (double)interval_ns;
		uint64_t whole = (uint64_t)(count + 0.005); /* intervals are rounded up a little */

		if (whole == 0 || (whole < 100 && count - (double)whole > 0.005))
			continue;
		snprintf(text, size, "%" PRIu64 "/%s,max_burst=%u", whole, units[i].name, burst);
		return text;
	}
	if (interval_ns < DAY_NS)
		snprintf(text, size, "%" PRIu64 "/d,max_burst=1", DAY_NS / interval_ns);
	else
		snprintf(text, size, "1/%" PRIu64 "d,max_burst=1",
			 (interval_ns + DAY_NS - 1) / DAY_NS);
	return text;
}

/* ---- a flow's limits ------------------------------------------------------------------------- */

static void source_text(const uint8_t source[16], char *text, size_t size)
{
	char name[SOURCE_NAME_MAX + 1];

	if (source_name(source, name))
		snprintf(text, size, "%s", name);
	else
		destination_address_text(source, text, size);
}

static void limits_put(FILE *out, const struct intake_flow *flow, const struct effective *effective)
{
	const struct publish_limits *limits = &effective->limits;
	uint32_t hour = limits->hour_cap[TG_TRANSACTIONAL], day = limits->day_cap[TG_TRANSACTIONAL];
	uint32_t connections = limits->connections[TG_TRANSACTIONAL];
	char address[64], text[THROTTLE];
	const char *comma = "";

	source_text(flow->source, address, sizeof(address));
	fputs("additional_message_rate_throttles = {", out);
	if (limits->interval_ns) {
		fprintf(out, "\"tollgate-%s-%s\" = \"%s\"", flow->destination, address,
			kumomta_throttle_text(limits->interval_ns, limits->burst[TG_TRANSACTIONAL],
					      text, sizeof(text)));
		comma = ", ";
	}
	if (hour > 0 && hour != PUBLISH_NO_CAP) {
		fprintf(out, "%s\"tollgate-%s-%s-hour\" = \"%u/hr,max_burst=1\"", comma,
			flow->destination, address, hour);
		comma = ", ";
	}
	if (day > 0 && day != PUBLISH_NO_CAP)
		fprintf(out, "%s\"tollgate-%s-%s-day\" = \"%u/d,max_burst=1\"", comma,
			flow->destination, address, day);
	fputs("}\n", out);
	if (connections)
		fprintf(out, "additional_connection_limits = {\"tollgate-%s-%s\" = %u}\n",
			flow->destination, address, connections);
	/* It takes the place of the administrator's, so only where a rule or an operator says so. */
	if (limits->per_connection && effective->per_connection_by > BY_CONTROL)
		fprintf(out, "max_deliveries_per_connection = %u\n", limits->per_connection);
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const struct config_destination *provider_of(const struct config *config,
						    const char *destination)
{
	const struct config_destination *found = config_destination_named(config, destination);
	uint32_t count = 0;

	if (found)
		config_mx(found, &count);
	return count > 0 ? found : NULL;
}

/* Names of the configuration have been checked to be such. */
static void provider_put(FILE *out, const struct config_destination *provider)
{
	uint32_t count;
	char *const *mx = config_mx(provider, &count);

	fprintf(out, "\n[provider.\"tollgate %s\"]\nmatch = [", provider->name);
	for (uint32_t i = 0; i < count; i++) {
		const char *name = mx[i] + (mx[i][0] == '.');
		char lower[DESTINATION_NAME_MAX + 1];

		if (destination_normalise(name, lower) < 0)
			continue;
		fprintf(out, "{MXSuffix=\".%s\"}, ", lower);
		if (name == mx[i])
			fprintf(out, "{HostName=\"%s\"}, ", lower);
	}
	fputs("]\n", out);
}

static int row_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = (x->provider == NULL) - (y->provider == NULL);

	order = order ? order : strcmp(x->key, y->key);
	return order ? order : strcmp(x->flow->egress, y->flow->egress);
}

static void rows_of(const struct kumomta_flow *flow, const struct config *config, struct row *rows,
		    size_t *count)
{
	const struct config_destination *provider = provider_of(config, flow->flow.destination);

	if (provider) {
		rows[(*count)++] = (struct row){provider->name, provider, flow};
		return;
	}
	/* The latest are behind. */
	for (uint32_t i = 0; i < flow->site_count && i < DOMAINS; i++) {
		const struct kumomta_site *site = &flow->sites[flow->site_count - 1 - i];

		if (*site->domain)
			rows[(*count)++] = (struct row){site->domain, NULL, flow};
	}
}

static void row_put(FILE *out, const struct row *row, const struct row *before,
		    struct engine *engine, uint64_t now_ns)
{
	struct control_limits control;
	struct control_bounds bounds;
	struct effective effective;
	bool same =
		before && before->provider == row->provider && strcmp(before->key, row->key) == 0;

	if (same && strcmp(before->flow->egress, row->flow->egress) == 0)
		return; /* two flows of one name there: the first counts */
	if (engine_effective(engine, row->flow->flow.slot, now_ns, &effective, &control, &bounds) !=
	    0)
		return;
	if (!same && row->provider)
		provider_put(out, row->provider);
	else if (!same)
		fprintf(out, "\n[\"%s\"]\nmx_rollup = true\n", row->key);
	fprintf(out,
		row->provider ? "[provider.\"tollgate %s\".sources.\"%s\"]\n"
			      : "[\"%s\".sources.\"%s\"]\n",
		row->key, row->flow->egress);
	limits_put(out, &row->flow->flow, &effective);
}

int kumomta_shaping_make(struct kumomta_flows *flows, struct engine *engine,
			 const struct config *config, uint64_t now_ns, char **ret,
			 size_t *ret_length)
{
	uint32_t flow_count = kumomta_flows_count(flows);
	struct row *rows = calloc((size_t)flow_count * DOMAINS + 1, sizeof(*rows));
	size_t count = 0;
	bool failed;
	FILE *out;

	*ret = NULL;
	out = rows ? open_memstream(ret, ret_length) : NULL;
	if (out == NULL) {
		free(rows);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < flow_count; i++)
		rows_of(kumomta_flows_nth(flows, i), config, rows, &count);
	qsort(rows, count, sizeof(*rows), row_order);
	fputs(head, out);
	for (size_t i = 0; i < count; i++)
		row_put(out, &rows[i], i ? &rows[i - 1] : NULL, engine, now_ns);
	free(rows);
	failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed) {
		free(*ret);
		return -ENOMEM;
	}
	return 0;
}
