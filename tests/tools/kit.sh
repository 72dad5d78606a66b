# SPDX-License-Identifier: Apache-2.0
# What all tests of programs start with: a directory of their own, which goes with them, as do their jobs.
# shellcheck shell=bash disable=SC2034 # used by those that source this
set -euo pipefail
work=$(mktemp -d "${TMPDIR:-/tmp}/duct-test.XXXXXX")
cleanup()
{
	local job
	for job in $(jobs -p); do
		kill -KILL "$job" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

same() # what, expected, got
{
	[ "$2" = "$3" ] || die "$1: expected '$2', got '$3'"
}
