#!/bin/sh
# Installs countersign @VERSION@ for this user: fetches the archive for this system, compares it with the checksum in
# this script, and puts the program into a folder.
#
#   sh install.sh [--to FOLDER]
#
# FOLDER is ~/.local/bin unless it is given. COUNTERSIGN_DOWNLOAD_URL names another place for the archives, such as a
# mirror. Needs curl or wget, tar, and sha256sum, shasum or openssl.
set -eu

version=@VERSION@
download_url=${COUNTERSIGN_DOWNLOAD_URL:-@REPOSITORY@/releases/download/v$version}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

# The Rust target of this system, as the archives are named.
target() {
    system=$(uname -s)
    machine=$(uname -m)
    case $machine in
        x86_64 | amd64) machine=x86_64 ;;
        aarch64 | arm64) machine=aarch64 ;;
    esac
    case $system in
        Linux) echo "$machine-unknown-linux-musl" ;;
        # A shell that runs under Rosetta says x86_64 on an Apple processor.
        Darwin)
            if [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" = 1 ]; then machine=aarch64; fi
            echo "$machine-apple-darwin"
            ;;
        *) echo "$machine-$system" ;;
    esac
}

checksum_of_target() {
    case $1 in
@CASES@
        *) fail "there is no archive for $1; build from source: @REPOSITORY@#install" ;;
    esac
}

fetch() {
    if command -v curl >/dev/null; then
        # A transfer without a byte for 30 seconds has failed.
        curl --fail --silent --show-error --location --connect-timeout 20 --speed-limit 1 --speed-time 30 --retry 2 \
            --output "$2" "$1"
    elif command -v wget >/dev/null; then
        wget -q -T 20 -O "$2" "$1"
    else
        fail "curl or wget is needed"
    fi || fail "cannot fetch $1"
}

checksum_of_file() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null; then
        shasum -a 256 <"$1"
    elif command -v openssl >/dev/null; then
        openssl dgst -sha256 -r <"$1"
    else
        fail "sha256sum, shasum or openssl is needed to check what was fetched"
    fi | cut -d ' ' -f 1
}

# Read to its end before anything runs, so that half a script does nothing.
main() {
    folder=
    while [ $# -gt 0 ]; do
        case $1 in
            --to)
                [ $# -ge 2 ] && [ -n "$2" ] || fail "--to needs a folder"
                folder=$2
                shift 2
                ;;
            *) fail "unknown argument $1; write: sh install.sh [--to FOLDER]" ;;
        esac
    done
    if [ -z "$folder" ]; then folder=${HOME:?is not set; name a folder with --to}/.local/bin; fi

    target=$(target)
    wanted=$(checksum_of_target "$target")
    name=countersign-$version-$target
    scratch=$(mktemp -d)
    # The half-copied program below has a name of its own until it is whole.
    trap 'rm -rf "$scratch" "$folder/.countersign.$$"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    fetch "$download_url/$name.tar.gz" "$scratch/archive"
    found=$(checksum_of_file "$scratch/archive")
    # It has said why already.
    [ -n "$found" ] || exit 1
    if [ "$found" != "$wanted" ]; then
        fail "$download_url/$name.tar.gz has the SHA-256 $found, expected $wanted; nothing was installed"
    fi
    tar -xzf "$scratch/archive" -C "$scratch"

    mkdir -p "$folder"
    cp "$scratch/$name/countersign" "$folder/.countersign.$$"
    chmod 755 "$folder/.countersign.$$"
    # Tried where it will be: temporary folders may be mounted without the right to run programs.
    "$folder/.countersign.$$" --version >/dev/null || fail "the program does not run on this system; nothing was installed"
    # A rename, so that a program that runs at this moment goes on.
    mv -f "$folder/.countersign.$$" "$folder/countersign"
    echo "installed countersign $version: $folder/countersign"
    case :$PATH: in
        *":$folder:"*) ;;
        *) echo "$folder is not in PATH; add it, or run the program by its path" ;;
    esac
    echo "to try it without an AWS account: countersign sandbox"
}

main "$@"
