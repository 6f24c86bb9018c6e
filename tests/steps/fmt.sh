# Formatting of every workspace.

# shellcheck shell=bash disable=SC2154

step_fmt() {
    local workspace
    need_component fmt rustfmt
    cargo fmt --all --check
    for workspace in "${own_workspaces[@]}"; do
        cargo fmt --manifest-path "$workspace/Cargo.toml" --check
    done
}
