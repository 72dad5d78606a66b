#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: shipped.sh MORTAL LIBRARY…    crash points are in the library made for dying, and in no other
set -eu
mortal=$1
shift
grep -q di_crash_points "$mortal" || { echo "$mortal has no crash points"; exit 1; }
for library; do
	if grep -q di_crash "$library"; then
		echo "$library has crash points"
		exit 1
	fi
done
