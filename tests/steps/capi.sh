# The C library: installed, then linked from C and Go and loaded from Python on this host; its header compared with a
# generated one.

# shellcheck shell=bash disable=SC2154

step_capi() {
    need cc gcc libc6-dev
    need pkg-config pkg-config
    core/capi/check host
    [ "$(uname -s)" != Linux ] || ! need_part python python3 python3 || core/capi/check python
    if have go; then core/capi/check go; else skip_part go "go is missing; install Go 1.21 or later"; fi
    (need_tool cbindgen 0.29.4 && core/capi/check header) && return 0
    [ -f "$scratch/why" ] || return 1
    skip_part header "$(cat "$scratch/why")"
    rm -f "$scratch/why"
}
