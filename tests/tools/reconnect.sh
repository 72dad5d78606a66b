#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# duct dial with reconnect=1: the listener is killed, another takes its place, and --verbose says so.
. "$(dirname "$0")/common.sh" "$@"

# Waits until a file has such a line.
until_has() # file, pattern
{
	timeout 30 sed -n "/$2/q" <(exec tail --pid=$$ -n +1 -F "$1" 2>/dev/null) ||
		die "waited in vain for '$2' in: $(cat "$1")"
	grep -q "$2" "$1" || die "no '$2' in: $(cat "$1")"
}

comes_back() # url
{
	rm -f in first second said
	mkfifo in
	touch first said
	"$program" listen --quiet --no-input "$1" >first &
	local listener=$!
	"$program" dial --verbose "$1?$waits&reconnect=1&pause=5ms&pause_max=50ms" <in >got 2>said &
	local dial=$!
	exec 3>in
	echo one >&3
	until_has first one
	kill -KILL "$listener"
	ended "$1: the first listener" 137 "$listener"
	until_has said 'disconnected: '
	until_has said 'reconnecting: '
	"$program" listen --quiet "$1" </dev/null >second 3>&- &
	listener=$!
	echo two >&3
	exec 3>&-
	ended "$1: dial" 0 "$dial"
	ended "$1: the second listener" 0 "$listener"
	same "$1: what came after" two "$(cat second)"
	same "$1: and before" one "$(cat first)"
	same "$1: times that it was connected" 2 "$(grep -c ': connected' said)"
}

comes_back shm://back
comes_back "uds://$work/back"

# Too many attempts end it, with the reason.
"$program" listen --quiet --no-input shm://gone >third &
listener=$!
mkfifo hold
touch third
exec 4<>hold
"$program" dial "shm://gone?$waits&reconnect=1&pause=1ms&attempts=2" <hold 2>said &
dial=$!
echo one >&4
until_has third one
kill -KILL "$listener"
ended "a listener that is killed" 137 "$listener"
ended "too many attempts" 3 "$dial"
says "too many attempts" "nobody listens"
