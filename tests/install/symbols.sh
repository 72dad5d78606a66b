#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: symbols.sh LIBRARY INCLUDE_DIR
# The shared library exports duct_* under the version DUCT_0 and nothing else; everything it exports is
# declared in a public header, and everything declared there is exported.
set -euo pipefail
library=$1
include=$2
failed=0

exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }')
foreign=$(grep -v '^duct_[a-z0-9_]*@@DUCT_0$' <<<"$exported" || true)
[ -z "$foreign" ] || { echo "exported, but not duct_* of DUCT_0:" $foreign; failed=1; }

# The name before the first parenthesis of each declaration that begins with DUCT_API.
declared=$(cat "$include"/duct/*.h | tr '\n' ' ' | grep -o 'DUCT_API [^(;]*(' | grep -o 'duct_[a-z0-9_]*($' | tr -d '(' | sort -u)
exported=$(sed 's/@.*//' <<<"$exported" | sort -u)
[ -n "$declared" ] || { echo "found no declaration below $include"; exit 2; }

extra=$(comm -13 <(echo "$declared") <(echo "$exported"))
[ -z "$extra" ] || { echo "exported, but declared in no public header:" $extra; failed=1; }
lacking=$(comm -23 <(echo "$declared") <(echo "$exported"))
[ -z "$lacking" ] || { echo "declared, but not exported:" $lacking; failed=1; }
exit $failed
