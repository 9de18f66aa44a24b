#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The gate at work, on this machine alone: called as `bench/demo.sh BUILD` by `make demo`.
#
# A receiver listens on loopback as six mailbox providers, with limits for each sending IP that it does not
# tell; a fleet of processes sends real mail to it over SMTP from twelve addresses of 127.0.0.0/8. The same
# traffic goes three times: as fast as the fleet can; with the limit that people build on Redis, ten messages a
# minute for each IP and provider; and through tollgated with its built-in configuration. Everything happens in
# a folder of its own; nothing is left behind. DEMO_SECONDS is how long the three runs take together (120).
# DEMO_JSON=FILE keeps the figures. Ends with 1 if the gate did not do better than both.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
seconds=${DEMO_SECONDS:-120}
case $seconds in *[!0-9]* | '') echo "DEMO_SECONDS is a number" >&2; exit 2 ;; esac
[ "$seconds" -ge 30 ] || { echo "DEMO_SECONDS is at least 30" >&2; exit 2; }
run=$(((seconds - 6) / 3))

folder=$(mktemp -d "${TMPDIR:-/tmp}/tollgate-demo.XXXXXX")
segment=${DEMO_SEGMENT:-$(mktemp -d -u "/dev/shm/tollgate-demo.XXXXXX")}
receiver= sidecar= sender=

finish() {
	trap - EXIT INT TERM HUP
	for pid in $sender $receiver $sidecar; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in $sender $receiver $sidecar; do
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$folder" "$segment"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# What the receiver takes from each IP, and what it says when that is exceeded. A real one blocks for hours
# after 20 excesses in ten minutes. Here a block lasts for three fifths of the run, so that it is seen to end.
limits=(--rate 75/min --burst 6 --connections 6 --per-connection 100 --penalty "20 in 10s, hold $((run * 3 / 5))s, repeat 1")
names=(hotmail-com.olc.protection.outlook.com example-org.mail.protection.outlook.com gmail-smtp-in.l.google.com
	mta7.am0.yahoodns.net mx01.mail.icloud.com mx1.comcast.net)
families=(microsoft microsoft google yahoo apple comcast)

start_receiver() { # FILE for the statistics
	local options=() i word mx address port
	for i in "${!names[@]}"; do
		options+=(--destination "${names[$i]}" --family "${families[$i]}" --listen 127.0.0.1:0)
	done
	"$build/bench/receiver" "${limits[@]}" "${options[@]}" --json "$1" >"$1.listen" &
	receiver=$!
	until grep -qs "^ready\$" "$1.listen"; do
		kill -0 $receiver 2>/dev/null || { echo "the receiver did not start" >&2; exit 1; }
		sleep 0.05
	done
	routes=()
	while read -r word mx address port; do
		if [ "$word" = listen ]; then routes+=(--route "$mx=$address:$port"); fi
	done <"$1.listen"
}

start_sidecar() {
	printf 'segment: {path: %s}\nstate: none\n' "$segment" >"$folder/tollgate.yaml"
	"$build/tollgated" -c "$folder/tollgate.yaml" --remove >"$folder/sidecar.log" 2>&1 &
	sidecar=$!
	until grep -q ready "$folder/sidecar.log" 2>/dev/null; do
		kill -0 $sidecar 2>/dev/null || { echo "tollgated did not start:" >&2; cat "$folder/sidecar.log" >&2; exit 1; }
		sleep 0.05
	done
}

# The same traffic in all runs: a newsletter that is all there at once, and transactional mail that comes
# evenly; as much of both as the length of the run asks for.
send() { # NAME LABEL OPTIONS…
	local name=$1 label=$2
	shift 2
	start_receiver "$folder/$name.receiver"
	"$build/bench/sender" --source 127.10.0.1-12 --workers 3 "${routes[@]}" --seconds "$run" \
		--bulk $((1600 + run * 60)) --transactional $((run * 16)) --retry 2s --retry-max 16s --seed 7 \
		--json "$folder/$name.sender" --live "$label" "$@" &
	sender=$!
	wait $sender
	sender=
	kill $receiver
	wait $receiver
	receiver=
}

echo "A newsletter and transactional mail from 12 IPs to 6 providers that each take 75 messages a minute from an"
echo "IP, tell nobody, and block an IP that exceeds it too often. The same traffic three times, $run s each."
send none "no gate"
send fixed "10 a minute" --fixed 10/min
start_sidecar
send tollgate "tollgate" --gate "$segment"
kill $sidecar
wait $sidecar || { cat "$folder/sidecar.log" >&2; exit 1; }
sidecar=
[ -z "${DEMO_JSON:-}" ] || python3 bench/demo.py --json "$folder" >"$DEMO_JSON"
python3 bench/demo.py "$folder"
