# SPDX-License-Identifier: Apache-2.0
# Completion of duct(1) for fish.

function __duct_urls
    set -l runtime /run/user/(id -u)
    set -q XDG_RUNTIME_DIR; and set runtime $XDG_RUNTIME_DIR
    for folder in $runtime/duct /tmp/duct-(id -u)
        test -d $folder; or continue
        for socket in $folder/*
            test -S $socket; and echo shm://(basename $socket)
        end
        return
    end
end

complete -c duct -f
complete -c duct -n __fish_use_subcommand -a listen -d 'Wait for a pipe; standard input and output over it'
complete -c duct -n __fish_use_subcommand -a dial -d 'Open a pipe; standard input and output over it'
complete -c duct -n __fish_use_subcommand -a ping -d 'Measure round trips'
complete -c duct -n __fish_use_subcommand -a doctor -d 'Say what on this machine costs speed or will break'
complete -c duct -n __fish_use_subcommand -a bench -d 'Run the benchmark'
complete -c duct -n __fish_use_subcommand -a help -d 'The help of a command'
complete -c duct -n '__fish_seen_subcommand_from help' -a 'listen dial ping doctor bench'
complete -c duct -l help -d 'Give the list of options'
complete -c duct -n 'not __fish_seen_subcommand_from bench' -s V -l version -d 'Print the version'

complete -c duct -n '__fish_seen_subcommand_from listen dial ping' -a '(__duct_urls)'

set -l cat '__fish_seen_subcommand_from listen dial'
complete -c duct -n $cat -l lines -d 'A message for each line, and a line for each message'
complete -c duct -n $cat -l framed -d '4 bytes of length, big-endian, and the message'
complete -c duct -n $cat -l in -x -a 'raw lines framed' -d 'How input becomes messages'
complete -c duct -n $cat -l out -x -a 'raw lines framed' -d 'How messages become output'
complete -c duct -n $cat -l chunk -x -d 'Largest message to send'
complete -c duct -n $cat -s c -l count -x -d 'End after so many messages, each way'
complete -c duct -n $cat -s t -l timeout -x -d 'Give up when nothing happens for this long'
complete -c duct -n $cat -s n -l no-input -d 'Do not read standard input'
complete -c duct -n $cat -s N -l close -d 'Close when the input ends'
complete -c duct -n $cat -s q -l quiet -d 'No progress, fewer words'
complete -c duct -n $cat -s v -l verbose -d 'Say what happens'

set -l listen '__fish_seen_subcommand_from listen'
complete -c duct -n $listen -s k -l keep -d 'Go on with the next pipe when one ends'
complete -c duct -n $listen -l threads -x -d 'Serve from so many threads'
complete -c duct -n $listen -l exec -x -a '(__fish_complete_command)' -d 'Bridge each pipe to a command of its own'
complete -c duct -n $listen -l echo -d 'Send every message back'

set -l ping '__fish_seen_subcommand_from ping'
complete -c duct -n $ping -s c -l count -x -d 'Round trips'
complete -c duct -n $ping -s s -l size -x -d 'Bytes of each message'
complete -c duct -n $ping -s i -l interval -x -d 'Time from one to the next'
complete -c duct -n $ping -s t -l timeout -x -d 'Longest wait for a reply'
complete -c duct -n $ping -s j -l json -d 'The summary as JSON'
complete -c duct -n $ping -s l -l listen -d 'Be the other end'
complete -c duct -n $ping -s q -l quiet -d 'Only the summary'

complete -c duct -n '__fish_seen_subcommand_from doctor' -s j -l json -d 'The facts as JSON'

set -l bench '__fish_seen_subcommand_from bench'
complete -c duct -n $bench -s f -l filter -x -d 'Only cases whose name contains this'
complete -c duct -n $bench -l html -r -F -d 'Write a page with tables and plots'
complete -c duct -n $bench -s j -l json -r -F -d 'Write the results as well'
complete -c duct -n $bench -s l -l list -d 'List the cases'
complete -c duct -n $bench -l no-spinners -d 'Let idle processors halt'
complete -c duct -n $bench -l peers -d 'Measure other libraries too'
complete -c duct -n $bench -s q -l quick -d 'A fifth of the repeats, a quarter of the time each'
complete -c duct -n $bench -s r -l repeats -x -d 'Runs of each case'
