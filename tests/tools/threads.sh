#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# duct listen --threads: several loops at one address share out who dials; each answers, by itself or by a command; a signal
# ends all of them.
. "$(dirname "$0")/common.sh" "$@"

# The listener, whose address goes to $at once it is there.
serve() # arguments
{
	: >said.listen
	"$program" listen --verbose "$@" tcp://127.0.0.1:0 2>said.listen & listener=$!
	local i
	for ((i = 0; ; i++)); do
		at=$(sed -n 's/.*listening at \([^,]*\), on .*/\1/p' said.listen)
		[ -z "$at" ] || break
		[ $i -lt 20000 ] || die "the listener does not come: $(cat said.listen)"
	done
}

# So many pipes were served in all, by as many threads.
served() # what, pipes, threads
{
	local counts
	counts=$(sed -n 's/.*thread [0-9]* served \([0-9]*\) pipes/\1/p' said.listen)
	same "$1: threads" "$3" "$(wc -l <<<"$counts")"
	same "$1: pipes" "$2" "$(($(paste -sd+ <<<"$counts")))"
	# That all of 40 go to one of three happens once in 10^18.
	[ "$(grep -vc '^0$' <<<"$counts")" -gt 1 ] || die "$1: one thread served all: $counts"
}

serve --threads 3 --echo
for ((i = 0; i < 40; i++)); do
	same "answer $i" "hello $i" "$(echo "hello $i" | duct dial --lines --count 1 "tcp://$at")"
done
kill -TERM $listener
ended "echo" 143 $listener
served "echo" 40 3

serve --threads 2 --exec 'cat; echo "for $DUCT_PEER_PID"'
for ((i = 0; i < 20; i++)); do
	duct dial "tcp://$at" <<<"line $i" >got
	grep -qx "line $i" got || die "the command's answer $i: $(cat got)"
done
kill -INT $listener
ended "exec" 130 $listener
served "exec" 20 2

# What cannot be bound is told, and leaves nothing.
serve --threads 1 --echo
try duct listen --threads 2 --echo "tcp://203.0.113.7:$((20000 + RANDOM % 20000))" </dev/null
[ "$status" != 0 ] || die "listening at an address of somebody else's"
says "an address that is not ours" "cannot listen on"
kill -TERM $listener
ended "one thread" 143 $listener
echo "threads: passed"
