/* SPDX-License-Identifier: MIT
 *
 * What a scenario drawn at random is like: one receiver whose hidden rate lies between 2 and 600 a
 * minute, evenly on a logarithmic scale, offered half, the same or one and a half times what it
 * takes; each further trait (penalty, noise, windows, changes, an outage, history, greylisting,
 * slow replies) with the chance that stands beside it.
 */
#include "sidecar/simulate/random.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "sidecar/simulate/traffic.h"

#define REPUTATION                                                                      \
	"451 4.7.650 The mail server [%s] has been temporarily rate limited due to IP " \
	"reputation. (S775)"
#define UNUSUAL \
	"421 4.7.28 Our system has detected an unusual rate of unsolicited mail, rate limited"
#define MANY	"421 4.7.0 Too many concurrent connections"
#define MANY_IN "421 4.7.0 Too many messages in this connection"
#define HOURLY	"421 4.7.0 [%s] has exceeded its hourly limit of messages"
#define DAILY	"421 4.7.0 [%s] has exceeded its daily limit of messages"

/* Keeps a run to about a second. */
#define MESSAGES_MAX 400000

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct writer {
	char *text;
	size_t size;
	size_t length;
	uint64_t seed;
	uint64_t draws;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format,
						      ...)
{
	bool room = writer->length < writer->size;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(room ? writer->text + writer->length : NULL,
			   room ? writer->size - writer->length : 0, format, args);
	va_end(args);
	writer->length += (size_t)length;
}

/* The next draw, in [0, 1). The number of the draw is what names it, so the order of drawing is
 * part of what a seed means. */
static double draw(struct writer *writer)
{
	return simulate_draw(simulate_luck(writer->seed, 0x7261, writer->draws++));
}

static bool chance(struct writer *writer, double share)
{
	return draw(writer) < share;
}

static double pick(struct writer *writer, const double *values, size_t count)
{
	return values[(size_t)(draw(writer) * (double)count)];
}

struct traits {
	double rate;  /* hidden, a minute */
	double hours; /* of the run */
	int sources;
	double messages; /* bulk, for all sources */
};

static void put_traffic(struct writer *writer, const struct traits *traits)
{
	const char *arrival = chance(writer, 0.5) ? "burst" : "poisson";
	double urgent = fmax(20, traits->rate * 60 * traits->hours * 0.05) * traits->sources;

	put(writer, "duration: %.0fh\nseed: %llu\nsources:\n", traits->hours,
	    (unsigned long long)writer->seed);
	for (int i = 0; i < traits->sources; i++)
		put(writer, "  - {address: 192.0.2.%d, pool: shared}\n", 10 + i);
	put(writer,
	    "traffic:\n  - {pool: shared, destination: random, class: bulk, messages: %.0f, "
	    "start: 0h, over: %.0fh, arrival: %s}\n",
	    traits->messages, fmax(1, floor(traits->hours / 2)), arrival);
	put(writer,
	    "  - {pool: shared, destination: random, class: transactional, messages: %.0f, "
	    "over: %.0fh, arrival: poisson}\n",
	    floor(urgent), traits->hours);
}

static void put_accept(struct writer *writer, const struct traits *traits, double latency)
{
	static const double bursts[] = {0.05, 0.2, 0.5, 1, 3}, opens[] = {1, 2, 3, 5, 10, 20},
			    places[] = {3, 5, 10, 20, 50, 100}, hours[] = {0.15, 0.4, 0.8},
			    days[] = {0.1, 0.4};
	double burst = fmax(1, round(traits->rate * pick(writer, bursts, COUNT(bursts))));
	double open = pick(writer, opens, COUNT(opens));
	double place = pick(writer, places, COUNT(places));
	/* A message takes its reply's time and its part of the connection's: the connections must
	 * not be what keeps the rate out of reach. */
	double each = latency * 1.25 * (1 + 1 / place);

	open = fmax(open, ceil(1.3 * traits->rate / 60 * each));
	put(writer,
	    "    accept: {rate: %.2f/min, burst: %.0f, connections: %.0f, per_connection: %.0f",
	    traits->rate, burst, open, place);
	if (chance(writer, 0.25))
		put(writer, ", hour: %.0f",
		    fmax(5, traits->rate * 60 * pick(writer, hours, COUNT(hours))));
	if (traits->hours > 48)
		put(writer, ", day: %.0f",
		    fmax(20, traits->rate * 60 * 24 * pick(writer, days, COUNT(days))));
	put(writer, "}\n    latency: %.0fms\n", latency * 1000);
}

static void put_texts(struct writer *writer)
{
	const char *all = chance(writer, 0.5) ? REPUTATION : UNUSUAL;

	if (chance(writer, 0.7)) {
		put(writer, "    over: \"%s\"\n", all);
		return;
	}
	put(writer, "    over:\n      rate: \"%s\"\n      connections: \"%s\"\n", all, MANY);
	put(writer, "      per_connection: \"%s\"\n      hour: \"%s\"\n      day: \"%s\"\n",
	    MANY_IN, HOURLY, DAILY);
}

static void put_trouble(struct writer *writer, const struct traits *traits)
{
	static const double counts[] = {8, 12, 20, 40}, holds[] = {30, 60, 120, 240},
			    shares[] = {0.002, 0.01, 0.05}, factors[] = {1.5, 2, 4};

	if (chance(writer, 0.8)) {
		double count = pick(writer, counts, COUNT(counts));

		put(writer, "    penalty: {when: %.0f in 10m, hold: %.0fm, repeat: 2}\n", count,
		    pick(writer, holds, COUNT(holds)));
	}
	if (chance(writer, 0.5))
		put(writer,
		    "    noise: {share: %.3f, reply: \"451 4.7.0 Temporary server error. Please "
		    "try again later. PRX4\"}\n",
		    pick(writer, shares, COUNT(shares)));
	if (chance(writer, 0.15)) {
		double factor = pick(writer, factors, COUNT(factors));

		put(writer,
		    "    history: {factor: %.1f, floor: %.0f/hr, over: \"451 4.7.500 Server busy. "
		    "Please try again later from [%%s]. (AS761)\"}\n",
		    factor, fmax(60, traits->rate * 10));
	}
	if (chance(writer, 0.1))
		put(writer, "    greylist: {delay: 5m, reply: \"450 4.7.1 Greylisted\"}\n");
}

static void put_times(struct writer *writer, const struct traits *traits)
{
	static const double factors[] = {0.2, 0.4, 0.7, 1.3, 2}, lengths[] = {5, 20, 60};
	double minutes = traits->hours * 60, at = 0;

	if (chance(writer, 0.3))
		put(writer, "    windows: {kind: sliding}\n");
	else if (chance(writer, 0.3))
		put(writer, "    windows: {kind: fixed, phase: %.0fm}\n", floor(60 * draw(writer)));
	if (chance(writer, 0.15)) {
		double start = 30 + floor(draw(writer) * (minutes - 150));

		put(writer,
		    "    outage: [{at: %.0fm, for: %.0fm, reply: \"421 4.3.2 Service not "
		    "available\"}]\n",
		    start, pick(writer, lengths, COUNT(lengths)));
	}
	if (!chance(writer, 0.5))
		return;
	put(writer, "    changes:\n");
	for (int left = 1 + (int)(4 * draw(writer)), i = 0; i < left; i++) {
		at += 30 + draw(writer) * fmax(30, minutes / 3 - 30);
		/* The first always lies within the run. */
		if (i > 0 && at > minutes - 30)
			break;
		put(writer, "      - {at: %.0fm, rate: %.2f/min}\n", floor(at),
		    fmax(1.5, traits->rate * pick(writer, factors, COUNT(factors))));
	}
}

int simulate_random(uint64_t seed, char *text, size_t size)
{
	static const double hours[] = {6, 8, 12, 24}, offers[] = {0.5, 1, 1.5},
			    sources[] = {1, 1, 2, 4};
	struct writer writer = {.text = text, .size = size, .seed = seed};
	struct traits traits = {.rate = exp(log(2) + draw(&writer) * log(300))};
	double latency =
		chance(&writer, 0.1) ? 0.5 + 2.5 * draw(&writer) : 0.2 + 0.3 * draw(&writer);

	traits.hours = pick(&writer, hours, COUNT(hours));
	if (traits.rate <= 5)
		traits.hours = 24;
	traits.sources = (int)pick(&writer, sources, COUNT(sources));
	traits.messages = floor(traits.rate * 60 * traits.hours * traits.sources *
				pick(&writer, offers, COUNT(offers)));
	traits.messages = fmin(traits.messages, MESSAGES_MAX);
	if (chance(&writer, 0.1))
		traits.hours = 72;
	put(&writer, "# tollgate simulate --random 1 --seed %llu\n", (unsigned long long)seed);
	put_traffic(&writer, &traits);
	put(&writer, "receivers:\n  - destination: random\n");
	put_accept(&writer, &traits, latency);
	put_texts(&writer);
	put_trouble(&writer, &traits);
	put_times(&writer, &traits);
	return writer.length < size ? (int)writer.length : -ENOSPC;
}
