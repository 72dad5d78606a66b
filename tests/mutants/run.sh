#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: run.sh [--tree DIR] [--sample N | NAME...]    plants mutants, all unless told, and demands red
#        run.sh --apply                                only that each patch still applies
#        run.sh --table                                what there is, as a table
# NAME.patch takes away one check or one order. The tree is copied to DIR (build/mutants), each mutant is
# applied there and only what its test needs is built; then the test must fail, which passed without it.
# --sample takes N of them, other ones for each commit. A patch begins with
#   Rule:    what it breaks: a rule (H4), a row of the crash matrix (row 2), an edge ([slot]), a fuzz target
#   Removes: in words
#   Test:    PRESET NAME [ARGUMENTS]    the ctest that must go red; or PRESET build TARGET: it must not compile
#   Build:   targets, where they are not the test's name
#   Says:    a regular expression that the red test prints
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tests/mutants/lib.sh
. "$here/lib.sh"
tree=$root/build/mutants
sample=0
mode=run

while [ $# -gt 0 ]; do
	case $1 in
	--tree) tree=$2; shift ;;
	--sample) sample=$2; shift ;;
	--apply) mode=apply ;;
	--table) mode=table ;;
	-*) sed -n '3,6s/^# //p' "$0"; exit 2 ;;
	*) break ;;
	esac
	shift
done

names=("$@")
[ ${#names[@]} != 0 ] || mapfile -t names < <(cd "$here" && printf '%s\n' *.patch | sed 's/\.patch$//')
if [ "$sample" != 0 ]; then
	mapfile -t names < <(sample_of "$sample" "${names[@]}")
fi

case $mode in
table) for name in "${names[@]}"; do table_row "$name"; done; exit 0 ;;
apply) apply_all "${names[@]}"; exit ;;
esac

mkdir -p "$tree"
src=$tree/src
copy_tree
touch "$tree/run"
trap restore EXIT
for name in "${names[@]}"; do
	begun=$SECONDS
	verdict=$(try_mutant "$name")
	printf '%-9s %-28s %s (%d s)\n' "$verdict" "$name" "$(field "$name" Test)" $((SECONDS - begun))
	restore
	echo "$verdict" >>"$tree/verdicts"
done
killed=$(grep -c '^killed$' "$tree/verdicts" || true)
echo "$killed of ${#names[@]} mutants killed in $SECONDS s"
[ "$killed" = ${#names[@]} ]
