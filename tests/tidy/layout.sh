#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: layout.sh ROOT     the sources below ROOT are laid out as .clang-format says
#        layout.sh --finds  what is not laid out so is found
# Only clang-format 14 decides, since every version lays out a little differently: without it, skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

format=
for name in clang-format-14 clang-format; do
	if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
		format=$name
		break
	fi
done
[ -n "$format" ] || { echo "clang-format 14 is not installed"; exit 77; }

if [ "$1" = --finds ]; then
	cd "$here"
	! printf 'int  twice( int x ) { return 2*x; }\n' | "$format" --dry-run -Werror --assume-filename=x.c 2>/dev/null
	exit
fi
cd "$1"
# shellcheck disable=SC2046 # no room's name has a space
find $(ls -d include shm lib transports tools bench fuzz examples tests 2>/dev/null) -type f -name '*.[ch]' -print0 |
	xargs -0 "$format" --dry-run -Werror || { echo "./dev fmt lays them out"; exit 1; }
