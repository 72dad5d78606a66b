#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: faults.sh DUCT FAULTPROXY
# duct listen and duct dial with a bad network between them. What only delays or divides changes nothing; what breaks
# leaves each side with the beginning of what the other sent, an exit status and words for it; nobody hangs, and no socket stays.
. "$(dirname "$0")/../tools/common.sh" "$@"
proxy=$2

head -c 300000 /dev/urandom >up
head -c 200000 /dev/urandom >down

# A listener that is there; 1: it has given up already, for want of a dialer in its time.
listening() # options of duct
{
	timeout -k 5 60 "$program" listen $1 "uds://$work/target" <down >got.up 2>said.listen & listener=$!
	while ! grep -q "00010000 .*$work/target\$" /proc/net/unix; do
		kill -0 $listener 2>/dev/null || { wait $listener || true; return 1; }
	done
}

# The listener, the proxy in front of it, the dialer; the files got.up and got.down, and $listened and $dialed.
through() # options of duct, options of faultproxy...
{
	local words=$1 front dialer listener between tries=0
	shift
	# A busy machine may not look before it has.
	until listening "$words"; do
		[ $((++tries)) -lt 100 ] || die "the listener does not come: $(cat said.listen)"
	done
	mkfifo front
	timeout -k 5 60 "$proxy" "$@" "$front_at" "$work/target" >front 2>said.proxy & between=$!
	read -r front <front
	rm front
	timeout -k 5 60 "$program" dial $words "$scheme://$front" <up >got.down 2>said.dial & dialer=$!
	dialed=0 listened=0
	wait $dialer || dialed=$?
	wait $listener || listened=$?
	kill -TERM $between 2>/dev/null || true
	wait $between 2>/dev/null || true
	rm -f "$work/front.sock"
	[ $dialed != 124 ] && [ $dialed != 137 ] || die "$*: the dialer hangs"
	[ $listened != 124 ] && [ $listened != 137 ] || die "$*: the listener hangs"
	[ ! -e "$work/target" ] || die "$*: a socket stayed"
}

intact()
{
	same "$1: the dialer's status" 0 "$dialed"
	same "$1: the listener's status" 0 "$listened"
	same_file "$1: up" up got.up
	same_file "$1: down" down got.down
}

begins() # what, part, whole
{
	[ ! -s "$2" ] || cmp -n "$(stat -c %s "$2")" "$2" "$3" || die "$1: what arrived was not sent"
}

broken()
{
	begins "$1" got.up up
	begins "$1" got.down down
	# Whoever did not get everything knows it, and so does whoever sent what did not get there.
	local which
	for which in listener dialer; do
		[ $which = listener ] && status=$listened || status=$dialed
		[ "$status" = 0 ] || continue
		same_file "$1: the $which says that all is well" up got.up
		same_file "$1: the $which says that all is well" down got.down
	done
	[ "$dialed" = 0 ] || [ -s said.dial ] || die "$1: the dialer has no words for status $dialed"
	[ "$listened" = 0 ] || [ -s said.listen ] || die "$1: the listener has no words for status $listened"
}

for scheme in tcp uds; do
	front_at=127.0.0.1:0
	[ $scheme = tcp ] || front_at=$work/front.sock
	through "" --seed 1; intact "$scheme: nothing"
	through "" --latency 5 --jitter 10 --seed 2; intact "$scheme: latency and jitter"
	through "" --partial 1000 --seed 3; intact "$scheme: in pieces"
	through "" --partial 7 --direction up --seed 4; intact "$scheme: in small pieces"
	through "" --bandwidth 2000000 --seed 5; intact "$scheme: bandwidth"

	# In the handshake, in a header, in a payload, between two frames, far away.
	for at in 30 57 70 150000; do
		for way in up down; do
			for fault in cut reset; do
				# A listener whose dialer never got through waits for another.
				[ $at -gt 57 ] && time=20s || time=500ms
				through "--timeout $time" --$fault $at --direction $way
				broken "$scheme: $fault at $at $way"
			done
		done
	done
	# Silence: only time tells.
	for at in 30 70 150000; do
		for fault in truncate stall; do
			through "--timeout 500ms" --$fault $at --direction up
			broken "$scheme: $fault at $at"
			[ "$listened" != 0 ] || die "$scheme: $fault at $at: the listener noticed nothing"
			[ "$dialed" != 0 ] || die "$scheme: $fault at $at: the dialer noticed nothing"
		done
	done
done
echo "faults: passed"
