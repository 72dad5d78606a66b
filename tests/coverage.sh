#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/coverage.sh [--corpora] [--report FILE] [CTEST ARGUMENTS]
# Builds the preset coverage, runs the tests in it, and prints line and branch coverage of what others' data
# go through: rings, pool, liveness, reaper. Fails below 95 % of the branches of all of them.
# With --corpora only the kept inputs of the fuzz targets are run, and the lines of parsers and validators
# counted; fails below 98 %.
# Needs gcovr. What cannot be reached is listed, with the reason, in docs/PROOF.md.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=${DUCT_COVERAGE_BUILD:-build/coverage}
report=/dev/stdout
kind=branch
least=95
what='shm/(ring|returns|pool|receiver|sender|liveness|durable|leftover)[a-z_]*\.[ch]'
tests=(-LE model -E '^(tidy|mutants|sim)_|^hostile_layout|^fail_janitor$')
targets=()

while [ $# -gt 0 ]; do
	case $1 in
	--corpora)
		kind=line
		least=98
		tests=(-R '^fuzz_replay_')
		targets=(--target fuzz_replays)
		what='(lib/base/(url|options|quantity|text)|lib/protocol/(handshake|offer|wire)|'
		what+='shm/(geometry|returns|durable_scan)|transports/bootstrap|tools/cat_input)\.c'
		;;
	--report) report=$2; shift ;;
	-h | --help) sed -n '3,8s/^# //p' "$0"; exit ;;
	*) break ;;
	esac
	shift
done

command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is missing: apt-get install gcovr" >&2; exit 2; }
cmake --preset coverage -B "$tree" >/dev/null
cmake --build "$tree" "${targets[@]}" --parallel "${DUCT_JOBS:-$(nproc)}" >"$tree.log" 2>&1 || { tail -n 30 "$tree.log"; exit 1; }
find "$tree" -name '*.gcda' -delete
# What a process that another one kills had passed is missing here (tests/coverage.h): never too much.
red=0
ctest --test-dir "$tree" -j2 "${tests[@]}" "$@" >"$tree.ctest" 2>&1 || red=1
if [ "$kind" = branch ]; then
	# Last, when there are files for its counts: part of it has no rights to make any.
	find "$tree" -name '*.gcda' -exec chmod a+rw {} +
	ctest --test-dir "$tree" -R '^fail_janitor$' >>"$tree.ctest" 2>&1 || red=1
fi
sed -n -E '/^[0-9]+% tests passed/p; /^The following tests FAILED/,/^Errors/p' "$tree.ctest"
excluded=(--exclude-unreachable-branches --exclude-throw-branches)
gcovr --root . --object-directory "$tree" "$tree" --filter "$what" "${excluded[@]}" --json-summary "$tree.json" >/dev/null
jq -r '
	def row(f; l; lt; b; bt): "\(f)\t\(l)/\(lt)\t\(if lt > 0 then 100 * l / lt * 10 | floor / 10 else 100 end)\t\(b)/\(bt)\t\(if bt > 0 then 100 * b / bt * 10 | floor / 10 else 100 end)";
	"file\tlines\t%\tbranches\t%",
	(.files[] | row(.filename; .line_covered; .line_total; .branch_covered; .branch_total)),
	row("all"; .line_covered; .line_total; .branch_covered; .branch_total)' "$tree.json" |
	column -t -s "$(printf '\t')" >"$report"
jq -e --arg kind "$kind" --argjson least "$least" \
	'100 * .[$kind + "_covered"] >= $least * .[$kind + "_total"]' "$tree.json" >/dev/null || {
	echo "$kind coverage is below $least %"
	exit 1
}
exit "$red"
