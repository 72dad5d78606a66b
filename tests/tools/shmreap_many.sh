#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: shmreap_many.sh SHMREAP LEAVE [COUNT]
# What shmreap costs for each leftover, in system calls: a bound that holds for any number of them. With a
# COUNT, for a campaign, it also says how long a round over so many took.
set -euo pipefail
tool=$1 leave=$2 count=${3:-100}
export ASAN_OPTIONS=detect_leaks=0 # strace and the leak checker both want to trace
command -v strace >/dev/null || { echo "strace is not installed"; exit 77; }
where=/dev/shm
[ -d "$where" ] || where=${TMPDIR:-/tmp}
work=$(mktemp -d "$where/dt.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/s" "$work/p"
chmod 700 "$work"/*
die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# System calls of one round over that directory.
calls() # directory, shmreap's options
{
	local status=0
	strace -f -qq -o "$work/trace" "$tool" --quiet --dir "$@" 2>"$work/said" || status=$?
	case $status in 0 | 3) ;; *) cat "$work/said" >&2; echo "strace cannot trace here" >&2; exit 77 ;; esac
	wc -l <"$work/trace"
}
each() # what, calls without any, calls with them, bound
{
	local most=$(($2 + count * $4))
	printf '%-28s %d.%d system calls for each of %d\n' "$1" $((($3 - $2) / count)) $((($3 - $2) * 10 / count % 10)) "$count"
	[ "$3" -le "$most" ] || die "$1: $3 calls, $most at most"
}

nothing=$(calls "$work/s") || exit $?
"$leave" "$work/s" "$count" 0
"$leave" "$work/p" 0 "$count"
# A look at a socket: its two files, the lock asked, the socket dialled; for a pipe: four files, and what they hold.
each "looking at a socket" "$nothing" "$(calls "$work/s")" 16
each "looking at a durable pipe" "$nothing" "$(calls "$work/p")" 40
if [ $# -gt 2 ]; then
	for place in s p; do
		start=$(date +%s%N)
		"$tool" --quiet --dir "$work/$place" || true
		echo "looking at $count in $place/: $((($(date +%s%N) - start) / 1000000)) ms"
	done
fi
each "removing a socket" "$nothing" "$(calls "$work/s" --reap)" 40
each "removing a durable pipe" "$nothing" "$(calls "$work/p" --reap)" 95
[ -z "$(ls "$work/s")" ] || die "sockets are left"
left=$(find "$work/p" -name '*.listen' | wc -l)
[ "$left" = $(((count + 9) / 10)) ] || die "$left pipes are left, and every tenth of $count held messages"
calls "$work/p" --discard >/dev/null
[ -z "$(ls "$work/p")" ] || die "pipes are left"
