#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tidy.sh CHECK ROOT    runs CHECK.awk over the sources below ROOT
# Prints one line for each finding, path:line: what is wrong, and fails if there is one.
set -euo pipefail
check=$1
here=$(cd "$(dirname "$0")" && pwd)
cd "$2"

case $check in
includes | sizes | banned | edges | atomics) names=(-name '*.[ch]') ;;
leftovers) names=(-name '*.[ch]' -o -name CMakeLists.txt -o -name '*.cmake') ;;
spdx) names=(-name '*.[ch]' -o -name CMakeLists.txt -o -name '*.cmake' -o -name '*.sh' -o -name '*.awk') ;;
*)
	echo "tidy.sh: no check named $check" >&2
	exit 2
	;;
esac

rooms=()
for room in include shm lib transports tools bench fuzz examples tests cmake; do
	[ ! -d "$room" ] || rooms+=("$room")
done
mapfile -t files < <(find "${rooms[@]}" -type f \( "${names[@]}" \) | LC_ALL=C sort)
if [ ${#files[@]} = 0 ]; then
	echo "tidy.sh: found nothing to check below $2" >&2
	exit 2
fi

findings=$(LC_ALL=C awk -f "$here/strip.awk" -f "$here/$check.awk" "${files[@]}" | LC_ALL=C sort -t : -k 1,1 -k 2,2n)
[ -z "$findings" ] || {
	printf '%s\n' "$findings"
	exit 1
}
