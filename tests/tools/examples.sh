#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: examples.sh BIN_DIR    runs every example
set -- "$1/duct" "$1"
bin=$2
. "$(dirname "$0")/common.sh" "$1"

run() { timeout -k 5 60 "$bin/$1" "${@:2}"; }

run example_newcomer listen & server=$!
same "newcomer" "DUCT 42.00" "$(run example_newcomer dial)"
ended "newcomer: the server" 0 $server

mkfifo news got
exec 3<>news 4<>got
run example_reactor <news 3>&- 4>&- & reactor=$!
duct dial -n --quiet "shm://news?$waits" >got 3>&- 4>&- & reader=$!
# Whoever comes late misses what was said before: so it is said until somebody heard it.
heard=
while [ -z "$heard" ]; do
	echo "all is well" >&3
	read -r -t 1 heard <&4 || kill -0 $reactor || die "the reactor has ended"
done
same "reactor" "all is well" "$heard"
kill -TERM $reactor $reader 2>/dev/null || true
wait || true

"$program" listen --echo shm://echo & echo=$!
same "split" "1000000 numbers went and came back in order" "$(run example_split)"
kill -TERM $echo
ended "split: the echo" 143 $echo
