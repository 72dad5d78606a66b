#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: layout.sh ROOT    H8: what lies in shared memory is declared in shm/layout.h and, for durable pipes,
# shm/durable_layout.h, and is numbers and bytes of a fixed width: no pointer, no lock, no list, no type whose
# size another build could see differently.
set -euo pipefail
cd "$1"

bad=$(awk '
	/^struct di_[a-z_]+ \{/ { inside = $2 }
	/^\}/ { inside = ""; field = "" }
	inside && !/^[ \t]*\*/ {
		line = $0
		sub(/\/\*.*/, "", line)
		field = field " " line
		if (field !~ /;/)
			next
		# Declarations may be broken over lines; what stands before the type does not matter here.
		sub(/^.*(_Atomic|\{)/, "", field)
		gsub(/[ \t]+/, " ", field)
		fields++
		if (field !~ /^ (u?int(8|16|32|64)_t|(unsigned )?char|struct di_class) [a-z_]+(\[[A-Z_0-9 +]+\])?; ?$/ && field !~ /^ \};/)
			print FILENAME ":" FNR ": " inside ":" field
		field = ""
	}
	END { if (fields < 20) print "only " fields " fields were found" }' shm/layout.h shm/durable_layout.h)
structs=$(grep -ho 'di_peer_field([^,]*, *struct [a-z_]*' shm/*.[ch] | grep -o 'struct [a-z_]*' | sort -u)
[ -n "$structs" ] || bad+=$'\nno field of a peer is read: look again'
while read -r name; do
	grep -q "^$name {" shm/layout.h shm/durable_layout.h || bad+=$'\n'"$name is read in a peer's memory, and is declared in neither layout"
done <<<"$structs"
[ -z "${bad//[[:space:]]/}" ] || {
	printf '%s\n' "$bad"
	exit 1
}
