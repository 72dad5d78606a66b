#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: fuzz/campaign.sh [--afl] SECONDS SLICES [TARGET...]
#        fuzz/campaign.sh --report
# Fuzzes every target (or those named) in turn, a slice of SECONDS each, SLICES times round, and may be
# called again: what was found and counted stays in found/ of the build tree. --report says for each target
# how many seconds of a processor it had in all (of the clock with --afl, whose children are not asked), what it
# executed and reached, and how long before its end the last new edge came (to the slice). Fails if a target
# crashed or hung. Needs the build of the preset fuzz, in build/fuzz or where DUCT_FUZZ_BUILD says; with
# --afl, of the preset afl, in build/afl or where DUCT_AFL_BUILD says, for AFL++ over the same targets.
# DUCT_FUZZ_RUN is put in front of each slice, such as "nice -n 19".
set -euo pipefail
cd "$(dirname "$0")/.."
engine=libfuzzer
tree=${DUCT_FUZZ_BUILD:-build/fuzz}
afl_tree=${DUCT_AFL_BUILD:-build/afl}
mode=run

case ${1:-} in
--afl) engine=afl; shift ;;
--report) mode=report ;;
-* | '') sed -n '3,11s/^# //p' "$0"; exit 2 ;;
esac
libfuzzer_found=$tree/found
[ "$engine" = libfuzzer ] || tree=$afl_tree
found=$tree/found
read -r -a front <<<"${DUCT_FUZZ_RUN:-}"

all_targets()
{
	local program
	for program in "$1"/bin/fuzz_*; do
		[ -x "$program" ] || { echo "no target in $1/bin: cmake --preset fuzz && cmake --build --preset fuzz" >&2; exit 1; }
		[ "${program##*/fuzz_}" = canary ] || echo "${program##*/fuzz_}"
	done
}

# Seconds of a processor that a command had, into spent; its own status.
timed() # file for its output, command
{
	local out=$1 status=0 TIMEFORMAT='%U %S'
	shift
	{ time "${front[@]}" "$@" >"$out" 2>&1; } 2>"$found/time" || status=$?
	spent=$(awk '{ printf "%d", $1 + $2 + 0.5 }' "$found/time")
	return "$status"
}

# One line for each slice: seconds, executions, edges, crashed or not.
slice_libfuzzer() # target, seconds
{
	local target=$1 seconds=$2 log=$found/$1.log crashed=no
	local arguments=(-max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1
		-artifact_prefix="$found/$target-")
	mkdir -p "$found/$target"
	[ ! -e "fuzz/$target.dict" ] || arguments+=(-dict="fuzz/$target.dict")
	timed "$log" "$tree/bin/fuzz_$target" "${arguments[@]}" "$found/$target" "fuzz/corpus/$target" || crashed=yes
	printf '%s %s %s %s\n' "$spent" \
		"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)" \
		"$(sed -nE 's/^#[0-9]+.* cov: ([0-9]+).*/\1/p' "$log" | tail -n 1)" "$crashed" >>"$found/$target.slices"
}

slice_afl() # target, seconds
{
	local target=$1 seconds=$2 out=$found/$1 from=fuzz/corpus/$1 crashed=no
	local stats=$out/default/fuzzer_stats words=()
	mkdir -p "$found"
	[ ! -d "$out/default" ] || from=-
	[ ! -e "fuzz/$target.dict" ] || words=(-x "fuzz/$target.dict")
	AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_NO_UI=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_AUTORESUME=1 \
		timed "$found/$target.log" afl-fuzz -V "$seconds" -t 10000 "${words[@]}" -i "$from" -o "$out" -- \
		"$tree/bin/fuzz_$target" || crashed=yes
	grep -q '^saved_crashes *: 0$' "$stats" && grep -q '^saved_hangs *: 0$' "$stats" || crashed=yes
	# Executions are counted over all resumed runs; a slice's are what came on top.
	local before=0 now
	[ ! -e "$found/$target.slices" ] || before=$(awk '{ n += $2 } END { print n + 0 }' "$found/$target.slices")
	now=$(sed -n 's/^execs_done *: //p' "$stats")
	printf '%s %s %s %s\n' "$seconds" "$((now > before ? now - before : now))" \
		"$(sed -n 's/^edges_found *: //p' "$stats")" "$crashed" >>"$found/$target.slices"
}

report() # engine, folder
{
	local file
	for file in "$2"/*.slices; do
		[ -e "$file" ] || continue
		awk -v target="$(basename "$file" .slices)" -v engine="$1" '
			{ seconds += $1; executions += $2; if ($3 > edges) { edges = $3; last = seconds } if ($4 == "yes") crashed++ }
			END { printf "%-10s %-10s %9d %14d %8d %12d  %s\n", target, engine, seconds, executions, edges,
				seconds - last, crashed ? "CRASHED" : "clean" }' "$file"
	done
}

if [ "$mode" = report ]; then
	printf '%-10s %-10s %9s %14s %8s %12s  %s\n' target engine seconds executions edges "none new for" result
	report libfuzzer "$libfuzzer_found"
	report afl "$afl_tree/found"
	exit
fi
[ $# -ge 2 ] || { sed -n '3,11s/^# //p' "$0"; exit 2; }
seconds=$1
slices=$2
shift 2
targets=("$@")
[ ${#targets[@]} != 0 ] || mapfile -t targets < <(all_targets "$tree")
for ((i = 0; i < slices; i++)); do
	for target in "${targets[@]}"; do
		slice_$engine "$target" "$seconds"
	done
done
"$0" --report
! grep -qs 'yes$' "$found"/*.slices
