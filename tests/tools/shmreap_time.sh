#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: shmreap_time.sh prepare | measure | clean  SHMREAP LEAVE [SEGMENTS [PROCESSES]]
# A measurement, not a test: how long shmreap takes over so many leftovers (10,000), and --foreign on a machine
# with so many more processes (500), of which each has one segment mapped. In three steps, since only the second
# wants a quiet machine. Fails past 2 s, and past 3 s for --foreign, in the best of three.
set -euo pipefail
step=$1 tool=$2 leave=$3 count=${4:-10000} processes=${5:-500}
work=/dev/shm/dt.shmreap-time
holder=$(dirname "$leave")/holder

best() # words, limit in ms, command
{
	local words=$1 limit=$2 least=999999 start took
	shift 2
	for _ in 1 2 3; do
		start=$(date +%s%N)
		"$@" >/dev/null 2>&1 || true
		took=$((($(date +%s%N) - start) / 1000000))
		[ $took -ge $least ] || least=$took
	done
	printf '%-50s %5d ms (at most %d)\n' "$words" "$least" "$limit"
	[ "$least" -le "$limit" ]
}

case $step in
prepare)
	mkdir -m 700 "$work" "$work/s" "$work/p"
	"$leave" "$work/s" "$count" 0
	"$leave" "$work/p" 0 "$count"
	for ((i = 0; i < processes; i++)); do
		"$holder" map "/dt-$i" </dev/null >/dev/null 2>&1 &
		echo $!
	done >"$work/pids"
	;;
measure)
	best "$count sockets with their locks" 2000 "$tool" --quiet --dir "$work/s"
	best "$count durable pipes, four files each" 2000 "$tool" --quiet --dir "$work/p"
	rm -rf "$work/s" "$work/p"
	best "--foreign, $(find /proc -maxdepth 1 -name '[0-9]*' | wc -l) processes, $(find /dev/shm -type f | wc -l) files" 3000 "$tool" --foreign --quiet
	;;
clean)
	[ ! -e "$work/pids" ] || xargs -r kill <"$work/pids" 2>/dev/null || true
	rm -rf "$work" /dev/shm/dt-*
	;;
*) sed -n '3,6s/^# //p' "$0"; exit 2 ;;
esac
