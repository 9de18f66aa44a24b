/* SPDX-License-Identifier: MIT
 *
 * The section `snds`: where Microsoft's word of an address holds, and how much is left of its limits.
 */
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"

#define SHARE_MIN 10000 /* 1 %: from less, doubling takes too long */

static void check_share(const struct config_loader *loader, const struct config_value *value,
			const char *key)
{
	if (value->text && (!value->share || value->value < SHARE_MIN))
		config_error(loader, value->mark, "%s: must be from 1%% to 100%%", key);
}

void config_read_snds(const struct config_loader *loader)
{
	static char consumer[] = "microsoft-consumer";
	static char *fallback[] = {consumer};
	struct config_snds *snds = &loader->config->snds;
	struct destination_match match;

	check_share(loader, &snds->yellow, "snds.yellow");
	check_share(loader, &snds->red, "snds.red");
	if (snds->red.value > snds->yellow.value)
		config_error(loader, config_mark(loader, "snds.red"),
			     "snds.red: is more than yellow");
	for (uint32_t i = 0; i < snds->destinations_count; i++)
		config_match(loader, snds->destinations[i],
			     config_mark(loader, "snds.destinations[%u]", i), &match);
	if (snds->destinations_count == 0) {
		snds->destinations = fallback;
		snds->destinations_count = 1;
	}
}
