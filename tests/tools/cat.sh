#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bytes through duct listen and duct dial: every framing, both directions at once.
. "$(dirname "$0")/common.sh" "$@"

head -c 5000000 /dev/urandom >random
head -c 3000001 /dev/urandom >other
seq 150000 >lines
seq 60000 -1 1 >back

both() # what, url's options, there, back, options of both
{
	local what=$1 url=$2 there=$3 back=$4
	shift 4
	duct listen --quiet "$@" shm://cat <"$back" >got.there &
	duct dial --quiet "$@" "shm://cat?$waits$url" <"$there" >got.back
	ended "$what: listen" 0 $!
	same_file "$what: there" "$there" got.there
	same_file "$what: back" "$back" got.back
}

both "raw" "" random other
both "raw, empty" "" /dev/null /dev/null
both "raw, one way" "" /dev/null random
both "raw, a small ring" "&slots=2" random other
both "raw, small chunks" "" lines back --chunk 100
both "raw, large chunks" "" random other --chunk 1m
both "lines" "" lines back --lines
both "lines in, raw out" "" lines random --in lines --chunk 4k
both "lines longer than a message" "" random other --in lines --chunk 1000

# Frames: made of lines by one run, and lines again after another.
duct listen --quiet --no-input --out framed shm://cat >frames &
duct dial --quiet --in lines "shm://cat?$waits" <lines >/dev/null
ended "to frames" 0 $!
same "frames: length" "$(($(stat -c %s lines) + 4 * 150000))" "$(stat -c %s frames)"
same "frames: the first" "00 00 00 02 31 0a" "$(head -c 6 frames | od -An -tx1 | sed 's/^ *//')"
both "framed" "" frames frames --framed
duct listen --quiet --no-input shm://cat >got.lines &
duct dial --quiet --in framed "shm://cat?$waits" <frames >/dev/null
ended "from frames" 0 $!
same_file "from frames" lines got.lines

# Lines keep their ends; where there is none, --out lines adds one.
printf 'a\n\nb' | duct dial --quiet --lines "shm://cat?$waits" >/dev/null &
same "a last line without an end" "a||b|" "$(duct listen --quiet -n --lines shm://cat | tr '\n' '|')"
ended "a last line without an end" 0 $!

# From and to pipes, where nothing may block the other direction, and to a slow reader.
duct listen --quiet shm://cat < <(cat other) | { head -c 1 | wc -c; cat; } >got.there &
cat random | duct dial --quiet "shm://cat?$waits" | cat >got.back
wait $!
same_file "pipes: back" other got.back
{ echo 1; tail -c +2 random; } >expected
# head(1) may have read more than the byte it was asked for, so only the end is comparable.
same_file "pipes: there" <(tail -c 100000 expected) <(tail -c 100000 got.there)

# --count: that many messages, each way.
seq 100 | duct dial --quiet --lines --count 7 "shm://cat?$waits" >/dev/null &
same "count, sent" "7" "$(duct listen --quiet -n shm://cat | wc -l)"
ended "count, sent" 0 $!
seq 10 | duct dial --quiet --lines "shm://cat?$waits" >/dev/null &
same "count, received" "5" "$(duct listen --quiet -n --count 5 shm://cat | wc -l)"
ended "count, received" 0 $!
