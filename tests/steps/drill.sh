# The drill: one story under load on a real Redis, from a queue without sealing to lost roots and lost sources of keys.

# shellcheck shell=bash disable=SC2154

step_drill() {
    need cc gcc libc6-dev
    need redis-server redis-server
    need_part "keys in a token" softhsm2-util softhsm2 || true
    # Cloud sources are in the step `cloud`: they need a program with the SDKs of their providers.
    # The handlers of all workers, the producers and the forger share the processors with no other test.
    cargo test -p taskseal-cli --test drill --locked -- --include-ignored --nocapture | tee "$scratch/drill.log"
    grep -q '^drill .* end: ' "$scratch/drill.log"
}
