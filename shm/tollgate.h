/* SPDX-License-Identifier: MIT
 *
 * libtollgate: may this message or connection go now, and if not, when?
 *
 * A sidecar, tollgated, owns a shared-memory segment with one record per flow, a pair of sending IP
 * (source) and mailbox provider (destination). Any number of processes attach to it and decide with
 * a few atomic operations, without a system call, whether mail may go; they report what the
 * receiver answered, and the sidecar adapts the limits. tollgate(3) is the manual.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC. Functions return 0 or a negative errno unless they say
 * otherwise; outputs are untouched on failure. All functions may be called from any thread; those
 * that decide or report neither allocate nor log. Deciding is lock-free; a report that the sidecar
 * is told of takes its turn among the threads of its own process (they share one ring), and waits
 * for no other. A verdict is an answer, never an error.
 */
#ifndef TOLLGATE_H
#define TOLLGATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TG_API __attribute__((visibility("default")))

#define TG_SEGMENT_DEFAULT "/dev/shm/tollgate"

struct tg; /* one attachment: a worker slot and the mappings; shared by the threads of a process */

/* ---- attaching ------------------------------------------------------------------------------- */

enum tg_clock {
	TG_CLOCK_AUTO, /* the processor's counter as the sidecar scales it, else the vDSO */
	TG_CLOCK_VDSO, /* always clock_gettime */
};

/* Grows at its end alone. Of a smaller size the whole members count and the others have their
 * defaults; of a larger one all that this library does not know must be 0. */
struct tg_options {
	size_t size;	     /* sizeof(struct tg_options) as the caller was built */
	const char *segment; /* folder of the segment; NULL: $TOLLGATE_SEGMENT, else
				TG_SEGMENT_DEFAULT */
	int64_t owner;	     /* the uid that must own the segment; -1: root, the caller's own, or
				"tollgate" */
	enum tg_clock clock;
	uint32_t flags; /* 0 */
};

/* Attaches this process. options may be NULL. May block and allocate. A forked child gets a worker
 * slot of its own at its first call; after exec attach anew. Works while no sidecar lives, if one
 * has lived.
 *
 * -ENOENT         no segment there
 * -EPROTO         not a segment (magic)
 * -EPROTONOSUPPORT  a segment of another version of the layout
 * -EBADE          a segment of another byte order
 * -EMSGSIZE       a file is shorter than its header says
 * -EPERM          owned by somebody else than options->owner allows, or writable for others
 * -EACCES         no permission: the caller is not in the segment's group
 * -ESTALE         retired and not yet replaced; try again
 * -EUSERS         every worker slot is taken
 * -ENOSPC         no memory is left in the segment's file system for this worker's ring
 * -E2BIG          options of a later version say what this library does not know
 * -EINVAL, -ENOMEM, and what open(2) and mmap(2) return */
TG_API int tg_attach(const struct tg_options *options, struct tg **ret);

/* Detaches: leases of this process are returned, the worker slot is freed, the mappings vanish.
 * NULL is fine. No other call may be under way. */
TG_API void tg_detach(struct tg *tg);

/* After a verdict TG_RETIRED: attaches to the segment that replaced the old one. Sources,
 * destinations and flows must be resolved again; leases were carried over. Where it is attached to
 * that already, nothing changes. -ESTALE: not there yet, try again. No other call on this
 * attachment may be under way. */
TG_API int tg_renew(struct tg *tg);

/* A sentence for an error of this library, with what to do about it: "no segment at …: is tollgated
 * running?" segment as in tg_options. Returns text, cut at size and terminated. Any thread. */
TG_API const char *tg_error_text(int error, const char *segment, char *text, size_t size);

/* The library's clock, which all times here belong to. */
TG_API uint64_t tg_now(const struct tg *tg);

/* How many nanoseconds from now at_ns is: 0 where it has come, UINT64_MAX where at_ns is that
 * (never). For languages whose numbers end below the clock's. */
TG_API uint64_t tg_until(const struct tg *tg, uint64_t at_ns);

/* Counts up with each configuration that the sidecar has put in force: a cached destination may by
 * then be another (it stays valid). */
TG_API uint64_t tg_generation(const struct tg *tg);

/* ---- names to handles, once ------------------------------------------------------------------ */

struct tg_source {
	uint8_t address[16]; /* IPv6, IPv4 mapped, or a name (tg_source_text) */
	uint64_t key[2];
	uint32_t slot;
	uint32_t reserved;
};

struct tg_destination {
	uint64_t key[2];
	uint32_t slot;
	uint32_t reserved;
};

struct tg_flow {
	uint32_t slot;
	uint32_t source;
	uint32_t destination;
	uint32_t stream;
};

/* A sending address, IPv4 or IPv6 in text; or the name of a source that a pool of the configuration
 * lists: 1 to 22 letters, digits, hyphens and underscores, first a letter. -EINVAL: neither.
 * -ENOENT: no pool lists that name. -ENOSPC: the directory is full. */
TG_API int tg_source(struct tg *tg, const char *name, struct tg_source *ret);

/* The address or name of a source, which tg_pick chose: its length (the text is cut at size and
 * always terminated; 64 bytes hold each). */
TG_API int tg_source_text(const struct tg_source *source, char *text, size_t size);

/* The destination that an MX host, a recipient's domain or an address ("[192.0.2.1]" too) belongs
 * to. -EINVAL: not a name. -ENOSPC: the directory is full. */
TG_API int tg_destination(struct tg *tg, const char *name, struct tg_destination *ret);

/* The name of the destination that name belongs to, as the configuration calls it, or its
 * registrable domain. Returns its length (the text is cut at size and always terminated), or
 * -EINVAL. */
TG_API int tg_destination_name(struct tg *tg, const char *name, char *text, size_t size);

/* The flow of a pair: found, or claimed if it is new. Until the sidecar has filled a new flow's
 * limits, the defaults of its destination apply. When the directory is full this returns -ENOSPC
 * and a flow all the same, with which every verdict is TG_REFUSED_DIRECTORY. */
TG_API int tg_flow(struct tg *tg, const struct tg_source *source,
		   const struct tg_destination *destination, struct tg_flow *ret);

/* The same flow with a stream (a tenant, a DKIM domain) as a further limit. -EINVAL: not a name,
 * which is 1 to 256 bytes without spaces and control characters. -ENOSPC: the directory is full. */
TG_API int tg_stream(struct tg *tg, const struct tg_flow *flow, const char *name,
		     struct tg_flow *ret);

/* ---- deciding -------------------------------------------------------------------------------- */

enum tg_class {
	TG_TRANSACTIONAL, /* login, password reset, billing: may use every reserve */
	TG_ENGAGED,
	TG_BULK,
	TG_CLASSES
};

enum tg_reason {
	TG_ADMITTED,
	TG_REFUSED_HOLD,	 /* the flow is suspended */
	TG_REFUSED_RATE,	 /* the flow's rate */
	TG_REFUSED_HOUR,	 /* its cap of this hour */
	TG_REFUSED_DAY,		 /* its cap of this day */
	TG_REFUSED_SOURCE,	 /* a limit of the source over all destinations */
	TG_REFUSED_DESTINATION,	 /* a limit of the destination over all sources */
	TG_REFUSED_STREAM,	 /* a limit of the stream */
	TG_REFUSED_CONNECTIONS,	 /* as many connections are open as may be */
	TG_REFUSED_DIRECTORY,	 /* no room for a new flow */
	TG_REFUSED_NEVER,	 /* n is above the burst, or above a cap: split it */
	TG_REFUSED_SIDECAR_DOWN, /* the sidecar is gone and on_sidecar_down is "fail-closed" */
	TG_RETIRED,		 /* the segment was replaced: tg_renew, then ask again */
	TG_REASONS
};

enum tg_verdict_flag {
	TG_ESTIMATE = 1, /* at_ns is a guess: nobody can know it */
	TG_DEFAULTS = 2, /* decided under the defaults of the destination: the flow is new */
	TG_REDEEM = 4,	 /* a reservation whose parents are asked at its time: tg_redeem */
};

struct tg_verdict {
	uint64_t at_ns;	 /* admitted: when; refused: when to ask again, the latest over all limits
			    (UINT64_MAX: never) */
	uint32_t reason; /* enum tg_reason: of several that refuse, the one that refuses longest */
	uint32_t flags;	 /* enum tg_verdict_flag */
};

/* May n messages go now? Checked in the order hold, flow rate, hour, day, source, destination,
 * stream; either all are charged or none. n counts recipients where the flow is so configured
 * (tg_advice). */
TG_API struct tg_verdict tg_admit(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
				  uint32_t n);

/* tg_flow and tg_admit in one, for a worker that keeps no handles of flows: faster than both where
 * flows are many and cold. */
TG_API struct tg_verdict tg_admit_pair(struct tg *tg, const struct tg_source *source,
				       const struct tg_destination *destination,
				       enum tg_class traffic, uint32_t n);

struct tg_request {
	const struct tg_source *source;
	const struct tg_destination *destination;
	uint32_t traffic; /* enum tg_class */
	uint32_t n;
};

/* tg_flow and tg_admit for each request, with the memory of all of them fetched at once: faster
 * than one by one where flows are many and cold. The requests are decided in their order. */
TG_API void tg_admit_batch(struct tg *tg, const struct tg_request *requests,
			   struct tg_verdict *verdicts, size_t count);

/* Sleeps until n messages may go, and takes their slot: send at once where it admits. What most
 * senders should call. Woken by a change of the limits that refuse, and at their time; many waiters
 * leave one by one. Returns a refusal when deadline_ns has come (0: never sleeps), and at once
 * where waiting is no use: TG_REFUSED_NEVER, TG_RETIRED (tg_renew, then wait again; seen within a
 * second). Blocks; any thread; a signal handler's return does not end it. */
TG_API struct tg_verdict tg_wait(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
				 uint32_t n, uint64_t deadline_ns);

struct tg_reservation {
	struct tg_flow flow;
	uint64_t at_ns;	   /* when the messages may go */
	uint64_t taken_ns; /* when the slot was taken */
	uint64_t left;	   /* the state that was left, for tg_cancel */
	uint32_t hour;	   /* the periods in which it was counted, for tg_cancel */
	uint32_t day;
	uint32_t traffic; /* enum tg_class; TG_CLASSES: given back */
	uint32_t n;
};

/* Takes the next slot within max_wait_ns, so that many waiting workers leave one by one instead of
 * all asking again at the same instant. Admitted: at_ns says when to go, not before. A slot is not
 * taken beyond the current hour's or day's window; then at_ns is the start of the next. A wait
 * longer than the segment's longest reservation (tollgate.yaml(5)) counts as that. */
TG_API struct tg_verdict tg_reserve(struct tg *tg, const struct tg_flow *flow,
				    enum tg_class traffic, uint32_t n, uint64_t max_wait_ns,
				    struct tg_reservation *ret);

/* At a reservation's time, where its verdict had TG_REDEEM: asks the limits that hold for the time
 * of departure (a hold since then, and those of source, destination and stream). Refused: the slot
 * stays taken; ask again at at_ns. Without TG_REDEEM only a hold that began after the slot was
 * taken can refuse: who does not ask sends into it. Each call that admits charges source,
 * destination and stream. TG_REFUSED_NEVER: the slot was given back. */
TG_API struct tg_verdict tg_redeem(struct tg *tg, const struct tg_reservation *reservation);

/* Gives a slot back that nothing was sent in, as far as nobody has taken a later one: what cannot
 * be given back is forfeited, and so is what tg_redeem charged. The reservation then says so, and
 * is good for nothing else (a copy of it does not know). Returns 0 if all of it was given back,
 * -EAGAIN if some was forfeited, -EINVAL and changes nothing if it had been given back before. */
TG_API int tg_cancel(struct tg *tg, struct tg_reservation *reservation);

/* The source of a pool that can send to destination soonest, spread by room so that workers do not
 * all choose the same. Writes nothing shared: tg_admit decides. Returns when that source can send,
 * in at_ns. -ENOENT: no such pool. */
TG_API int tg_pick(struct tg *tg, const char *pool, const struct tg_destination *destination,
		   enum tg_class traffic, struct tg_source *ret, uint64_t *ret_at_ns);

/* ---- connections ----------------------------------------------------------------------------- */

enum tg_flow_flag {
	TG_COUNT_RECIPIENTS = 1, /* n counts recipients, not messages */
};

struct tg_advice {
	uint32_t messages_per_connection; /* 0: no limit */
	uint32_t connections;		  /* at once, for this class; 0: no limit */
	uint32_t flags;			  /* enum tg_flow_flag */
	uint32_t reserved;
};

struct tg_lease {
	struct tg_flow flow;
	uint32_t entry;
	uint32_t sequence;
	struct tg_advice advice;
};

/* May a connection be opened now? Admitted: a lease, against the connection rate and the number of
 * connections at once; the sidecar takes back the leases of a process that died. */
TG_API struct tg_verdict tg_connect(struct tg *tg, const struct tg_flow *flow,
				    enum tg_class traffic, struct tg_lease *ret);

/* Returns a lease. -EINVAL: not a lease of this process, returned before, or forgotten where the
 * segment was replaced by one with fewer leases a worker. -ESTALE: the segment was replaced;
 * tg_renew, then return it again. */
TG_API int tg_disconnect(struct tg *tg, const struct tg_lease *lease);

/* Tells the gate in the kernel (tollgate-ebpf(7)), where this process is under one, that the
 * connection that fd is about to make has been admitted: it is then counted there, not charged a
 * second time, and the address it goes to is known to belong to destination. Call between socket(2)
 * and connect(2); a system call. -ENOENT: no gate; nothing needs to be done. Otherwise what
 * setsockopt(2) returns. */
TG_API int tg_preadmit_socket(struct tg *tg, const struct tg_destination *destination, int fd);

TG_API int tg_advise(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
		     struct tg_advice *ret);

/* ---- the same without structs by value ------------------------------------------------------- */

/* As the functions without _into. The reason is returned; the verdict goes to ret, and to
 * ret_wait_ns how many nanoseconds from now its time is (tg_until). Each of the two may be NULL. */
TG_API enum tg_reason tg_admit_into(struct tg *tg, const struct tg_flow *flow,
				    enum tg_class traffic, uint32_t n, struct tg_verdict *ret,
				    uint64_t *ret_wait_ns);
TG_API enum tg_reason tg_admit_pair_into(struct tg *tg, const struct tg_source *source,
					 const struct tg_destination *destination,
					 enum tg_class traffic, uint32_t n, struct tg_verdict *ret,
					 uint64_t *ret_wait_ns);
/* Waits max_wait_ns at most: not a time, but from now. */
TG_API enum tg_reason tg_wait_into(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
				   uint32_t n, uint64_t max_wait_ns, struct tg_verdict *ret,
				   uint64_t *ret_wait_ns);
TG_API enum tg_reason tg_reserve_into(struct tg *tg, const struct tg_flow *flow,
				      enum tg_class traffic, uint32_t n, uint64_t max_wait_ns,
				      struct tg_reservation *reservation, struct tg_verdict *ret,
				      uint64_t *ret_wait_ns);
TG_API enum tg_reason tg_redeem_into(struct tg *tg, const struct tg_reservation *reservation,
				     struct tg_verdict *ret, uint64_t *ret_wait_ns);
TG_API enum tg_reason tg_connect_into(struct tg *tg, const struct tg_flow *flow,
				      enum tg_class traffic, struct tg_lease *lease,
				      struct tg_verdict *ret, uint64_t *ret_wait_ns);

/* ---- reporting ------------------------------------------------------------------------------- */

enum tg_stage {
	TG_STAGE_MESSAGE,  /* a reply to MAIL, RCPT, DATA or its end */
	TG_STAGE_GREETING, /* the greeting, EHLO, STARTTLS or AUTH */
	TG_STAGE_CONNECT,  /* no connection came about; code 0 */
	TG_STAGES
};

struct tg_reply {
	uint16_t code;	      /* 250, 451, …; 0: the connection failed or broke */
	uint16_t enhanced[3]; /* 4, 7, 650 of "4.7.650"; 0, 0, 0: none */
	uint8_t stage;	      /* enum tg_stage */
	uint16_t place;	      /* of the message in its connection, from 1; 0: not known */
	uint8_t traffic;      /* enum tg_class */
	uint8_t reserved[3];
	uint32_t n;	      /* messages or recipients that the reply is for; 0 counts as 1 */
	uint64_t admitted_ns; /* at_ns of the verdict; 0: not known */
	const char *text;     /* as received, lines separated by \n; may be NULL */
	size_t length;	      /* of text; what exceeds the record's bound is cut */
};

/* Reports what the receiver answered: counted at once; told to the sidecar unless it is a plain
 * delivery that the flow's limits do not ask for. */
TG_API void tg_report(struct tg *tg, const struct tg_flow *flow, const struct tg_reply *reply);

/* Reads a reply as received ("451 4.7.650 The mail …", several lines "421-4.7.0 …\r\n421 4.7.0 …").
 * Every field is set: code, enhanced, text and length from the reply (the text is not copied), n to
 * 1, stage to TG_STAGE_MESSAGE, traffic to TG_BULK, place and admitted_ns to 0 (not known): put
 * there what you know better. -EINVAL: no reply code. */
TG_API int tg_reply_parse(const char *line, size_t length, struct tg_reply *ret);

/* tg_reply_parse and tg_report in one. line NULL: no reply came, the connection failed or broke.
 * admitted_ns: at_ns of the verdict, or 0. -EINVAL and nothing is reported: no reply code, no such
 * class or stage. */
TG_API int tg_report_line(struct tg *tg, const struct tg_flow *flow, const char *line,
			  size_t length, enum tg_class traffic, enum tg_stage stage, uint32_t n,
			  uint64_t admitted_ns);

/* The sizes of the structs above as this library has them, for languages that cannot read this
 * header: their memory is the caller's. 0: no such struct. */
enum tg_struct {
	TG_STRUCT_OPTIONS,
	TG_STRUCT_SOURCE,
	TG_STRUCT_DESTINATION,
	TG_STRUCT_FLOW,
	TG_STRUCT_VERDICT,
	TG_STRUCT_REQUEST,
	TG_STRUCT_RESERVATION,
	TG_STRUCT_ADVICE,
	TG_STRUCT_LEASE,
	TG_STRUCT_REPLY,
	TG_STRUCTS
};

TG_API size_t tg_struct_size(enum tg_struct which);

/* A word for a reason: "hold", "rate", … */
TG_API const char *tg_reason_name(enum tg_reason reason);

#ifdef __cplusplus
}
#endif

#endif
