# The C library: installed, linked and run on this host, and its header compared with a generated one.

# shellcheck shell=bash disable=SC2154

step_capi() {
    need cc gcc libc6-dev
    need pkg-config pkg-config
    core/capi/check host
    (need_tool cbindgen 0.29.4 && core/capi/check header) && return 0
    [ -f "$scratch/why" ] || return 1
    skip_part header "$(cat "$scratch/why")"
    rm -f "$scratch/why"
}
