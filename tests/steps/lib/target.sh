# The folder for built files, which all clones and runs of a user share.

# shellcheck shell=bash disable=SC2154

# prepare_target: creates the folder and sets CARGO_TARGET_DIR to its absolute path.
prepare_target() {
    local target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-${HOME:-~}/.cache}/taskseal/target}
    mkdir -p "$target" || exit 1
    # A relative path starts at the folder in which the user runs the command.
    CARGO_TARGET_DIR=$(cd "$target" && pwd) || exit 1
    export CARGO_TARGET_DIR
}

# forget_other_clones: removes what another clone or another commit built, except dependencies. Cargo compares times
# only, and some built files contain the path of the folder that they were built in.
forget_other_clones() {
    local version here
    # Without git, as in an unpacked archive, a checksum of the sources replaces the commit.
    version=$(git rev-parse HEAD 2>/dev/null) || version=$(find core hsm host fuzz benches tests -type f -exec cksum '{}' + | sort | cksum)
    here="$PWD $version"
    [ "$(cat "$CARGO_TARGET_DIR/built-from" 2>/dev/null)" != "$here" ] || return 0
    find "$CARGO_TARGET_DIR" -type d -path '*/.fingerprint/taskseal*' -prune -exec rm -rf '{}' +
    printf '%s\n' "$here" >"$CARGO_TARGET_DIR/built-from"
}

# lock_target: waits until no other run uses the folder. A run that removes files while cargo builds in the same
# folder makes that build fail.
lock_target() {
    have flock || return 0
    exec 9>"$CARGO_TARGET_DIR/lock"
    flock -n 9 || { echo "waiting for another run in $CARGO_TARGET_DIR"; flock 9; }
}

unlock_target() {
    have flock || return 0
    exec 9>&-
}
