/* SPDX-License-Identifier: MIT
 *
 * Any bytes as tollgate.yaml: loaded over the built-in file, checked, and if it is taken, asked for
 * the limits and names in it. The Public Suffix List is left out, which would only make this slow.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config/config.h"
#include "sidecar/config/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What comes out of a file that was taken must keep the promises of config/limits.h. */
static void ask(const struct config *config)
{
	for (uint32_t i = 0; i < config->effective_count && i < 8; i++) {
		const char *name = config->effective[i]->name;
		struct limits_finding findings[LIMITS_FINDINGS_MAX];
		struct destination_match match;
		struct resolved_limits resolved;

		limits_resolve_flow(config,
				    config->pools_count ? config->pools[0].ranges[0].first : NULL,
				    name, &resolved);
		for (unsigned f = limits_check(&resolved, findings); f > 0; f--)
			if (findings[f - 1].error)
				abort();
		if (resolved.limits.interval_ns &&
		    (resolved.limits.burst[TG_BULK] == 0 ||
		     resolved.limits.burst[TG_BULK] > resolved.limits.burst[TG_ENGAGED] ||
		     resolved.limits.burst[TG_ENGAGED] > resolved.limits.burst[TG_TRANSACTIONAL]))
			abort();
		if (destination_match(config->table, config->table_length, name, &match) < 0 ||
		    match.index != (int32_t)i)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diagnostics report = {.count = 0};
	struct config *config = NULL;
	char *text = malloc(size ? size : 1);
	int rc;

	memcpy(text, data, size);
	rc = config_load(&(struct config_text){text, size, "fuzz", "/nonexistent"}, NULL, &config,
			 &report);
	free(text);
	if ((rc < 0) != (report.errors > 0))
		abort();
	if (rc == 0)
		ask(config);
	config_free(config);
	diagnostics_free(&report);
	return 0;
}
