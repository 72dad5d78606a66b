#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh VARIANT EXPECTATION [-DSWITCH…]
#
# Generates, compiles and runs the verifier of one variant of the model, in ./VARIANT. EXPECTATION is
# expect-pass, or expect-fail:CAUSE where CAUSE is
#   hang     somebody sleeps who should not (invalid end state)
#   garbage  a payload other than the one that was sent (assertion)
#   starve   an endless run in which not all arrives (acceptance cycle; only with -DLIVENESS)
# A failure that was expected must come, and for that cause: a broken verifier proves nothing.
set -eu

variant=$1 expectation=$2
shift 2
model=$(cd "$(dirname "$0")" && pwd)/wakeup.pml

if ! command -v spin >/dev/null; then
    echo "skipped: no spin in PATH (Debian: apt install spin)"
    exit 77
fi

case " $* " in
*" -DLIVENESS "*) compile="-DNFAIR=3" search="-a -f" ;; # acceptance cycles, weak fairness
*) compile="-DSAFETY" search="" ;;
esac

mkdir -p "$variant"
cd "$variant"
rm -f pan wakeup.pml.trail report
spin -a "$@" "$model"
# shellcheck disable=SC2086 # lists of switches
"${CC:-cc}" -w -O2 -DCOLLAPSE -DMEMLIM=2000 $compile -o pan pan.c
# shellcheck disable=SC2086
./pan -m10000 $search >report 2>&1 || true
grep -E '^pan:|errors:|states, stored|elapsed|total actual' report || true

case $expectation in
expect-pass) wanted='errors: 0$' ;;
expect-fail:hang) wanted='^pan:1: invalid end state' ;;
expect-fail:garbage) wanted='^pan:1: assertion violated \(value==' ;;
expect-fail:starve) wanted='^pan:1: acceptance cycle' ;;
*) echo "$0: no such expectation: $expectation" >&2; exit 2 ;;
esac

switches=$*
fail() {
    echo "FAILED: $variant: $1"
    echo "all of it: $PWD/report; the run that did it, if any: (cd $PWD && spin -t -p -g -l $switches $model)"
    exit 1
}

grep -qE "$wanted" report || fail "$expectation, and this is not what came"
if [ "$expectation" = expect-pass ] && grep -qE 'not completed|depth too small|out of memory|^pan:1:' report; then
    fail "the search was cut short, so it proves nothing"
fi
