# The size of the C library on an emulated Cortex-M4, and its example for devices.

# shellcheck shell=bash

step_footprint() {
    have_target thumbv7em-none-eabihf || skip "the core library is missing; run: rustup target add thumbv7em-none-eabihf"
    need_python
    need arm-none-eabi-gcc gcc-arm-none-eabi
    need qemu-system-arm qemu-system-arm
    core/capi/check device
    python3 -B core/capi/footprint/run.py --crates
}
