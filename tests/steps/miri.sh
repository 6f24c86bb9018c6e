# Core in the Miri interpreter, which finds undefined behaviour.

# shellcheck shell=bash disable=SC2154

# Filters for modules without curve arithmetic, which takes minutes for each test in the interpreter.
miri_modules=(
    cbor:: claims:: commit::tests::extract commit::tests::the envelope:: header:: inner:: keyset::tests::a_ kid:: name::
    policy:: refusal:: replay:: structure:: suite:: task_id::
)
miri_short=("${miri_modules[@]}")

step_miri() {
    has_toolchain nightly || skip "the nightly toolchain is missing; run: rustup toolchain install nightly"
    need cc gcc libc6-dev
    need_nightly_component miri miri
    local modules=("${miri_short[@]}")
    ! is_full || modules=("${miri_modules[@]}")
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/miri cargo +nightly miri test -p taskseal-core --lib --locked -- "${modules[@]}" \
        --skip a_second_key_with_the_same_kid
}
