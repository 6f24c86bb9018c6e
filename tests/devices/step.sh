# The step `devices` of tests/run, which reads this file: the vectors on every machine that can be had here, what their
# primitives ran on, and a device whose tasks a worker runs.
#
# A machine that cannot be had is a part that is skipped; the others still run.

# shellcheck shell=bash disable=SC2154

devices() {
    local runner=tests/devices/Cargo.toml firmware=core/firmware/Cargo.toml
    # Workspaces of their own, with profiles of their own.
    local runners=$CARGO_TARGET_DIR/devices image_folder=$CARGO_TARGET_DIR/firmware
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc
    need cc gcc libc6-dev
    # shellcheck source=tests/steps/backends.sh
    source tests/steps/backends.sh
    rm -f "$scratch/machines" "$scratch/machines.raw"

    machine_here
    machine_emulated_x86
    machine_cortex_m4
    machine_aarch64
    machine_s390x
    firmware_tests
    device_to_worker

    echo
    printf '%-26s %7s %6s  %-16s  %s\n' machine vectors sealed digest 'what ran: AES, GHASH, SHA-256'
    cat "$scratch/machines"
    print_backends
    [ "$(cut -d '|' -f 4 "$scratch/machines.raw" | sort -u | wc -l)" -eq 1 ] || {
        echo "the digests are not the same"
        return 1
    }
}

# build_runner [ARGUMENT]...: the runner for a machine; --locked, since its lock file is part of the tree.
build_runner() {
    CARGO_TARGET_DIR=$runners cargo build --manifest-path "$runner" --release --locked "$@"
}

# record MACHINE COMMAND...: runs the vectors there and keeps what came out for the table.
record() {
    local machine=$1 report
    shift
    "$@" >"$scratch/report" 2>&1 || {
        cat "$scratch/report"
        echo "$machine: the vectors came out wrong"
        return 1
    }
    report=$(tail -n 1 "$scratch/report")
    read -r _ vectors _ sealed _ _ _ digest _ aes _ ghash _ sha256 <<<"$report"
    printf '%s|%s|%s|%s\n' "$machine" "$vectors" "$sealed" "$digest" >>"$scratch/machines.raw"
    printf '%-26s %7s %6s  %-16s  %s, %s, %s\n' \
        "$machine" "$vectors" "$sealed" "${digest:0:16}" "$aes" "$ghash" "$sha256" >>"$scratch/machines"
    # As many as there are files: a runner that finds none has tested none.
    [ "$vectors" -eq "$(find tests/vectors -name '*.txt' | wc -l)" ]
}

# expect_instructions MACHINE LOG some|none MNEMONIC...: what was translated is what was run. What the primitives report
# has to agree: a trace in which nothing is found might as well be one that cannot be read.
expect_instructions() {
    local machine=$1 log=$2 wanted=$3 mnemonic count
    shift 3
    case $wanted$(tail -n 1 "$scratch/report") in
    none*' aes portable ghash portable sha256 portable') ;;
    none* | some*' aes portable '* | some*' ghash portable '*)
        echo "$machine: $wanted expected, and reported $(tail -n 1 "$scratch/report")"
        return 1
        ;;
    esac
    for mnemonic in "$@"; do
        count=$(grep -cE "[[:space:]]$mnemonic([[:space:]]|\$)" "$log" || true)
        echo "$machine: $count places with $mnemonic"
        if [ "$wanted" = some ] && [ "$count" -eq 0 ] || [ "$wanted" = none ] && [ "$count" -ne 0 ]; then
            echo "$machine: $wanted expected"
            return 1
        fi
    done
}

# This processor, once for each of its backends: the tests of core, the vectors, and what was really run.
machine_here() {
    build_runner
    each_backend machine_with_backend
    # VAES without AVX-512 has to be asked for when it is built; with AVX-512 the wider form is taken all the same.
    if has_flags 'avx2 vaes'; then
        RUSTFLAGS='-C target-feature=+aes,+avx2,+vaes' runners=$runners/vaes build_runner
        record "x86_64, built for VAES" "$runners/vaes/release/taskseal-devices"
        runs_what_it_reports "built for VAES" "$runners/vaes/release/taskseal-devices"
    elif [ "$(uname -m)" = x86_64 ]; then
        skip_part "built for VAES" "this processor has none"
    fi
}

machine_with_backend() {
    local machine
    machine="$(uname -m), ${backend:-this one}"
    # The standard library detects without the primitives, and so finds what is hidden.
    cargo test -p taskseal-core --profile constant-time --lib --locked -- --quiet "${slow_tests[@]/#/--skip=}" \
        ${backend:+--skip=report_agrees_with_the_standard_library}
    record "$machine" ${backend:+hiding} "$runners/release/taskseal-devices"
    [ -z "${backend:-}" ] || runs_what_it_reports "$machine" "$runners/release/taskseal-devices"
}

# The instructions of each backend, as lines of a disassembly. Those of 128 bits may be spelled for SSE or for AVX.
declare -A instructions=(
    [vaes-512]='vaesenc .*%zmm' [vaes-256]='vaesenc .*%ymm' [aes-ni]='v?aesenc .*%xmm'
    [pclmulqdq]='v?pclmul' [sha-ni]='sha256rnds2 '
)

# runs_what_it_reports MACHINE PROGRAM: the program runs the instructions of the backends that it has just reported to
# `record`, and none of a backend that is hidden.
runs_what_it_reports() {
    local machine=$1 program=$2 name must=() must_not=() wrong=0
    local -A reported
    have_or_install gdb gdb || { skip_part "$machine" "gdb is missing; run: sudo apt-get install -y gdb"; return 0; }
    have_or_install objdump binutils || { skip_part "$machine" "objdump is missing; run: sudo apt-get install -y binutils"; return 0; }
    read -r _ _ _ _ _ _ _ _ _ "reported[aes]" _ "reported[ghash]" _ "reported[sha256]" <<<"$(tail -n 1 "$scratch/report")"
    for name in vaes-512 vaes-256 aes-ni pclmulqdq sha-ni; do
        case "$name" in
        "${reported[aes]}" | "${reported[ghash]}" | "${reported[sha256]}") must+=("${instructions[$name]}") ;;
        # Single blocks go through AES-NI in the wider backends too.
        aes-ni) [ "${reported[aes]}" != portable ] || must_not+=("${instructions[$name]}") ;;
        *) must_not+=("${instructions[$name]}") ;;
        esac
    done
    PROGRAM=$program PRELOAD=$hiding_library INSTRUCTIONS=$(printf '%s\n' "${must[@]}" "${must_not[@]}") \
        timeout 300 gdb -nx -batch -x tests/steps/instructions_run.py "$program" >"$scratch/gdb" 2>&1 || true
    if grep -q 'ptrace: Operation not permitted\|Could not trace' "$scratch/gdb"; then
        skip_part "$machine" "processes cannot be traced here"
        return 0
    fi
    grep -qx 'exit code 0' "$scratch/gdb" || wrong=1
    for name in "${must[@]}"; do
        grep -qxF "runs $name" "$scratch/gdb" || wrong=1
    done
    for name in "${must_not[@]}"; do
        grep -qxF "does not run $name" "$scratch/gdb" || wrong=1
    done
    if [ "$wrong" -ne 0 ]; then
        cat "$scratch/gdb"
        echo "$machine: reported ${reported[*]}, but other instructions ran"
        return 1
    fi
    echo "$machine: $(grep -c '^runs ' "$scratch/gdb") of ${#must[@]} kinds of instructions ran, none of ${#must_not[@]} others"
}

# A processor with AES-NI and PCLMULQDQ and one without, on any host.
machine_emulated_x86() {
    [ "$(uname -sm)" = "Linux x86_64" ] || { skip_part "emulated x86-64" "built on x86-64 only"; return 0; }
    have_or_install qemu-x86_64-static qemu-user-static ||
        { skip_part "emulated x86-64" "run: sudo apt-get install -y qemu-user-static"; return 0; }
    local log=$scratch/trace
    record "x86-64, -cpu max" qemu-x86_64-static -cpu max -d in_asm -D "$log" "$runners/release/taskseal-devices"
    expect_instructions "x86-64, -cpu max" "$log" some 'v?aesenc' 'v?pclmul[a-z]*'
    record "x86-64, -cpu Nehalem" \
        qemu-x86_64-static -cpu Nehalem -d in_asm -D "$log" "$runners/release/taskseal-devices"
    expect_instructions "x86-64, -cpu Nehalem" "$log" none 'v?aesenc' 'v?pclmul[a-z]*' sha256rnds2
}

machine_cortex_m4() {
    have_target thumbv7em-none-eabihf ||
        { skip_part "Cortex-M4" "run: rustup target add thumbv7em-none-eabihf"; return 0; }
    have_or_install qemu-system-arm qemu-system-arm ||
        { skip_part "Cortex-M4" "run: sudo apt-get install -y qemu-system-arm"; return 0; }
    build_runner --target thumbv7em-none-eabihf
    record "Cortex-M4, mps2-an386" timeout 300 qemu-system-arm -M mps2-an386 -nographic -monitor none \
        -serial none -semihosting-config enable=on,target=native \
        -kernel "$runners/thumbv7em-none-eabihf/release/taskseal-devices"
}

machine_aarch64() {
    have_linux aarch64 arm64 || return 0
    local qemu=(qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu max) log=$scratch/trace
    local built=$runners/aarch64-unknown-linux-gnu/release/taskseal-devices
    build_runner --target aarch64-unknown-linux-gnu
    record "aarch64" "${qemu[@]}" -d in_asm -D "$log" "$built"
    expect_instructions "aarch64" "$log" some aese 'pmull2?' sha256h
    core_tests aarch64 "${qemu[*]}"

    # No processor of the emulator lacks them, so they are hidden where primitives ask for them.
    aarch64-linux-gnu-gcc -shared -fPIC -O2 -o "$scratch/no_hwcap.so" tests/devices/no_hwcap.c
    qemu+=(-E "LD_PRELOAD=$scratch/no_hwcap.so")
    record "aarch64, nothing to find" "${qemu[@]}" -d in_asm -D "$log" "$built"
    expect_instructions "aarch64, nothing to find" "$log" none aese 'pmull2?' sha256h
    # The standard library looks elsewhere too, and so finds what is hidden.
    core_tests aarch64 "${qemu[*]}" --skip=report_agrees_with_the_standard_library
}

# The other byte order.
machine_s390x() {
    have_linux s390x s390x || return 0
    local qemu=(qemu-s390x-static -L /usr/s390x-linux-gnu)
    build_runner --target s390x-unknown-linux-gnu
    record "s390x, big-endian" "${qemu[@]}" "$runners/s390x-unknown-linux-gnu/release/taskseal-devices"
    core_tests s390x "${qemu[*]}"
}

# have_linux MACHINE DEBIAN: what builds and runs programs of another machine; tells what is missing.
have_linux() {
    have_target "$1-unknown-linux-gnu" ||
        { skip_part "$1" "run: rustup target add $1-unknown-linux-gnu"; return 1; }
    local packages="gcc-$1-linux-gnu libc6-dev-$2-cross qemu-user-static"
    # shellcheck disable=SC2086
    if have_or_install "$1-linux-gnu-gcc" $packages && have_or_install "qemu-$1-static" $packages &&
        [ -e "/usr/$1-linux-gnu/include/stdlib.h" ]; then
        return 0
    fi
    skip_part "$1" "run: sudo apt-get install -y $packages"
    return 1
}

# What flips every bit of an envelope verifies a thousand signatures: that is minutes in an emulator, and about the
# envelope, not about the machine.
slow_tests=(flipped_bit every_truncation roots_and_paths_are_those)

# core_tests MACHINE EMULATOR [ARGUMENT]...: the tests of core as they run there.
core_tests() {
    local machine=$1 emulator=$2 runner_of skipped_tests
    shift 2
    skipped_tests=("${slow_tests[@]/#/--skip=}")
    runner_of=CARGO_TARGET_$(tr '[:lower:]' '[:upper:]' <<<"$machine")_UNKNOWN_LINUX_GNU_RUNNER
    env "$runner_of=$emulator" cargo test -p taskseal-core --lib --locked --target "$machine-unknown-linux-gnu" -- \
        --quiet "${skipped_tests[@]}" "$@"
}

# What of the firmware needs no device: flash that loses power at every byte, and the adapters.
firmware_tests() {
    CARGO_TARGET_DIR=$image_folder cargo test --manifest-path "$firmware" --locked
}

device_to_worker() {
    have_target thumbv7em-none-eabihf ||
        { skip_part "device to worker" "run: rustup target add thumbv7em-none-eabihf"; return 0; }
    have_or_install qemu-system-arm qemu-system-arm ||
        { skip_part "device to worker" "run: sudo apt-get install -y qemu-system-arm"; return 0; }
    have_or_install redis-server redis-server ||
        { skip_part "device to worker" "run: sudo apt-get install -y redis-server"; return 0; }
    # From its folder: the flags for a small image stand in its configuration of cargo.
    (cd core/firmware && CARGO_TARGET_DIR=$image_folder cargo build --release --locked --target thumbv7em-none-eabihf)
    TASKSEAL_FIRMWARE=$image_folder/thumbv7em-none-eabihf/release/taskseal-firmware \
        cargo test -p taskseal-cli --test cli --locked -- --ignored device::
}
