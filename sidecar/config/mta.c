/* SPDX-License-Identifier: MIT
 *
 * `mta: postfix`: what the configuration leaves open of an MTA of this machine, found by itself:
 * its cgroup, its log, and which address its log means by which name. What is written stays.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/base/file.h"
#include "sidecar/config/config.h"
#include "sidecar/config/postfix_files.h"
#include "sidecar/config/schema.h"

#define MAIN_CF	  "/etc/postfix/main.cf"
#define MASTER_CF "/etc/postfix/master.cf"
/* Postfix's smtp client waits 30 s for a connection (smtp_connect_timeout). */
#define POSTFIX_WAIT_NS UINT64_C(25000000000)

static char *text_copy(const struct config_loader *loader, const char *text)
{
	char *copied = config_allocate(loader->config, 1, strlen(text) + 1);

	return copied ? strcpy(copied, text) : NULL;
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* ---- the cgroup ------------------------------------------------------------------------------ */

/* That of the running master. It writes its number into a file, which only root may read. */
static bool running_find(const char *root, const char *queue, char *into, size_t size)
{
	char path[700], text[1024], *line;
	int length;

	snprintf(path, sizeof(path), "%s/pid/master.pid", queue);
	if (file_read_into(path, text, sizeof(text)) != 0 || atoi(text) <= 1)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", atoi(text));
	if (file_read_into(path, text, sizeof(text)) != 0 || (line = strstr(text, "0::/")) == NULL)
		return false;
	line += strlen("0::");
	line[strcspn(line, "\n")] = '\0';
	length = snprintf(into, size, "%s%s", root, line);
	/* The root's cgroup has everybody in it. */
	return line[1] != '\0' && strstr(line, "/..") == NULL && length > 0 &&
	       (size_t)length < size;
}

/* That of its unit, which comes and goes with it: Debian's is an instance of a template. */
static bool unit_find(const char *root, char *into, size_t size)
{
	static const struct {
		const char *unit, *cgroup;
	} units[] = {
		{"/lib/systemd/system/postfix@.service",
		 "system.slice/system-postfix.slice/postfix@-.service"},
		{"/usr/lib/systemd/system/postfix@.service",
		 "system.slice/system-postfix.slice/postfix@-.service"},
		{"/lib/systemd/system/postfix.service", "system.slice/postfix.service"},
		{"/usr/lib/systemd/system/postfix.service", "system.slice/postfix.service"},
	};

	for (size_t i = 0; i < YAML_COUNT(units); i++) {
		if (!there(units[i].unit))
			continue;
		snprintf(into, size, "%s/%s", root, units[i].cgroup);
		return true;
	}
	return false;
}

static int cgroup_fill(const struct config_loader *loader, const struct postfix_files *files,
		       struct yaml_mark mark)
{
	struct config_ebpf *ebpf = &loader->config->ebpf;
	char root[512], path[1600];

	if (!file_cgroup_root(root, sizeof(root)) ||
	    (!running_find(root, files->queue_directory, path, sizeof(path)) &&
	     !unit_find(root, path, sizeof(path)))) {
		config_warning(
			loader, mark,
			"Postfix's cgroup is not found: it neither runs in one of its own "
			"nor has a systemd unit; name it in ebpf.cgroups, or its connections "
			"are not gated");
		return 0;
	}
	ebpf->cgroups = config_allocate(loader->config, 1, sizeof(*ebpf->cgroups));
	if (ebpf->cgroups == NULL || (ebpf->cgroups[0] = text_copy(loader, path)) == NULL)
		return -ENOMEM;
	ebpf->cgroups_count = 1;
	return 0;
}

/* What the gate is to do is to pace, unless it is said. */
static int gate_fill(const struct config_loader *loader, const struct postfix_files *files,
		     struct yaml_mark mark)
{
	struct config_ebpf *ebpf = &loader->config->ebpf;

	if (ebpf->mode.text == NULL)
		ebpf->mode = (struct config_value){.text = "pace", .value = CONFIG_GATE_PACE};
	if (ebpf->max_wait.text == NULL)
		ebpf->max_wait = (struct config_value){.text = "25s", .value = POSTFIX_WAIT_NS};
	return ebpf->cgroups_count > 0 ? 0 : cgroup_fill(loader, files, mark);
}

/* ---- the log --------------------------------------------------------------------------------- */

static const char *log_path(const struct postfix_files *files)
{
	static const char *const usual[] = {"/var/log/mail.log", "/var/log/maillog"};

	if (files->maillog_file[0] == '/' && strcmp(files->maillog_file, "/dev/stdout") != 0)
		return files->maillog_file;
	for (size_t i = 0; i < YAML_COUNT(usual); i++)
		if (there(usual[i]))
			return usual[i];
	return NULL;
}

static int names_fill(const struct config_loader *loader, const struct postfix_files *files,
		      struct config_mta_log *log)
{
	log->sources = config_allocate(loader->config, files->count + 1, sizeof(*log->sources));
	if (log->sources == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < files->count; i++) {
		log->sources[i].name = text_copy(loader, files->clients[i].name);
		log->sources[i].address = text_copy(loader, files->clients[i].address);
		if (log->sources[i].name == NULL || log->sources[i].address == NULL)
			return -ENOMEM;
	}
	log->sources_count = files->count;
	return 0;
}

static int log_add(const struct config_loader *loader, const struct postfix_files *files,
		   struct yaml_mark mark)
{
	struct config *config = loader->config;
	const char *path = log_path(files);
	struct config_mta_log *logs, *log;

	if (path == NULL) {
		config_warning(
			loader, mark,
			"Postfix's log is not found: it goes to the journal alone; set "
			"maillog_file = /var/log/mail.log (postconf -e), or name it in logs");
		return 0;
	}
	logs = config_allocate(config, config->logs_count + 1, sizeof(*logs));
	if (logs == NULL)
		return -ENOMEM;
	if (config->logs_count > 0)
		memcpy(logs, config->logs, config->logs_count * sizeof(*logs));
	log = &logs[config->logs_count];
	log->format = (struct config_value){.text = "postfix"};
	log->path = text_copy(loader, path);
	if (log->path == NULL)
		return -ENOMEM;
	config->logs = logs;
	config->logs_count++;
	return names_fill(loader, files, log);
}

static bool log_written(const struct config *config)
{
	for (uint32_t i = 0; i < config->logs_count; i++)
		if (strcmp(config->logs[i].format.text, "postfix") == 0)
			return true;
	return false;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A file of Postfix's; "" where it is not there, which is said. */
static char *postfix_file(const struct config_loader *loader, struct yaml_mark mark,
			  const char *path)
{
	char *text = NULL;
	size_t length;
	int error = file_read(path, YAML_TEXT_MAX, &text, &length);

	if (error == 0 || error == -ENOMEM)
		return text;
	config_warning(loader, mark, "Postfix's %s cannot be read: %s", path, strerror(-error));
	return strdup("");
}

int config_find_mta(const struct config_loader *loader)
{
	struct config *config = loader->config;
	struct yaml_mark mark = config_mark(loader, "mta");
	struct postfix_files *files;
	char *main_cf, *master_cf;
	int error = -ENOMEM;

	if (config->mta.value != CONFIG_MTA_POSTFIX)
		return 0;
	files = malloc(sizeof(*files));
	main_cf = postfix_file(loader, mark, MAIN_CF);
	master_cf = postfix_file(loader, mark, MASTER_CF);
	if (files && main_cf && master_cf) {
		postfix_files_read(main_cf, master_cf, files);
		error = gate_fill(loader, files, mark);
		if (!error && !log_written(config))
			error = log_add(loader, files, mark);
	}
	free(main_cf);
	free(master_cf);
	free(files);
	return error;
}
