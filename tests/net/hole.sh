#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: hole.sh DUCT COURIER heartbeat|silent
# A wire that swallows everything during a transfer, and comes back. The ends are not told; they find out by their
# heartbeat, and without one because the kernel gives up what is not acknowledged. The dialer comes back with a new
# session: what was lost is counted, and nothing comes twice.
. "$(dirname "$0")/network.sh"

case $3 in
heartbeat) options='heartbeat=50ms&heartbeat_missed=4' ;;
silent) options='heartbeat=0' ;;
esac
"${there[@]}" "$courier" receive "tcp://$far:4711?$options" >taken 2>taken.log & receiver=$!
until_has taken listening
"$courier" send "tcp://$far:4711?$options&reconnect=1&pause=5ms&pause_max=100ms&timeout=1s" 3000 >given 2>given.log & sender=$!
until_has taken '^received 256$'

wire_cut
until_has given '^disconnected PEER$'
until_has taken '^ended PEER$'
if [ "$3" = heartbeat ]; then
	# The bound: it is counted in intervals, which are judged one after the other.
	grep -q 'silent for 5 intervals of 50 ms' given.log || die "the dialer's heartbeat said nothing: $(cat given.log)"
	grep -q 'silent for 5 intervals of 50 ms' taken.log || die "the listener's heartbeat said nothing: $(cat taken.log)"
fi
# It tries, and is not let in: who is not there does not answer.
until_has given '^disconnected TIMEOUT$'
same "sessions before the wire is back" 1 "$(grep -c '^accepted' taken)"

wire_whole
until_has given '^connected' 2
until_has taken '^accepted' 2
until_has taken '^received 65536$'
kill -TERM $sender
wait $sender || die "the dialer failed: $(tail -n 5 given given.log)"
wait $receiver || die "the listener failed: $(tail -n 5 taken taken.log)"
read -r _ sent _ lost _ sessions _ < <(grep '^sent' given)
read -r _ received _ missing < <(tail -n 1 taken)
same "sessions" 2 "$sessions"
same "all that was sent, and did not come" $((sent - received)) "$missing"
# No fewer than were lost: whose taking was not heard of may have come.
[ "$missing" -le "$lost" ] || die "$missing messages were lost, and $lost counted"
[ "$lost" -gt 0 ] || die "a wire was cut under a sender at full speed, and nothing was lost: the test is not what it says"
echo "hole: passed; $sent sent, $missing missing, $lost counted"
