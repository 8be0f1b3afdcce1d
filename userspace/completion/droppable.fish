# SPDX-License-Identifier: GPL-2.0-only
# fish completion for droppable(1)

complete -c droppable -n __fish_use_subcommand -f -a status -d 'Module, device, kernel, guarantees'
complete -c droppable -n __fish_use_subcommand -f -a load -d 'Load the module'
complete -c droppable -n __fish_use_subcommand -f -a unload -d 'Unload the module'
complete -c droppable -n __fish_use_subcommand -f -a top -d 'Who has droppable memory, live'
complete -c droppable -n __fish_use_subcommand -f -a drop -d 'Drop the pages of a process, or of all'
complete -c droppable -n __fish_use_subcommand -f -a bench -d 'A self-test of some seconds'
complete -c droppable -n __fish_use_subcommand -f -a run -d 'Run a program on the device'
complete -c droppable -n __fish_use_subcommand -f -a help -d 'The help of a command'
complete -c droppable -n __fish_use_subcommand -s V -l version -d 'Version'
complete -c droppable -s h -l help -d 'Help'
complete -c droppable -f -n '__fish_seen_subcommand_from status load unload top drop bench help'
complete -c droppable -n '__fish_seen_subcommand_from help' -a 'status load unload top drop bench run'
complete -c droppable -f -n '__fish_seen_subcommand_from status top bench' -s j -l json -d 'As JSON'
complete -c droppable -f -n '__fish_seen_subcommand_from top' -s d -l delay -x -d 'Seconds between two looks'
complete -c droppable -f -n '__fish_seen_subcommand_from top' -s n -l iterations -x -d 'End after so many'
complete -c droppable -f -n '__fish_seen_subcommand_from drop' -s p -l pid -x -a '(__fish_complete_pids)' -d 'The pages of that process'
complete -c droppable -f -n '__fish_seen_subcommand_from drop' -s a -l all -d 'The pages of every process'
complete -c droppable -f -n '__fish_seen_subcommand_from bench' -s s -l size -x -d 'MiB'
complete -c droppable -n '__fish_seen_subcommand_from bench run' -s n -l native -d "The kernel's own MAP_DROPPABLE"
complete -c droppable -n '__fish_seen_subcommand_from run' -s s -l shim -r -d 'The library'
complete -c droppable -n '__fish_seen_subcommand_from run' -x -a '(__fish_complete_subcommand)'
