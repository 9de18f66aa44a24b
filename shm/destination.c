/* SPDX-License-Identifier: MIT
 *
 * The matcher. One pass over the name from its end: at each label boundary the suffix so far is
 * looked up by its hash, and what is known of it (a rule of the Public Suffix List, a suffix or a
 * name of the configuration) is noted. Everything read from the table is untrusted: bounded,
 * copied, then used.
 */
#include "shm/destination.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shm/address.h"
#include "shm/punycode.h"
#include "shm/source.h"

#define LABELS_MAX (DESTINATION_NAME_MAX / 2 + 1)

/* A table that has passed the checks of its header. */
struct name_view {
	const uint8_t *blob;
	struct destination_header header;
};

/* A name, normalised, with what the table knows of its suffixes; label 0 is the last one. */
struct search {
	const struct name_view *view;
	uint8_t length;
	uint8_t start[LABELS_MAX]; /* of each label; the suffix from there on */
	int labels;
	int icann;     /* label at which the public suffix begins, ICANN section */
	int all;       /* the same, both sections */
	int exception; /* label of an exception rule, or -1 */
	int suffix_label;
	int32_t suffix;		   /* destination of the longest suffix */
	int32_t exact[LABELS_MAX]; /* destination of the name that begins at this label */
	char name[DESTINATION_NAME_MAX + 1];
};

static const char *const by_names[DESTINATION_BYS] = {
	[DESTINATION_EXACT] = "exact",	   [DESTINATION_SUFFIX] = "suffix",
	[DESTINATION_ADDRESS] = "address", [DESTINATION_REGISTRABLE] = "registrable",
	[DESTINATION_DEFAULT] = "default",
};

const char *destination_by_name(enum destination_by by)
{
	return (unsigned)by < DESTINATION_BYS ? by_names[by] : "invalid";
}

/* ---- reading the table ----------------------------------------------------------------------- */

static bool section_fits(const struct destination_header *header,
			 const struct destination_section *section, uint64_t size)
{
	return section->offset % 8 == 0 &&
	       section->offset + section->count * size <= header->length;
}

static int view_open(struct name_view *view, const void *blob, size_t blob_len)
{
	struct destination_header *h = &view->header;

	if (blob_len < sizeof(*h))
		return -EBADMSG;
	view->blob = blob;
	memcpy(h, blob, sizeof(*h));
	if (h->magic != DESTINATION_MAGIC || h->version != DESTINATION_VERSION ||
	    h->length > blob_len)
		return -EBADMSG;
	if (h->slots.count == 0 || (h->slots.count & (h->slots.count - 1)) != 0)
		return -EBADMSG;
	if (!section_fits(h, &h->slots, sizeof(struct destination_slot)) ||
	    !section_fits(h, &h->entries, sizeof(struct destination_entry)) ||
	    !section_fits(h, &h->destinations, sizeof(struct destination_text)) ||
	    !section_fits(h, &h->ranges, sizeof(struct destination_range)) ||
	    !section_fits(h, &h->pools, sizeof(struct destination_pool_entry)) ||
	    !section_fits(h, &h->sources, 16) || !section_fits(h, &h->text, 1))
		return -EBADMSG;
	return 0;
}

/* Copies element i of a section. The section fits (view_open); i may be anything. */
static bool element(const struct name_view *view, const struct destination_section *section,
		    uint32_t i, void *ret, size_t size)
{
	if (i >= section->count)
		return false;
	memcpy(ret, view->blob + section->offset + i * size, size);
	return true;
}

/* The text at an offset, or NULL where it is not within the table. */
static const char *text_at(const struct name_view *view, uint32_t offset, uint32_t length)
{
	const struct destination_section *text = &view->header.text;

	if (length > DESTINATION_NAME_MAX || (uint64_t)offset + length > text->count)
		return NULL;
	return (const char *)view->blob + text->offset + offset;
}

static bool lookup(const struct name_view *view, const char *name, uint32_t length, uint32_t hash,
		   struct destination_entry *ret)
{
	const struct destination_section *slots = &view->header.slots;
	uint32_t mask = slots->count - 1;
	uint32_t at = destination_place(hash) & mask;

	for (uint32_t tried = 0; tried <= mask; tried++, at = (at + 1) & mask) {
		struct destination_slot slot;
		const char *text;

		if (!element(view, slots, at, &slot, sizeof(slot)) || slot.entry == 0)
			return false;
		if (slot.hash != hash ||
		    !element(view, &view->header.entries, slot.entry - 1, ret, sizeof(*ret)) ||
		    ret->length != length)
			continue;
		text = text_at(view, ret->text, length);
		if (text && memcmp(text, name, length) == 0)
			return true;
	}
	return false;
}

/* ---- the name -------------------------------------------------------------------------------- */

/* 0 for what no name may hold, else the byte in lower case. */
static uint8_t name_byte(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c + ('a' - 'A');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
	    c >= 0x80)
		return c;
	return 0;
}

int destination_normalise(const char *name, char ret[DESTINATION_NAME_MAX + 1])
{
	char text[DESTINATION_NAME_MAX + 1];
	bool digits = true; /* of the last label, which makes it no name */
	bool ascii = true;
	size_t i;

	for (i = 0; name[i]; i++) {
		uint8_t c = name_byte((uint8_t)name[i]);

		if (c == 0 || (c == '.' && (i == 0 || name[i - 1] == '.')))
			return -EINVAL;
		if (c == '.' && name[i + 1] == '\0')
			break;
		if (i == DESTINATION_NAME_MAX)
			return -EINVAL;
		ascii = ascii && c < 0x80;
		digits = c == '.' || (digits && c >= '0' && c <= '9');
		text[i] = (char)c;
	}
	if (i == 0 || digits)
		return -EINVAL;
	text[i] = '\0';
	if (!ascii)
		return punycode_name(text, ret, DESTINATION_NAME_MAX + 1);
	memcpy(ret, text, i + 1);
	return (int)i;
}

/* What an entry for the suffix that begins at this label says. star: the entry of the label before
 * had a "*." rule, which makes this suffix public. */
static void search_note(struct search *search, const struct destination_entry *entry, int label)
{
	uint16_t rules = entry->rules;

	/* As in libpsl, "*.foo" makes foo itself a public suffix, too. */
	if (rules & (DESTINATION_RULE_ICANN | DESTINATION_STAR_ICANN))
		search->icann = label;
	if (rules & (DESTINATION_RULE_ICANN | DESTINATION_RULE_PRIVATE | DESTINATION_STAR_ICANN |
		     DESTINATION_STAR_PRIVATE))
		search->all = label;
	if (rules & DESTINATION_EXCEPTION)
		search->exception = label;
	search->exact[label] = entry->exact;
	if (entry->suffix != DESTINATION_NONE &&
	    (search->start[label] > 0 || (rules & DESTINATION_SELF))) {
		search->suffix = entry->suffix;
		search->suffix_label = label;
	}
}

static void search_label(struct search *search, uint32_t hash, int label, uint16_t *stars)
{
	uint32_t start = search->start[label];
	struct destination_entry entry;

	search->exact[label] = DESTINATION_NONE;
	if (*stars & DESTINATION_STAR_ICANN)
		search->icann = label;
	if (*stars)
		search->all = label;
	*stars = 0;
	if (!lookup(search->view, search->name + start, search->length - start, hash, &entry))
		return;
	search_note(search, &entry, label);
	*stars = entry.rules & (DESTINATION_STAR_ICANN | DESTINATION_STAR_PRIVATE);
}

/* The pass from the right. */
static void search_run(struct search *search)
{
	uint32_t hash = DESTINATION_HASH;
	uint16_t stars = 0;

	search->labels = 0;
	search->icann = search->all = 0; /* the rule "*" of the list: the last label is public */
	search->exception = -1;
	search->suffix = DESTINATION_NONE;
	for (int i = search->length - 1; i >= 0; i--) {
		hash = destination_hash_step(hash, (uint8_t)search->name[i]);
		if (i > 0 && search->name[i - 1] != '.')
			continue;
		search->start[search->labels] = (uint8_t)i;
		search_label(search, hash, search->labels, &stars);
		search->labels++;
	}
	if (search->exception > 0)
		search->icann = search->all = search->exception - 1;
}

static bool label_is(const struct search *search, int label, const char *word)
{
	size_t len = strlen(word);

	return memcmp(search->name + search->start[label], word, len) == 0 &&
	       search->name[search->start[label] + len] == '.';
}

/* Without the list: one label is public, or two where the last is a country's and the other one of
 * the usual words below countries. */
static int public_guess(const struct search *search)
{
	static const char *const words[] = {"co",  "com", "net", "org", "gov",
					    "edu", "ac",  "or",	 "ne",	"go"};

	if (search->labels < 2 || search->length - search->start[0] != 2)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (label_is(search, 1, words[i]))
			return 1;
	return 0;
}

/* The destination of "label.*" whose label is all that stands before the public suffix, for the
 * suffix that begins at `label`. */
static int32_t search_under(const struct search *search, int label)
{
	uint32_t begin = search->start[label];
	uint32_t end = search->start[search->icann];
	uint32_t hash = DESTINATION_HASH;
	struct destination_entry entry;

	if (label <= search->icann || end < begin + 2)
		return DESTINATION_NONE;
	for (uint32_t i = end - 1; i-- > begin;)
		hash = destination_hash_step(hash, (uint8_t)search->name[i]);
	if (!lookup(search->view, search->name + begin, end - 1 - begin, hash, &entry))
		return DESTINATION_NONE;
	return entry.under;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static int match_configured(const struct name_view *view, int32_t index, enum destination_by by,
			    struct destination_match *match)
{
	struct destination_text where;
	const char *text;

	if (!element(view, &view->header.destinations, (uint32_t)index, &where, sizeof(where)))
		return -EBADMSG;
	text = text_at(view, where.text, where.length);
	if (!text)
		return -EBADMSG;
	match->index = index;
	match->by = by;
	match->length = where.length;
	memcpy(match->name, text, where.length);
	match->name[where.length] = '\0';
	return 0;
}

static int match_itself(const char *name, enum destination_by by, struct destination_match *match)
{
	match->index = DESTINATION_NONE;
	match->by = by;
	match->length = (uint32_t)strlen(name);
	memcpy(match->name, name, match->length + 1);
	return 0;
}

static int match_name(const struct name_view *view, const char *name,
		      struct destination_match *match)
{
	struct search search;
	int32_t found;
	int length;
	int whole;

	search.view = view;
	length = destination_normalise(name, search.name);
	if (length < 0)
		return length;
	search.length = (uint8_t)length;
	search_run(&search);
	if (view->header.flags & DESTINATION_NO_LIST)
		search.icann = search.all = public_guess(&search);
	whole = search.labels - 1;
	if (search.exact[whole] != DESTINATION_NONE)
		return match_configured(view, search.exact[whole], DESTINATION_EXACT, match);
	if (search.suffix != DESTINATION_NONE && search.suffix_label == whole)
		return match_configured(view, search.suffix, DESTINATION_SUFFIX, match);
	found = search_under(&search, whole);
	if (found != DESTINATION_NONE)
		return match_configured(view, found, DESTINATION_EXACT, match);
	if (search.suffix != DESTINATION_NONE)
		return match_configured(view, search.suffix, DESTINATION_SUFFIX, match);
	if (search.all >= whole)
		return match_itself(search.name, DESTINATION_DEFAULT, match);
	/* The registrable domain's own destination, if it has one: a name and what it rolls up to
	 * must not be two destinations. */
	found = search.exact[search.all + 1];
	if (found == DESTINATION_NONE)
		found = search_under(&search, search.all + 1);
	if (found != DESTINATION_NONE)
		return match_configured(view, found, DESTINATION_REGISTRABLE, match);
	return match_itself(search.name + search.start[search.all + 1], DESTINATION_REGISTRABLE,
			    match);
}

/* The last range that starts at or before the address. */
static int32_t range_find(const struct name_view *view, const uint8_t address[16])
{
	const struct destination_section *ranges = &view->header.ranges;
	struct destination_range range;
	int32_t found = DESTINATION_NONE;
	uint32_t low = 0;
	uint32_t high = ranges->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (!element(view, ranges, middle, &range, sizeof(range)))
			return DESTINATION_NONE;
		if (memcmp(range.start, address, 16) <= 0) {
			found = range.destination;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return found;
}

int destination_match(const void *blob, size_t blob_len, const char *name,
		      struct destination_match *ret)
{
	struct destination_match match = {.is_address = 0};
	struct name_view view;
	char text[INET6_ADDRSTRLEN];
	int32_t index;
	int rc;

	rc = view_open(&view, blob, blob_len);
	if (rc < 0)
		return rc;
	if (address_from_text(name, match.address) < 0) {
		rc = match_name(&view, name, &match);
	} else {
		match.is_address = 1;
		index = range_find(&view, match.address);
		if (index != DESTINATION_NONE)
			rc = match_configured(&view, index, DESTINATION_ADDRESS, &match);
		else
			rc = match_itself(
				destination_address_text(match.address, text, sizeof(text)),
				DESTINATION_DEFAULT, &match);
	}
	if (rc == 0)
		*ret = match;
	return rc;
}

/* ---- pools ----------------------------------------------------------------------------------- */

int destination_pool(const void *blob, size_t blob_len, const char *name,
		     struct destination_pool *ret)
{
	struct destination_pool_entry pool;
	size_t length = strlen(name);
	struct name_view view;
	uint32_t low = 0;
	uint32_t high;
	int rc = view_open(&view, blob, blob_len);

	if (rc < 0)
		return rc;
	high = view.header.pools.count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const char *text;
		int order;

		if (!element(&view, &view.header.pools, middle, &pool, sizeof(pool)))
			return -EBADMSG;
		text = text_at(&view, pool.text, pool.length);
		if (!text)
			return -EBADMSG;
		order = memcmp(name, text, length < pool.length ? length : pool.length);
		if (order == 0 && length == pool.length) {
			*ret = (struct destination_pool){pool.first, pool.count};
			return 0;
		}
		if (order > 0 || (order == 0 && length > pool.length))
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

int destination_pool_source(const void *blob, size_t blob_len, const struct destination_pool *pool,
			    uint32_t i, uint8_t ret[16])
{
	uint8_t address[16];
	struct name_view view;
	int rc = view_open(&view, blob, blob_len);

	if (rc < 0)
		return rc;
	if (i >= pool->count)
		return -ENOENT;
	if ((uint64_t)pool->first + i > UINT32_MAX ||
	    !element(&view, &view.header.sources, pool->first + i, address, 16))
		return -EBADMSG;
	memcpy(ret, address, 16);
	return 0;
}

int destination_pools_have(const void *blob, size_t blob_len, const uint8_t source[16])
{
	uint8_t listed[16];
	struct name_view view;
	int rc = view_open(&view, blob, blob_len);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < view.header.sources.count; i++) {
		if (!element(&view, &view.header.sources, i, listed, sizeof(listed)))
			return -EBADMSG;
		if (memcmp(listed, source, sizeof(listed)) == 0)
			return 0;
	}
	return -ENOENT;
}

/* ---- addresses ------------------------------------------------------------------------------- */

const char *destination_address_text(const uint8_t address[16], char *text, size_t size)
{
	char name[SOURCE_NAME_MAX + 1];
	const char *done;

	if (source_name(address, name)) {
		snprintf(text, size, "%s", name);
		return text;
	}
	if (address_is_v4(address))
		done = inet_ntop(AF_INET, address + 12, text, (socklen_t)size);
	else
		done = inet_ntop(AF_INET6, address, text, (socklen_t)size);
	return done ? done : "";
}
