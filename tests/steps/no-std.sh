# Core without the standard library, built for small processors and WebAssembly.

# shellcheck shell=bash

bare_targets=(
    thumbv7em-none-eabihf thumbv8m.main-none-eabi thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf
    aarch64-unknown-none wasm32-unknown-unknown
)

step_no-std() {
    need cc gcc libc6-dev
    local target built=0
    for target in "${bare_targets[@]}"; do
        if have_target "$target"; then
            cargo build -p taskseal-core --no-default-features --target "$target" --locked
            built=$((built + 1))
        else
            skip_part "$target" "the core library is missing; run: rustup target add $target"
        fi
    done
    [ "$built" -gt 0 ] || skip "the core library is missing for each of these targets"
}
