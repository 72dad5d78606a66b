# SPDX-License-Identifier: Apache-2.0
# Completion of duct for bash: commands, their options, and the names that somebody listens at.
_duct_names()
{
	local socket dir=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/duct
	[ -d "$dir" ] || dir=/tmp/duct-$(id -u)
	for socket in "$dir"/*; do
		[ ! -S "$socket" ] || echo "shm://${socket##*/}"
	done
}

_duct()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words
	local bridge="--lines --framed --in --out --chunk --count --timeout --no-input --close --quiet --verbose --help"
	# The word breaks at the colon of an address.
	case $cur in :) cur= ;; esac
	if [ "$COMP_CWORD" = 1 ]; then
		words="listen dial ping doctor bench help --version"
	else
		case $prev in
		--in | --out) words="raw lines framed" ;;
		--chunk | --count | --timeout | --size | --interval | --exec) return ;;
		*)
			case ${COMP_WORDS[1]} in
			listen) words="$bridge --keep --exec --echo shm://" ;;
			dial) words="$bridge $(_duct_names)" ;;
			ping) words="--count --size --interval --timeout --json --listen --quiet --help $(_duct_names)" ;;
			doctor) words="--json --help" ;;
			bench) words="--quick --json --html --filter --repeats --no-spinners --peers --list --help" ;;
			help) words="listen dial ping doctor bench" ;;
			esac
			;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$cur"
	fi
}
complete -F _duct duct
