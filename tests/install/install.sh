#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: install.sh CMAKE GENERATOR BUILD_DIR WORK_DIR
# Installs BUILD_DIR below WORK_DIR and builds an outside program against it: C11 and C++17, shared and
# static, found by pkg-config and by find_package. Then moves the prefix, which must not matter.
set -euo pipefail
cmake=$1
generator=$2
build=$3
work=$4
here=$(cd "$(dirname "$0")" && pwd)

prefix=$work/prefix
rm -rf "$prefix" "$work/moved" "$work/outside"
mkdir -p "$work/outside"
"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }

moved=$work/moved
mv "$prefix" "$moved"
pc=$(find "$moved" -name duct.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="$(dirname "$pc")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
version=$(pkg-config --modversion duct)

expect() # what, program
{
	local said
	said=$(LD_LIBRARY_PATH=$libdir "$2")
	[ "$said" = "duct $version" ] || { echo "$1: expected 'duct $version', the program said '$said'"; exit 1; }
	echo "$1: $said"
}

# The outside project; its list file has another name here, so that this house does not build it.
cp "$here/outside/program.c" "$work/outside/"
cp "$here/outside/program.c" "$work/outside/program.cc"
cp "$here/outside/project.cmake" "$work/outside/CMakeLists.txt"

for language in "c11 cc program.c" "c++17 c++ program.cc"; do
	read -r standard compiler source <<<"$language"
	compile="$compiler -std=$standard -Wall -Wextra -Wpedantic -Werror $work/outside/$source"
	program=$work/outside/$standard
	# shellcheck disable=SC2046
	$compile -o "$program-shared" $(pkg-config --cflags --libs duct)
	expect "$standard, pkg-config, shared" "$program-shared"
	# shellcheck disable=SC2046
	$compile -o "$program-static" $(pkg-config --static --cflags --libs duct | sed 's/-lduct\b/-l:libduct.a/')
	! ldd "$program-static" | grep -q libduct || { echo "$standard: still linked to the shared library"; exit 1; }
	expect "$standard, pkg-config, static" "$program-static"
done

"$cmake" -G "$generator" -S "$work/outside" -B "$work/outside/build" -Dduct_ROOT="$moved" >"$work/outside.log" 2>&1 &&
	"$cmake" --build "$work/outside/build" >>"$work/outside.log" 2>&1 || { cat "$work/outside.log"; exit 1; }
for program in c_shared c_static cxx_shared cxx_static; do
	expect "find_package, $program" "$work/outside/build/$program"
done
