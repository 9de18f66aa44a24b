/* SPDX-License-Identifier: MIT
 *
 * tollgate.yaml: what is taken, what is refused where and why, what is warned of, and how a file
 * lies over the built-in one. Texts end at a guard page.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shm/destination.h"
#include "sidecar/base/random.h"
#include "sidecar/config/config.h"
#include "sidecar/config/schema.h"
#include "tests/guard.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

static struct diagnostics report;

static struct config *load(const char *text)
{
	size_t len = strlen(text);
	char *copy = guard_copy(text, len);
	struct config *config = NULL;

	diagnostics_free(&report);
	config_load(&(struct config_text){copy, len, "t.yaml", NULL}, NULL, &config, &report);
	guard_free(copy, len);
	diagnostics_sort(&report);
	return config;
}

static const char *problem(uint32_t i)
{
	static char text[1024];

	return i < report.count ? diagnostic_text(&report.problems[i], text, sizeof(text))
				: "(none)";
}

Test(builtin, is_good_without_a_warning)
{
	struct config *config = NULL;

	cr_assert_eq(config_builtin(NULL, &config, &report), 0, "%s", problem(0));
	cr_expect_eq(report.count, 0, "%s", problem(0));
	cr_expect_gt(config->effective_count, 15);
	for (uint32_t i = 0; i < config->effective_count; i++)
		for (unsigned k = 0; k < LIMIT_TOTAL_KEYS; k++)
			cr_expect(!config->effective[i]->total.key[k].text,
				  "a cap over all sources");
	config_free(config);
}

Test(builtin, knows_the_providers)
{
	static const char *const rows[][2] = {
		{"x.olc.protection.outlook.com", "microsoft-consumer"},
		{"hotmail.fr", "microsoft-consumer"},
		{"outlook.com", "microsoft-consumer"},
		{"live.co.uk", "microsoft-consumer"},
		{"msn.com", "microsoft-consumer"},
		{"a.mail.protection.outlook.com", "microsoft-365"},
		{"a.b.mx.microsoft", "microsoft-365"},
		{"gmail-smtp-in.l.google.com", "google"},
		{"aspmx2.googlemail.com", "google"},
		{"gmail.com", "google"},
		{"mta7.am0.yahoodns.net", "yahoo"},
		{"yahoo.co.jp", "yahoo"},
		{"aol.com", "yahoo"},
		{"mx01.mail.icloud.com", "apple"},
		{"me.com", "apple"},
		{"mx1.comcast.net", "comcast"},
		{"smtp-in.orange.fr", "orange"},
		{"mx00.gmx.net", "gmx"},
		{"gmx.de", "gmx"},
		{"mx-ha02.web.de", "web.de"},
		{"mx3.qq.com", "qq"},
		{"163mx01.mxmail.netease.com", "netease"},
		{"mxa-1.gslb.pphosted.com", "proofpoint"},
		{"mx1-us1.ppe-hosted.com", "proofpoint"},
		{"eu-smtp-inbound-1.mimecast.com", "mimecast"},
		{"d1.ess.barracudanetworks.com", "barracuda"},
		{"cluster1.eu.messagelabs.com", "messagelabs"},
		{"mx1.emailsrvr.com", "rackspace"},
		{"smtp.secureserver.net", "godaddy"},
		{"mx.zoho.com", "zoho"},
		{"mx1.mail.ovh.net", "ovh"},
		{"evilgoogle.com", "evilgoogle.com"},
		{"mail.yahoodns.net.example.org", "example.org"},
		{"notmx.microsoft", "notmx.microsoft"},
	};
	struct config *config = load("");

	cr_assert(config, "%s", problem(0));
	for (size_t i = 0; i < N(rows); i++) {
		struct destination_match match;

		cr_assert_eq(
			destination_match(config->table, config->table_length, rows[i][0], &match),
			0);
		cr_expect_str_eq(match.name, rows[i][1], "%s: %s", rows[i][0], match.name);
		if (match.index >= 0)
			cr_expect_str_eq(config->effective[match.index]->name, rows[i][1]);
	}
	config_free(config);
}

static const char whole[] =
	"builtin: true\n"
	"segment:\n"
	"  path: /dev/shm/tollgate\n"
	"  flows: 1,000\n"
	"  workers: 64\n"
	"  ring: 512\n"
	"  minutes: 60\n"
	"  leases: 256\n"
	"  max_reservation: 10m\n"
	"time_zone: UTC\n"
	"on_sidecar_down: fail-closed\n"
	"sidecar_timeout: 1 min\n"
	"log: {format: json, level: debug}\n"
	"limits: {rate: 30/min, burst: 4, adapt: no}\n"
	"source_total: {rate: 1_000/min, burst: 100}\n"
	"stream_limits: {hour: 10_000}\n"
	"pools:\n"
	"  - name: shared\n"
	"    sources: [192.0.2.0/30, 192.0.2.10-192.0.2.12, \"2001:db8::1\"]\n"
	"    total: {day: 50_000}\n"
	"sources:\n"
	"  - {address: 192.0.2.11, total: {day: 1_000}}\n"
	"streams:\n"
	"  - {name: tenant-a, limits: {day: 5_000}}\n"
	"destinations:\n"
	"  - name: Google\n"
	"    limits: {rate: 10/min}\n"
	"    total: {hour: 5_000}\n"
	"  - name: corp\n"
	"    domains: [corp.example, corp.*]\n"
	"    mx: [.mx.corp.example.net]\n"
	"    addresses: [198.51.100.0/24, \"2001:db8:1::/48\"]\n"
	"    limits:\n"
	"      rate: 5/30s\n"
	"      burst: 3\n"
	"      strict: true\n"
	"      reserve: {transactional: 1}\n"
	"overrides:\n"
	"  - {pool: shared, destination: google, limits: {rate: 5/min}}\n"
	"  - {source: 192.0.2.2, destination: google, limits: {connections: 2}}\n"
	"  - {source: 192.0.2.2, destination: example.org, limits: {rate: 1/min}}\n"
	"classes:\n"
	"  - {name: slow, class: rate, limit: messages, text: [slow down], destination: [google]}\n"
	"rules:\n"
	"  - {name: wait, match: {class: [rate], pool: [shared]}, trigger: 3/hr, action: {hold: "
	"5m}}\n"
	"ebpf:\n"
	"  cgroups: [/sys/fs/cgroup/postfix]\n"
	"  ports: [25, 2525]\n"
	"  mode: pace\n"
	"  max_wait: 8s\n"
	"  refuse_errno: ECONNREFUSED\n"
	"  pin: true\n"
	"  rules:\n"
	"    - {destination: google, mode: deny, minute: 30, connections: 4}\n";

Test(file, with_every_section_is_taken)
{
	struct config *config = load(whole);
	struct destination_pool pool;
	struct destination_match match;
	uint8_t address[16];

	cr_assert(config, "%s", problem(0));
	cr_expect_eq(report.warnings, 0, "%s", problem(0));
	cr_expect_eq(config->segment.flows.value, 1000);
	cr_expect_eq(config->segment.max_reservation.value, UINT64_C(600000000000));
	cr_expect_eq(config->on_sidecar_down.value, CONFIG_DOWN_FAIL_CLOSED);
	cr_expect_eq(config->sidecar_timeout.value, UINT64_C(60000000000));
	cr_expect_eq(config->log.format.value, CONFIG_LOG_JSON);
	cr_expect_eq(config->log.level.value, CONFIG_LOG_DEBUG);
	cr_expect_eq(config->ebpf.ports_count, 2);
	cr_expect_eq(config->ebpf.ports[1], 2525);
	cr_expect_eq(config->ebpf.mode.value, CONFIG_GATE_PACE);
	cr_expect_eq(config->ebpf.refuse_errno.value, ECONNREFUSED);
	cr_expect_eq(config->ebpf.on_timeout.value, CONFIG_GATE_FAIL_OPEN);
	cr_expect_str_eq(config->ebpf.rules[0].canonical, "google");
	cr_expect_eq(config->destinations[0].limits.key[LIMIT_RATE].mark.line, 27);
	cr_expect_eq(config->rules.classes_count, 1);
	cr_expect_str_eq(config->rules.rules[0].trigger, "3/hr");
	/* google of the file keeps the names of the built-in one */
	cr_expect_eq(destination_match(config->table, config->table_length, "gmail.com", &match),
		     0);
	cr_expect_eq(match.index, 0);
	cr_expect_eq(destination_match(config->table, config->table_length, "x.mx.corp.example.net",
				       &match),
		     0);
	cr_expect_eq(match.index, 1);
	cr_expect_eq(destination_match(config->table, config->table_length, "198.51.100.7", &match),
		     0);
	cr_expect_eq(match.index, 1);
	cr_expect_eq(destination_pool(config->table, config->table_length, "shared", &pool), 0);
	cr_expect_eq(pool.count, 8);
	cr_expect_eq(
		destination_pool_source(config->table, config->table_length, &pool, 6, address), 0);
	cr_expect_eq(address[15], 12);
	cr_expect_eq(config_pool_of(config, address), &config->pools[0]);
	address[15] = 11;
	cr_expect_eq(config_source_of(config, address), &config->sources[0]);
	address[15] = 13;
	cr_expect_null(config_pool_of(config, address));
	cr_expect_null(config_source_of(config, address));
	config_free(config);
	config_free(NULL);
}

Test(file, without_builtin_has_only_its_own)
{
	struct config *config =
		load("builtin: false\ndestinations:\n- {name: a, domains: [a.example]}\n");

	cr_assert(config, "%s", problem(0));
	cr_expect_eq(config->effective_count, 1);
	cr_expect_str_eq(config->segment.path, "/dev/shm/tollgate");
	cr_expect_null(config->base);
	config_free(config);
}

#define D "destinations:\n- name: a\n  "

Test(file, that_is_wrong_is_refused_with_line_column_and_reason)
{
	static const struct {
		const char *text;
		const char
			*problem; /* begins with place and kind; '*' stands for anything between */
	} rows[] = {
		{"limits: {rate: 10}\n", "t.yaml:1:16: error: rate: '10': must be a rate"},
		{"limits:\n  rate: 10/fortnight\n",
		 "t.yaml:2:9: error: rate: '10/fortnight': no such unit"},
		{"limits:\n  burst: 0\n", "t.yaml:2:10: error: burst: '0': must be from 1 to"},
		{"limits: {hour_starts: 1h}\n",
		 "t.yaml:1:23: error: hour_starts: '1h': must be from 0 to less than 1h"},
		{"limits: {reserve: {bulk: 1}}\n", "t.yaml:1:20: error: unknown key: bulk"},
		{"source_total: {connections: 5}\n",
		 "t.yaml:1:29: error: connections: is limited for each flow alone"},
		{"stream_limits: {connection_rate: 5/s}\n",
		 "t.yaml:1:34: error: connection_rate: is limited for each flow alone"},
		{"destinations: [{name: google, total: {connection_burst: 2}}]\n",
		 "t.yaml:1:57: error: connection_burst: is limited for each flow alone"},
		{"pools: [{name: p, sources: [10.0.0.1], total: {connection_reserve: {engaged: 1}}}]\n",
		 "t.yaml:1:78: error: connection_reserve.engaged: is limited for each flow alone"},
		{"limit: {}\n", "t.yaml:1:1: error: unknown key: limit"},
		{"destinations:\n  google: {}\n", "t.yaml:2:3: error: must be a list"},
		{"limits: {adapt: maybe}\n",
		 "t.yaml:1:17: error: adapt: 'maybe': must be true or false"},
		{"limits: {baseline: 0.5}\n",
		 "t.yaml:1:20: error: baseline: '0.5': must be off, or a number from 1 to 100"},
		{"limits: {baseline: 2x}\n",
		 "t.yaml:1:20: error: baseline: '2x': must be off, or a number from 1 to 100"},
		{"limits: {baseline: 2, baseline_floor: {minute: 501}}\n",
		 "t.yaml:1:48: error: baseline_floor.minute: the floor of a minute is above that of"},
		{"limits: {baseline: nan}\n", "t.yaml:1:20: error: baseline: 'nan': must be off"},
		{"source_total: {baseline: 2}\n", "t.yaml:1:16: error: unknown key: baseline"},
		{"on_sidecar_down: shut\n",
		 "t.yaml:1:18: error: on_sidecar_down: 'shut': must be one of keep fail-open fail-closed"},
		{"segment: {ring: 1000}\n", "t.yaml:1:17: error: ring: must be a power of two"},
		{"segment: {flows: 1}\n", "t.yaml:1:18: error: flows: '1': must be from 16 to"},
		{"segment: {path: shm}\n", "t.yaml:1:17: error: must be an absolute path"},
		{"time_zone: Mars/Olympus\n",
		 "t.yaml:1:12: error: 'Mars/Olympus': this system knows no such time zone"},
		{"state: var/lib/tollgate\n",
		 "t.yaml:1:8: error: 'var/lib/tollgate': neither the absolute path of a folder nor none"},
		{"time_zone: ../../etc/passwd\n",
		 "t.yaml:1:12: error: '../../etc/passwd': not the name"},
		{"limits: {rate: 5/min, burst: 6, strict: true}\n",
		 "t.yaml:1:30: error: burst: burst 6 is more than the 5 of the rate"},
		{"limits: {rate: 5/min, burst: 3, reserve: {transactional: 2, engaged: 1}}\n",
		 "t.yaml:1:58: error: reserve.transactional: the reserves take 3 of burst 3"},
		{"limits: {hour: 100, hour_reserve: {engaged: 100%}}\n",
		 "t.yaml:1:*: error: hour_reserve.transactional: the reserves take 110 of hour "
		 "100"},
		{"limits: {connections: 2, connection_reserve: {engaged: 2}}\n",
		 "t.yaml:1:*: error: connection_reserve."},
		{"limits: {rate: 10/min, floor: 20/min, adapt: true}\n",
		 "t.yaml:1:31: error: floor: floor is above the ceiling"},
		{"limits: {rate: 10/min, ceiling: 5/min}\n",
		 "t.yaml:1:33: error: ceiling: ceiling is below the rate"},
		{"limits: {rate: 10/min, start: 11/min}\n",
		 "t.yaml:1:31: error: start: start does not lie"},
		{"limits: {rate: 1/366d, burst: 4_000_000}\n",
		 "t.yaml:1:31: error: burst: burst 4000000 at this rate spans more"},
		{"destinations: [{name: lonely}]\n",
		 "t.yaml:1:16: error: lonely has neither domains nor mx nor addresses"},
		{"destinations: [{domains: [a.b]}]\n",
		 "t.yaml:1:16: error: a key is missing: name"},
		{"destinations: [{name: a b, domains: [a.b]}]\n",
		 "t.yaml:1:23: error: a name is made of letters"},
		{D "mx: [com]\n", "t.yaml:3:8: error: 'com': a public suffix"},
		{D "mx: [.co.uk]\n", "t.yaml:3:8: error: '.co.uk': a public suffix"},
		{D "mx: ['*.x.com']\n", "t.yaml:3:8: error: '*.x.com': a suffix has no star"},
		{D "mx: [192.0.2.1]\n", "t.yaml:3:8: error: '192.0.2.1': an address"},
		{D "mx: [a..b]\n", "t.yaml:3:8: error: 'a..b': no name can look like that"},
		{D "mx: ['a b.com']\n", "t.yaml:3:8: error: 'a b.com': no name can look like that"},
		{D "domains: [.x.com]\n", "t.yaml:3:13: error: '.x.com': a domain is a whole name"},
		{D "domains: ['a.*.com']\n",
		 "t.yaml:3:13: error: 'a.*.com': a star may stand only at the end"},
		{D "addresses: [192.0.2.1/24]\n",
		 "t.yaml:3:15: error: '192.0.2.1/24': the address has bits set"},
		{D "addresses: [192.0.2.0/33]\n",
		 "t.yaml:3:15: error: '192.0.2.0/33': the prefix length"},
		{D "addresses: [x]\n", "t.yaml:3:15: error: 'x': not an address"},
		{D "domains: [x.com]\n- name: b\n  domains: [X.com.]\n",
		 "t.yaml:5:13: error: 'X.com.' belongs to a already"},
		{D "mx: [.x.com]\n- name: b\n  mx: [x.com]\n",
		 "t.yaml:5:8: error: 'x.com' belongs to a already"},
		{D "domains: [h.*]\n- name: b\n  domains: [h.*]\n",
		 "t.yaml:5:13: error: 'h.*' belongs to a already"},
		{D "addresses: [10.0.0.0/8]\n- name: b\n  addresses: [10.0.0.0/8]\n",
		 "t.yaml:5:15: error: '10.0.0.0/8' belongs to a already"},
		{D "domains: [x.com]\n- name: A\n  domains: [y.com]\n",
		 "t.yaml:4:9: error: 'a' belongs to a already"},
		{"pools: [{name: p, sources: []}]\n", "t.yaml:1:*: error:"},
		{"pools: [{name: p, sources: [x.y]}]\n",
		 "t.yaml:1:29: error: 'x.y': not an address"},
		{"pools: [{name: p, sources: [ff02::1]}]\n",
		 "t.yaml:1:29: error: 'ff02::1': addresses that nobody"},
		{"pools: [{name: p, sources: [abcdefghijklmnopqrstuvw]}]\n",
		 "t.yaml:1:29: error: 'abcdefghijklmnopqrstuvw': not an address"},
		{"pools: [{name: p, sources: [acme, ACME]}]\n",
		 "t.yaml:1:*: error: overlaps with the source"},
		{"sources: [{address: acme, total: {rate: 1/s}}]\n",
		 "t.yaml:1:21: error: 'acme': not an address, and no pool"},
		{"overrides: [{source: acme, destination: google, limits: {rate: 1/s}}]\n",
		 "t.yaml:1:22: error: 'acme': not an address, and no pool"},
		{"pools: [{name: p, sources: [10.0.0.9-10.0.0.1]}]\n",
		 "t.yaml:1:29: error: '10.0.0.9-10.0.0.1': the range ends"},
		{"pools: [{name: p, sources: [10.0.0.0/8]}]\n",
		 "t.yaml:1:8: error: the pools hold more than"},
		{"pools: [{name: p, sources: [10.0.0.1]}, {name: q, sources: [10.0.0.0/30]}]\n",
		 "t.yaml:1:29: error: overlaps with the source on line 1"},
		{"pools: [{name: p, sources: [10.0.0.1]}, {name: p, sources: [10.0.0.2]}]\n",
		 "t.yaml:1:48: error: a pool of this name"},
		{"sources: [{address: 10.0.0.1, total: {}}, {address: 10.0.0.1, total: {}}]\n",
		 "t.yaml:1:*: error: overlaps"},
		{"streams: [{name: s, limits: {}}, {name: s, limits: {}}]\n",
		 "t.yaml:1:41: error: a stream of this name"},
		{"streams: [{name: 'Acme Inc', limits: {}}]\n", "t.yaml:1:18: error: not a name"},
		{"overrides: [{destination: google, limits: {}}]\n",
		 "t.yaml:1:13: error: an override names either"},
		{"overrides: [{pool: p, destination: google, limits: {}}]\n",
		 "t.yaml:1:20: error: 'p': no such pool"},
		{"overrides: [{source: 10.0.0.1, destination: gogle, limits: {}}]\n",
		 "t.yaml:1:45: error: 'gogle': no such destination"},
		{"overrides: [{source: 10.0.0.1, destination: gmail.com, limits: {}}]\n",
		 "t.yaml:1:45: error: 'gmail.com' belongs to the destination google: write that"},
		{"overrides: [{source: 10.0.0.1, destination: mx.x.com, limits: {}}]\n",
		 "t.yaml:1:45: error: 'mx.x.com' belongs to the destination x.com: write that"},
		{"overrides:\n- {source: 10.0.0.0/30, destination: google, limits: {}}\n- {source: "
		 "10.0.0.1, destination: google, limits: {}}\n",
		 "t.yaml:3:3: error: an override of the same on line 2"},
		{"ebpf: {ports: [0]}\n", "t.yaml:1:16: error: '0': must be from 1 to 65,535"},
		{"ebpf: {cgroups: [x]}\n", "t.yaml:1:18: error: must be an absolute path"},
		{"ebpf: {refuse_errno: EINPROGRESS}\n",
		 "t.yaml:1:22: error: refuse_errno: 'EINPROGRESS': must be one of"},
		{"ebpf: {rules: [{mode: deny}]}\n",
		 "t.yaml:1:16: error: a rule names a destination"},
		{"ebpf: {rules: [{destination: google}]}\n",
		 "t.yaml:1:16: error: the rule does nothing"},
		{"ebpf: {rules: [{cgroup: /x, mode: deny}]}\n",
		 "t.yaml:1:16: error: '/x' is not one of the cgroups"},
		{"rules: [{name: r, action: {}}]\n", "t.yaml:1:"},
		{"rules: [{name: r, match: {destination: [gmail.com]}, action: {hold: 5m}}]\n",
		 "t.yaml:1:41: error: 'gmail.com' belongs to the destination google"},
		{"rules: [{name: r, match: {pool: [p]}, action: {hold: 5m}}]\n",
		 "t.yaml:1:34: error: 'p': no such pool"},
		{"rules: [{name: r, match: {text: ['a(b']}, action: {hold: 5m}}]\n",
		 "t.yaml:1:34: error: "},
		{"rules: [{name: r, match: {code: ['9xx1']}, action: {hold: 5m}}]\n",
		 "t.yaml:1:34: error: "},
		{"limits: {hour_starts: 1500ms}\n",
		 "t.yaml:1:23: error: hour_starts: '1500ms': must be whole seconds"},
		{"limits: {day_starts: 90s}\n",
		 "t.yaml:1:22: error: day_starts: '90s': must be whole minutes"},
		{"warmup: {schedules: [{name: a}]}\n",
		 "t.yaml:1:22: error: a schedule has days, hours, or both"},
		{"warmup: {schedules: [{name: a, days: [1, 2], hours: [1]}]}\n",
		 "t.yaml:1:22: error: 2 days, but hours of 1 of them"},
		{"warmup: {schedules: [{name: a, days: [9, 8]}]}\n",
		 "t.yaml:1:42: error: day 2 has less than day 1"},
		{"warmup: {schedules: [{name: a, days: [9], factor: 1}]}\n",
		 "t.yaml:1:51: error: factor: '1': must be above 1"},
		{"warmup: {schedules: [{name: a, days: [9], factor: 50%}]}\n",
		 "t.yaml:1:51: error: factor: '50%': must be a number up to 100"},
		{"warmup: {schedules: [{name: a, days: [1], factor: 1.001, end: 1000}]}\n",
		 "t.yaml:1:51: error: factor: 1.001 does not come to 1000 within 400 days"},
		{"warmup: {schedules: [{name: a, days: [9]}, {name: a, days: [9]}]}\n",
		 "t.yaml:1:44: error: a schedule of this name stands above"},
		{"warmup: {flows: [{source: 192.0.2.1, schedule: none}]}\n",
		 "t.yaml:1:48: error: 'none': no such schedule"},
		{"warmup: {flows: [{pool: p, schedule: mailtrap}]}\n",
		 "t.yaml:1:25: error: 'p': no such pool"},
		{"warmup: {flows: [{schedule: mailtrap}]}\n",
		 "t.yaml:1:18: error: what warms up is either a pool or a source"},
		{"warmup:\n  flows:\n  - {source: 192.0.2.0/24, schedule: mailtrap}\n"
		 "  - {source: 192.0.2.7, schedule: sendgrid}\n",
		 "t.yaml:4:5: error: a warm-up of the same on line 3"},
		{"warmup: {alert: {timeout: 2d}}\n", "t.yaml:1:27: error: "},
		{"warmup: {idle: 1d}\n", "t.yaml:1:16: error: idle: '1d': must be from 7d to 365d"},
		{"sidecar_timeout: 5\n",
		 "t.yaml:1:18: error: sidecar_timeout: '5': a unit must follow"},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct config *config = load(rows[i].text);
		const char *star = strchr(rows[i].problem, '*');
		bool found = false;

		cr_expect_null(config, "taken: %s", rows[i].text);
		config_free(config);
		for (uint32_t p = 0; p < report.count && !found; p++) {
			const char *text = problem(p);

			if (star && star < strchr(rows[i].problem, ' '))
				found = strncmp(text, rows[i].problem,
						(size_t)(star - rows[i].problem)) == 0 &&
					strstr(text, star + 1);
			else
				found = strncmp(text, rows[i].problem, strlen(rows[i].problem)) ==
					0;
		}
		cr_expect(found, "%s  wanted %s\n  got    %s", rows[i].text, rows[i].problem,
			  problem(0));
	}
}

Test(file, that_says_what_cannot_be_meant_is_warned_of)
{
	static const struct {
		const char *text;
		const char *problem;
	} rows[] = {
		{"builtin: false\nlimits: {rate: 10/min, hour: 5_000}\n",
		 "t.yaml:2:30: warning: hour: hour 5000 is never reached: the rate lets at most "
		 "600"},
		{"builtin: false\nlimits: {rate: 10/hr, day: 300}\n",
		 "t.yaml:2:28: warning: day: day 300 is never reached"},
		{"builtin: false\nlimits: {hour: 500, day: 400}\n",
		 "t.yaml:2:16: warning: hour: hour 500 is never reached: day 400"},
		{"builtin: false\nlimits: {hour: 10, day: 400}\n",
		 "t.yaml:2:25: warning: day: day 400 is never reached: hour 10"},
		{"builtin: false\nlimits: {rate: 10/s, burst: 50, hour: 20}\n",
		 "t.yaml:2:29: warning: burst: burst 50 is more than hour 20"},
		{"builtin: false\nlimits: {burst: 5}\n",
		 "t.yaml:2:17: warning: burst: has no effect: the rate is unlimited"},
		{"builtin: false\nlimits: {strict: true}\n",
		 "t.yaml:2:18: warning: strict: has no effect"},
		{"builtin: false\nlimits: {hour_reserve: {engaged: 5}}\n",
		 "t.yaml:2:34: warning: hour_reserve.engaged: has no effect: hour is unlimited"},
		{"builtin: false\nlimits: {connection_burst: 5}\n",
		 "t.yaml:2:28: warning: connection_burst: has no effect"},
		{"builtin: false\nlimits: {floor: 5/min}\n",
		 "t.yaml:2:17: warning: floor: has no effect: adapt is false"},
		{"builtin: false\nlimits: {rate: 100/min, connection_rate: 1/min, "
		 "messages_per_connection: 10}\n",
		 "t.yaml:2:16: warning: rate: the rate is never reached"},
		{"builtin: false\n" D "mx: [x.com, .y.x.com]\n",
		 "t.yaml:4:15: warning: '.y.x.com' does nothing: 'x.com' under mx"},
		{"builtin: false\n" D "mx: [x.com]\n  domains: [x.com]\n",
		 "t.yaml:5:13: warning: 'x.com' does nothing"},
		{"builtin: false\n" D "mx: [x.com]\n  limits: {rate: 10/s}\n  total: {rate: 1/s}\n",
		 "t.yaml:5:18: warning: rate: is never reached: the total of the destination"},
		{D "mx: [.google.com]\n",
		 "t.yaml:2:3: warning: 'google.com' is taken from the built-in destination google"},
		{"segment: {owner: nobody-here}\n",
		 "t.yaml:1:18: warning: 'nobody-here': this system knows no such user"},
		{"limits: {baseline_floor: {hour: 9}}\n",
		 "t.yaml:1:33: warning: baseline_floor.hour: has no effect: baseline is off"},
		{"warmup:\n  schedules: [{name: a, days: [100, 250, 626]}]\n",
		 "t.yaml:2:42: warning: from 250 to 626 from one day to the next is more than 2.5"},
		{"warmup:\n  schedules: [{name: a, hours: [10, 26]}]\n",
		 "t.yaml:2:37: warning: from 240 to 624 from one day to the next is more than 2.5"},
		{"warmup:\n  schedules: [{name: a, days: [10, 20], factor: 2.6, end: 500}]\n",
		 "t.yaml:2:49: warning: from 20 to 52 from one day"},
		{"warmup:\n  schedules: [{name: a, days: [10], end: 500}]\n",
		 "t.yaml:2:42: warning: end: has no effect"},
		{"destinations:\n- name: google\n  limits: {hour: 2_000_000}\n",
		 "t.yaml:3:18: warning: hour: hour 2000000 is never reached"},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct config *config = load(rows[i].text);
		bool found = false;

		cr_expect_not_null(config, "%s%s", rows[i].text, problem(0));
		config_free(config);
		for (uint32_t p = 0; p < report.count; p++)
			found = found ||
				strncmp(problem(p), rows[i].problem, strlen(rows[i].problem)) == 0;
		cr_expect(found, "%s  wanted %s\n  got    %s", rows[i].text, rows[i].problem,
			  problem(0));
	}
}

Test(file, shows_all_its_errors_at_once)
{
	cr_expect_null(load("limits:\n  rate: x\n  burst: y\n  hour: z\n"));
	cr_expect_eq(report.errors, 3);
}

/* What cannot be read is not taken for something else, of which more would be wrong. */
Test(file, with_one_wrong_value_has_one_error)
{
	static const char *const rows[] = {
		"builtin: x\ndestinations: [{name: google}]\n",
		"segment: {ring: 7}\n",
		"limits: {hour_starts: 61m}\n",
		"ebpf: {ports: [25, x]}\n",
	};

	for (size_t i = 0; i < N(rows); i++) {
		cr_expect_null(load(rows[i]));
		cr_expect_eq(report.errors, 1, "%s%s", rows[i], problem(0));
	}
}

Test(file, with_an_empty_list_is_as_without_it)
{
	struct config *config = load("ebpf: {ports: []}\ndestinations: [{name: google, mx: []}]\n");
	uint32_t count;

	cr_assert(config, "%s", problem(0));
	cr_expect_eq(config->ebpf.ports_count, 3);
	config_mx(&config->destinations[0], &count);
	cr_expect_gt(count, 0, "the built-in one's");
	config_free(config);
}

Test(file, that_is_not_there_is_an_error_with_its_name)
{
	struct config *config;

	cr_expect_eq(config_read("/nonexistent/t.yaml", NULL, &config, &report), -ENOENT);
	cr_expect_str_eq(problem(0), "/nonexistent/t.yaml: error: No such file or directory");
	diagnostics_free(&report);
	cr_expect_eq(config_read("/", NULL, &config, &report), -EISDIR);
}

Test(list, that_is_missing_is_one_warning)
{
	struct config *config = NULL;

	cr_assert_eq(config_load(&(struct config_text){"", 0, "t.yaml", "/nonexistent/list"}, NULL,
				 &config, &report),
		     0);
	cr_expect_eq(report.count, 1);
	cr_expect(strstr(problem(0), "Public Suffix List cannot be read"), "%s", problem(0));
	config_free(config);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t live;
static long fuse; /* allocations until one fails; negative: never */

static void *counted(void *context, void *old, size_t size)
{
	cr_assert_eq(context, &live);
	if (size == 0) {
		live -= old != NULL;
		free(old);
		return NULL;
	}
	if (fuse >= 0 && fuse-- == 0)
		return NULL;
	live += old == NULL;
	return realloc(old, size);
}

Test(memory, comes_from_the_hook_and_all_goes_back)
{
	struct yaml_memory memory = {counted, &live};
	struct config *config = NULL;

	fuse = -1;
	cr_assert_eq(config_load(&(struct config_text){whole, strlen(whole), "t", NULL}, &memory,
				 &config, &report),
		     0);
	cr_expect_gt(live, 100);
	config_free(config);
	cr_expect_eq(live, 0, "%zu pieces left", live);
}

Test(memory, that_runs_out_is_an_error_and_all_goes_back)
{
	struct yaml_memory memory = {counted, &live};
	unsigned failed = 0;

	for (long at = 0;; at += 1 + at / 8) {
		struct config *config = NULL;
		int rc;

		fuse = at;
		diagnostics_free(&report);
		rc = config_load(&(struct config_text){whole, strlen(whole), "t", NULL}, &memory,
				 &config, &report);
		if (rc == 0) {
			config_free(config);
			break;
		}
		failed++;
		cr_assert_eq(rc, -ENOMEM, "%ld: %d %s", at, rc, problem(0));
		cr_assert_gt(report.errors, 0);
		cr_assert_eq(live, 0, "%zu pieces left at %ld", live, at);
	}
	cr_expect_gt(failed, 20);
}

/* A good file with bytes changed at random: taken or refused, never a crash. */
Test(bytes, at_random_do_no_harm)
{
	uint64_t seed = 3;
	unsigned refused = 0;

	for (int round = 0; round < 300; round++) {
		char text[sizeof(whole)];
		struct config *config = NULL;

		memcpy(text, whole, sizeof(whole));
		for (int i = 0; i < 4; i++) {
			size_t at = random_below(&seed, sizeof(whole) - 1);

			text[at] = "0123456789abcz%/.,:-[]{}* \n"[random_below(&seed, 27)];
		}
		diagnostics_free(&report);
		if (config_load(&(struct config_text){text, sizeof(whole) - 1, "t", "/nonexistent"},
				NULL, &config, &report) < 0) {
			refused++;
			cr_assert_gt(report.errors, 0);
		}
		config_free(config);
	}
	cr_expect_gt(refused, 100);
}
