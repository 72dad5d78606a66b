#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Instructions per message, by callgrind, against the budget beside this script. One name and one number
# a line; over it by more than a fiftieth fails, far under it asks for an update.
#
#   instructions.sh PROGRAM BUDGET            checks
#   instructions.sh PROGRAM BUDGET --update   writes what it counts
set -eu

program=$1
budget=$2
update=${3:-}
count=20000
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

command -v valgrind >/dev/null || {
	echo "valgrind is not installed"
	exit 77
}

failed=0
"$program" >"$tmp/names"
while read -r name; do
	if ! valgrind --tool=callgrind --callgrind-out-file="$tmp/out" --collect-atstart=no \
		--toggle-collect=measured "$program" "$name" >"$tmp/log" 2>&1; then
		cat "$tmp/log"
		exit 1
	fi
	total=$(awk '/Collected/ { print $NF }' "$tmp/log")
	each=$((total / count))
	[ "$each" -gt 0 ] || {
		echo "$name: nothing was counted"
		exit 1
	}
	echo "$name $each" >>"$tmp/counted"
	allowed=$(awk -v name="$name" '$1 == name { print $2 }' "$budget")
	if [ -z "$allowed" ]; then
		echo "$name: $each instructions; the budget does not name it"
		failed=1
	elif [ "$each" -gt $((allowed + allowed / 50 + 1)) ]; then
		echo "$name: $each instructions, over the budget of $allowed"
		failed=1
	else
		echo "$name: $each instructions of $allowed"
	fi
done <"$tmp/names"

if [ "$update" = --update ]; then
	{
		sed -n '/^#/p' "$budget"
		cat "$tmp/counted"
	} >"$tmp/new"
	cp "$tmp/new" "$budget"
	exit 0
fi
exit $failed
