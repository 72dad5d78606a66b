#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: fuzz/coverage.sh    the lines of parsers and validators that the kept inputs alone go through
exec "$(dirname "$0")/../tests/coverage.sh" --corpora "$@"
