#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: errors.sh DUCT COURIER
# A dial that cannot succeed: each reason has words of its own, with the address, and what can be done.
. "$(dirname "$0")/network.sh"

refused() # what, status, words, host:port[?options]
{
	try duct dial -n "tcp://$4" </dev/null
	same "$1: exit status" "$2" "$status"
	says "$1" "${4%%\?*}"
	says "$1" "$3"
}

refused "no route" 1 "Network is unreachable; " 10.77.0.1:4711
ip route add unreachable 10.78.0.0/24
refused "a route to nowhere" 1 "No route to host; " 10.78.0.1:4711
"${there[@]}" nft add rule ip wire arriving tcp dport 4713 reject with icmp type host-unreachable
refused "a router that knows no such host" 1 "No route to host; " $far:4713
"${there[@]}" nft add rule ip wire arriving tcp dport 4714 reject with icmp type admin-prohibited
refused "a firewall that says so" 1 "No route to host; " $far:4714
ip route add prohibit 10.79.0.0/24
refused "a route that is forbidden" 3 "a route or a firewall of this machine forbids it" 10.79.0.1:4711
refused "nobody listens" 3 "nobody listens at" $far:4715
wire_cut
refused "silence" 4 "no answer" "$far:4711?timeout=300ms"
wire_whole
refused "no such name" 1 "no name server answered" nobody.invalid:4711
echo "errors: passed"
