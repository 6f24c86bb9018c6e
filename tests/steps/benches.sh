# The benchmarks compile.

# shellcheck shell=bash

step_benches() {
    need cc gcc libc6-dev
    cargo build -p taskseal-benches --benches --locked
}
