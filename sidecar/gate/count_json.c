/* SPDX-License-Identifier: MIT */
#include "sidecar/gate/count_json.h"

#include <string.h>

#include "shm/destination.h"

static void put_ms(struct json_writer *w, const char *key, uint64_t ns)
{
	json_put_number(w, key, (double)ns / 1e6, 3);
}

static uint64_t average(uint64_t sum, uint64_t n)
{
	return n ? sum / n : 0;
}

static void put_outcomes(struct json_writer *w, const struct gate_count *c)
{
	json_put_u64(w, "established", c->count[GATE_ESTABLISHED]);
	json_put_object(w, "failed");
	json_put_u64(w, "reset", c->count[GATE_FAILED_RESET]);
	json_put_u64(w, "timeout", c->count[GATE_FAILED_TIMEOUT]);
	json_put_u64(w, "other", c->count[GATE_FAILED_OTHER]);
	json_put_end(w);
	json_put_u64(w, "open", c->open + c->adopted + c->preadmitted_open);
	json_put_u64(w, "closed", c->count[GATE_CLOSED]);
	json_put_u64(w, "lost", c->count[GATE_LOST]);
	put_ms(w, "duration_ms", average(c->count[GATE_DURATION_NS], c->count[GATE_CLOSED]));
	put_ms(w, "connect_ms", average(c->count[GATE_CONNECT_NS], c->count[GATE_ESTABLISHED]));
	json_put_u64(w, "rtt_us", c->count[GATE_SRTT_US]);
	json_put_u64(w, "retransmits", c->count[GATE_RETRANSMITS]);
	json_put_u64(w, "bytes_sent", c->count[GATE_BYTES_SENT]);
	json_put_u64(w, "bytes_received", c->count[GATE_BYTES_RECEIVED]);
}

void count_json_put(const struct gate_count *c, const char *name, struct json_writer *w)
{
	uint8_t source[16];
	char text[64];

	memcpy(source, c->key.source, sizeof(source));
	json_put_object(w, NULL);
	json_put_text(w, "source", destination_address_text(source, text, sizeof(text)));
	json_put_text(w, "destination", name);
	json_put_u64(w, "attempts", c->attempts);
	json_put_u64(w, "passed", c->count[GATE_PASSED]);
	json_put_u64(w, "held", c->count[GATE_HELD]);
	put_ms(w, "held_ms", average(c->count[GATE_HELD_NS], c->count[GATE_HELD]));
	put_ms(w, "late_ms_max", c->count[GATE_LATE_MAX_NS]);
	json_put_object(w, "refused");
	json_put_u64(w, "rate", c->count[GATE_REFUSED_RATE]);
	json_put_u64(w, "hold", c->count[GATE_REFUSED_HOLD]);
	json_put_u64(w, "connections", c->count[GATE_REFUSED_CONNECTIONS]);
	json_put_end(w);
	json_put_u64(w, "would_hold", c->count[GATE_WOULD_HOLD]);
	json_put_u64(w, "would_refuse", c->count[GATE_WOULD_REFUSE]);
	json_put_u64(w, "preadmitted", c->count[GATE_PREADMITTED]);
	put_outcomes(w, c);
	json_put_u64(w, "last_second", c->last_second);
	json_put_u64(w, "last_minute", c->last_minute);
	json_put_u64(w, "last_hour", c->last_hour);
	json_put_end(w);
	json_put_newline(w);
}
