#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: campaign.sh FOLDER [CONNECTIONS [STORM]]
# FOLDER: the programs', such as build/release/bin. 10,000 connections at rest and a storm of 100,000, on both schemes
# and both backends; docs/PROOF.md has the figures of such runs.
set -euo pipefail
folder=$1
connections=${2:-10000}
storm=${3:-100000}
for io in uring epoll; do
	for scheme in uds tcp; do
		echo "== $scheme on $io"
		DUCT_IO=$io "$folder/many_idle" "$scheme" "$connections"
		DUCT_IO=$io "$folder/many_storm" "$scheme" "$storm"
	done
done
