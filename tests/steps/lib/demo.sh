# The demo of the command line, which runs tasks over the files of the clone and attacks its own queue.

# shellcheck shell=bash disable=SC2154

# demo [ARGUMENT]...: runs the demo and checks its report.
demo() {
    local report=$scratch/demo.json
    if ! cargo run --release --locked -- demo --json "$@" >"$report"; then
        cat "$report"
        return 1
    fi
    python3 -B tests/steps/lib/demo_report.py "$report"
}
