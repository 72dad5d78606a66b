#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: shmreap.sh DUCT SHMREAP
# What a user of shmreap sees: lists, removes, keeps, and the exit status of each.
. "$(dirname "$0")/common.sh" "$@"
tool=$2
place=$work/duct
reap() { timeout -k 5 60 "$tool" "$@"; }
here() { reap --dir "$place" "$@"; }

# A listener that is there when this returns; killed: and left behind.
start() # name
{
	"$program" listen --keep "shm://$1" </dev/null >/dev/null 2>&1 &
	started=$!
	duct dial --no-input --close "shm://$1?$waits" </dev/null >/dev/null 2>&1
}
abandon() # name
{
	start "$1"
	kill -KILL $started
	wait $started 2>/dev/null || true
}

abandon dead
abandon gone
start alive
alive=$started

# Lists what is left over, with a total, and changes nothing.
try here >out
same "listing: exit status" 3 "$status"
grep -q '^empty *socket .* dead  *nobody holds its lock' out || die "dead is not listed: $(cat out)"
! grep -q alive out || die "what lives is listed as left over"
grep -q '^2 left over' out || die "no total: $(cat out)"
[ -S "$place/dead" ] && [ -e "$place/dead.lock" ] || die "listing removed something"
try here --all >out
grep -q '^live .* alive ' out || die "--all does not show what lives"
! grep -q "$(printf '\033')" out || die "colours in a file"

# Says what it would do, and does not.
try here --dry-run --name 'dea?' >out
same "--dry-run: exit status" 3 "$status"
grep -q '^would-remove .* dead ' out || die "--dry-run: $(cat out)"
[ -S "$place/dead" ] || die "--dry-run removed something"

# Removes what is meant, and keeps what lives even if it is meant.
try here --reap --name dead >out
same "--reap: exit status" 0 "$status"
grep -q '^removed .* dead ' out || die "--reap: $(cat out)"
[ ! -e "$place/dead" ] && [ ! -e "$place/dead.lock" ] || die "--reap left something"
[ -S "$place/gone" ] || die "--reap removed more than was meant"
try here --reap --discard --name 'alive' >out
same "a live one: exit status" 0 "$status"
grep -q '^live .* alive .*kept: its listener holds the lock' out || die "kept without a word: $(cat out)"
[ -S "$place/alive" ] && kill -0 "$alive" || die "a live listener was hurt"
duct dial --no-input --close shm://alive </dev/null || die "a live listener was hurt"

# An age spares, and never condemns.
try here --reap --min-age 10m >out
[ -S "$place/gone" ] || die "--min-age did not spare"
try here --reap --discard --min-age 0s --quiet >out
same "--quiet" "" "$(cat out said)"
same "all removed: exit status" 0 "$status"
[ ! -e "$place/gone" ] && [ -S "$place/alive" ] || die "--reap: $(ls "$place")"
try here >out
same "nothing left over" "0:0 left over (0 B)." "$status:$(cat out)"

# JSON says the same.
abandon again
here --all --json >out || true
same "JSON" "1 again empty listed alive live" "$(jq -r '"\(.left) \(.leftovers[] | select(.state == "empty") | "\(.name) \(.state) \(.action)") \(.leftovers[] | select(.state == "live") | "\(.name) \(.state)")"' out)"
here --reap --json >out
same "JSON of a removal" "0 1 removed" "$(jq -r '"\(.left) \(.removed) \(.leftovers[0].action)"' out)"

# A durable pipe: kept with what it holds, until one says otherwise.
mkdir -m 700 "$work/durable"
mail="shm://mail?durable=1&dir=$work/durable"
stored() { reap --dir "$work/durable" "$@"; }
"$program" listen --keep "$mail" </dev/null >/dev/null 2>&1 &
owner=$!
until stored --json --all 2>/dev/null | jq -e '.leftovers[0].state == "live"' >/dev/null; do
	kill -0 $owner 2>/dev/null || die "no durable listener"
done
try stored --reap --discard --name mail >out
grep -q '^live .*kept: process .* has its listening end open' out || die "a live durable pipe: $(cat out)"
kill -KILL $owner
wait $owner 2>/dev/null || true
printf 'one\ntwo\n' | duct dial --lines --close "$mail" >/dev/null
try stored --reap >out
same "undelivered: exit status" 3 "$status"
grep -q '^full .*2 messages.*kept: ' out || die "undelivered: $(cat out)"
# Its removal was begun by one who was killed: no end takes what is there for its own, and the next run goes on.
mv "$work/durable/mail.listen" "$work/durable/mail.dial"
try duct dial --no-input "$mail"
says "half removed, dialled" "shmreap --discard --name mail"
try duct listen --no-input "$mail"
says "half removed, listened" "shmreap --discard --name mail"
try stored --reap >out
same "half removed" 0:0 "$status:$(find "$work/durable" -type f | wc -l)"

# Its socket, too, is there for the taking.
try here --reap --name mail >out
grep -q '^removed  *socket .* mail ' out || die "the socket of a durable pipe: $(cat out)"

# Watches: the first round removes; the program stays until it is told to go.
abandon last
"$tool" --dir "$place" --reap --watch 50ms --json >watched &
watcher=$!
until [ ! -e "$place/last.lock" ]; do kill -0 $watcher || die "the watcher ended"; done
kill -TERM $watcher
ended "--watch" 143 $watcher
same "rounds are lines" 1 "$(head -n 1 watched | jq .removed)"

# A table fits the terminal, or what COLUMNS says.
: >"$place/$(printf 'a%.0s' {1..180}).lock"
for columns in 200 120 80 60 40 20; do
	COLUMNS=$columns here >out || true
	longest=$(awk 'length > n { n = length } END { print n }' <(grep -v 'left over' out))
	[ "$longest" -le $columns ] || die "$columns columns, and a line of $longest: $(cat out)"
done
kill -KILL "$alive"

# What it is not told to do, and what it cannot.
wrong() # words, arguments
{
	local words=$1
	shift
	try reap "$@" >/dev/null
	same "shmreap $*" 2 "$status"
	says "shmreap $*" "$words"
}
wrong "--min-age=soon" --min-age soon
wrong "--watch=0s" --watch 0s
wrong "what is shm://x" shm://x
wrong "only what --name names" --foreign --reap
wrong "exclude each other" --foreign --dir /tmp
try reap --dir "$work/nowhere"
same "no directory" 1 "$status"
says "no directory" "does not exist"
ln -s "$place" "$work/link"
try reap --dir "$work/link"
same "a link" 1 "$status"
says "a link" "not a directory, or a link"
chmod 770 "$place"
try here
same "open to others" 1 "$status"
says "open to others" "chmod 700"
