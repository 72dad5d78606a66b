#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: examples.sh NAME PROGRAM    runs both ends of the example NAME, in a runtime folder of its own
set -euo pipefail
example=$1
program=$2

work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work
trap 'rm -rf "$work"' EXIT

end() { timeout --kill-after=5 60 "$program" "$@"; }

say() # what, expected, got
{
	[ "$2" = "$3" ] || { printf '%s: expected "%s", got "%s"\n' "$1" "$2" "$3"; exit 1; }
}

ended() # what, process
{
	wait "$2" || { echo "$1 ended with $?"; exit 1; }
}

case $example in
tick)
	end listen >"$work/listen.out" &
	said=$(end dial)
	ended "tick listen" $!
	say "tick listen" "asked DUCT 99.50" "$(cat "$work/listen.out")"
	say "tick dial" "answer DUCT 99.75" "$said"
	;;
split)
	end listen shm://split 200000 >"$work/listen.out" &
	said=$(end dial shm://split 200000)
	ended "split listen" $!
	say "split listen" "sent 200000, received 200000" "$(cat "$work/listen.out")"
	say "split dial" "sent 200000, received 200000" "$said"
	;;
reactors)
	# The kernel deals out by ports: that one of four gets none of 200 has a chance of one in 10^24.
	said=$(end 4 200 | tail -n 1)
	say "reactors" "4 of 4 reactors answered" "$said"
	;;
foreign_loop)
	# The dialer's input outlasts the pipe; the listener's ends, and with it everything. A ring of two
	# slots, so that there are times without room.
	mkfifo "$work/open"
	exec 9<>"$work/open"
	seq 20000 | end listen 'shm://chat?slots=2' >"$work/listen.out" &
	end dial 'shm://chat?slots=2' <"$work/open" >"$work/dial.out"
	ended "foreign_loop listen" $!
	seq 20000 | cmp - "$work/dial.out"

	# The other way: the dialer ends it.
	end listen >"$work/listen.out" <"$work/open" &
	echo hello | end dial
	ended "foreign_loop listen" $!
	say "foreign_loop listen" "hello" "$(cat "$work/listen.out")"
	;;
*)
	echo "examples.sh: no example named $example"
	exit 2
	;;
esac
leftover=$(find "$work" -type s)
say "sockets left behind" "" "$leftover"
echo "$example: passed"
