# What a step does when it cannot run, and which form it runs in.

# shellcheck shell=bash disable=SC2154

# is_full: returns whether the steps run in their full form.
is_full() {
    [ "${TASKSEAL_FULL:-}" = 1 ]
}

# skip REASON...: ends the step as skipped.
skip() {
    printf '%s\n' "$*" >"$scratch/why"
    exit 77
}

# skip_part PART REASON...: counts a part of the step as skipped; the step continues.
skip_part() {
    local part=$1
    shift
    printf '%s: %s\n' "$part" "$*" | tee -a "$scratch/parts"
}

# skip_part_once PART REASON...: counts a part as skipped, once for a step.
skip_part_once() {
    grep -qsF "$1: " "$scratch/parts" || skip_part "$@"
}

# skip_if_unreachable CLIENT LOG: skips the step if the log shows that a registry does not answer; fails otherwise.
skip_if_unreachable() {
    cat "$2"
    if grep -qiE 'connect|network|resolve|timed out|timeout|from versions: none|ENOTFOUND|EAI_AGAIN|ECONN|ENETUNREACH' "$2"; then
        skip "$1 cannot reach its registry"
    fi
    return 1
}
