#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: storm.sh PROGRAM KILLS [FIRST_SEED]
# The campaign: PROGRAM (crash_storm) in batches of 500 kills, each with the next seed, until KILLS are done;
# it prints the sums, and the seeds of what failed. RUN may name a command to run each batch under.
set -uo pipefail
program=$1
kills=$2
seed=${3:-1000}
done=0 early=0 wordless=0 talking=0 heard=0 faults=0
while [ "$done" -lt "$kills" ]; do
	batch=$((kills - done < 500 ? kills - done : 500))
	if out=$(${RUN:-} timeout 120 "$program" "$batch" "$seed" 2>&1); then
		read -r a b c d < <(sed -nE 's/^[0-9]+ kills: ([0-9]+) before there was a pipe, ([0-9]+) before a word, ([0-9]+) in talk; ([0-9]+) messages.*/\1 \2 \3 \4/p' <<<"$out")
		early=$((early + a)) wordless=$((wordless + b)) talking=$((talking + c)) heard=$((heard + d))
	else
		faults=$((faults + 1))
		printf 'seed %s: %s\n' "$seed" "$out"
	fi
	done=$((done + batch))
	seed=$((seed + 1))
	[ $((done % 10000)) != 0 ] || echo "$(date -u +%H:%M:%S) $done kills, $faults faults"
done
echo "$done kills: $early before there was a pipe, $wordless before a word, $talking in talk;" \
	"$heard messages heard; $faults batches with a fault (a leak, a torn or lost message, a hang)"
[ "$faults" = 0 ]
