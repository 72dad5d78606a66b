#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What has no durable pipes says so.
. "$(dirname "$0")/common.sh" "$@"

# Streams keep nothing.
for other in "uds://@kept" "tcp://127.0.0.1:1"; do
	for command in listen dial; do
		try duct "$command" "$other?durable=1"
		same "$command $other" 1 "$status"
		says "$command $other" "durable pipes are shm:// only"
	done
done
