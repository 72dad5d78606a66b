#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What duct says to those who do not know it: help, version, and wrong command lines.
. "$(dirname "$0")/common.sh" "$@"

wrong() # words, arguments
{
	local words=$1
	shift
	try duct "$@" </dev/null >/dev/null
	same "duct $*" 2 "$status"
	says "duct $*" "$words"
}

wrong "Usage: duct COMMAND"
wrong "there is no command nonsense" nonsense
wrong "there is no command nonsense" help nonsense
wrong "which address?" dial
wrong "one address is enough" dial shm://a shm://b
wrong "--chunk=0" dial --chunk 0 shm://a
wrong "--count=x" listen --count x shm://a
wrong "--timeout=soon" dial --timeout soon shm://a
wrong "a mode is raw, lines or framed" dial --in words shm://a
wrong "exclude each other" listen --echo --exec cat shm://a
wrong "--threads=0" listen --threads 0 --echo tcp://127.0.0.1:0
wrong "--threads=65" listen --threads 65 --echo tcp://127.0.0.1:0
wrong "needs --echo or --exec" listen --threads 2 tcp://127.0.0.1:0
wrong "--threads and --timeout exclude" listen --threads 2 --echo --timeout 1s tcp://127.0.0.1:0
wrong "only listeners at tcp://" listen --threads 2 --echo shm://a
wrong "cannot dial nonsense" dial nonsense
wrong "nosuch" dial 'shm://a?nosuch=1'
wrong "slots" listen 'shm://a?slots=3'
wrong "--size=7" ping --size 7 shm://a
wrong "no argument is expected" doctor now

same "version" "duct $(duct --version | cut -d ' ' -f 2)" "$(duct --version)"
for command in listen dial ping doctor; do
	duct help $command >said
	says "help $command" "Usage: duct $command"
	duct $command --help >said
	says "$command --help" "Usage: duct $command"
	same "$command --version" "$(duct --version)" "$(duct $command --version)"
done
duct help >said
for command in listen dial ping doctor bench help; do
	says "help" "  $command "
done

if [ -x "$(dirname "$program")/duct-bench" ]; then
	same "bench --version" "duct-bench $(duct --version | cut -d ' ' -f 2)" "$(duct bench --version)"
	wrong "unrecognized option" bench --nonsense
	wrong "no case has nothing.like.it in its name" bench --filter nothing.like.it
fi

# Who waited in vain is told for what.
try duct dial --timeout 100ms 'shm://nobody?wait_listener=1'
same "waiting in vain" 4 "$status"
says "waiting in vain" "no answer within 100 ms"
try duct listen "shm://$work/no/such/place"
same "a directory that is not there" 3 "$status"
says "a directory that is not there" "the directory of"
