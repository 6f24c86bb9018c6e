# Runs the vectors on a machine, real or emulated, and checks which instructions ran there.

# shellcheck shell=bash disable=SC2154

# record MACHINE COMMAND...: runs the vectors with this command and adds the report to the table of machines.
record() {
    local machine=$1 report vectors sealed digest aes ghash sha256
    shift
    "$@" >"$scratch/report" 2>&1 || {
        cat "$scratch/report"
        echo "$machine: the vectors failed"
        return 1
    }
    report=$(tail -n 1 "$scratch/report")
    read -r _ vectors _ sealed _ _ _ digest _ aes _ ghash _ sha256 <<<"$report"
    printf '%s|%s|%s|%s\n' "$machine" "$vectors" "$sealed" "$digest" >>"$scratch/machines.raw"
    printf '%-26s %7s %6s  %-16s  %s, %s, %s\n' \
        "$machine" "$vectors" "$sealed" "${digest:0:16}" "$aes" "$ghash" "$sha256" >>"$scratch/machines"
    # A runner that finds fewer vectors than there are files has not tested all of them.
    [ "$vectors" -eq "$(find tests/vectors -name '*.txt' | wc -l)" ]
}

# print_machines: prints the table, and fails if the digests of the sealed envelopes differ.
print_machines() {
    printf '\n%-26s %7s %6s  %-16s  %s\n' machine vectors sealed digest 'backends: AES, GHASH, SHA-256'
    cat "$scratch/machines"
    [ "$(cut -d '|' -f 4 "$scratch/machines.raw" | sort -u | wc -l)" -eq 1 ] || {
        echo "the digests differ"
        return 1
    }
}

# expect_instructions MACHINE LOG some|none MNEMONIC...: checks the instructions that the emulator translated. The
# report of the primitives must agree: an unreadable log would contain no mnemonic either.
expect_instructions() {
    local machine=$1 log=$2 wanted=$3 mnemonic count
    shift 3
    case $wanted$(tail -n 1 "$scratch/report") in
    none*' aes portable ghash portable sha256 portable') ;;
    none* | some*' aes portable '* | some*' ghash portable '*)
        echo "$machine: expected $wanted, reported $(tail -n 1 "$scratch/report")"
        return 1
        ;;
    esac
    for mnemonic in "$@"; do
        count=$(grep -cE "[[:space:]]$mnemonic([[:space:]]|\$)" "$log" || true)
        echo "$machine: $count places with $mnemonic"
        if [ "$wanted" = some ] && [ "$count" -eq 0 ] || [ "$wanted" = none ] && [ "$count" -ne 0 ]; then
            echo "$machine: expected $wanted"
            return 1
        fi
    done
}

# The instructions of each backend, as lines of a disassembly. Those of 128 bits may be spelled for SSE or for AVX.
declare -gA instructions=(
    [vaes-512]='vaesenc .*%zmm' [vaes-256]='vaesenc .*%ymm' [aes-ni]='v?aesenc .*%xmm'
    [pclmulqdq]='v?pclmul' [sha-ni]='sha256rnds2 '
)

# expect_reported_backends MACHINE PROGRAM: checks in a debugger that the program runs the instructions of the backends
# that it has just reported to `record`, and none of a hidden backend.
expect_reported_backends() {
    local machine=$1 program=$2 name must=() must_not=() wrong=0
    local -A reported
    need_part "$machine" gdb gdb || return 0
    need_part "$machine" objdump binutils || return 0
    read -r _ _ _ _ _ _ _ _ _ "reported[aes]" _ "reported[ghash]" _ "reported[sha256]" <<<"$(tail -n 1 "$scratch/report")"
    for name in vaes-512 vaes-256 aes-ni pclmulqdq sha-ni; do
        case "$name" in
        "${reported[aes]}" | "${reported[ghash]}" | "${reported[sha256]}") must+=("${instructions[$name]}") ;;
        # The wider backends process single blocks with AES-NI.
        aes-ni) [ "${reported[aes]}" != portable ] || must_not+=("${instructions[$name]}") ;;
        *) must_not+=("${instructions[$name]}") ;;
        esac
    done
    PROGRAM=$program PRELOAD=$hiding_library INSTRUCTIONS=$(printf '%s\n' "${must[@]}" "${must_not[@]}") \
        timeout 300 gdb -nx -batch -x tests/steps/lib/instructions_run.py "$program" >"$scratch/gdb" 2>&1 || true
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
