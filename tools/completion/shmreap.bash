# SPDX-License-Identifier: Apache-2.0
# Completion of shmreap(1) for bash.
_shmreap()
{
	local line=${COMP_LINE:0:COMP_POINT} word
	word=${line##*[[:space:]]} # whole words: "=" splits COMP_WORDS
	COMPREPLY=()
	case $word in
	--dir=*)
		mapfile -t COMPREPLY < <(compgen -d -- "${word#*=}")
		return
		;;
	--min-age=* | --watch=*)
		mapfile -t COMPREPLY < <(compgen -W "30s 5m 60m" -- "${word#*=}")
		return
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "--foreign --name= --min-age= --dir= --own --all --reap --discard --dry-run
		--watch= --json --quiet --help --usage --version" -- "$word")
	[[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}

complete -F _shmreap shmreap
