# The token tests with a second PKCS#11 token, which is built from source.

# shellcheck shell=bash disable=SC2154

step_kryoptic() {
    need cc gcc libc6-dev
    need redis-server redis-server
    need softhsm2-util softhsm2
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || install_packages libclang-14-dev ||
        skip "libclang is missing; run: sudo apt-get install -y libclang-14-dev"
    if [ ! -e /usr/include/openssl/ssl.h ] || [ ! -e /usr/include/sqlite3.h ]; then
        install_packages libssl-dev libsqlite3-dev ||
            skip "headers are missing; run: sudo apt-get install -y libssl-dev libsqlite3-dev"
    fi
    local library
    library=$(hsm/tests/kryoptic.sh 2>"$scratch/kryoptic.log") || skip_if_unreachable cargo "$scratch/kryoptic.log"
    export TASKSEAL_KRYOPTIC=$library
    cargo test -p taskseal-hsm --locked --no-fail-fast -- kryoptic::
    cargo test "${tokens_test[@]}" --locked --no-fail-fast -- kryoptic::
}
