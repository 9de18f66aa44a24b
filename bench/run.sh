#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The suite for capacity planning: bench/run.sh BUILD [--quick] [CASE…], or `make bench BENCH_ARGS=…`.
#
# Runs the programs of BUILD/bench one after the other, shows each figure as it comes, and writes
# BUILD/bench/report.md and report.json: what a decision costs by number of workers, of flows and under
# contention, beside the machine's floor and beside peers. CASE is a name or a pattern ("keyed_*"); only
# these run, and the report keeps the others' last figures. --quick takes about two minutes.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
[ $# -eq 0 ] || shift
quick=()
cases=()
for argument in "$@"; do
	case $argument in
	--quick) quick=(--quick) ;;
	-*) echo "usage: bench/run.sh BUILD [--quick] [CASE…]" >&2; exit 2 ;;
	*) cases+=("$argument") ;;
	esac
done

out=$build/bench/lines
mkdir -p "$out"
failed=
begin=$SECONDS

# One group: a program, its options, and the cases that it has. Its lines go to a file of their own.
group() { # NAME PROGRAM OPTIONS… -- CASES…
	local name=$1 program=$build/bench/$2 options=() wanted=() case pattern
	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	for case in "$@"; do
		[ ${#cases[@]} -gt 0 ] || wanted+=("$case")
		for pattern in "${cases[@]}"; do
			# shellcheck disable=SC2053 # a pattern is meant
			if [[ $case == $pattern ]]; then wanted+=("$case"); fi
		done
	done
	[ ${#wanted[@]} -gt 0 ] || return 0
	printf '\n%s (%d cases, after %d s)\n' "$name" ${#wanted[@]} $((SECONDS - begin))
	for case in "${wanted[@]}"; do
		printf '  %-24s ' "$case"
		local status=0
		"$program" --json "${options[@]}" "$case" >"$out/$name.$case.new" 2>"$out/errors" || status=$?
		if [ $status -eq 77 ] || grep -qs '^SKIP' "$out/errors"; then
			printf 'skipped: %s\n' "$(grep -h SKIP "$out/errors" "$out/$name.$case.new" | head -1)"
			rm -f "$out/$name.$case.new"
		elif [ $status -ne 0 ]; then
			printf 'FAILED: %s\n' "$(head -3 "$out/errors")"
			failed=1
			rm -f "$out/$name.$case.new"
		else
			mv "$out/$name.$case.new" "$out/$name.$case"
			python3 bench/report.py --line "$out/$name.$case"
		fi
	done
}

flows=(flows_1k flows_10k flows_100k flows_1m flows_1m_batch16)
workers=()
for n in 1 2 4 8; do
	workers+=("workers_${n}_distinct" "workers_${n}_same" "workers_${n}_zipf")
done
if [ ${#quick[@]} -eq 0 ]; then
	flows+=(flows_10m flows_10m_batch16)
	workers+=(workers_16_distinct workers_16_same workers_16_zipf)
fi

group decide decide "${quick[@]}" -- hot hot_windows hot_vdso refused three_levels keyed_uniform_1m \
	keyed_zipf_1m batch16_uniform_1m batch16_zipf_1m two_distinct two_same memory
group memory memory "${quick[@]}" -- flow_1m replace_1m
group store store "${quick[@]}" -- restore_1m snapshot_10k
group scale decide "${quick[@]}" -- "${flows[@]}" "${workers[@]}"
group ring ring "${quick[@]}" -- one_producer three_producers wake react sidecar_event
group ingest ingest "${quick[@]}" -- postfix exim powermta kumomta jansson haraka sendgrid json
group live live "${quick[@]}" -- live_steady live_falls
group peers peers "${quick[@]}" -- redis_sorted_set_1 redis_sorted_set_50 redis_gcra_1 redis_gcra_50 door_1 \
	door_50 mutex
group python python "${quick[@]}" -- python_module python_redis_sorted_set python_redis_multi
rm -f "$out/errors"

python3 bench/report.py "$build" "${quick[@]}"
printf '\n%s/bench/report.md and report.json, after %d s\n' "$build" $((SECONDS - begin))
[ -z "$failed" ]
