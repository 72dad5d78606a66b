#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: transfer.sh DUCT COURIER
# Bytes in both directions over a wire that loses packets, and one that is narrow: all arrives, as it was. And a sender
# that is faster than its wire is held up, and takes no memory for what it cannot send.
. "$(dirname "$0")/network.sh"

head -c 700000 /dev/urandom >up
head -c 500000 /dev/urandom >down

both_ways() # what
{
	"${there[@]}" timeout -k 5 100 "$program" listen "tcp://$far:4711" <down >got.up 2>said.listen & listener=$!
	try duct dial "tcp://$far:4711?$waits" <up >got.down
	same "$1: the dialer" 0 "$status"
	ended "$1: the listener" 0 $listener
	same_file "$1: up" up got.up
	same_file "$1: down" down got.down
}

both_ways "a whole wire"
for percent in 1 5; do
	wire_loses $percent
	both_ways "$percent % are lost"
done
[ "$(dropped)" -gt 0 ] || die "no packet was lost: the wire is not what this test is about"
wire_whole

# Two megabits a second, and what does not fit within 50 ms is dropped.
tc qdisc add dev here root tbf rate 2mbit burst 4kb latency 50ms
both_ways "a narrow wire"

"${there[@]}" "$courier" receive "tcp://$far:4712?max_msg=64k" >taken 2>taken.log & receiver=$!
until_has taken listening
"$courier" send "tcp://$far:4712?max_msg=64k" 60000 >given 2>given.log & sender=$!
until_has taken '^received 32$'
kill -TERM $sender
ended "a fast sender" 0 $sender
ended "its receiver" 0 $receiver
read -r _ sent _ lost _ _ _ grown < <(grep '^sent' given)
same "what came over a narrow wire" "received $sent missing 0" "$(tail -n 1 taken)"
same "what was lost on it" 0 "$lost"
# Sockets at both ends hold a quarter of a megabyte, the pipe's queue some messages more.
[ "$sent" -lt 96 ] || die "a sender was told OK for $sent messages of 60,000 bytes when 32 had come"
[ "$grown" -lt 4096 ] || die "a sender that was held up grew by $grown KiB"
echo "transfer: passed"
