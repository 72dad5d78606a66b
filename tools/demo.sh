#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: demo.sh BUILD_DIR
# Shows what duct does, with the programs of a build tree: a tree of files from one process to another,
# checked by SHA-256; the same bytes by a pipe and a Unix socket; and round trips beside what the machine
# itself needs for them. Leaves nothing behind. Fails if a byte is not what it should be.
set -euo pipefail

bin=$(cd "${1:?usage: demo.sh BUILD_DIR}/bin" && pwd)
bytes_min=$((100 << 20))

# In memory, if there is room for three such files: a disk is not what is to be shown.
place=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(df --output=avail -B 1 /dev/shm | tail -n 1)" -gt $((4 * bytes_min)) ]; then
	place=/dev/shm
fi
work=$(mktemp -d "$place/duct-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM PIPE
# A place of our own for the sockets: nobody else's names, and no need of a login session.
export XDG_RUNTIME_DIR=$work

bold= dim= plain=
if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }
sha() { sha256sum "$1" | cut -d ' ' -f 1; }
gigabytes() { awk -v rate="$1" 'BEGIN { printf "%.1f GB/s", rate / 1e9 }'; }

# --- a tree, as one long file ---------------------------------------------------------------------------

make_load()
{
	local tree size
	for tree in /usr/include /usr/share /usr/lib /etc; do
		tar -C "$tree" -cf "$work/tree.tar" . 2>/dev/null || true
		size=$(stat -c %s "$work/tree.tar")
		[ "$size" -lt 1000000 ] || break
	done
	[ "$size" -gt 0 ] || die "found no files to send"
	while [ "$(stat -c %s "$work/load" 2>/dev/null || echo 0)" -lt "$bytes_min" ]; do
		head -c "$bytes_min" "$work/tree.tar" >>"$work/load"
	done
	rm "$work/tree.tar"
	echo "$tree"
}

# --- from file to file -----------------------------------------------------------------------------------

transfer()
{
	local before after said
	title "A tree of files through shared memory: duct dial to duct listen"
	before=$(sha "$work/load")
	"$bin/duct" listen --quiet --no-input --timeout 60s shm://demo >"$work/copy" &
	said=$("$bin/duct" dial --verbose --timeout 60s 'shm://demo?wait_listener=1' <"$work/load" 2>&1 >/dev/null) ||
		die "duct dial failed: $said"
	wait $! || die "duct listen failed with status $?"
	after=$(sha "$work/copy")
	rm "$work/copy"
	echo "  SHA-256 before  $before"
	echo "  SHA-256 after   $after"
	[ "$before" = "$after" ] || die "the bytes that arrived are not the bytes that were sent"
	sed -n 's/^duct dial: sent \(.*\), received 0 B in \(.*\) s, \(.*\)$/  \1, from file to file in \2 s: \3/p' <<<"$said"
	sum=$before
}

# --- the same bytes by other ways -------------------------------------------------------------------------

row() # what, kind
{
	local rates
	rates=$("$bin/duct-demo" "$2" "$work/load" "$work/copy") || die "$1 failed"
	[ "$(sha "$work/copy")" = "$sum" ] || die "$1: the bytes that arrived are not the bytes that were sent"
	rm "$work/copy"
	read -r delivered used <<<"$rates"
	printf '  %-38s %12s %18s\n' "$1" "$(gigabytes "$delivered")" "$(gigabytes "$used")"
}

compare()
{
	local socket
	title "The same bytes from memory to memory, in pieces of 64 KiB"
	printf '  %-38s %12s %18s\n' "" "delivered" "and read in full"
	row "pipe, write(2) and read(2)" pipe
	row "Unix socket, write(2) and read(2)" socket
	socket=$delivered
	row "duct, copied into messages" copied
	row "duct, made in its messages" in-place
	awk -v duct="$delivered" -v socket="$socket" 'BEGIN {
		printf "  What lies in messages is delivered %.0f times as fast as by a socket: nothing is copied.\n", duct / socket
		exit duct < 3 * socket }' || die "that is less than three times as fast as a socket"
	note "  All arrived with the same SHA-256. Best of twenty rounds each; a byte that is read has to come from"
	note "  memory, and that is the limit of the last column."
}

# --- round trips ------------------------------------------------------------------------------------------

round_trips()
{
	title "Round trips between two processes that spin, beside what the machine itself needs"
	if [ ! -x "$bin/duct-bench" ] || [ "$(nproc)" -lt 2 ]; then
		note "  duct-bench is not built, or there is one processor only; by duct ping, then:"
		"$bin/duct" listen --echo shm://ping &
		"$bin/duct" ping --quiet 'shm://ping?wait_listener=1' | sed 's/^/  /'
		kill %% 2>/dev/null && wait || true
		return
	fi
	# A case that could not be measured is left out of the table.
	"$bin/duct-bench" --quick --filter duct.pingpong >"$work/bench" 2>/dev/null || true
	printf '  %10s %14s %18s %12s\n' "message" "round trip" "machine's limit" "times that"
	awk '$1 == "duct.pingpong" && $NF + 0 > 0 && NF > 16 && !seen[$2 $3]++ {
		limit = $11 / $NF
		printf "  %6s %3s %11s %2s %15.*f %2s %12.2f\n", $2, $3, $11, $12, limit < 100, limit, $12, $NF
		rows++
	}
	END { exit rows == 0 }' "$work/bench" || note "  The machine is too busy to measure them."
	note "  The limit: one stamped slot each way, polled, with no checks, no accounting, nobody to wake."
}

echo "${bold}duct$plain: messages between processes through shared memory. $("$bin/duct" --version)"
tree=$(make_load)
note "The load: $tree as a tar archive, repeated to $(($(stat -c %s "$work/load") / 1000000)) MB"
transfer
compare
round_trips
title "Next"
echo "  $bin/duct doctor            what on this machine costs speed"
echo "  $bin/duct help              listen, dial, ping, bench"
