#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# duct ping and its other end; duct doctor.
. "$(dirname "$0")/common.sh" "$@"

"$program" listen --echo shm://ping & echo=$!
url="shm://ping?$waits"
duct ping --json --count 2000 "$url" >got
jq -e '.sent == 2000 and .received == 2000 and .size == 64' got >/dev/null || die "counts: $(cat got)"
jq -e '0 < .min_ns and .min_ns <= .p50_ns and .p50_ns <= .p90_ns and .p90_ns <= .p99_ns and
	.p99_ns <= .p999_ns and .p999_ns <= .max_ns' got >/dev/null || die "percentiles: $(cat got)"
same "the backend" "$DUCT_IO" "$(jq -r .io got)"
duct ping --count 3 --size 60k --interval 20ms "$url" >got
same "a line each" 3 "$(grep -c '^61440 bytes from shm://ping' got)"
grep -q '^3 round trips of 61440 bytes' got || die "no summary: $(cat got)"
# Several at once.
duct ping --quiet --count 500 "$url" >/dev/null & one=$!
duct ping --quiet --count 500 "$url" >/dev/null & two=$!
ended "one of two" 0 $one
ended "two of two" 0 $two
kill -TERM $echo
ended "echo" 143 $echo

"$program" ping --listen shm://ping & echo=$!
duct ping --quiet --count 10 "$url" >got
kill -TERM $echo
wait $echo || true

# Not an echo: one that says something else, and one that says nothing.
duct listen -n shm://ping >/dev/null & other=$!
try duct ping --count 1 "$url"
same "another answer" 1 "$status"
says "another answer" "is it duct listen --echo?"
wait $other || true
mkfifo silent
exec 3<>silent
duct listen shm://ping <silent >/dev/null & other=$!
duct dial --quiet -n -N "$url" >/dev/null
ended "a silent one ends" 0 $other
"$program" listen shm://ping <silent >/dev/null & other=$!
try duct ping --quiet --count 1 --timeout 200ms 'shm://ping?wait_listener=1&timeout=30s'
same "nobody answers" 4 "$status"
ended "nobody answers" 0 $other
try duct ping shm://nobody
same "nobody listens" 3 "$status"

status=0
duct doctor --json >facts || status=$?
jq -e '.facts | length >= 15 and all(.[]; .name and .value and (.verdict | IN("ok", "note", "slow", "breaks")))' \
	facts >/dev/null || die "facts: $(cat facts)"
jq -e --argjson status "$status" '(.breaks > 0) == ($status == 1)' facts >/dev/null || die "status $status: $(cat facts)"
jq -e '.facts[] | select(.name == "pipe") | .verdict == "ok"' facts >/dev/null || die "no pipe: $(cat facts)"
same "as many lines" "$(jq '.facts | length' facts)" "$(duct doctor | grep -cE '^(ok|note|slow|breaks) ')"
