# Documentation of all items without broken links, and the size of the public API.

# shellcheck shell=bash disable=SC2154

step_docs() {
    local items
    need cc gcc libc6-dev
    # What users of the library see, with the traits that key sources in other crates implement. First, because the next command replaces these pages.
    RUSTDOCFLAGS=-Dwarnings cargo doc -p taskseal --no-deps --locked
    items=$(grep -o '<li><a href="[^"]*">' "$CARGO_TARGET_DIR/doc/taskseal/all.html" | wc -l)
    echo "public items of taskseal: $items"
    if [ "$items" -eq 0 ] || [ "$items" -gt 70 ]; then
        echo "expected 1 to 70 public items; see host/src/lib.rs"
        return 1
    fi
    # The examples of the documents with what users have: without the feature `internal`.
    cargo test -p taskseal --doc --locked
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items --locked
}
