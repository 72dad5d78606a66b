#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The steps of run.sh, which sets here, root, tree, src.
# shellcheck disable=SC2154 # those
patience=300 # seconds for a test, many times what it takes; a mutant that hangs is dead, too

field() { sed -n "/^--- /q; s/^$2: *//p" "$here/$1.patch"; }

# shellcheck disable=SC2016 # not to be expanded
table_row() { printf '| `%s` | %s | %s | %s |\n' "$1" "$(field "$1" Rule)" "$(field "$1" Removes)" "$(field "$1" Test)"; }

# Some of them, in a circle that starts elsewhere for each commit. Under ThreadSanitizer a whole tree would
# have to be built for one: those are the campaign's.
sample_of() # count, names
{
	local count=$1 commit start i cheap=()
	shift
	for name; do
		case $(field "$name" Test) in debug*) cheap+=("$name") ;; esac
	done
	commit=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo 0)
	start=$((16#${commit:0:6} % ${#cheap[@]}))
	for ((i = 0; i < count && i < ${#cheap[@]}; i++)); do
		echo "${cheap[(start + i) % ${#cheap[@]}]}"
	done
}

apply_all()
{
	local bad=0 copy
	copy=$(mktemp -d)
	for name; do
		for key in Rule Removes Test; do
			[ -n "$(field "$name" "$key")" ] || { echo "$name.patch: has no line $key:"; bad=1; }
		done
		sed -n 's/^--- a\///p' "$here/$name.patch" | while read -r file; do
			mkdir -p "$copy/$(dirname "$file")"
			cp "$root/$file" "$copy/$file" 2>/dev/null || true
		done
		if ! patch -d "$copy" -p1 -s -F0 --no-backup-if-mismatch <"$here/$name.patch"; then
			echo "$name.patch: does not apply any more; what it takes away has moved: make it anew"
			bad=1
		fi
	done
	rm -rf "$copy"
	[ "$bad" = 0 ] || return 1
	echo "$# mutants apply"
}

# The checkout as it is, with its times, so that what is built stays built. But for what was ever mutated: its
# objects may be those of a mutant, and younger than the source is now.
copy_tree()
{
	: >"$tree/verdicts"
	mkdir -p "$src"
	find "$src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
	(cd "$root" && git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
		tar -c --null -T -) | tar -x -C "$src"
	[ ! -f "$tree/ever" ] || (cd "$src" && sort -u "$tree/ever" | xargs -r touch -c)
	rm -rf "$tree/mutated" "$tree/pristine"
}

restore()
{
	[ -f "$tree/mutated" ] || return 0
	cp -R "$tree/pristine/." "$src"
	rm -r "$tree/mutated" "$tree/pristine"
}

configure() # preset
{
	[ ! -f "$src/build/$1/build.ninja" ] || return 0
	(cd "$src" && cmake --preset "$1" -DDUCT_BUILD_BENCH=OFF) >"$tree/configure.log" 2>&1
}

build() # preset, targets
{
	local preset=$1
	shift
	cmake --build "$src/build/$preset" --target "$@" >"$tree/build.log" 2>&1
}

# Runs a test of CTest's by itself, in a folder of its own, for a limited time. 0: it passed.
run_test() # preset, name, arguments
{
	local preset=$1 name=$2 folder found status=0 command=() environment=()
	shift 2
	found=$(ctest --test-dir "$src/build/$preset" -R "^$name\$" --show-only=json-v1)
	mapfile -t command < <(jq -r '.tests[0].command[]' <<<"$found")
	mapfile -t environment < <(jq -r '.tests[0].properties[]? | select(.name == "ENVIRONMENT").value[]' <<<"$found")
	[ ${#command[@]} -gt 0 ] || { echo "no test $name in $preset"; return 126; }
	# Where a kernel randomises by 32 bits, ThreadSanitizer of gcc 12 cannot place its shadow.
	[ "$preset" != tsan ] || ! setarch -R true 2>/dev/null || command=(setarch -R "${command[@]}")
	folder=$(mktemp -d)
	(cd "$folder" && env TSAN_OPTIONS=halt_on_error=1 "${environment[@]}" timeout -k 5 "$patience" "${command[@]}" "$@") || status=$?
	rm -rf "$folder"
	return $status
}

# The test is green without the mutant, or its red would say nothing. Once for each test.
is_green() # preset, targets, test and its arguments
{
	local preset=$1 targets=$2 mark
	shift 2
	mark=$tree/green.$preset.$(tr -c 'a-zA-Z0-9_\n' - <<<"$*")
	[ ! "$mark" -nt "$tree/run" ] || return 0
	# shellcheck disable=SC2086
	build "$preset" $targets && run_test "$preset" "$@" >"$tree/test.log" 2>&1 && touch "$mark"
}

try_mutant() # name; prints killed, or what else
{
	local name=$1 preset what targets says status=0 test=()
	read -r -a test <<<"$(field "$name" Test)"
	preset=${test[0]}
	what=${test[1]}
	targets=$(field "$name" Build)
	: "${targets:=$what}"
	configure "$preset" || { echo UNBUILT; return; }
	if [ "$what" = build ]; then
		targets=${test[2]}
		# shellcheck disable=SC2086
		build "$preset" $targets || { echo UNBUILT; return; }
	else
		is_green "$preset" "$targets" "${test[@]:1}" || { echo NOT-GREEN; return; }
	fi
	sed -n 's/^--- a\///p' "$here/$name.patch" >"$tree/mutated"
	cat "$tree/mutated" >>"$tree/ever"
	mkdir -p "$tree/pristine"
	(cd "$src" && xargs cp --parents -t "$tree/pristine") <"$tree/mutated"
	patch -d "$src" -p1 -s -F0 --no-backup-if-mismatch <"$here/$name.patch" >&2 || { echo STALE; return; }
	says=$(field "$name" Says)
	if [ "$what" = build ]; then
		# shellcheck disable=SC2086
		! build "$preset" $targets || { echo SURVIVED; return; }
		grep -qE -- "${says:-error:}" "$tree/build.log" && echo killed || echo ELSEWHERE
		return
	fi
	# shellcheck disable=SC2086
	build "$preset" $targets || { echo UNBUILT; return; }
	run_test "$preset" "${test[@]:1}" >"$tree/test.log" 2>&1 || status=$?
	case $status in
	0 | 77) echo SURVIVED ;; # passed, or skipped
	126 | 127) echo UNBUILT ;;
	*) [ -z "$says" ] || grep -qE -- "$says" "$tree/test.log" || { echo ELSEWHERE; return; }; echo killed ;;
	esac
}
