# Keys in cloud services: lints and tests of host/cloud with every feature, and the commands of its guides, against an emulator of AWS and
# contract servers.

# shellcheck shell=bash disable=SC2154

step_cloud() {
    local folder=$CARGO_TARGET_DIR/cloud feature
    need cc gcc libc6-dev
    need_component clippy clippy
    for feature in aws azure gcp; do
        cargo clippy -p taskseal-cloud --features "$feature" --locked -- -D warnings
    done
    cargo clippy -p taskseal-cloud --all-targets --all-features --locked -- -D warnings
    cargo clippy -p taskseal-cli --features aws,azure,gcp --locked -- -D warnings
    # In a subshell: an emulator that cannot be installed skips its tests, not those with contract servers.
    if (emulator_environment "$folder"); then
        export TASKSEAL_MINISTACK=$folder/python/bin/ministack
    else
        skip_part emulator "$(cat "$scratch/why")"
        rm -f "$scratch/why"
    fi
    cargo test -p taskseal-cloud --all-features --locked --no-fail-fast
    cargo test -p taskseal-cli --features aws,azure,gcp --locked --no-fail-fast --test cli -- \
        guide_for_aws guide_for_azure guide_for_google
}

# emulator_environment FOLDER: installs the emulator into a virtual environment.
emulator_environment() {
    need_python
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || true
    mkdir -p "$1"
    python_environment "$1/python" tests/cloud/emulator/requirements.txt
}
