#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make check: house rules, format, layers, clang-tidy, cppcheck. `tests/check.sh PART...` runs some of
# them: rules, layers, format, tidy, cppcheck. The tree is checked whole.
# Ends with 1 if anything is found.
set -u
shopt -s lastpipe # so that what is found at the end of a pipe is remembered
cd "$(dirname "$0")/.."
parts=${*:-rules layers format tidy cppcheck}
bad=0

sources() { git ls-files "$@" 2>/dev/null || find "$@" -type f; }
all_c=$(sources '*.c' '*.h')

found() { # WHAT, what was found on standard input
	local lines
	lines=$(cat)
	if [ -n "$lines" ]; then
		printf '%s\n%s\n\n' "$1" "$lines" | sed '2,$s/^/    /'
		bad=1
	fi
}

part() { printf '  %-8s%s\n' CHECK "$1"; }

# ---- rules of the house --------------------------------------------------------------------------

# "R0 pairs with R1 in FILE" asks for an R1 in FILE that pairs with R0 in the file where that stands, or in
# another: several readers have one writer. A comment may be broken anywhere.
check_labels() {
	for file in $(sources 'shm/*.[ch]' 'sidecar/*.[ch]' 'ebpf/*.[ch]'); do
		tr '\n\t' '  ' <"$file" | sed 's/ \* / /g; s/  */ /g' |
			grep -oE '\b[A-Z][0-9] pairs with [A-Z][0-9] in [a-z_/.]+[a-z]' | sed "s|^|$file |"
	done | sort -u | awk '
		{ from[NR] = $1 " " $2; to[NR] = $7 " " $5; says[$1 " " $2 " " $5] = 1; at[$1 " " $2] = 1; row[NR] = $0 }
		END { for (i = 1; i <= NR; i++) {
			split(from[i], f); split(to[i], t)
			if (!((t[1] " " t[2]) in at)) print row[i] ": no " t[2] " pairs with anything there"
			else if (!((t[1] " " t[2] " " f[2]) in says)) print row[i] ": " t[2] " there pairs with another"
		} }'
}

# Functions of the files given with more than six parameters, by a look at the text: comments and preprocessor lines
# aside, what stands in front of a body at the start of a line. Callbacks have the shape that a library asks for.
callbacks='upgrade_done request_comes'
check_parameters() {
	CALLBACKS=$callbacks python3 - "$@" <<-'END'
		import os, re, sys
		blank = lambda match: re.sub(r"[^\n]", " ", match.group())
		for path in sys.argv[1:]:
		    text = re.sub(r"/\*.*?\*/", blank, open(path).read(), flags=re.S)
		    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)
		    for found in re.finditer(r"^\w[\w\s*]*?[\s*](\w+)\(([^(){};]*(?:\([^()]*\)\([^()]*\)[^(){};]*)*)\)\s*\{", text, re.M):
		        count = 1 + re.sub(r"\([^()]*\)", "", found.group(2)).count(",")
		        if count > 6 and found.group(1) not in os.environ["CALLBACKS"].split():
		            line = 1 + text.count("\n", 0, found.start())
		            print(f"{path}:{line}: {found.group(1)} has {count}")
	END
}

# What an object of the programs exports, which no other object asks for and no test or bench names. shm/ apart:
# what it exports is the library's. The symbols of the files that are compiled in stand in pairs.
check_exports() {
	[ -e build/sidecar.a ] || return 0
	{
		grep -ohwE '[a-z][a-z0-9_]+' $(sources 'tests/*.[ch]' 'bench/*.[ch]') | sort -u | sed 's/^/U /'
		nm -A build/sidecar.a build/sidecar/daemon/main.o build/shm.a |
			sed -nE 's|^[^ ]*[:/]([^ :/]+):[0-9a-f]* +([A-Z]) (.*)|\2 \3 \1|p'
	} | awk '$1 == "U" { used[$2] = 1 }
		$1 ~ /[TDBRC]/ && $2 !~ /^builtin_/ { file[$2] = $3 }
		END { for (name in file) if (!(name in used)) print file[name] ": " name }' | grep -v ': tg_' | sort
}

# The exported functions of a file begin with one word, that of its noun, in any of its forms: cells_free, cell_decide.
# Those of the library (tg_), and what its folder has of each command (cli_, api_), may stand beside them.
check_prefixes() {
	local objects
	[ -e build/sidecar.a ] || return 0
	objects=$(sources 'sidecar/*.c' 'shm/*.c' | grep -v /bindings/ | sed 's|^|build/|; s|c$|o|')
	nm -A $objects 2>/dev/null | sed -nE 's|^build/(.*)\.o:[0-9a-f]* +T (.*)|\1.c \2|p' | grep -vE ' (tg|cli|api)_' |
		awk '{ word = substr($2, 1, 6); sub(/_.*/, "", word); sub(/s$/, "", word)
				if (!(($1, word) in seen)) { seen[$1, word] = 1; names[$1] = names[$1] " " $2; count[$1]++ } }
			END { for (file in count) if (count[file] > 1) print file ":" names[file] }' | sort
}

check_rules() {
	part "rules: licence, length, loose ends"
	for file in $all_c $(sources '*.sh' '*.py' 'tests/e2e_*' '*.[1-8]' '*.service'); do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: ' || echo "$file"
	done | found "no SPDX line at the top:"
	for file in $(sources '*.c' '*.h' '*.py' '*.sh' 'tests/e2e_*' '*.yaml' Makefile README.md); do
		lines=$(wc -l <"$file")
		[ "$lines" -le 900 ] || echo "$file: $lines lines"
	done | found "longer than 900 lines:"
	grep -nE 'TODO|FIXME|XXX[^X]|HACK' $all_c | grep -v 'XXXXXX' | found "loose ends:"
	grep -nE '^[[:space:]]*typedef (struct|enum|union)' $(sources 'shm/*.[ch]' 'sidecar/*.[ch]') |
		found "typedef of a struct, enum or union:"
	# alloc_malloc.c stands in for alloc.c.
	grep -HoE '^[[:space:]]*(struct|enum|union) [a-z0-9_]+ \{' $(sources 'shm/*.[ch]' 'sidecar/*.[ch]' 'ebpf/*.[ch]') |
		grep -v '^sidecar/base/alloc_malloc\.c:' | sed -E 's/:[[:space:]]*(struct|enum|union) / /; s/ \{$//' | sort -u |
		awk '{ files[$2] = files[$2] " " $1; count[$2]++ }
			END { for (name in count) if (count[name] > 1) print name ":" files[name] }' |
		found "a struct, enum or union of that name stands in several files:"
	# shm/ apart: its interface is for good, and what is inlined into a decision passes values.
	check_parameters $(sources 'sidecar/*.[ch]' 'ebpf/*.[ch]' 'bench/*.[ch]' 'tests/*.[ch]') |
		found "more than six parameters (a struct says what each is):"
	grep -nE '[[:space:]]+$' $all_c README.md Makefile | found "blanks at the end of a line:"
	grep -nE '\b(sleep|usleep|nanosleep)\(' $(sources 'tests/test_*.c') | found "a unit test sleeps:"
	check_labels | found "labels of memory orders that do not pair:"
	check_exports | found "only its own file uses it, and it is not static:"
	check_prefixes | found "exported by one file under several nouns:"
	ls -A | grep -vxE 'sidecar|shm|ebpf|bench|tests|build|Makefile|README\.md|LICENSE|\..*' | found "what stands at the top:"
}

# ---- layers ----------------------------------------------------------------------------------------

# Which one file may include a header of somebody else's, by a pattern of the header.
owners='
liburing                     sidecar/io/loop.c
jemalloc/                    sidecar/base/alloc.c
yaml\.h                      sidecar/base/yaml_nodes.h
hs/                          sidecar/rules/pattern_set.c
pcre2                        sidecar/rules/pattern_pcre.c
libpsl                       sidecar/config/public_suffix.c
ares                         sidecar/io/dns.c
jansson                      sidecar/base/json_read.c
cap-ng                       ebpf/gate_caps.c
microhttpd                   sidecar/serve/http.c
wslay/                       sidecar/serve/websocket.c
openssl/                     sidecar/base/crypto.c
sqlite3                      sidecar/store/db.c
hiredis/read                 sidecar/serve/resp.c
hiredis/hiredis              bench/lib/redis.c
'

# What each folder may include besides itself: FOLDER: FOLDERS. One that stands in the table includes
# only what stands above it, so no circle of folders can be. bench/ and tests/ include what they like.
layers='
shm:
shm/bindings/exim: shm/tollgate.h
ebpf: shm/gcra.h
sidecar/base: shm/address.h shm/destination.h shm/source.h
sidecar/io:
sidecar/data:
sidecar/store: sidecar/base
sidecar/segment: shm sidecar/base
sidecar/rules: shm/destination.h shm/source.h sidecar/base sidecar/data
sidecar/serve: sidecar/base sidecar/io
sidecar/control: shm/tollgate.h sidecar/rules/reply.h
sidecar/config: shm sidecar/base sidecar/data sidecar/rules sidecar/serve/endpoint.h
sidecar/alert: sidecar/base sidecar/io sidecar/rules
sidecar/engine: shm sidecar/base sidecar/segment sidecar/rules sidecar/control sidecar/config sidecar/alert/command.h
sidecar/gate: shm ebpf sidecar/base sidecar/io sidecar/segment sidecar/serve sidecar/config sidecar/engine
sidecar/ingest: shm sidecar/base sidecar/io sidecar/rules sidecar/serve sidecar/control sidecar/config sidecar/engine
sidecar/feeds: shm/address.h shm/destination.h shm/source.h sidecar/base sidecar/ingest
sidecar/doors: shm sidecar/base sidecar/io sidecar/serve sidecar/config sidecar/engine sidecar/ingest
sidecar/http: shm sidecar/base sidecar/io sidecar/segment sidecar/serve sidecar/config sidecar/engine sidecar/ingest
sidecar/simulate: shm sidecar/base sidecar/segment sidecar/rules sidecar/config sidecar/engine
sidecar/api: shm sidecar/base sidecar/io sidecar/segment sidecar/serve sidecar/config sidecar/engine sidecar/gate sidecar/ingest sidecar/feeds sidecar/http sidecar/doors sidecar/store
sidecar/cli: shm ebpf sidecar/base sidecar/io sidecar/data sidecar/store sidecar/segment sidecar/rules sidecar/serve sidecar/config sidecar/engine sidecar/ingest sidecar/feeds sidecar/simulate sidecar/api
sidecar/daemon: shm sidecar/base sidecar/io sidecar/store sidecar/segment sidecar/serve sidecar/config sidecar/rules sidecar/alert sidecar/engine sidecar/gate sidecar/ingest sidecar/http sidecar/doors sidecar/api sidecar/cli
'

# Every #include "..." of the files given, against the table; then circles, depth first: a foo.c and its foo.h
# are one, so two that call each other are found, too.
layer_breaches() {
	LAYERS=$layers awk '
		function folder(path) { sub("/[^/]*$", "", path); return path }
		function pair(path) { sub("\\.[ch]$", "", path); return path }
		function visit(file, trail,    i, n, next_files) {
			state[file] = 1
			n = split(includes[file], next_files, " ")
			for (i = 1; i <= n; i++)
				if (state[next_files[i]] == 1)
					print "circle: " trail " " file " " next_files[i]
				else if (!state[next_files[i]])
					visit(next_files[i], trail " " file)
			state[file] = 2
		}
		BEGIN {
			rows = split(ENVIRON["LAYERS"], row, "\n")
			for (i = 1; i <= rows; i++) {
				n = split(row[i], word, "[: ]+")
				if (word[1] == "")
					continue
				for (k = 2; k <= n; k++) {
					if (word[k] == "")
						continue
					above = word[k] ~ /\.h$/ ? folder(word[k]) : word[k]
					if (!(above in known))
						print "the table: " word[1] " names " above ", which does not stand above it"
					may[word[1], word[k]] = 1
				}
				known[word[1]] = 1
			}
		}
		/^[ \t]*#[ \t]*include[ \t]*"/ {
			split($0, quoted, "\"")
			from = pair(FILENAME)
			to = pair(quoted[2])
			if (from != to)
				includes[from] = includes[from] " " to
			here = folder(FILENAME)
			there = folder(quoted[2])
			if (here ~ /^(bench|tests)/ || here == there)
				next
			if (!(here in known))
				print FILENAME ": its folder is not in the table"
			else if (!((here, there) in may) && !((here, quoted[2]) in may))
				print FILENAME ": includes " quoted[2]
		}
		END { for (file in includes) if (!state[file]) visit(file, "") }' "$@"
}

check_layers() {
	part "layers"
	local pattern owner
	while read -r pattern owner; do
		[ -n "$pattern" ] || continue
		grep -nE "#[[:space:]]*include <$pattern" $(sources 'shm/*' 'sidecar/*' 'ebpf/*' 'bench/*' | grep '\.[ch]$') |
			grep -v "^$owner:" | found "<$pattern...> is for $owner alone:"
		[ -e "$owner" ] || echo "$owner" | found "a file that this script names is gone:"
	done <<<"$owners"
	grep -nE '#[[:space:]]*include <(bpf/(lib)?bpf\.h)' $(sources 'shm/*' 'sidecar/*' | grep '\.[ch]$') |
		found "libbpf is for ebpf/ (and bench/gate.c):"
	layer_breaches $all_c | found "a folder includes only what the table of layers lets it, and no file itself:"
	# What libc brings; x86intrin.h is the compiler's.
	grep -hnoE '#[[:space:]]*include <[^>]+>' $(sources 'shm/*.c' 'shm/*.h') | sed 's/.*<\(.*\)>/\1/' | sort -u |
		while read -r header; do
			[ -e "/usr/include/$header" ] || [ -e "/usr/include/$(uname -m)-linux-gnu/$header" ] ||
				echo '' | gcc -E -include "$header" - >/dev/null 2>&1 || echo "$header"
			case $header in bpf/* | liburing* | jemalloc* | yaml* | hs* | pcre2* | jansson* | microhttpd* | wslay* | openssl*) echo "$header" ;; esac
		done | found "shm/ includes what libc has not:"
	# Who needs libtollgate needs libc alone.
	if [ -e build/libtollgate.so ]; then
		objdump -p build/libtollgate.so | awk '/NEEDED/ {print $2}' | grep -vE '^(libc\.so|libpthread\.so|ld-linux)' |
			found "libtollgate.so needs:"
	fi
}

# ---- format ----------------------------------------------------------------------------------------

check_format() {
	part "format"
	for file in $all_c; do
		clang-format --dry-run -Werror "$file" >/dev/null 2>&1 || echo "$file"
	done | found "not as clang-format writes it (clang-format -i FILE):"
}

# ---- clang-tidy, cppcheck ----------------------------------------------------------------------------

flags="-std=gnu17 -I. -Ibuild -D_GNU_SOURCE -DTG_VERSION=\"0\" -Wno-unknown-warning-option"
[ "$(uname -m)" != x86_64 ] || flags="$flags -mcx16"

check_tidy() {
	part "clang-tidy (some minutes)"
	# The tests are held by the compiler's warnings. The skeletons that bpftool generates leak where memory
	# runs out, which is not ours to put right.
	sources 'shm/*.c' 'sidecar/*.c' 'ebpf/*.c' 'bench/*.c' | grep -v '\.bpf\.c$' |
		FLAGS=$flags xargs -P "$(nproc)" -n 1 sh -c '
			case $1 in ebpf/* | bench/gate.c) less=--checks=-clang-analyzer-unix.Malloc ;; *) less= ;; esac
			clang-tidy --quiet $less "$1" -- $FLAGS 2>/dev/null' sh |
		grep -vE '^[0-9]+ warnings? generated' | found "clang-tidy:"
}

check_cppcheck() {
	part "cppcheck"
	# One at a time: -j makes it forget what crosses files. What it cannot know of other people's macros is said.
	cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr -I. -Ibuild -D_GNU_SOURCE \
		-D__x86_64__ -DTG_VERSION='"0"' '-DLIBBPF_OPTS(t,n,...)=struct t n = {0}' \
		--suppress=missingIncludeSystem --suppress=unmatchedSuppression \
		--template='{file}:{line}: {severity}: {message} [{id}]' \
		$(sources 'shm/*.c' 'sidecar/*.c' 'ebpf/*.c' 'bench/*.c' | grep -v '\.bpf\.c$') 2>&1 | found "cppcheck:"
}

for part in $parts; do
	case $part in
	rules | layers | format | tidy | cppcheck) "check_$part" ;;
	*)
		echo "usage: tests/check.sh [rules] [layers] [format] [tidy] [cppcheck]" >&2
		exit 2
		;;
	esac
done
[ $bad = 0 ] && echo "clean"
exit $bad
