#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: selftest.sh CHECK    proves that CHECK finds what it is there for, and nothing else
# fixtures/CHECK.txt holds a small tree, its files separated by lines "=== path", and under
# "=== expected" the exact findings; a line "@9 text" stands for nine lines of text. One text file keeps
# the faults out of the real tree.
set -euo pipefail
check=$1
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

awk -v tree="$tree" '
	/^=== / {
		path = tree "/" $2
		folder = path
		sub("/[^/]*$", "", folder)
		system("mkdir -p " folder)
		next
	}
	/^@[0-9]+ / {
		times = substr($1, 2)
		text = substr($0, length($1) + 2)
		while (times-- > 0)
			print text > path
		next
	}
	{ print > path }
' "$here/fixtures/$check.txt"
mv "$tree/expected" "$tree.expected"
trap 'rm -rf "$tree" "$tree.expected" "$tree.found"' EXIT

status=0
bash "$here/tidy.sh" "$check" "$tree" >"$tree.found" || status=$?
diff "$tree.expected" "$tree.found" || {
	echo "selftest.sh: $check found something else (>) than its fixture expects (<)"
	exit 1
}
if [ "$status" != 1 ] || [ ! -s "$tree.found" ]; then
	echo "selftest.sh: $check ended with $status on a tree full of faults"
	exit 1
fi
