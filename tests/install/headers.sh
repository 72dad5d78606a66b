#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: headers.sh INCLUDE_DIR
# Every public header compiles alone, twice in a row, as C11 and as C++17, without a warning. Which
# system headers they may need is tidy's business (tests/tidy/includes.awk).
set -euo pipefail
include=$1
strict="-Wall -Wextra -Wpedantic -Wundef -Wstrict-prototypes -Werror"
headers=$(cd "$include" && echo duct/*.h)
failed=0

alone() # header, compiler and its flags
{
	local header=$1
	shift
	printf '#include <%s>\n#include <%s>\n' "$header" "$header" | "$@" -fsyntax-only -I"$include" - || {
		echo "$header does not compile alone: $*"
		failed=1
	}
}

for header in $headers; do
	# shellcheck disable=SC2086
	alone "$header" cc -std=c11 $strict -x c
	# shellcheck disable=SC2086
	alone "$header" c++ -std=c++17 ${strict/-Wstrict-prototypes/} -x c++
done
exit $failed
