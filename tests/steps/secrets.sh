# Secrets of hosts in memory: keys in files and tokens, bodies, results, PINs.

# shellcheck shell=bash disable=SC2154

step_secrets() {
    [ "$(uname -sm)" = "Linux x86_64" ] || skip "the memory of processes is searched on Linux on x86-64 only"
    need cc gcc libc6-dev
    need redis-server redis-server
    need softhsm2-util softhsm2
    selected_backends cargo test "${secrets_test[@]}" --release --locked
    print_backends
}
