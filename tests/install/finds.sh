#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: finds.sh    proves that headers.sh and symbols.sh fail on what they are there for
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

must_fail() # what it has to find, in its words; command
{
	local words=$1
	shift
	if "$@" >"$work/said" 2>&1 || ! grep -q "$words" "$work/said"; then
		echo "expected to fail with '$words': $*"
		cat "$work/said"
		exit 1
	fi
}

must_find_in_header() # declaration that is wrong somewhere
{
	rm -rf "$work/duct"
	mkdir "$work/duct"
	echo "$1" >"$work/duct/bad.h"
	must_fail "duct/bad.h does not compile alone" bash "$here/headers.sh" "$work"
}

must_find_in_header "size_t size_of_what(void);"         # needs a header it does not include
must_find_in_header "struct twice { int x; };"           # no include guard
must_find_in_header "static inline int new_(int *class) { return *class; }
int old();"                                              # a keyword in C++, no prototype in C

cat >"$work/library.c" <<-END
	int duct_hidden_from_headers(void) { return 0; }
	int di_internal(void) { return 0; }
	int duct_known(void) { return 0; }
END
echo 'DUCT_0 { global: *; };' >"$work/map"
cc -shared -fPIC "$work/library.c" -Wl,--version-script="$work/map" -o "$work/library.so"
cat >"$work/duct/bad.h" <<-END
	DUCT_API int duct_known(void);
	DUCT_API enum duct_err
	duct_promised(int x, int (*fn)(int));
END
must_fail "not duct_\* of DUCT_0: di_internal@@DUCT_0$" bash "$here/symbols.sh" "$work/library.so" "$work"
must_fail "in no public header: di_internal duct_hidden_from_headers$" bash "$here/symbols.sh" "$work/library.so" "$work"
must_fail "not exported: duct_promised$" bash "$here/symbols.sh" "$work/library.so" "$work"
