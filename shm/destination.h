/* SPDX-License-Identifier: MIT
 *
 * Which destination does a name belong to? The table that the sidecar publishes, and the matcher.
 *
 * The table is one block of bytes without pointers (a header, then arrays found by offset), built
 * by sidecar/config/destination_table.c and read in place by workers. It holds
 *   - the configured destinations with their names: exact, suffixes, "hotmail.*", address ranges;
 *   - the rules of the Public Suffix List, so that what no entry names rolls up to the registrable
 *     domain just as libpsl would say;
 *   - the pools of sources.
 * A reader may see the bytes while they are being replaced: each offset is checked where it is
 * used, so the answer may be wrong then (the caller checks a sequence afterwards) but nothing
 * outside is read.
 *
 * The order of matching a name: a name written out; a suffix that is the whole name; "label.*"; the
 * longest suffix, on label boundaries; else the registrable domain (and if the table names that
 * one, its destination); else, for a name that is itself a public suffix, the name by itself. An
 * address: the longest prefix, else by itself. Case and one trailing dot do not matter; bytes above
 * 0x7f are UTF-8 and are compared in punycode (shm/punycode.h), so a name has one form.
 *
 * Public suffixes: both sections of the list (ICANN and private) count for the registrable domain,
 * as in libpsl's psl_registrable_domain(), since customers below a private suffix are senders of
 * their own. For "hotmail.*" the ICANN section alone counts: anybody can have hotmail.github.io.
 *
 * All functions are pure, allocate nothing, and may be called from any thread and process.
 */
#ifndef SHM_DESTINATION_H
#define SHM_DESTINATION_H

#include <stddef.h>
#include <stdint.h>

#define DESTINATION_MAGIC    UINT32_C(0x54444754) /* "TGDT" in memory, little-endian */
#define DESTINATION_VERSION  1
#define DESTINATION_NAME_MAX 255 /* bytes of a name, without the NUL */
#define DESTINATION_NONE     (-1)

enum destination_by {
	DESTINATION_EXACT,	 /* the name stands in the table, or falls under a "name.*" in it */
	DESTINATION_SUFFIX,	 /* it ends in a suffix of the table */
	DESTINATION_ADDRESS,	 /* an address within a range of the table */
	DESTINATION_REGISTRABLE, /* rolled up by the Public Suffix List */
	DESTINATION_DEFAULT,	 /* an address or a public suffix that stands for itself */
	DESTINATION_BYS
};

/* ---- the bytes ------------------------------------------------------------------------------- */

/* An array within the block. */
struct destination_section {
	uint32_t offset; /* from the start of the block, a multiple of 8 */
	uint32_t count;	 /* elements, for text bytes */
};

struct destination_header {
	uint32_t magic;
	uint32_t version;
	uint32_t length;			 /* of the whole block */
	uint32_t flags;				 /* enum destination_flag */
	struct destination_section slots;	 /* struct destination_slot; a power of two */
	struct destination_section entries;	 /* struct destination_entry */
	struct destination_section destinations; /* struct destination_text: their names */
	struct destination_section ranges;	 /* struct destination_range, by start */
	struct destination_section pools;	 /* struct destination_pool_entry, by name */
	struct destination_section sources;	 /* 16 bytes each */
	struct destination_section text;
};
_Static_assert(sizeof(struct destination_header) == 72, "part of the segment's ABI");

enum destination_flag {
	DESTINATION_NO_LIST =
		1, /* built without the Public Suffix List: domains by their last labels */
};

struct destination_slot {
	uint32_t hash;
	uint32_t entry; /* index + 1; 0: empty */
};
_Static_assert(sizeof(struct destination_slot) == 8, "part of the segment's ABI");

enum destination_rule {
	DESTINATION_RULE_ICANN = 1,
	DESTINATION_RULE_PRIVATE = 2,
	DESTINATION_STAR_ICANN = 4, /* "*.name" is a rule */
	DESTINATION_STAR_PRIVATE = 8,
	DESTINATION_EXCEPTION = 16, /* "!name" is a rule */
	DESTINATION_SELF = 32,	    /* the suffix matches the name itself, too */
};

/* All that is known of one name. */
struct destination_entry {
	uint32_t hash;
	uint32_t text;
	uint16_t length;
	uint16_t rules; /* enum destination_rule */
	int32_t exact;	/* destination of this very name, or DESTINATION_NONE */
	int32_t suffix; /* destination of names below it */
	int32_t under;	/* destination of "name.*" */
};
_Static_assert(sizeof(struct destination_entry) == 24, "part of the segment's ABI");

struct destination_text {
	uint32_t text;
	uint32_t length;
};
_Static_assert(sizeof(struct destination_text) == 8, "part of the segment's ABI");

/* From start up to the next range's start. Prefixes are flattened by the builder, longest on top.
 */
struct destination_range {
	uint8_t start[16]; /* network order; IPv4 mapped */
	int32_t destination;
	uint32_t reserved;
};
_Static_assert(sizeof(struct destination_range) == 24, "part of the segment's ABI");

struct destination_pool_entry {
	uint32_t text;
	uint32_t length;
	uint32_t first; /* of its sources */
	uint32_t count;
};
_Static_assert(sizeof(struct destination_pool_entry) == 16, "part of the segment's ABI");

/* The hash of a name's bytes from the last to the first, so that one pass from the right has the
 * hash of every suffix. FNV-1a; the slot is destination_place(hash). */
#define DESTINATION_HASH UINT32_C(0x811c9dc5)

static inline uint32_t destination_hash_step(uint32_t hash, uint8_t byte)
{
	return (hash ^ byte) * UINT32_C(0x01000193);
}

static inline uint32_t destination_place(uint32_t hash)
{
	return hash ^ hash >> 15;
}

/* ---- matching -------------------------------------------------------------------------------- */

struct destination_match {
	int32_t index;	     /* of the configured destination, or DESTINATION_NONE */
	uint32_t by;	     /* enum destination_by */
	uint32_t is_address; /* the input was an address, in address */
	uint32_t length;     /* of name */
	uint8_t address[16]; /* network order, IPv4 mapped; zero for a name */
	char name[DESTINATION_NAME_MAX +
		  1]; /* of the destination: configured, registrable, or itself */
};

/* Finds the destination of an MX host, a recipient's domain, a configured destination's own name,
 * or an address ("192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "2001:db8::1"). 0; -EINVAL:
 * neither a name (letters, digits, - _ . and UTF-8, up to 255 bytes, no empty label, the last label
 * not all digits) nor an address; -EBADMSG: not a table. */
int destination_match(const void *blob, size_t blob_len, const char *name,
		      struct destination_match *ret);

/* "exact", "suffix", "address", "registrable", "default". */
const char *destination_by_name(enum destination_by by);

/* A name as it is compared: in lower case and ASCII ("xn--..."), without a trailing dot. Returns
 * its length, or -EINVAL for what is not a name (see destination_match; an address is not a name).
 */
int destination_normalise(const char *name, char ret[DESTINATION_NAME_MAX + 1]);

/* ---- pools ----------------------------------------------------------------------------------- */

struct destination_pool {
	uint32_t first;
	uint32_t count; /* sources */
};

/* Finds a pool by name. 0, -ENOENT, or -EBADMSG. */
int destination_pool(const void *blob, size_t blob_len, const char *name,
		     struct destination_pool *ret);

/* The i-th source of a pool: 16 bytes in network order, IPv4 mapped. 0, -ENOENT, or -EBADMSG. */
int destination_pool_source(const void *blob, size_t blob_len, const struct destination_pool *pool,
			    uint32_t i, uint8_t ret[16]);

/* Does a pool list this source? 0, -ENOENT, or -EBADMSG. */
int destination_pools_have(const void *blob, size_t blob_len, const uint8_t source[16]);

/* ---- addresses, as the sidecar reads them too ------------------------------------------------ */

/* The same back: "192.0.2.1" for a mapped one, and the name for a source's name. Returns text; size
 * is at least 46. */
const char *destination_address_text(const uint8_t address[16], char *text, size_t size);

#endif
