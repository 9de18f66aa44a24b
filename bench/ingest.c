/* SPDX-License-Identifier: MIT
 *
 * ingest: how many lines of a log a second one core reads, format by format.
 *
 *   ingest [--json] [--quick] [CASE…]
 *
 * A few megabytes of lines as an MTA writes them (half delivered, a quarter deferred with the long
 * reply of a large receiver, an eighth bounced, an eighth that is no outcome) go through the line
 * reader and the parser, copied into its buffer as read(2) would. Prints a line a case, {"case",
 * "ns", "per_second", "bytes"}: processor time and bytes of a line, the median of 9 runs. "jansson"
 * is the library reading KumoMTA's lines into trees, which is what a reader of our own is measured
 * by.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/cases.h"
#include "bench/lib/measure.h"
#include "sidecar/base/json.h"
#include "sidecar/ingest/format.h"
#include "sidecar/ingest/lines.h"

#define RUNS  9
#define BYTES (4u << 20)

#define SLOW                                                                                       \
	"4.7.650 The mail server [203.0.113.11] has been temporarily rate limited due to IP "      \
	"reputation. For e-mail delivery information, see https://aka.ms/postmaster (S775) [Name=" \
	"Protocol Filter Agent][AGT=PFA][MxId=11BCD825A78A8D0B] [AMS0EPF000001A7.eurprd05.prod."   \
	"outlook.com 2026-02-25T11:12:39.245Z 08DE6C12E206EF5D]"
#define HOST "hotmail-com.olc.protection.outlook.com"

/* delivered, deferred, bounced, other */
static const struct sample {
	const char *format, *header, *lines[4];
} samples[] = {
	{"postfix",
	 "",
	 {"Feb 25 11:12:43 mta1 postfix/smtp[29963]: 4qPWc9wHbGzPNd: to=<a1@gmail.com>, relay=gmail-smtp-in.l"
	  ".google.com[192.0.2.26]:25, delay=3.35, delays=0.06/0.01/0.19/0.70, dsn=2.0.0, status=sent (250 2.0"
	  ".0 OK 1763692895 d75a77b69052e-4ee48d19aacsi14375621cf.66 - gsmtp)\n",
	  "Feb 25 11:12:44 mta1 postfix/smtp[22269]: 4ZMHS2RdBczCRQx: to=<b1@hotmail.com>, relay=" HOST
	  "[192.0.2.33]:25, delay=767, delays=766.00/0.01/0.89/0.89, dsn=4.7.650, status=deferred (host " HOST
	  "[192.0.2.33] said: 451 " SLOW " (in reply to MAIL FROM command))\n",
	  "Feb 25 11:13:11 mta1 postfix/smtp[31331]: 4xpPLBsFZYzRkZM: to=<e7@example.net>, relay=mx.example.ne"
	  "t[198.51.100.7]:25, delay=3.85, delays=0.01/0.01/0.32/0.14, dsn=5.1.1, status=bounced (host mx.exam"
	  "ple.net[198.51.100.7] said: 550 5.1.1 no such user (in reply to RCPT TO command))\n",
	  "Feb 25 11:12:43 mta1 postfix/qmgr[1187]: 4qPWc9wHbGzPNd: removed\n"}},
	{"exim",
	 "",
	 {"2026-02-25 10:52:22.994 [8679] 1vqAZ0-00000055GwT-eJEl => j@gmail.com R=dnslookup T=remote_smtp H=gm"
	  "ail-smtp-in.l.google.com [192.0.2.26]:25 I=[203.0.113.11]:48354 X=TLS1.3:TLS_AES_256_GCM_SHA384:256"
	  " CV=yes C=\"250 2.0.0 OK 1763692895 d75a77b69052e - gsmtp\" QT=6s DT=1.872s\n",
	  "2026-02-25 10:51:52.066 [28983] 1vqASD-0000009j0T9-6P3m == a@hotmail.com R=dkim_lookuphost T=dkim_re"
	  "mote_smtp defer (-45) H=" HOST
	  " [192.0.2.33]:25 I=[203.0.113.11]:40244: SMTP error from remote mai"
	  "l server after pipelined MAIL FROM:<bounce@example.com> SIZE=20480: 451 " SLOW "\n",
	  "2026-02-25 10:52:28.419 [21420] 1vqATt-000000jLFE0-pLl8 ** o@example.net R=dnslookup T=remote_smtp H"
	  "=mx.example.net [198.51.100.7]:25 I=[203.0.113.12]:51390: SMTP error from remote mail server after "
	  "RCPT TO:<o@example.net>: 550 5.1.1 no such user\n",
	  "2026-02-25 10:53:20.617 [13249] 1vqAwX-0000008Eb6O-Xi3f Completed QT=3.2s\n"}},
	{"powermta",
	 "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,srcType,srcMt"
	 "a,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,envId,queue,vmtaPool\n",
	 {"d,2026-02-25 11:12:41+0000,2026-02-25 11:12:38+0000,bounce@example.com,a1@gmail.com,,relayed,2.0.0 ("
	  "success),smtp;250 2.0.0 OK 1763692895 - gsmtp,gmail-smtp-in.l.google.com (192.0.2.26),success,smtp,"
	  "app1.example.com (198.51.100.20),smtp,203.0.113.11,192.0.2.26,\"PIPELINING,8BITMIME,SIZE,STARTTLS\",3"
	  "8821,vmta-11,news,,gmail.com/vmta-11,pool-a\n",
	  "t,2026-02-25 11:12:44+0000,2026-02-25 11:12:41+0000,bounce@example.com,b1@hotmail.com,,delayed,4.7.6"
	  "50 (undefined status),\"smtp;451 " SLOW "\"," HOST
	  " (192.0.2.33),,smtp,app1.example.com (198.51.100"
	  ".20),smtp,203.0.113.11,192.0.2.33,\"PIPELINING,8BITMIME,SIZE,STARTTLS\",,vmta-11,news,,hotmail.com/vm"
	  "ta-11,pool-a\n",
	  "b,2026-02-25 11:12:44+0000,2026-02-25 11:12:41+0000,bounce@example.com,b1@example.net,,failed,5.1.1 "
	  "(bad address),smtp;550 5.1.1 no such user,mx.example.net (198.51.100.7),bad-mailbox,smtp,app1.exam"
	  "ple.com (198.51.100.20),smtp,203.0.113.11,198.51.100.7,,,vmta-11,news,,example.net/vmta-11,pool-a\n",
	  "r,2026-02-25 11:13:32+0000,2026-02-25 10:58:32+0000,bounce@example.com,in@example.com,,,,,,,smtp,app"
	  "1.example.com (198.51.100.20),smtp,,,,,vmta-11,news,,example.com/vmta-11,pool-a\n"}},
#define KUMO(type, recipient, code, content, peer)                                                              \
	"{\"type\":\"" type                                                                                     \
	"\",\"id\":\"2a095ee82bb2997659ba1b0d5c906158\",\"sender\":\"bounce@example.com\""                      \
	",\"recipient\":\"" recipient                                                                           \
	"\",\"queue\":\"news:tenant1@hotmail.com\",\"site\":\"ip-11->" HOST                                     \
	"@smtp_client\",\"size\":64654,\"response\":{\"code\":" code                                            \
	",\"enhanced_code\":{\"class\":4,\"subje"                                                               \
	"ct\":7,\"detail\":650},\"content\":\"" content                                                         \
	"\",\"command\":\".\\r\\n\"},\"peer_address\":{\"name"                                                  \
	"\":\"" peer                                                                                            \
	".\",\"addr\":\"192.0.2.33\"},\"timestamp\":1772017962,\"event_time\":\"2026-02-25T11:12"               \
	":42.700000047Z\",\"created\":1772017958,\"created_time\":\"2026-02-25T11:12:42.700000047Z\",\"num_at"  \
	"tempts\":1,\"bounce_classification\":\"Uncategorized\",\"egress_pool\":\"pool0\",\"egress_source\":\"" \
	"ip-11\",\"source_address\":{\"address\":\"203.0.113.11:35252\"},\"feedback_report\":null,\"meta\":{}"  \
	",\"headers\":{},\"delivery_protocol\":\"ESMTP\",\"reception_protocol\":\"HTTP\",\"nodeid\":\"557f3ad"  \
	"4-2c8c-11ee-976e-782d7e12e173\",\"tls_cipher\":\"TLS_AES_256_GCM_SHA384\",\"tls_protocol_version\":"   \
	"\"TLSv1.3\",\"tls_peer_subject_name\":[],\"session_id\":\"58151a99-59e2-d153-64c7-a5005d32fe61\"}\n"
	{"kumomta",
	 "",
	 {KUMO("Delivery", "a1@gmail.com", "250", "OK 1763692895 - gsmtp",
	       "gmail-smtp-in.l.google.com"),
	  KUMO("TransientFailure", "b1@hotmail.com", "451", SLOW, HOST),
	  KUMO("Bounce", "c1@example.net", "550", "no such user", "mx.example.net"),
	  KUMO("Reception", "a1@gmail.com", "250", "", "x")}},
#define HARAKA \
	"2026-02-25T11:12:40.420Z [NOTICE] [64C7A500-5D32-4E61-985F-B4E72A095EE8.1] [outbound] "
	{"haraka",
	 "",
	 {HARAKA
	  " delivered file=1772017958286_1772017959520_2_8331_EA9LKX_1_mx1.example.com domain=gmail.com h"
	  "ost=gmail-smtp-in.l.google.com ip=192.0.2.26 port=25 mode=SMTP tls=Y auth=N response=\"OK 17636"
	  "92895 d75a77b69052e - gsmtp\" delay=3.349 fails=0 rcpts=1/0/0\n",
	  HARAKA
	  "Temp failing 1772017961286_1772017962520_1_8331_msP4dt_5_mx1.example.com for 64 seconds: Ups"
	  "tream error: 451 " SLOW "\n",
	  HARAKA "recipient <a@example.net> rejected: 550 5.1.1 no such user\n",
	  HARAKA
	  "secured verified=true cipher=TLS_AES_256_GCM_SHA384 version=TLSv1.3 cn=mx.google.com\n"}},
#define GRID(event, email, more)                                                                \
	"[{\"email\":\"" email                                                                  \
	"\",\"timestamp\":1772017960,\"smtp-id\":\"<0002.1772017960@ismtpd-555>\",\"ev"         \
	"ent\":\"" event                                                                        \
	"\",\"category\":[\"news\"],\"sg_event_id\":\"9noD8R0Q8c-MsIwmfgDFeV==\",\"sg_message_" \
	"id\":\"14c5d75ce93.dfd.00002.filter0001.16648.5515E0B88.0\"," more                     \
	",\"ip\":\"203.0.113.11\"}]\n"
	{"sendgrid",
	 "",
	 {GRID("delivered", "a1@gmail.com", "\"response\":\"250 2.0.0 OK 1763692895 - gsmtp\""),
	  GRID("deferred", "b1@hotmail.com", "\"response\":\"451 " SLOW "\",\"attempt\":\"7\""),
	  GRID("bounce", "c1@example.net",
	       "\"reason\":\"550 5.1.1 no such user\",\"status\":\"5.1.1\""),
	  GRID("open", "a1@gmail.com", "\"useragent\":\"Mozilla/4.0\"")}},
#define OWN(destination, reply)                                                                   \
	"{\"time\": 1772017960.25, \"source\": \"203.0.113.11\", \"destination\": \"" destination \
	"\", \"reply\": \"" reply "\"}\n"
	{"json",
	 "",
	 {OWN("google", "250 2.0.0 OK 1763692895 - gsmtp"), OWN(HOST, "451 " SLOW),
	  OWN("example.net", "550 5.1.1 no such user"), "\n"}},
};

/* ---- a log ----------------------------------------------------------------------------------- */

static char *log_make(const struct sample *sample, size_t *ret_length, uint64_t *ret_lines)
{
	static const uint8_t mix[8] = {0, 1, 0, 2, 0, 1, 0, 3};
	char *bytes = malloc(BYTES + 65536);
	size_t length = 0;

	if (bytes == NULL)
		return NULL;
	*ret_lines = *sample->header != '\0';
	length += (size_t)sprintf(bytes, "%s", sample->header);
	for (unsigned i = 0; length < BYTES; i++, ++*ret_lines) {
		const char *line = sample->lines[mix[i % 8]];

		memcpy(bytes + length, line, strlen(line));
		length += strlen(line);
	}
	*ret_length = length;
	return bytes;
}

/* Returns how many outcomes there were. */
static uint64_t log_run(const struct ingest_format *format, const char *bytes, size_t length)
{
	struct ingest_stream stream = {.clock.now_ns = UINT64_C(1772020000000000000)};
	struct lines lines = {.csv = format->csv};
	struct ingest_event event;
	struct ingest_line line;
	uint64_t events = 0;

	for (size_t at = 0; at < length;) {
		size_t room;
		char *into = lines_room(&lines, &room);

		if (into == NULL)
			break;
		room = length - at < room ? length - at : room;
		memcpy(into, bytes + at, room);
		lines_filled(&lines, room);
		at += room;
		while (lines_next(&lines, at == length, &line))
			while (format->parse(&stream, &line, &event) == INGEST_EVENT) {
				events++;
				if (line.at == 0)
					break;
			}
	}
	lines_free(&lines);
	return events;
}

static uint64_t trees_run(const char *bytes, size_t length)
{
	char reason[JSON_REASON];
	uint64_t trees = 0;

	for (const char *at = bytes, *stop; at < bytes + length; at = stop + 1) {
		struct json *json;

		stop = memchr(at, '\n', (size_t)(bytes + length - at));
		if (json_read(at, (size_t)(stop - at), &json, reason) != 0)
			break;
		json_release(json);
		trees++;
	}
	return trees;
}

static int case_run(const char *name, const struct sample *sample, const struct cases *cases)
{
	const struct ingest_format *format =
		strcmp(name, "jansson") ? ingest_format_named(name) : NULL;
	unsigned runs = cases->quick ? 3 : RUNS;
	double ns[RUNS], median;
	uint64_t lines, events = 0;
	size_t length;
	char *bytes = log_make(sample, &length, &lines);

	if (bytes == NULL)
		return -1;
	for (unsigned i = 0; i < runs; i++) {
		uint64_t start = measure_cpu_ns();

		events = format ? log_run(format, bytes, length) : trees_run(bytes, length);
		ns[i] = (double)(measure_cpu_ns() - start) / (double)lines;
	}
	free(bytes);
	if (events < lines * 3 / 4) { /* seven of eight are outcomes */
		fprintf(stderr, "ingest: %s: %lu outcomes in %lu lines\n", name,
			(unsigned long)events, (unsigned long)lines);
		return -1;
	}
	median = measure_median(ns, runs);
	if (cases->json)
		printf("{\"case\": \"%s\", \"ns\": %.1f, \"per_second\": %.0f, \"bytes\": %.0f}\n",
		       name, median, 1e9 / median, (double)length / (double)lines);
	else
		printf("%-10s %7.0f ns a line of %5.0f bytes, %6.2f million a second and core\n",
		       name, median, (double)length / (double)lines, 1e3 / median);
	return 0;
}

int main(int argc, char **argv)
{
	struct cases cases = {0};
	int bad = 0;

	cases_read(&cases, "ingest", argc, argv);
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		if (cases_wanted(&cases, samples[i].format))
			bad |= case_run(samples[i].format, &samples[i], &cases);
		if (strcmp(samples[i].format, "kumomta") == 0 && cases_wanted(&cases, "jansson"))
			bad |= case_run("jansson", &samples[i], &cases);
	}
	return bad != 0;
}
