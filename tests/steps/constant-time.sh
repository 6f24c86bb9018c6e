# Secrets in release builds: valgrind follows them through branches and addresses, then a search looks for them in the
# memory of processes that have used them.

# shellcheck shell=bash disable=SC2154

step_constant-time() {
    [ "$(uname -sm)" = "Linux x86_64" ] || skip "secrets are followed on Linux on x86-64 only"
    need cc gcc libc6-dev
    need valgrind valgrind
    follow_secrets
    # As the host builds it: with the table of the base point.
    cargo test "${constant_time_test[@]}" --features precomputed-tables --profile constant-time --locked -- --ignored
    cargo test "${wiping_test[@]}" --features precomputed-tables --profile constant-time --locked
    # The same for the implementations for small devices, and the tests of their primitives.
    export RUSTFLAGS="${RUSTFLAGS:-} --cfg taskseal_small" CARGO_TARGET_DIR=$CARGO_TARGET_DIR/small
    cargo test -p taskseal-core --profile constant-time --lib --locked
    follow_secrets
    print_backends
}

follow_secrets() {
    cargo test "${constant_time_test[@]}" --profile constant-time --locked -- --ignored
    on_backend "all portable" cargo test "${constant_time_test[@]}" --profile constant-time --locked -- --ignored
    each_backend cargo test "${wiping_test[@]}" --profile constant-time --locked
}
