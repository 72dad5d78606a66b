#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: names.sh DUCT COURIER
# Names with several addresses: one that swallows everything, or where nobody listens, keeps nobody from the next; and
# where all fail, all are named.
. "$(dirname "$0")/network.sh"

printf '%s\n' "10.9.0.3 swallows" "$far swallows" "10.9.0.1 refuses" "$far refuses" \
	"10.9.0.1 nobody" "10.9.0.4 nobody" >names
echo 'hosts: files' >services
# The name service of the programs in it knows these names alone.
named=(unshare --mount bash -c 'mount --bind names /etc/hosts && mount --bind services /etc/nsswitch.conf && exec "$@"' named)
"${named[@]}" true 2>/dev/null || { echo "mounts of one's own are not allowed here"; exit 77; }
"${named[@]}" getent ahosts swallows | grep -q "$far" || die "the file of names is not read"

"${there[@]}" ip addr add 10.9.0.3/24 dev there
"${there[@]}" nft add rule ip wire arriving ip daddr 10.9.0.3 counter name dropped drop
ip route add prohibit 10.9.0.4

echo hello >up
dials() # name
{
	"${there[@]}" timeout -k 5 100 "$program" listen "tcp://$far:4711" </dev/null >got.up 2>said.listen & listener=$!
	try "${named[@]}" timeout -k 5 60 "$program" dial "tcp://$1:4711?$waits" <up
	same "$1: exit status" 0 "$status"
	ended "$1: the listener" 0 $listener
	same_file "$1: what was said" up got.up
}
dials swallows
[ "$(dropped)" -gt 0 ] || die "no packet was lost: the name is not what this test is about"
dials refuses

try "${named[@]}" timeout -k 5 60 "$program" dial -n "tcp://nobody:4711" </dev/null
same "nobody: exit status" 3 "$status"
says "nobody" "nobody listens at 10.9.0.1:4711"
says "nobody" "10.9.0.4:4711: a route or a firewall of this machine forbids it"
echo "names: passed"
