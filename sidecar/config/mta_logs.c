/* SPDX-License-Identifier: MIT
 *
 * The section `logs`: the MTAs' logs that are read, and what they call our addresses.
 */
#include <string.h>

#include "shm/destination.h"
#include "sidecar/config/schema.h"

/* As sidecar/ingest/format.c names them. */
static const struct config_word format_words[] = {{"postfix", 0}, {"exim", 1},	 {"powermta", 2},
						  {"kumomta", 3}, {"haraka", 4}, {"sendgrid", 5},
						  {"json", 6},	  {NULL, 0}};

static const cyaml_schema_field_t name_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct config_log_name, name, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct config_log_name, address, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_END};
static const cyaml_schema_value_t name_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_log_name, name_fields)};

static const cyaml_schema_field_t log_fields[] = {
	CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct config_mta_log, path, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("format", CYAML_FLAG_POINTER, struct config_mta_log, format.text, 1,
			       CYAML_UNLIMITED),
	CYAML_FIELD_STRING_PTR("source", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct config_mta_log, source, 1, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("sources", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct config_mta_log, sources, &name_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_END};
const cyaml_schema_value_t config_mta_log_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_mta_log, log_fields)};

static void address_read(const struct config_loader *loader, struct yaml_mark mark,
			 const char *text, uint8_t ret[16])
{
	if (destination_address(text, ret) != 0)
		config_error(loader, mark, "'%.60s': not an address, such as 192.0.2.1", text);
}

static void check_names(const struct config_loader *loader, const struct config_mta_log *log,
			uint32_t index)
{
	for (uint32_t i = 0; i < log->sources_count; i++) {
		struct config_log_name *name = &log->sources[i];

		address_read(loader, config_mark(loader, "logs[%u].sources[%u].address", index, i),
			     name->address, name->source);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(log->sources[j].name, name->name) == 0)
				config_error(
					loader,
					config_mark(loader, "logs[%u].sources[%u].name", index, i),
					"'%.60s': stands above already", name->name);
	}
}

static void check_path(const struct config_loader *loader, const struct config_mta_log *log,
		       uint32_t index)
{
	const char *path = strncmp(log->path, "unix:", 5) == 0 ? log->path + 5 : log->path;
	struct yaml_mark mark = config_mark(loader, "logs[%u].path", index);

	if (*path != '/' && strcmp(log->path, "-") != 0)
		config_error(
			loader, mark,
			"'%.100s': must be an absolute path, unix: and one, or - for standard input",
			log->path);
	for (uint32_t i = 0; i < index; i++)
		if (strcmp(loader->config->logs[i].path, log->path) == 0)
			config_error(loader, mark,
				     "'%.100s': is read already, by the log on line %u", log->path,
				     config_mark(loader, "logs[%u]", i).line);
}

void config_read_logs(const struct config_loader *loader)
{
	static const struct config_key format = {"format", CONFIG_ENUM, 0,	     NULL,
						 0,	   0,		format_words};
	struct config *config = loader->config;
	char reason[160];

	for (uint32_t i = 0; i < config->logs_count; i++) {
		struct config_mta_log *log = &config->logs[i];

		log->format.mark = config_mark(loader, "logs[%u].format", i);
		if (config_value_read(&format, log->format.text, &log->format, reason,
				      sizeof(reason)) < 0)
			config_error(loader, log->format.mark, "format: '%.40s': %s",
				     log->format.text, reason);
		if (log->source)
			address_read(loader, config_mark(loader, "logs[%u].source", i), log->source,
				     log->source_address);
		check_path(loader, log, i);
		check_names(loader, log, i);
	}
}
