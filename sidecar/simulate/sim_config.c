/* SPDX-License-Identifier: MIT
 *
 * The sidecar's own way of loading a configuration, and a scratch to classify with.
 */
#include "sidecar/simulate/sim_config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sidecar/base/yaml.h"
#include "sidecar/config/generation.h"
#include "sidecar/simulate/scenario.h"

struct simulate_config {
	const char *path; /* the caller's */
	struct generation generation;
	struct classify_scratch *scratch;
};

int simulate_config_load(const char *path, struct simulate_config **ret)
{
	struct simulate_config *self = calloc(1, sizeof *self);
	struct diagnostics report = {0};
	int rc;

	if (!self)
		return -ENOMEM;
	self->path = path;
	rc = generation_load(path, &self->generation, &report);
	generation_log(&report);
	diagnostics_free(&report);
	if (!rc)
		rc = classify_scratch_create(self->generation.classifier, &self->scratch);
	if (rc)
		simulate_config_free(self);
	else
		*ret = self;
	return rc;
}

/* A rate as a configuration has it: a whole number in the shortest time that makes it one. */
static void put_rate(FILE *out, double rate)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"s", 1}, {"min", 60}, {"hr", 3600}, {"d", 86400}};
	size_t i = 0;

	while (i < 3 && fabs(rate * units[i].seconds - round(rate * units[i].seconds)) > 1e-6)
		i++;
	fprintf(out, "rate: %.0f/%s", fmax(1, round(rate * units[i].seconds)), units[i].unit);
}

static void put_total(FILE *out, const struct scenario_source *source)
{
	const struct scenario_accept *total = &source->total;

	fprintf(out, "  - {address: \"%s\", total: {", source->address);
	if (isfinite(total->rate)) {
		put_rate(out, total->rate);
		fprintf(out, ", burst: %.0f, ", total->burst);
	}
	if (total->hour)
		fprintf(out, "hour: %u, ", total->hour);
	if (total->day)
		fprintf(out, "day: %u", total->day);
	fputs("}}\n", out);
}

static bool any_total(const struct scenario *scenario)
{
	for (uint32_t i = 0; i < scenario->source_count; i++)
		if (scenario_totalled(&scenario->sources[i]))
			return true;
	return false;
}

/* In double quotes, whatever it holds. */
static void put_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if ((unsigned char)*text < ' ')
			fprintf(out, "\\x%02x", (unsigned char)*text);
		else
			fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	}
	fputc('"', out);
}

static void put_pool(FILE *out, const struct scenario *scenario, uint32_t first)
{
	const struct scenario_source *sources = scenario->sources;

	fputs("  - {name: ", out);
	put_quoted(out, sources[first].pool_name);
	for (uint32_t i = first; i < scenario->source_count; i++)
		if (sources[i].pool == sources[first].pool)
			fprintf(out, "%s\"%s\"", i == first ? ", sources: [" : ", ",
				sources[i].address);
	fputs("]}\n", out);
}

/* What the engine knows of pools matters to several sources alone. */
static bool any_pool(const struct simulate_config *config, const struct scenario *scenario)
{
	return scenario->source_count > 1 && config->generation.config->pools_count == 0;
}

static void put_pools(FILE *out, const struct scenario *scenario)
{
	fputs("\npools:\n", out);
	for (uint32_t i = 0; i < scenario->source_count; i++)
		if (scenario->sources[i].pool_first == i)
			put_pool(out, scenario, i);
}

/* The configuration's text and behind it what the scenario says. */
static int put_all(FILE *out, const struct simulate_config *config, const struct scenario *scenario)
{
	const char *path = config->path;
	char *text = NULL;
	size_t length = 0;
	int rc = path ? yaml_read(path, &text, &length) : 0;

	if (rc)
		return rc;
	if (text)
		fwrite(text, 1, length, out);
	free(text);
	if (any_pool(config, scenario))
		put_pools(out, scenario);
	if (any_total(scenario))
		fputs("\nsources:\n", out);
	for (uint32_t i = 0; i < scenario->source_count; i++)
		if (scenario_totalled(&scenario->sources[i]))
			put_total(out, &scenario->sources[i]);
	return fflush(out) == 0 && !ferror(out) ? 0 : -EIO;
}

int simulate_config_with(const struct simulate_config *config, const struct scenario *scenario,
			 struct simulate_config **ret)
{
	char path[64];
	FILE *out;
	int rc, fd;

	*ret = NULL;
	if (!any_total(scenario) && !any_pool(config, scenario))
		return 0;
	/* A file for the loader, which nobody else sees. */
	fd = memfd_create("tollgate.yaml", MFD_CLOEXEC);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = put_all(out, config, scenario);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!rc)
		rc = simulate_config_load(path, ret);
	if (!rc)
		(*ret)->path = NULL;
	fclose(out);
	return rc;
}

void simulate_config_free(struct simulate_config *self)
{
	if (!self)
		return;
	classify_scratch_free(self->scratch);
	generation_free(&self->generation);
	free(self);
}

const struct config *simulate_config_of(const struct simulate_config *self)
{
	return self->generation.config;
}

const struct classifier *simulate_config_classifier(const struct simulate_config *self)
{
	return self->generation.classifier;
}

const struct rule_set *simulate_config_rules(const struct simulate_config *self)
{
	return self->generation.rules;
}

void simulate_classify(struct simulate_config *self, const char *destination, const char *text,
		       struct classification *ret)
{
	struct reply_line line;

	reply_line_parse(text, strlen(text), &line);
	classify(self->generation.classifier, self->scratch, destination, &line, ret);
}
