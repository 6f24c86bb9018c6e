# All tests of the workspace.

# shellcheck shell=bash

step_test() {
    need cc gcc libc6-dev
    need redis-server redis-server
    need softhsm2-util softhsm2
    # Without p11-kit two token tests print that they are skipped.
    have p11-kit || install_packages p11-kit p11-kit-modules || true
    # Most of these tests wait for servers and programs that they have started.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))} cargo test --workspace --locked --no-fail-fast
}
