# Completes the program of `exec`, which stands behind `--`.
_countersign_program() {
    if [[ $LBUFFER == *' -- '* ]]; then
        _cmdambivalent
    else
        compadd -- --
    fi
}

