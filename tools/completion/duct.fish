# SPDX-License-Identifier: Apache-2.0
# Completion of duct for fish.
function __duct_urls
    set -l dir /run/user/(id -u)/duct
    set -q XDG_RUNTIME_DIR; and set dir $XDG_RUNTIME_DIR/duct
    test -d $dir; or set dir /tmp/duct-(id -u)
    for socket in $dir/*
        test -S $socket; and echo shm://(basename $socket)
    end
end

set -l bridge '__fish_seen_subcommand_from listen dial'
set -l ping '__fish_seen_subcommand_from ping'
set -l bench '__fish_seen_subcommand_from bench'

complete -c duct -f
complete -c duct -n __fish_use_subcommand -a listen -d 'Wait for a pipe'
complete -c duct -n __fish_use_subcommand -a dial -d 'Open a pipe'
complete -c duct -n __fish_use_subcommand -a ping -d 'Measure round trips'
complete -c duct -n __fish_use_subcommand -a doctor -d 'What costs speed or will break'
complete -c duct -n __fish_use_subcommand -a bench -d 'Run the benchmark'
complete -c duct -n __fish_use_subcommand -a help -d 'Tell about a command'
complete -c duct -n __fish_use_subcommand -l version -d 'Tell the version'

complete -c duct -n '__fish_seen_subcommand_from dial ping' -a '(__duct_urls)'
complete -c duct -n $bridge -l lines -d 'A message for each line'
complete -c duct -n $bridge -l framed -d 'Messages as length and bytes'
complete -c duct -n $bridge -l in -x -a 'raw lines framed' -d 'How input becomes messages'
complete -c duct -n $bridge -l out -x -a 'raw lines framed' -d 'How messages become output'
complete -c duct -n $bridge -l chunk -x -d 'Largest message to send'
complete -c duct -n $bridge -s c -l count -x -d 'End after N messages'
complete -c duct -n $bridge -s t -l timeout -x -d 'Give up when nothing happens'
complete -c duct -n $bridge -s n -l no-input -d 'Send nothing'
complete -c duct -n $bridge -s N -l close -d 'Close when the input ends'
complete -c duct -n $bridge -s q -l quiet -d 'No progress'
complete -c duct -n $bridge -s v -l verbose -d 'Say what happens'
complete -c duct -n '__fish_seen_subcommand_from listen' -s k -l keep -d 'Go on with the next pipe'
complete -c duct -n '__fish_seen_subcommand_from listen' -l exec -x -d 'A command for each pipe'
complete -c duct -n '__fish_seen_subcommand_from listen' -l echo -d 'Send every message back'

complete -c duct -n $ping -s c -l count -x -d 'Round trips'
complete -c duct -n $ping -s s -l size -x -d 'Bytes of each message'
complete -c duct -n $ping -s i -l interval -x -d 'Time between two'
complete -c duct -n $ping -s t -l timeout -x -d 'Longest wait'
complete -c duct -n $ping -s j -l json -d 'Summary as JSON'
complete -c duct -n $ping -s l -l listen -d 'Be the other end'
complete -c duct -n $ping -s q -l quiet -d 'Only the summary'

complete -c duct -n '__fish_seen_subcommand_from doctor' -s j -l json -d 'Facts as JSON'

complete -c duct -n $bench -s q -l quick -d 'Fewer and shorter runs'
complete -c duct -n $bench -s f -l filter -x -d 'Only such cases'
complete -c duct -n $bench -s j -l json -r -d 'Results to a file'
complete -c duct -n $bench -l html -r -d 'Tables and plots in one page'
complete -c duct -n $bench -s r -l repeats -x -d 'Runs of each case'
complete -c duct -n $bench -l no-spinners -d 'Let idle processors halt'
complete -c duct -n $bench -l peers -d 'Other libraries, too'
complete -c duct -n $bench -s l -l list -d 'List the cases'
