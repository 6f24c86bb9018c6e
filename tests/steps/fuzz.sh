# Every fuzz target from its corpus, as many at the same time as there are processors.

# shellcheck shell=bash disable=SC2154,SC2016

step_fuzz() {
    has_toolchain nightly || skip "the nightly toolchain is missing; run: rustup toolchain install nightly"
    need cc gcc libc6-dev
    need c++ g++
    need_tool cargo-fuzz 0.13.2
    export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    # cargo-fuzz has no --locked: the lock file is checked first.
    cargo metadata --manifest-path fuzz/Cargo.toml --locked --format-version 1 >"$scratch/metadata"
    cargo +nightly fuzz build
    local binaries=$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release target seconds=5 failed=0
    [ -d "$binaries" ] || binaries=$(find "$CARGO_TARGET_DIR" -type d -path '*-linux-*/release' | head -n 1)
    ! is_full || seconds=60
    seconds=${TASKSEAL_FUZZ_SECONDS:-$seconds}
    for target in fuzz/fuzz_targets/*.rs; do
        basename "$target" .rs
    done >"$scratch/targets"
    mkdir "$scratch/found" "$scratch/crashes"
    export -f fuzz_one
    export scratch binaries seconds
    xargs -P "$(nproc)" -I '{}' bash -c 'fuzz_one "$1"' _ '{}' <"$scratch/targets" || failed=1
    [ "$failed" -eq 0 ]
}

# fuzz_one TARGET: runs one target. New inputs go to a separate folder, so that the corpus does not change.
fuzz_one() {
    mkdir "$scratch/found/$1"
    if "$binaries/$1" "$scratch/found/$1" "fuzz/corpus/$1" -artifact_prefix="$scratch/crashes/$1-" \
        -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
        >"$scratch/found/$1.log" 2>&1; then
        printf '%-12s %10s executions, no crash\n' "$1" \
            "$(sed -n 's/^stat::number_of_executed_units: //p' "$scratch/found/$1.log")"
    else
        tail -n 40 "$scratch/found/$1.log"
        echo "$1: crashed"
        return 1
    fi
}
