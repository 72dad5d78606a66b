#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How duct listen and duct dial end: exit statuses, words, signals, deaths.
. "$(dirname "$0")/common.sh" "$@"

# ---- Nobody there, or somebody else
try duct dial shm://nobody </dev/null
same "nobody listens" 3 "$status"
says "nobody listens" "duct dial: cannot dial shm://nobody"
says "nobody listens" "$work/duct/nobody"
try duct dial --timeout 50ms 'shm://nobody?wait_listener=1' </dev/null
same "nobody listens for long" 4 "$status"
try duct listen --timeout 50ms shm://alone </dev/null
same "nobody dials" 4 "$status"
says "nobody dials" "nobody dialed within the time"

# ---- A pipe that is known to be open: a line has come through it. Descriptor 3 is the listener's
# input, 4 the dialer's, 5 the listener's output, 6 the dialer's.
mkfifo in.listen in.dial out.listen out.dial
exec 3<>in.listen 4<>in.dial 5<>out.listen 6<>out.dial
open_pipe() # options of listen
{
	"$program" listen --in lines "$@" shm://ends <in.listen >out.listen 2>said.listen 3>&- 4>&- 5>&- 6>&- &
	listener=$!
	"$program" dial --in lines "shm://ends?$waits" <in.dial >out.dial 2>said.dial 3>&- 4>&- 5>&- 6>&- &
	dialer=$!
	echo there >&4
	read -r -t 60 line <&5 || die "nothing came there; listen: $(cat said.listen); dial: $(cat said.dial)"
	same "there" there "$line"
	echo back >&3
	read -r -t 60 line <&6 || die "nothing came back; listen: $(cat said.listen); dial: $(cat said.dial)"
	same "back" back "$line"
}

open_pipe
try duct listen shm://ends2 </dev/null --timeout 10ms
"$program" listen shm://ends </dev/null >/dev/null 2>said & busy=$!
# The name is free again once a listener that serves one pipe has it.
kill -KILL $dialer
ended "the dialer is killed" 5 $listener
grep -qF "the peer's process died" said.listen || die "the listener does not say so: $(cat said.listen)"
kill -TERM $busy
ended "SIGTERM while listening" 143 $busy
[ ! -e "$work/duct/ends" ] || die "SIGTERM left the socket behind"

open_pipe
kill -KILL $listener
ended "the listener is killed" 5 $dialer
wait $listener || true # the name is its own until it is gone

open_pipe
kill -INT $dialer
ended "SIGINT" 130 $dialer
ended "the other side of SIGINT" 6 $listener
grep -qF "it was interrupted" said.listen || die "the reason did not arrive: $(cat said.listen)"

open_pipe --timeout 3s
ended "nothing moves" 4 $listener
ended "the other side of a timeout" 6 $dialer

# ---- In use
duct listen shm://taken -n >/dev/null & taken=$!
duct dial "shm://taken?$waits" -n -N >/dev/null
ended "a listener ends with its pipe" 0 $taken
"$program" listen --keep -n shm://taken >/dev/null & taken=$!
duct dial "shm://taken?$waits" -n -N >/dev/null
try duct listen shm://taken </dev/null
same "in use" 1 "$status"
says "in use" "cannot listen on shm://taken"
kill -TERM $taken
ended "keep ends by a signal" 143 $taken

# ---- The output is gone
yes | duct dial --quiet "shm://pipe?$waits" >/dev/null 2>said.dial & dialer=$!
{ duct listen -n shm://pipe || echo $? >listen.status; } | head -n 1 >/dev/null
same "the output is gone" 141 "$(cat listen.status)"
ended "the other side of a gone output" 6 $dialer
grep -qF "nobody reads its output" said.dial || die "the reason did not arrive: $(cat said.dial)"
echo data | duct dial --quiet "shm://full?$waits" >/dev/null 2>said.dial & dialer=$!
try duct listen shm://full <in.listen >/dev/full
same "the output is full" 1 "$status"
says "the output is full" "writing the output failed: No space left on device"
ended "the other side of a full output" 6 $dialer

# ---- Frames that are none
printf '\0\0\0\5ab' | { duct dial --framed "shm://frames?$waits" >/dev/null 2>said || echo $? >dial.status; } &
duct listen -n shm://frames >/dev/null 2>said.listen || echo $? >listen.status
wait $!
same "half a frame" 1 "$(cat dial.status)"
says "half a frame" "ended in the middle of a frame"
same "the other side of half a frame" 6 "$(cat listen.status)"

# ---- Each has all it wanted, and there is more on the way: neither waits for the other to receive it.
seq 150 >lines
for scheme in shm://more uds://@$$.more; do
	duct listen -n --count 100 "$scheme" >got & listener=$!
	try duct dial --lines -N "$scheme?$waits" <lines
	same "$scheme: dial, with more than is wanted" 0 "$status"
	ended "$scheme: listen, with more than it wanted" 0 $listener
	head -n 100 lines | same_file "$scheme: what it wanted" - got
done
