# SPDX-License-Identifier: Apache-2.0
# For the tests of the program duct: source it with the program as $1. Each test has a directory of its
# own for its files and for the sockets; nothing waits by the clock, and nothing waits without an end.
# shellcheck shell=bash disable=SC2034 # used by those that source this
. "$(dirname "${BASH_SOURCE[0]}")/kit.sh"
program=$1
export XDG_RUNTIME_DIR=$work
cd "$work"

# A dialer that waits until its listener is there.
waits='wait_listener=1&timeout=30s'

duct() { timeout -k 5 60 "$program" "$@"; }

same_file() { cmp "$2" "$3" || die "$1"; }

# Runs it, and has its exit status in $status, its words in the file said.
status=
try()
{
	status=0
	"$@" 2>said || status=$?
}

ended() # what, expected status, pid
{
	local got=0
	wait "$3" || got=$?
	same "$1: exit status" "$2" "$got"
}

says() { grep -qF -- "$2" said || die "$1: expected to read '$2' in: $(cat said)"; }

if [ "${DUCT_IO:-}" = uring ]; then
	loop=$("$program" doctor | grep '^[a-z]*  *io_uring ') || die "duct doctor says nothing of io_uring"
	case $loop in
	ok*) ;;
	*) echo "io_uring is not allowed here"; exit 77 ;;
	esac
fi
