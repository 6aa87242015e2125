
# Where no line names files, none can stand.
complete -c countersign -f

# Completes the program of `exec`: what follows `--` is a command line.
function __fish_countersign_program
    set -l words (commandline -opc)
    while set -q words[1]; and test "$words[1]" != --
        set -e words[1]
    end
    set -e words[1]
    set -l line (commandline -ct)
    if set -q words[1]
        set line (string escape -- $words) $line
    end
    complete -C (string join -- ' ' $line)
end
complete -c countersign -n "__fish_countersign_using_subcommand exec; and not contains -- -- (commandline -opc)" -f -a "--"
complete -c countersign -n "__fish_countersign_using_subcommand exec; and contains -- -- (commandline -opc)" -f -a "(__fish_countersign_program)"
