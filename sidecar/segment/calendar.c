/* SPDX-License-Identifier: MIT
 *
 * Hours are numbered in UTC, moved by what a zone's offset has beyond whole hours, so that no
 * change of daylight saving repeats a number. Days are numbered in local time, and begin where
 * mktime says.
 */
#include "sidecar/segment/calendar.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/window.h"

#define MOVE_NS		10000000
#define SECONDS_PER_DAY 86400

int64_t calendar_wall_offset(void)
{
	struct timespec wall, mono;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return (wall.tv_sec - mono.tv_sec) * INT64_C(1000000000) + (wall.tv_nsec - mono.tv_nsec);
}

static void store(_Atomic uint64_t *word, int64_t value)
{
	int64_t moved = value - (int64_t)atomic_load_explicit(word, memory_order_relaxed);

	if (moved > -MOVE_NS && moved < MOVE_NS)
		return;
	segment_step();
	atomic_store_explicit(word, (uint64_t)value, memory_order_relaxed);
}

/* The system's zone is what TZ said before a configuration did; where it said nothing that is
 * /etc/localtime. */
static void zone_set(const char *zone)
{
	static char *systems;
	static bool known;
	const char *now = getenv("TZ");

	if (!known && now)
		systems = strdup(now);
	known = true;
	if (zone || systems)
		setenv("TZ", zone ? zone : systems, 1);
	else
		unsetenv("TZ");
	tzset();
}

/* Days since 1970 of a local date: as if it were UTC. */
static int64_t day_number(struct tm date)
{
	date.tm_hour = 12;
	date.tm_min = date.tm_sec = 0;
	return timegm(&date) / SECONDS_PER_DAY;
}

void calendar_publish(struct segment *s, const char *zone)
{
	struct layout_calendar *calendar = s->calendar;
	int64_t offset = calendar_wall_offset();
	time_t wall = time(NULL);
	struct tm local;

	zone_set(zone);
	localtime_r(&wall, &local);
	store(&calendar->hour_offset_ns, offset + local.tm_gmtoff % 3600 * INT64_C(1000000000));
	store(&calendar->day_offset_ns, offset + local.tm_gmtoff * INT64_C(1000000000));
	for (int ahead = -1; ahead < LAYOUT_DAYS - 1; ahead++) {
		struct tm day = {.tm_year = local.tm_year,
				 .tm_mon = local.tm_mon,
				 .tm_mday = local.tm_mday + ahead,
				 .tm_isdst = -1};
		time_t start =
			mktime(&day); /* where midnight does not exist, the first moment after it */

		if (start != (time_t)-1)
			store(&calendar->day_start_ns[day_number(day) % LAYOUT_DAYS],
			      start * INT64_C(1000000000) - offset);
	}
}
