# SPDX-License-Identifier: Apache-2.0
# Completion of shmreap(1) for fish.
complete -c shmreap -f
complete -c shmreap -s f -l foreign -d "Everybody's shared memory, and who uses it"
complete -c shmreap -s n -l name -x -d 'Only what is called so'
complete -c shmreap -l min-age -x -d 'Only what is older'
complete -c shmreap -l dir -x -a '(__fish_complete_directories)' -d 'Only in this directory'
complete -c shmreap -l own -d "Only one's own, also as root"
complete -c shmreap -s a -l all -d 'Show what is in use, too'
complete -c shmreap -s r -l reap -d 'Remove what is left over and holds nothing undelivered'
complete -c shmreap -s D -l discard -d 'And what holds undelivered messages, or cannot be read'
complete -c shmreap -s d -l dry-run -d 'Say what would be removed'
complete -c shmreap -l watch -x -d 'Again and again'
complete -c shmreap -s j -l json -d 'As JSON'
complete -c shmreap -s q -l quiet -d 'Nothing but errors'
complete -c shmreap -l help -d 'Give the list of options'
complete -c shmreap -s V -l version -d 'Print the version'
