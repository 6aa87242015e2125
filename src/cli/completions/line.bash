
# What the generated function leaves out: the program of `exec`, `--flag=value` and folders.
_countersign_line() {
    local i word words=() previous=$3

    if [[ ${COMP_WORDS[1]} == exec ]]; then
        for ((i = 2; i < COMP_CWORD; i++)); do
            if [[ ${COMP_WORDS[i]} == -- ]]; then
                _countersign_program "$((i + 1))" "$2"
                return
            fi
        done
    fi

    # To bash, `=` is a word.
    if [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    _countersign "$1" "$2" "$previous"

    # Flags are listed once `-` is typed, and where nothing else can stand.
    if [[ $2 == -* || $previous == -* ]]; then
        return
    fi
    case ${COMP_WORDS[1]} in
        exec)
            words=(--)
            ;;
        @FOLDERS@)
            COMPREPLY=()
            if [[ ${BASH_VERSINFO[0]} -ge 4 ]]; then
                compopt -o plusdirs +o bashdefault +o default
            fi
            return
            ;;
        *)
            for word in "${COMPREPLY[@]}"; do
                if [[ $word != -* ]]; then
                    words+=("$word")
                fi
            done
            ;;
    esac
    if [[ ${#words[@]} -gt 0 ]]; then
        COMPREPLY=("${words[@]}")
    fi
}

# Completes the command line that begins with word $1, of which $2 is the current word.
_countersign_program() {
    local command

    COMPREPLY=()
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif [[ $COMP_CWORD -eq $1 ]]; then
        while IFS= read -r command; do
            COMPREPLY+=("$command")
        done < <(compgen -c -- "$2")
    fi
}

