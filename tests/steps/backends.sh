# Forces each backend of the primitives (AES, GHASH, SHA-256) that this processor offers, for the steps that source
# this file.
#
# The primitives take the fastest backend by themselves. hide_instructions.c hides the instructions of the faster
# ones, and core/examples/acceleration.rs tells whether that worked: a forced run that reports another backend is a
# failure.

# shellcheck shell=bash disable=SC2154

# name | what is hidden | what the primitives must report | flags of /proc/cpuinfo without which the backend cannot run
backends=(
    'vaes-512||aes vaes-512|avx512f vaes'
    'vaes-256|vaes512|aes vaes-256|avx512f vaes'
    'aes-ni|vaes512 vaes256|aes aes-ni|aes'
    'portable AES|vaes512 vaes256 aes|aes portable|'
    'portable GHASH|clmul|ghash portable|'
    'portable SHA-256|sha|sha256 portable|'
    'all portable|vaes512 vaes256 aes clmul sha|aes portable ghash portable sha256 portable|'
)

# each_backend COMMAND...: runs the command once for each backend, or for TASKSEAL_BACKEND only, as `on_backend` does.
# Where backends cannot be forced, it runs once, and `backend` is empty.
each_backend() {
    local entry
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        grep -qsF "forced backends: " "$scratch/parts" || skip_part "forced backends" "Linux on x86-64 only"
        backend='' "$@"
        return
    fi
    if [ -n "${TASKSEAL_BACKEND:-}" ]; then
        on_backend "$TASKSEAL_BACKEND" "$@"
        return
    fi
    for entry in "${backends[@]}"; do
        on_backend "${entry%%|*}" "$@"
    done
}

# on_backend NAME COMMAND...: runs the command with `backend` set to the name. What cargo runs then uses that backend,
# and so does a program that is started through `hiding`. A backend that this processor lacks is a skipped part.
on_backend() {
    local backend=$1 entry name hidden wanted flags reported runner
    shift
    prepare_backends
    for entry in "${backends[@]}"; do
        IFS='|' read -r name hidden wanted flags <<<"$entry"
        [ "$name" != "$backend" ] || break
    done
    [ "$name" = "$backend" ] || { echo "no backend is called $backend"; return 1; }
    if ! has_flags "$flags"; then
        # Once a step, however often it asks.
        grep -qsF "backend $backend: " "$scratch/parts" || skip_part "backend $backend" "not on this processor"
        return 0
    fi
    local -x TASKSEAL_HIDE=$hidden TASKSEAL_TEST_BACKEND
    reported=$(hiding "$scratch/acceleration")
    case " $reported " in
    *" $wanted "*) ;;
    *)
        echo "backend $backend: with $hidden hidden the primitives report $reported"
        return 1
        ;;
    esac
    # Tests compare it with what they run on.
    TASKSEAL_TEST_BACKEND=$reported
    echo "-- backend: $backend ($reported)"
    grep -qsxF "$backend: $reported" "$scratch/backends" || echo "$backend: $reported" >>"$scratch/backends"
    runner=CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER
    local -x "$runner=env LD_PRELOAD=$hiding_library"
    "$@"
}

# hiding PROGRAM [ARGUMENT]...: starts a program with the instructions hidden that TASKSEAL_HIDE names.
hiding() {
    LD_PRELOAD=$hiding_library "$@"
}

# print_backends: the backends tried, for the end of a step.
print_backends() {
    echo
    echo "backends tried:"
    sed 's/^/  /' "$scratch/backends" 2>/dev/null || echo "  those that the primitives chose"
}

# prepare_backends: builds what hides instructions, and what reports which are found.
prepare_backends() {
    hiding_library=$scratch/hide_instructions.so
    [ ! -e "$scratch/acceleration" ] || return 0
    cc -shared -fPIC -O2 -Wall -Wextra -Werror -o "$hiding_library" tests/steps/hide_instructions.c
    cargo build -q -p taskseal-core --profile constant-time --locked --example acceleration
    cp "$CARGO_TARGET_DIR/constant-time/examples/acceleration" "$scratch/acceleration"
}

# has_flags FLAGS: whether the processor has all of them.
has_flags() {
    local flag
    for flag in $1; do
        grep -qw -m 1 -- "$flag" /proc/cpuinfo || return 1
    done
}
