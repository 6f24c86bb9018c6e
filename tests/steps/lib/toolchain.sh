# Rust: cargo, components of a toolchain, libraries for other machines, programs that cargo builds.

# shellcheck shell=bash disable=SC2154

# find_cargo: puts cargo on the path; fails if it is not installed.
find_cargo() {
    have cargo || PATH=${HOME:-~}/.cargo/bin:$PATH
    have cargo || {
        echo "tests/run: cargo is missing; see https://rustup.rs" >&2
        return 1
    }
}

has_toolchain() {
    RUSTUP_AUTO_INSTALL=0 cargo "+$1" --version >/dev/null 2>&1
}

# need_component SUBCOMMAND COMPONENT: skips the step unless cargo has the subcommand.
need_component() {
    if cargo "$1" --version >/dev/null 2>&1; then
        return 0
    fi
    if have rustup; then
        rustup component add "$2" || true
    fi
    cargo "$1" --version >/dev/null 2>&1 || skip "cargo $1 is missing; run: rustup component add $2"
}

# need_nightly_component SUBCOMMAND COMPONENT: skips the step unless cargo of the nightly toolchain has the subcommand.
need_nightly_component() {
    if cargo +nightly "$1" --version >/dev/null 2>&1; then
        return 0
    fi
    if have rustup; then
        rustup +nightly component add "$2" rust-src || true
    fi
    cargo +nightly "$1" --version >/dev/null 2>&1 || skip "cargo $1 is missing; run: rustup +nightly component add $2 rust-src"
}

# have_target TRIPLE: returns whether the core library for a target is installed, after an attempt to install it.
have_target() {
    local folder
    folder=$(rustc --print sysroot)/lib/rustlib/$1/lib
    if [ ! -d "$folder" ] && have rustup; then
        rustup target add "$1" || true
    fi
    [ -d "$folder" ]
}

# need_tool PROGRAM VERSION: skips the step unless this version of a cargo program is installed or can be built.
need_tool() {
    local root=$CARGO_TARGET_DIR/tools
    export PATH=$root/bin:$PATH
    if "$1" --version 2>/dev/null | grep -q -F "$2"; then
        return 0
    fi
    CARGO_TARGET_DIR=$root/build cargo install "$1" --version "$2" --locked --root "$root" || true
    rm -rf "$root/build"
    hash -r
    have "$1" || skip "$1 is missing; run: cargo install $1 --version $2 --locked"
}
