#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: mask.sh PROGRAM    H15: in the code that an optimising compiler made, the index of a peer's is masked
# after its bounds check and before it is used: the sign of a difference, spread over a word, and an AND.
set -euo pipefail
command -v objdump >/dev/null || exit 77

# The check of a block by the receiver may have become part of its caller.
receiver=check_block
objdump -t "$1" | grep " $receiver$" >/dev/null || receiver=di_receiver_recv

for function in di_pool_give_back $receiver; do
	code=$(objdump -d --no-show-raw-insn --disassemble=$function "$1")
	awk -v name=$function '
		/\tcmp / { compared = 1 }
		compared && /\tj(ae|be|a|b|c|nc) / { checked = 1 }
		checked && /\tsar +\$0x3f,|\tsbb / { spread = FNR }
		spread && FNR <= spread + 6 && /\tand / { masked = 1 }
		END {
			if (!masked) {
				print name ": no mask after the bounds check"
				exit 1
			}
		}' <<<"$code"
done
