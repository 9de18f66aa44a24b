/* SPDX-License-Identifier: MIT
 *
 * libtollgate for Exim, by ${dlfunc} (sidecar/doc/exim.md is the manual). No header of Exim's is
 * needed: a function gets the place of its answer, and its arguments as texts; the answer's memory
 * is ours, and good until the next call.
 *
 *   ${dlfunc{tollgate_exim.so}{take}{POOL}{DOMAIN}{SECONDS}{CLASS}}
 *       takes the next slot of the source of a pool (or of an address) that can send soonest, waits
 *       for it, and gives that source. CLASS may be left out: bulk. Where it is further ahead than
 *       SECONDS it fails with "tollgate: hold, not before 6 s from now", which defers the delivery.
 *   ${dlfunc{tollgate_exim.so}{report}{SOURCE}{DOMAIN}{REPLY}}
 *       tells what the receiver answered, as Exim's events have it; gives nothing.
 *
 * Each delivery is a process of its own, which attaches when it first asks and is detached when it
 * ends. Where it cannot attach take fails; take_open gives nothing instead, so that mail goes
 * unbound. Either is said in Exim's log by the message, respectively by an empty address.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/tollgate.h"

enum { EXIM_OK, EXIM_DEFER, EXIM_FAIL };

#define EXPORT	  __attribute__((visibility("default")))
#define SECOND_NS UINT64_C(1000000000)
#define WAIT_MAX  3600

typedef unsigned char exim_text;

EXPORT int take(exim_text **yield, int argc, exim_text *argv[]);
EXPORT int take_open(exim_text **yield, int argc, exim_text *argv[]);
EXPORT int report(exim_text **yield, int argc, exim_text *argv[]);

static struct tg *attached;
static char answer[512];

__attribute__((destructor)) static void leave(void)
{
	tg_detach(attached);
	attached = NULL;
}

/* Attached, or the error of it. */
static int attach(void)
{
	return attached ? 0 : tg_attach(NULL, &attached);
}

static int said(exim_text **yield, int status)
{
	*yield = (exim_text *)answer;
	return status;
}

static int failed(exim_text **yield, int error)
{
	char text[400];

	snprintf(answer, sizeof(answer), "tollgate: %s",
		 tg_error_text(error, NULL, text, sizeof(text)));
	return said(yield, EXIM_FAIL);
}

static enum tg_class class_of(const char *name)
{
	static const char *const names[] = {"transactional", "engaged", "bulk"};

	for (unsigned i = 0; i < TG_CLASSES; i++)
		if (strcmp(names[i], name) == 0)
			return (enum tg_class)i;
	return TG_BULK;
}

/* A pool's source that can send soonest, or an address. */
static int flow_of(const char *from, const char *domain, enum tg_class traffic,
		   struct tg_source *ret_source, struct tg_flow *ret)
{
	struct tg_destination destination;
	uint64_t at_ns;
	int error = tg_destination(attached, domain, &destination);

	if (error == 0)
		error = tg_pick(attached, from, &destination, traffic, ret_source, &at_ns);
	if (error == -ENOENT)
		error = tg_source(attached, from, ret_source);
	return error ? error : tg_flow(attached, ret_source, &destination, ret);
}

static void sleep_ns(uint64_t ns)
{
	struct timespec left = {(time_t)(ns / SECOND_NS), (long)(ns % SECOND_NS)};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int refused(exim_text **yield, enum tg_reason reason, uint64_t wait_ns)
{
	if (wait_ns == UINT64_MAX)
		snprintf(answer, sizeof(answer), "tollgate: %s", tg_reason_name(reason));
	else
		snprintf(answer, sizeof(answer), "tollgate: %s, not before %llu s from now",
			 tg_reason_name(reason), (unsigned long long)(wait_ns / SECOND_NS + 1));
	return said(yield, EXIM_FAIL);
}

/* Takes the slot and waits for it, within the bound in all. */
static enum tg_reason slot_take(const struct tg_flow *flow, enum tg_class traffic,
				uint64_t bound_ns, uint64_t *ret_wait)
{
	uint64_t end_ns = tg_now(attached) + bound_ns;
	struct tg_reservation slot;
	enum tg_reason reason =
		tg_reserve_into(attached, flow, traffic, 1, bound_ns, &slot, NULL, ret_wait);

	if (reason != TG_ADMITTED)
		return reason;
	for (;;) {
		sleep_ns(*ret_wait);
		reason = tg_redeem_into(attached, &slot, NULL, ret_wait);
		if (reason == TG_ADMITTED || reason == TG_REFUSED_NEVER || reason == TG_RETIRED)
			return reason;
		if (*ret_wait > tg_until(attached, end_ns)) {
			tg_cancel(attached, &slot);
			return reason;
		}
	}
}

static int take_slot(exim_text **yield, int argc, exim_text *argv[], bool open)
{
	enum tg_class traffic = class_of(argc > 3 ? (char *)argv[3] : "bulk");
	struct tg_source source;
	struct tg_flow flow;
	enum tg_reason reason = TG_RETIRED;
	uint64_t wait_ns = 0;
	long bound = argc > 2 ? strtol((char *)argv[2], NULL, 10) : -1;
	int error;

	answer[0] = '\0';
	if (argc < 3 || argc > 4 || bound < 0 || bound > WAIT_MAX) {
		snprintf(answer, sizeof(answer),
			 "tollgate: take has a pool, a domain and 0 to %d seconds", WAIT_MAX);
		return said(yield, EXIM_FAIL);
	}
	error = attach();
	if (error)
		return open ? said(yield, EXIM_OK) : failed(yield, error);
	for (int tries = 0; tries < 2 && reason == TG_RETIRED; tries++) {
		if (tries > 0 && tg_renew(attached) != 0)
			break;
		error = flow_of((char *)argv[0], (char *)argv[1], traffic, &source, &flow);
		if (error && error != -ENOSPC)
			return failed(yield, error);
		reason = slot_take(&flow, traffic, (uint64_t)bound * SECOND_NS, &wait_ns);
	}
	if (reason != TG_ADMITTED)
		return refused(yield, reason, wait_ns);
	tg_source_text(&source, answer, sizeof(answer));
	return said(yield, EXIM_OK);
}

int take(exim_text **yield, int argc, exim_text *argv[])
{
	return take_slot(yield, argc, argv, false);
}

int take_open(exim_text **yield, int argc, exim_text *argv[])
{
	return take_slot(yield, argc, argv, true);
}

/* The receiver's own words: behind "SMTP error from remote mail server after …: ", where Exim has
 * put some in front, else from the start. NULL: no reply came. */
static const char *reply_in(const char *text)
{
	static const char *const fronts[] = {"SMTP error from remote mail server after ",
					     "SMTP error from remote mail server "};
	struct tg_reply reply;

	for (unsigned i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		if (strncmp(text, fronts[i], strlen(fronts[i])) != 0)
			continue;
		/* "[pipelined] MAIL FROM:<a@b> SIZE=1: 451 …": the command is ours, the first that
		 * reads as a reply behind ": " is the receiver's. */
		for (text = strstr(text, ": "); text != NULL; text = strstr(text, ": ")) {
			text += 2;
			if (tg_reply_parse(text, strlen(text), &reply) == 0)
				return text;
		}
		return NULL;
	}
	return tg_reply_parse(text, strlen(text), &reply) == 0 ? text : NULL;
}

/* Exim writes line feeds of a reply as "\n" in two characters. */
static void lines_restore(const char *from, char *into, size_t size)
{
	size_t used = 0;

	for (; *from != '\0' && used + 1 < size; from++) {
		bool feed = from[0] == '\\' && from[1] == 'n';

		into[used++] = feed ? '\n' : *from;
		from += feed;
	}
	into[used] = '\0';
}

int report(exim_text **yield, int argc, exim_text *argv[])
{
	struct tg_source source;
	struct tg_destination destination;
	struct tg_flow flow;
	const char *reply;
	char lines[2048];
	int error;

	answer[0] = '\0';
	/* Without a source nothing was taken: that is no failure of a delivery. */
	if (argc != 3 || argv[0][0] == '\0' || attach() != 0)
		return said(yield, EXIM_OK);
	error = tg_source(attached, (char *)argv[0], &source);
	if (error == 0)
		error = tg_destination(attached, (char *)argv[1], &destination);
	if (error == 0)
		error = tg_flow(attached, &source, &destination, &flow);
	reply = reply_in((char *)argv[2]);
	if (reply != NULL)
		lines_restore(reply, lines, sizeof(lines));
	if (error == 0)
		tg_report_line(attached, &flow, reply ? lines : NULL, reply ? strlen(lines) : 0,
			       TG_BULK, reply ? TG_STAGE_MESSAGE : TG_STAGE_CONNECT, 1, 0);
	return said(yield, EXIM_OK);
}
