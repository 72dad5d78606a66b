#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: fuzz/planted.sh    plants a fault for each fuzz target (tests/mutants/fuzz_*), which that must find
# Fails if a target has no such fault, or does not find it from its kept inputs in 200,000 executions.
set -euo pipefail
cd "$(dirname "$0")/.."
names=()
for corpus in fuzz/corpus/*/; do
	name=fuzz_$(basename "$corpus")
	[ "$name" != fuzz_canary ] || continue # has its own, always
	[ -e "tests/mutants/$name.patch" ] || { echo "planted.sh: no fault is planted for $name" >&2; exit 1; }
	names+=("$name")
done
exec tests/mutants/run.sh "$@" "${names[@]}"
