#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# duct listen --exec and --keep.
. "$(dirname "$0")/common.sh" "$@"

seq 200000 >lines
tr 0-9 a-j <lines >letters

duct listen --exec 'tr 0-9 a-j' shm://exec & listener=$!
duct dial --quiet "shm://exec?$waits" <lines >got
ended "a filter" 0 $listener
same_file "a filter" letters got

# A command that reads nothing, and one that writes nothing.
duct listen --exec 'echo hello' shm://exec & listener=$!
same "a command that does not read" hello "$(duct dial --quiet "shm://exec?$waits" <lines)"
ended "a command that does not read" 0 $listener
duct listen --exec "cat >'$work/got'" shm://exec & listener=$!
same "a command that does not write" "" "$(duct dial --quiet "shm://exec?$waits" <lines)"
ended "a command that does not write" 0 $listener
same_file "a command that does not write" lines got

# One that fails: its listener says so, and the other side learns it.
duct listen --exec 'echo so far; exit 3' shm://exec 2>said.listen & listener=$!
try duct dial --quiet -n "shm://exec?$waits" >got
same "a command that fails" 6 "$status"
says "a command that fails" "the command failed with status 3"
same "what it wrote before" "so far" "$(cat got)"
ended "a command that fails" 1 $listener

# Who is there.
duct listen --exec 'echo $DUCT_PEER_UID $DUCT_URL' shm://exec & listener=$!
same "the environment" "$(id -u) shm://exec" "$(duct dial -n --quiet "shm://exec?$waits")"
ended "the environment" 0 $listener

# --keep, with pipes that are open at the same time, each with a command of its own.
"$program" listen --keep --exec 'tr 0-9 a-j' shm://exec & listener=$!
dialers=
for i in 1 2 3 4 5 6 7 8; do
	duct dial --quiet "shm://exec?$waits" <lines >got.$i &
	dialers="$dialers $!"
done
for dialer in $dialers; do
	ended "one of eight" 0 "$dialer"
done
for i in 1 2 3 4 5 6 7 8; do
	same_file "number $i of eight" letters got.$i
done
kill -INT $listener
ended "keep ends" 130 $listener

# --keep without a command: one after the other, all to one output.
"$program" listen --keep --quiet -n shm://keep >got & listener=$!
for i in 1 2 3; do
	echo "$i" | duct dial --quiet "shm://keep?$waits"
done
kill -TERM $listener
ended "keep" 143 $listener
same "keep" "1 2 3 " "$(tr '\n' ' ' <got)"

# A command that does not end when it is asked to is killed, and holds up nothing for ever.
duct listen --timeout 1s --exec 'trap "" TERM; while :; do read -r line || :; done' shm://exec 2>said.listen &
listener=$!
try duct dial -n "shm://exec?$waits"
same "a stubborn command, to the other side" 6 "$status"
ended "a stubborn command" 4 $listener
grep -q "is killed" said.listen || die "a stubborn command: $(cat said.listen)"

# Its exit status counts also where whoever started us ignores SIGCHLD.
(trap '' CHLD; exec timeout -k 5 60 "$program" listen --exec 'exit 3' shm://exec 2>said.listen) & listener=$!
try duct dial -n "shm://exec?$waits"
same "SIGCHLD ignored, to the other side" 6 "$status"
ended "SIGCHLD ignored" 1 $listener
