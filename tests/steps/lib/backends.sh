# Forces each backend of the primitives (AES, GHASH, SHA-256) that this processor has.
#
# The primitives select the fastest backend. hide_instructions.c hides the instructions of faster backends, and
# core/examples/acceleration.rs reports the backends in use: a forced run that reports another backend fails.

# shellcheck shell=bash disable=SC2154

# name | hidden instructions | what the primitives must report | flags of /proc/cpuinfo that the backend requires
backends=(
    'vaes-512||aes vaes-512|avx512f vaes'
    'vaes-256|vaes512|aes vaes-256|avx512f vaes'
    'aes-ni|vaes512 vaes256|aes aes-ni|aes'
    'portable AES|vaes512 vaes256 aes|aes portable|'
    'portable GHASH|clmul|ghash portable|'
    'portable SHA-256|sha|sha256 portable|'
    'all portable|vaes512 vaes256 aes clmul sha|aes portable ghash portable sha256 portable|'
)

# each_backend COMMAND...: runs the command once for each backend as `on_backend` does, or only for TASKSEAL_BACKEND.
# Where backends cannot be forced, it runs the command once, and `backend` is empty.
each_backend() {
    local entry
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        skip_part_once "forced backends" "Linux on x86-64 only"
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

# selected_backends COMMAND...: as `each_backend`; in the short form only for the fastest backend and the portable one.
selected_backends() {
    local entry name flags
    if is_full || [ -n "${TASKSEAL_BACKEND:-}" ] || [ "$(uname -sm)" != "Linux x86_64" ]; then
        each_backend "$@"
        return
    fi
    for entry in "${backends[@]}"; do
        IFS='|' read -r name _ _ flags <<<"$entry"
        ! has_flags "$flags" || break
    done
    on_backend "$name" "$@"
    on_backend "all portable" "$@"
}

# on_backend NAME COMMAND...: runs the command with `backend` set to the name. Programs that cargo runs then use that
# backend, and so do programs that `hiding` starts. A backend that this processor lacks is a skipped part.
on_backend() {
    local backend=$1 entry name hidden wanted flags reported runner
    shift
    prepare_backends
    for entry in "${backends[@]}"; do
        IFS='|' read -r name hidden wanted flags <<<"$entry"
        [ "$name" != "$backend" ] || break
    done
    [ "$name" = "$backend" ] || { echo "unknown backend $backend"; return 1; }
    if ! has_flags "$flags"; then
        skip_part_once "backend $backend" "not on this processor"
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
    # Tests compare it with the backends that they run on.
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

# print_backends: prints the backends that the step has used.
print_backends() {
    echo
    echo "backends used:"
    sed 's/^/  /' "$scratch/backends" 2>/dev/null || echo "  those that the primitives selected"
}

# prepare_backends: builds the library that hides instructions and the program that reports the backends.
prepare_backends() {
    hiding_library=$scratch/hide_instructions.so
    [ ! -e "$scratch/acceleration" ] || return 0
    cc -shared -fPIC -O2 -Wall -Wextra -Werror -o "$hiding_library" tests/steps/lib/hide_instructions.c
    cargo build -q -p taskseal-core --profile constant-time --locked --example acceleration
    cp "$CARGO_TARGET_DIR/constant-time/examples/acceleration" "$scratch/acceleration"
}

# has_flags FLAGS: returns whether the processor has all flags.
has_flags() {
    local flag
    for flag in $1; do
        grep -qw -m 1 -- "$flag" /proc/cpuinfo || return 1
    done
}
