# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# bash completion for droppable(1)

# Needs no functions of the package bash-completion, but for what run runs.
_droppable() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' at words

	COMPREPLY=()
	for ((at = 1; at < COMP_CWORD; at++)); do
		[[ ${COMP_WORDS[at]} == -* ]] || {
			command=${COMP_WORDS[at]}
			break
		}
	done
	case $command in
	'') words="status load unload top drop bench run help --help --version" ;;
	help) words="status load unload top drop bench run" ;;
	status) words="--json --help" ;;
	load | unload) words="--help" ;;
	top)
		[[ $before != -@(d|n|-delay|-iterations) ]] || return 0
		words="--delay --iterations --json --help"
		;;
	drop)
		[[ $before != -@(p|-pid) ]] || {
			mapfile -t COMPREPLY < <(cd /proc && compgen -W "$(echo [1-9]*)" -- "$word")
			return 0
		}
		words="--pid --all --help"
		;;
	bench)
		[[ $before != -@(s|-size) ]] || return 0
		words="--size --native --json --help"
		;;
	run)
		_droppable_run "$at"
		return
		;;
	*) return 0 ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

# _droppable_run AT: the program, and then its own words.
_droppable_run() {
	local at=$(($1 + 1)) word=${COMP_WORDS[COMP_CWORD]}

	while ((at < COMP_CWORD)); do
		case ${COMP_WORDS[at]} in
		-s | --shim) ((at += 2)) ;;
		-*) ((at += 1)) ;;
		*)
			# Another program's words, if somebody knows them.
			! declare -F _command_offset >/dev/null ||
				_command_offset "$at"
			return 0
			;;
		esac
	done
	if ((at > COMP_CWORD)); then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--native --shim --help" -- "$word")
	elif [[ $word == */* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -c -- "$word")
	fi
}

complete -F _droppable droppable
