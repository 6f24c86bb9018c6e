# Lints, the places where unsafe code is allowed, and lock files.

# shellcheck shell=bash disable=SC2154

step_clippy() {
    local features lifted workspace
    need cc gcc libc6-dev
    need_component clippy clippy
    cargo clippy --workspace --all-targets --locked -- -D warnings
    # The library with each of its features alone.
    for features in "" redis sqlite pkcs11 default; do
        cargo clippy -p taskseal --no-default-features --features "$features" --locked -- -D warnings
    done
    # Core denies unsafe code instead of forbidding it, so that one module and its tests can allow it.
    lifted=$(grep -rl --include='*.rs' 'unsafe_code' core/src host/src hsm/src | grep -vE '/(lib|main)\.rs$' | sort)
    [ "$lifted" = "core/src/stack/registers.rs
core/src/stack/tests.rs" ] || { echo "unsafe_code is named in: $lifted"; return 1; }
    # A new dependency must be in the lock files of the other workspaces too.
    for workspace in "${own_workspaces[@]}"; do
        cargo metadata --manifest-path "$workspace/Cargo.toml" --locked --format-version 1 >"$scratch/metadata"
    done
}
