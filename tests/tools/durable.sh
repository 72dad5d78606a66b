#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Durable pipes from the shell; and what has none says so.
. "$(dirname "$0")/common.sh" "$@"
leave_end=$2

# Streams keep nothing.
for other in "uds://@kept" "tcp://127.0.0.1:1"; do
	for command in listen dial; do
		try duct "$command" "$other?durable=1"
		same "$command $other" 1 "$status"
		says "$command $other" "durable pipes are shm:// only"
	done
done

# The example of README.md: kept while nobody listens; killed and started again, the listener gets the rest.
reap=$(dirname "$program")/shmreap
mkdir -m 700 files
jobs="shm://jobs?durable=1&dir=$work/files"
seq 100 | duct dial --lines -N "$jobs"
duct listen --no-input --count 60 "$jobs" >got
duct listen --no-input --count 40 "$jobs" >>got
seq 100 >expected
same_file "all of it, once" expected got
# Nothing of it is left to whoever comes next: not even that an input has ended.
try "$reap" --dir "$work/files" >left
same "what is left" 3 "$status"
grep -q '^empty' left || die "expected nothing undelivered in: $(cat left)"

# Told to somebody who is there, it ends both.
duct listen "$jobs" </dev/null >got & listener=$!
duct dial --lines "$jobs" <expected
ended "both ends" 0 $listener
same_file "both ends" expected got

# An orderly end is told, whether the other side is there or comes later, each time; a death is none.
kept="shm://kept?durable=1&dir=$work/files"
seq 100 >lines
for round in first second; do
	duct dial --lines -N "$kept" <lines
	duct listen -n "$kept" >got
	same_file "listen, later, the $round time" lines got
	duct listen -n "$kept" >got &
	listener=$!
	duct dial --lines -N "$kept" <lines
	ended "listen, beside, the $round time" 0 "$listener"
	same_file "listen, beside, the $round time" lines got
done
"$program" dial --lines "$kept" <lines >back &
dialer=$!
duct listen -n --count 100 "$kept" >got
ended "dial, when listen has what it wanted" 0 "$dialer"
same_file "listen --count" lines got

# An input's end that was told to somebody who did not take it is not that of who comes next, nor of what comes next.
left="shm://left?durable=1&dir=$work/files"
"$leave_end" "$left"
duct dial -n "$left" >got
seq 3 | same_file "what was sent after an end that is over" - got
