#!/usr/bin/env bash
# Builds kryoptic, a software PKCS#11 token, unless it exists, and prints the path of its library.
#
#   TASKSEAL_KRYOPTIC=$(hsm/tests/kryoptic.sh) cargo test -p taskseal-hsm
#
# Requires a C compiler, libclang and the headers of OpenSSL 3 and SQLite; on Debian 12: apt-get install
# gcc libclang-14-dev libssl-dev libsqlite3-dev. Writes to CARGO_TARGET_DIR/kryoptic.

set -euo pipefail

version=1.5.4
folder=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-${HOME:-~}/.cache}/taskseal/target}/kryoptic
library=$folder/target/release/libkryoptic_pkcs11.so

if [ ! -f "$library" ]; then
    mkdir -p "$folder/fetch/src"
    : >"$folder/fetch/src/lib.rs"
    cat >"$folder/fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
edition = "2024"

[dependencies]
kryoptic = { version = "=$version", default-features = false, features = ["minimal", "kdf_all"] }

[workspace]
TOML
    # Cargo has downloaded and verified the source.
    manifest=$(cargo metadata --manifest-path "$folder/fetch/Cargo.toml" --format-version 1 |
        grep -o "\"manifest_path\":\"[^\"]*/kryoptic-$version/Cargo.toml\"" | head -n 1 | cut -d '"' -f 4)
    rm -rf "$folder/source"
    cp -r "$(dirname "$manifest")" "$folder/source"
    if [ -z "${LIBCLANG_PATH:-}" ]; then
        for clang in /usr/lib/llvm-*/lib; do
            if compgen -G "$clang/libclang.so*" >/dev/null; then
                export LIBCLANG_PATH=$clang
            fi
        done
    fi
    # `minimal` contains what OpenSSL 3.0 supports.
    CARGO_TARGET_DIR=$folder/target cargo build --release --locked --manifest-path "$folder/source/Cargo.toml" \
        --no-default-features --features minimal,kdf_all,kryoptic-lib/dynamic >&2
fi
echo "$library"
