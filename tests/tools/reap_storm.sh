#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: reap_storm.sh SECONDS|STARTSx DUCT SHMREAP
# Eight names at which listeners start, run, end and are killed, each reached by dialers all the while, and two
# janitors that never rest, one of which is killed now and then. No live listener may lose its name: whoever
# dials it must reach it, and its files must be the ones it made. Goes on for so many seconds, or starts at
# each name, and ends with a line of counts.
seconds=$1 program=$2 tool=$3
. "$(dirname "$0")/kit.sh"
place=$work/duct
mkdir -m 700 "$place"
export XDG_RUNTIME_DIR=$work
trap 'exit 130' INT TERM
until=$((SECONDS + ${seconds%x})) starts_max=999999999
case $seconds in *x) until=999999999 starts_max=${seconds%x} ;; esac
# A machine that is busy with everything else may need more than the usual time for a handshake.
patience=handshake=60s
failed() { printf 'FAILED: %s\n' "$*" >>"$work/failures"; }
over() { [ "$SECONDS" -ge "$until" ] || [ -e "$work/failures" ] || [ -e "$work/done" ]; }
ping() { timeout 60 "$program" ping --quiet --count 5 "shm://$1?wait_listener=1&timeout=30s&$patience" >/dev/null 2>>"$work/said.$1"; }
files() { stat -c %i "$place/$1" "$place/$1.lock" 2>&1 | tr '\n' ' '; }

# A name at which one listener follows the other.
worker() # name
{
	local starts=0 kills=0 before listener
	set +e
	while ! over && [ $starts -lt $starts_max ]; do
		"$program" listen --keep --echo "shm://$1?$patience" </dev/null >/dev/null 2>>"$work/said.$1" &
		listener=$!
		ping "$1" || failed "$1 cannot be reached after start $starts: $(tail -n 3 "$work/said.$1")"
		before=$(files "$1")
		ping "$1" || failed "$1 cannot be reached any more: $(tail -n 3 "$work/said.$1")"
		[ "$before" = "$(files "$1")" ] || failed "$1 lost its files: $before, now $(files "$1")"
		if [ $((RANDOM % 3)) = 0 ]; then kill -TERM $listener; else kill -KILL $listener && kills=$((kills + 1)); fi
		wait $listener 2>/dev/null
		starts=$((starts + 1))
	done
	echo "starts $starts kills $kills" >"$work/counts.$1"
}

# Reaps without rest; killed: in the middle of it, every so often.
janitor() # name, 1: to be killed now and then
{
	local runs=0 removed=0 deaths=0 status pid
	set +e
	while ! over; do
		"$tool" --dir "$place" --reap --json >"$work/json.$1" 2>>"$work/said.$1" &
		pid=$!
		[ "$2" = 0 ] || [ $((RANDOM % 4)) != 0 ] || { kill -KILL $pid 2>/dev/null && deaths=$((deaths + 1)); }
		wait $pid 2>/dev/null
		status=$?
		case $status in
		0 | 3) removed=$((removed + $(sed -n 's/^  "removed": \([0-9]*\),$/\1/p' "$work/json.$1"))) ;;
		137) ;;
		*) failed "shmreap ended with $status: $(tail -n 3 "$work/said.$1" "$work/json.$1")" ;;
		esac
		runs=$((runs + 1))
	done
	echo "runs $runs removed $removed deaths $deaths" >"$work/counts.$1"
}

for i in 1 2 3 4 5 6 7 8; do worker "w$i" & workers+=($!); done
janitor j1 0 &
janitors=($!)
janitor j2 1 &
janitors+=($!)
wait "${workers[@]}"
: >"$work/done"
wait "${janitors[@]}"
"$tool" --dir "$place" --reap --quiet || failed "something is left over after the last run: $(ls "$place")"
[ -z "$(ls "$place")" ] || failed "left: $(ls "$place")"
awk '{ for (i = 1; i < NF; i += 2) sum[$i] += $(i + 1) }
	END { printf "%d listeners started, %d killed; %d runs of shmreap, %d of them killed, %d removals", sum["starts"], sum["kills"], sum["runs"], sum["deaths"], sum["removed"] }' "$work"/counts.*
printf '; %s failures in %s s\n' "$([ -e "$work/failures" ] && wc -l <"$work/failures" || echo 0)" "$SECONDS"
[ ! -e "$work/failures" ] || { cat "$work/failures"; exit 1; }
