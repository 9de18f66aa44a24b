/* SPDX-License-Identifier: MIT
 *
 * tollgate doctor: what is missing here for tollgated and for what its configuration asks of it,
 * and the cure of each.
 *
 * Each check is one row of a table. It looks at the thing itself (opens the log as the user that
 * tollgated becomes, tries the gate's programs in the kernel), and changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/io_uring.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebpf/gate.h"
#include "shm/tollgate.h"
#include "sidecar/base/file.h"
#include "sidecar/base/json.h"
#include "sidecar/cli/client.h"
#include "sidecar/cli/command.h"
#include "sidecar/cli/options.h"
#include "sidecar/config/config.h"

#define CONFIG_DEFAULT "/etc/tollgate/tollgate.yaml"
#define SHM_FREE       (UINT64_C(64) << 20)

enum doctor_state { GOOD, MISSING, UNNEEDED };

struct finding {
	enum doctor_state state;
	char found[400];
	char cure[400];
};

struct doctor {
	const char *path; /* of the configuration; NULL: there is none */
	struct config *config;
	const char *given;
	bool json;
	unsigned missing;
};

static const struct cli_option option_rows[] = {
	{.name = "config",
	 .letter = 'c',
	 .value = "FILE",
	 .help = "this configuration; without it " CONFIG_DEFAULT,
	 .kind = CLI_TEXT,
	 .offset = offsetof(struct doctor, given)},
	CLI_JSON(struct doctor),
	{.name = NULL},
};

static const struct cli_syntax syntax = {
	.command = "doctor",
	.about =
		"Prints what this machine lacks for tollgated and for its configuration, and how to put "
		"it right. Run it as root: what only root can try counts as missing otherwise. Status 1: "
		"something is missing.",
	.options = option_rows,
};

static void found(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void missing(struct finding *finding, const char *cure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void found(struct finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->found, sizeof(finding->found), format, arguments);
	va_end(arguments);
}

static void missing(struct finding *finding, const char *cure, const char *format, ...)
{
	va_list arguments;

	finding->state = MISSING;
	va_start(arguments, format);
	vsnprintf(finding->found, sizeof(finding->found), format, arguments);
	va_end(arguments);
	snprintf(finding->cure, sizeof(finding->cure), "%s", cure);
}

static bool gated(const struct doctor *doctor)
{
	return doctor->config && doctor->config->ebpf.cgroups_count > 0;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void check_kernel(const struct doctor *doctor, struct finding *ret)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	if (major < 6 || (major == 6 && minor < 1))
		missing(ret, "install Linux 6.1 or later", "Linux %.60s", name.release);
	else
		found(ret, "Linux %.60s", name.release);
}

static void check_io_uring(const struct doctor *doctor, struct finding *ret)
{
	struct io_uring_params params = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 4, &params);

	if (fd >= 0) {
		close(fd);
		found(ret, "can be used");
	} else if (errno == ENOSYS) {
		missing(ret, "a kernel with CONFIG_IO_URING", "the kernel has none");
	} else {
		missing(ret,
			"sysctl kernel.io_uring_disabled=0; in a container, let its seccomp filter "
			"pass io_uring_setup, io_uring_enter and io_uring_register",
			"refused: %s", strerror(errno));
	}
}

static void check_shm(const struct doctor *doctor, struct finding *ret)
{
	const char *folder = "/dev/shm";
	struct statvfs fs;
	uint64_t left;

	if (statvfs(folder, &fs) < 0 || access(folder, W_OK | X_OK) < 0) {
		missing(ret, "mount -t tmpfs -o size=256m,mode=1777 tmpfs /dev/shm", "%s: %s",
			folder, strerror(errno));
		return;
	}
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left < SHM_FREE)
		missing(ret,
			"mount -o remount,size=256m /dev/shm (a container: --shm-size=256m); "
			"tollgate plan says how much the segment takes",
			"%llu MiB are left in %s", (unsigned long long)left >> 20, folder);
	else
		found(ret, "%llu MiB are left in %s", (unsigned long long)left >> 20, folder);
}

static void check_cgroup(const struct doctor *doctor, struct finding *ret)
{
	const struct config_ebpf *ebpf = doctor->config ? &doctor->config->ebpf : NULL;
	char root[512];

	if (!file_cgroup_root(root, sizeof(root))) {
		missing(ret,
			"mount -t cgroup2 none /sys/fs/cgroup (systemd.unified_cgroup_hierarchy=1)",
			"no cgroup v2 is mounted");
		return;
	}
	found(ret, "cgroup v2 is mounted");
	for (uint32_t i = 0; ebpf && i < ebpf->cgroups_count; i++) {
		if (access(ebpf->cgroups[i], F_OK) < 0)
			missing(ret,
				"start the MTA as its systemd unit (the gate takes the cgroup up when "
				"it comes), or mend ebpf.cgroups",
				"%.250s: %s", ebpf->cgroups[i], strerror(errno));
		else if (ret->state == GOOD)
			found(ret, "%.300s", ebpf->cgroups[i]);
	}
}

static void check_btf(const struct doctor *doctor, struct finding *ret)
{
	const char *path = "/sys/kernel/btf/vmlinux";

	if (access(path, R_OK) < 0)
		missing(ret, "a kernel with CONFIG_DEBUG_INFO_BTF=y (every distribution's is)",
			"%s: %s", path, strerror(errno));
	else
		found(ret, "%s", path);
}

static void check_gate(const struct doctor *doctor, struct finding *ret)
{
	char why[256] = "";
	int error = gate_probe(why, sizeof(why));

	if (error == 0)
		found(ret, "its programs and maps load");
	else if (error == -EPERM)
		missing(ret,
			"run tollgate doctor as root; give tollgated CAP_BPF, CAP_PERFMON and "
			"CAP_NET_ADMIN (tollgated.service does)",
			"%s", why);
	else
		missing(ret,
			"see REQUIREMENTS in tollgate-ebpf(7); without it everything else works",
			"%s", why);
}

/* ---- the configuration ----------------------------------------------------------------------- */

static void check_config(const struct doctor *doctor, struct finding *ret)
{
	char cure[400];

	if (doctor->path == NULL) {
		found(ret, "none at " CONFIG_DEFAULT ": the built-in one holds");
		return;
	}
	snprintf(cure, sizeof(cure),
		 "tollgate check %.250s says what is wrong, with line and column", doctor->path);
	if (doctor->config == NULL)
		missing(ret, cure, "%.300s has errors, or cannot be read", doctor->path);
	else
		found(ret, "%.300s", doctor->path);
}

/* Opens it as that user would; only root can try. 0, or the errno. */
static int open_as(const struct passwd *user, const char *path)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		int fd;

		if (user && geteuid() == 0 &&
		    (initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) ||
		     setuid(user->pw_uid)))
			_exit(EPERM);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		_exit(fd < 0 ? errno & 0x7F : 0);
	}
	if (child < 0)
		return errno;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static void check_log(const struct doctor *doctor, const struct config_mta_log *log,
		      struct finding *ret)
{
	const char *user = doctor->config->user;
	char cure[300];
	int error;

	if (log->path[0] != '/') {
		found(ret, "%.300s", log->path);
		return;
	}
	error = open_as(user ? getpwnam(user) : NULL, log->path);
	if (error == EACCES)
		snprintf(cure, sizeof(cure), "usermod -aG $(stat -c %%G %.200s) %.32s", log->path,
			 user ? user : "USER");
	else
		snprintf(
			cure, sizeof(cure),
			"is the path right? Postfix: postconf -e maillog_file=/var/log/mail.log, or "
			"rsyslog for mail.*; it is read once it is there");
	if (error)
		missing(ret, cure, "%.250s: %s%s%.32s", log->path, strerror(error),
			user ? ", as " : "", user ? user : "");
	else
		found(ret, "%.250s can be read%s%.32s", log->path, user ? " as " : "",
		      user ? user : "");
}

static void check_logs(const struct doctor *doctor, struct finding *ret)
{
	const struct config *config = doctor->config;

	if (!config || config->logs_count == 0) {
		ret->state = UNNEEDED;
		found(ret, "the configuration names none");
	}
	for (uint32_t i = 0; config && i < config->logs_count && ret->state == GOOD; i++)
		check_log(doctor, &config->logs[i], ret);
}

/* ---- who may -------------------------------------------------------------------------------- */

static void check_user(const struct doctor *doctor, struct finding *ret)
{
	const char *user = doctor->config ? doctor->config->user : NULL;
	char cure[200];

	snprintf(cure, sizeof(cure), "useradd --system --no-create-home %.60s", user ? user : "");
	if (user && getpwnam(user) == NULL)
		missing(ret, cure, "no user %.60s, whom tollgated becomes", user);
	else
		found(ret, "tollgated runs as %.60s", user ? user : "whoever starts it");
}

static bool in_group(gid_t wanted)
{
	gid_t groups[1024];
	int count = getgroups(1024, groups);

	for (int i = 0; i < count; i++)
		if (groups[i] == wanted)
			return true;
	return geteuid() == 0 || getegid() == wanted;
}

static void check_group(const struct doctor *doctor, struct finding *ret)
{
	const char *name = doctor->config ? doctor->config->segment.group : NULL;
	const struct group *group = name ? getgrnam(name) : NULL;
	char cure[200];

	if (name == NULL) {
		ret->state = UNNEEDED;
		found(ret, "the segment has no group: only tollgated's own user may attach");
		return;
	}
	snprintf(
		cure, sizeof(cure),
		group ? "usermod -aG %.60s USER for each user that sends by the library, and log in "
			"anew"
		      : "groupadd --system %.60s",
		name);
	if (group == NULL)
		missing(ret, cure, "no group %.60s, which the segment belongs to", name);
	else if (!in_group(group->gr_gid))
		missing(ret, cure, "you are not in the group %.60s", name);
	else
		found(ret, "%.60s, and you may attach", name);
}

static int heard(void *arg, const struct json *json, const char *text, size_t length)
{
	return 0;
}

static void check_running(const struct doctor *doctor, struct finding *ret)
{
	const char *given = doctor->config ? doctor->config->segment.path : NULL;
	struct json_writer request = {0};
	struct client *client = NULL;
	char reason[CLIENT_REASON] = "";
	int error = client_open(getenv("TOLLGATE_SEGMENT") ? client_segment(NULL)
							   : client_segment(given),
				&client, reason);

	json_put_object(&request, NULL);
	json_put_text(&request, "command", "status");
	json_put_end(&request);
	if (!error)
		error = client_ask(client, &request, heard, NULL, reason);
	client_close(client);
	json_writer_free(&request);
	if (error)
		missing(ret,
			"systemctl enable --now tollgated; journalctl -u tollgated says why not",
			"%s", reason);
	else
		found(ret, "it runs and answers");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct check {
	const char *name;
	void (*run)(const struct doctor *doctor, struct finding *ret);
	bool gate; /* matters where connections are gated alone */
} checks[] = {
	{"kernel", check_kernel, false},
	{"io_uring", check_io_uring, false},
	{"shm", check_shm, false},
	{"configuration", check_config, false},
	{"user", check_user, false},
	{"group", check_group, false},
	{"logs", check_logs, false},
	{"cgroup", check_cgroup, true},
	{"btf", check_btf, true},
	{"gate", check_gate, true},
	{"tollgated", check_running, false},
};

static void print_json(const char *name, const struct finding *finding)
{
	static const char *const states[] = {"good", "missing", "not needed"};
	struct json_writer writer = {0};

	json_put_object(&writer, NULL);
	json_put_text(&writer, "check", name);
	json_put_text(&writer, "state", states[finding->state]);
	json_put_text(&writer, "found", finding->found);
	json_put_text(&writer, "cure", finding->cure[0] ? finding->cure : NULL);
	json_put_end(&writer);
	json_put_newline(&writer);
	fwrite(writer.text, 1, writer.length, stdout);
	json_writer_free(&writer);
}

static void print_text(const char *name, const struct finding *finding)
{
	static const char *const states[] = {"good", "MISSING", "-"};

	printf("%-14s %-8s %s\n", name, states[finding->state], finding->found);
	if (finding->cure[0])
		printf("%-14s %-8s cure: %s\n", "", "", finding->cure);
}

static void check_run(struct doctor *doctor, const struct check *check)
{
	struct finding finding = {.state = GOOD};

	check->run(doctor, &finding);
	if (finding.state == MISSING && check->gate && !gated(doctor))
		finding.state = UNNEEDED;
	doctor->missing += finding.state == MISSING;
	if (doctor->json)
		print_json(check->name, &finding);
	else
		print_text(check->name, &finding);
}

static void config_load_quietly(struct doctor *doctor, const char *given)
{
	struct diagnostics report = {.count = 0};

	doctor->path = given ? given : access(CONFIG_DEFAULT, F_OK) == 0 ? CONFIG_DEFAULT : NULL;
	if (doctor->path)
		config_read(doctor->path, NULL, &doctor->config, &report);
	/* What `mta` did not find, among others. */
	for (uint32_t i = 0; i < report.count && !doctor->json; i++) {
		char text[1024];

		fprintf(stderr, "%s\n", diagnostic_text(&report.problems[i], text, sizeof(text)));
	}
	diagnostics_free(&report);
}

int cli_doctor(int argc, char **argv)
{
	struct doctor doctor = {.path = NULL};
	char **arguments;

	options_read(&syntax, argc, argv, &doctor, &arguments);
	config_load_quietly(&doctor, doctor.given);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		check_run(&doctor, &checks[i]);
	config_free(doctor.config);
	if (!doctor.json)
		printf(doctor.missing ? "\n%u missing\n" : "\nnothing is missing\n",
		       doctor.missing);
	return doctor.missing ? 1 : 0;
}
