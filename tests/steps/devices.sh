# The vectors on every machine that is available here, the backends that the primitives use there, and a device whose
# tasks a worker runs.
#
# A machine that is not available is a skipped part; the step continues with the others.

# shellcheck shell=bash disable=SC2154

step_devices() {
    local runner=tests/devices/Cargo.toml firmware=core/firmware/Cargo.toml
    # Separate workspaces with separate profiles.
    local runners=$CARGO_TARGET_DIR/devices image_folder=$CARGO_TARGET_DIR/firmware
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc
    need cc gcc libc6-dev
    rm -f "$scratch/machines" "$scratch/machines.raw"

    machine_here
    machine_emulated_x86
    machine_cortex_m4
    machine_aarch64
    machine_s390x
    firmware_tests
    device_to_worker

    print_backends
    print_machines
}

# build_runner [ARGUMENT]...: builds the program that runs the vectors on a machine.
build_runner() {
    CARGO_TARGET_DIR=$runners cargo build --manifest-path "$runner" --release --locked "$@"
}

# This processor, once for each of its backends: the vectors, the instructions that ran, and the tests of core.
machine_here() {
    build_runner
    each_backend machine_with_backend
    # VAES without AVX-512 must be enabled at compile time. A processor with AVX-512 uses the wider instructions anyway.
    if has_flags 'avx2 vaes'; then
        RUSTFLAGS='-C target-feature=+aes,+avx2,+vaes' runners=$runners/vaes build_runner
        record "x86_64, built for VAES" "$runners/vaes/release/taskseal-devices"
        expect_reported_backends "built for VAES" "$runners/vaes/release/taskseal-devices"
    elif [ "$(uname -m)" = x86_64 ]; then
        skip_part "built for VAES" "not on this processor"
    fi
}

machine_with_backend() {
    local machine
    machine="$(uname -m), ${backend:-default}"
    # The step `test` runs the same tests on the fastest backend.
    if is_full || [ "${backend:-all portable}" = "all portable" ]; then
        # The standard library detects instructions independently, and so finds the hidden ones.
        cargo test -p taskseal-core --profile constant-time --lib --locked -- --quiet "${slow_tests[@]/#/--skip=}" \
            ${backend:+--skip=report_agrees_with_the_standard_library}
    fi
    record "$machine" ${backend:+hiding} "$runners/release/taskseal-devices"
    [ -z "${backend:-}" ] || expect_reported_backends "$machine" "$runners/release/taskseal-devices"
}

# A processor with AES-NI and PCLMULQDQ and one without, emulated on any x86-64 host.
machine_emulated_x86() {
    local log=$scratch/trace
    [ "$(uname -sm)" = "Linux x86_64" ] || { skip_part "emulated x86-64" "built on x86-64 only"; return 0; }
    need_part "emulated x86-64" qemu-x86_64-static qemu-user-static || return 0
    record "x86-64, -cpu max" qemu-x86_64-static -cpu max -d in_asm -D "$log" "$runners/release/taskseal-devices"
    expect_instructions "x86-64, -cpu max" "$log" some 'v?aesenc' 'v?pclmul[a-z]*'
    record "x86-64, -cpu Nehalem" \
        qemu-x86_64-static -cpu Nehalem -d in_asm -D "$log" "$runners/release/taskseal-devices"
    expect_instructions "x86-64, -cpu Nehalem" "$log" none 'v?aesenc' 'v?pclmul[a-z]*' sha256rnds2
}

machine_cortex_m4() {
    need_target_part Cortex-M4 thumbv7em-none-eabihf || return 0
    need_part Cortex-M4 qemu-system-arm qemu-system-arm || return 0
    build_runner --target thumbv7em-none-eabihf
    record "Cortex-M4, mps2-an386" timeout 300 qemu-system-arm -M mps2-an386 -nographic -monitor none \
        -serial none -semihosting-config enable=on,target=native \
        -kernel "$runners/thumbv7em-none-eabihf/release/taskseal-devices"
}

machine_aarch64() {
    local qemu=(qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu max) log=$scratch/trace
    local built=$runners/aarch64-unknown-linux-gnu/release/taskseal-devices
    need_linux aarch64 arm64 || return 0
    build_runner --target aarch64-unknown-linux-gnu
    record "aarch64" "${qemu[@]}" -d in_asm -D "$log" "$built"
    expect_instructions "aarch64" "$log" some aese 'pmull2?' sha256h
    ! is_full || core_tests aarch64 "${qemu[*]}"

    # Every emulated aarch64 processor has the instructions, so a library hides them from the primitives.
    aarch64-linux-gnu-gcc -shared -fPIC -O2 -o "$scratch/no_hwcap.so" tests/devices/no_hwcap.c
    qemu+=(-E "LD_PRELOAD=$scratch/no_hwcap.so")
    record "aarch64, instructions hidden" "${qemu[@]}" -d in_asm -D "$log" "$built"
    expect_instructions "aarch64, instructions hidden" "$log" none aese 'pmull2?' sha256h
    # The standard library detects instructions in another way, and so finds the hidden ones.
    ! is_full || core_tests aarch64 "${qemu[*]}" --skip=report_agrees_with_the_standard_library
}

# Big-endian byte order.
machine_s390x() {
    local qemu=(qemu-s390x-static -L /usr/s390x-linux-gnu)
    need_linux s390x s390x || return 0
    build_runner --target s390x-unknown-linux-gnu
    record "s390x, big-endian" "${qemu[@]}" "$runners/s390x-unknown-linux-gnu/release/taskseal-devices"
    core_tests s390x "${qemu[*]}"
}

# need_target_part PART TRIPLE: counts the part as skipped unless the core library of the target is installed.
need_target_part() {
    have_target "$2" || { skip_part "$1" "run: rustup target add $2"; return 1; }
}

# need_linux MACHINE DEBIAN: counts the machine as skipped unless programs for it can be built and run.
need_linux() {
    need_target_part "$1" "$1-unknown-linux-gnu" || return 1
    local packages="gcc-$1-linux-gnu libc6-dev-$2-cross qemu-user-static"
    # shellcheck disable=SC2086
    if have_or_install "$1-linux-gnu-gcc" $packages && have_or_install "qemu-$1-static" $packages &&
        [ -e "/usr/$1-linux-gnu/include/stdlib.h" ]; then
        return 0
    fi
    skip_part "$1" "run: sudo apt-get install -y $packages"
    return 1
}

# The tests of core run on big-endian s390x in both forms, on aarch64 in the full form only.
#
# Tests that flip every bit of an envelope verify about a thousand signatures. This takes minutes in an emulator and
# tests the envelope, not the machine.
slow_tests=(
    keyset::signed::tests::tamper::every_flipped_bit keyset::signed::tests::tamper::every_truncation
    seal::batch::tests::flipped_bits seal::detached::tests::flipped_bits batch::tree::tests::roots_and_paths_match
)

# core_tests MACHINE EMULATOR [ARGUMENT]...: runs the tests of core in an emulator.
core_tests() {
    local machine=$1 emulator=$2 runner_of skipped_tests
    shift 2
    skipped_tests=("${slow_tests[@]/#/--skip=}")
    runner_of=CARGO_TARGET_$(tr '[:lower:]' '[:upper:]' <<<"$machine")_UNKNOWN_LINUX_GNU_RUNNER
    env "$runner_of=$emulator" cargo test -p taskseal-core --lib --locked --target "$machine-unknown-linux-gnu" -- \
        --quiet "${skipped_tests[@]}" "$@"
}

# The parts of the firmware that need no device: storage that loses power at every byte, and the adapters.
firmware_tests() {
    CARGO_TARGET_DIR=$image_folder cargo test --manifest-path "$firmware" --locked
}

device_to_worker() {
    need_target_part "device to worker" thumbv7em-none-eabihf || return 0
    need_part "device to worker" qemu-system-arm qemu-system-arm || return 0
    need_part "device to worker" redis-server redis-server || return 0
    # In the folder of the firmware, because its configuration of cargo has the flags for a small image.
    (cd core/firmware && CARGO_TARGET_DIR=$image_folder cargo build --release --locked --target thumbv7em-none-eabihf)
    TASKSEAL_FIRMWARE=$image_folder/thumbv7em-none-eabihf/release/taskseal-firmware \
        cargo test "${device_test[@]}" --locked -- --ignored device::
}
