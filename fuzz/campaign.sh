#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: fuzz/campaign.sh JOBS MINUTES [TARGET...]
# Fuzzes every target (or those named) for MINUTES each, JOBS of them at a time, and ends with what was
# executed and covered. Needs the build of the preset fuzz, in build/fuzz or where DUCT_FUZZ_BUILD says.
# New inputs and crashes stay in its folder found/; fails if a target crashed.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=${DUCT_FUZZ_BUILD:-build/fuzz}
found=$tree/found

# One target, to the end of its time; called by xargs below.
if [ "${1:-}" = --one ]; then
	seconds=$2
	target=$3
	mkdir -p "$found/$target"
	arguments=(-max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1
		-artifact_prefix="$found/$target-")
	[ ! -e "fuzz/$target.dict" ] || arguments+=(-dict="fuzz/$target.dict")
	if "$tree/bin/fuzz_$target" "${arguments[@]}" "$found/$target" "fuzz/corpus/$target" \
		>"$found/$target.log" 2>&1; then
		rm -f "$found/$target.crashed"
	else
		touch "$found/$target.crashed"
	fi
	exit 0
fi

if [ $# -lt 2 ]; then
	sed -n '3,6s/^# //p' "$0"
	exit 2
fi
jobs=$1
minutes=$2
shift 2
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
	for program in "$tree"/bin/fuzz_*; do
		[ -x "$program" ] || { echo "no target in $tree/bin: cmake --preset fuzz && cmake --build --preset fuzz" >&2; exit 1; }
		name=${program##*/fuzz_}
		[ "$name" = canary ] || targets+=("$name")
	done
fi

mkdir -p "$found"
rounds=$(((${#targets[@]} + jobs - 1) / jobs))
echo "${#targets[@]} targets, $minutes min each, $jobs at a time: $((rounds * minutes)) min"
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -n 1 "$0" --one $((minutes * 60))

bad=0
printf '%-12s %14s %10s %10s %8s  %s\n' target executions coverage features inputs result
for target in "${targets[@]}"; do
	log=$found/$target.log
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
	last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -n 1 || true)
	coverage=$(sed -E 's/.* cov: ([0-9]+).*/\1/' <<<"$last")
	features=$(sed -E 's/.* ft: ([0-9]+).*/\1/' <<<"$last")
	result=passed
	if [ -e "$found/$target.crashed" ]; then
		bad=1
		result="CRASHED: $log"
	fi
	printf '%-12s %14s %10s %10s %8s  %s\n' "$target" "${executions:--}" "${coverage:--}" "${features:--}" \
		"$(find "$found/$target" -type f | wc -l)" "$result"
done
exit $bad
