# Documentation of all items, without broken links.

# shellcheck shell=bash

step_docs() {
    need cc gcc libc6-dev
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items --locked
}
