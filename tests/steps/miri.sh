# Core in the Miri interpreter, which finds undefined behaviour.

# shellcheck shell=bash disable=SC2154

# Filters for tests without curve arithmetic, which takes minutes for each test in the interpreter. The short form
# has the parsers of hostile bytes and the policy; the other tests mostly hash.
miri_short=(cbor:: claims:: envelope:: header:: kid:: name:: policy:: replay::window:: suite:: task_id::)
miri_full=(
    "${miri_short[@]}" commit::tests::extract commit::tests::the inner:: keyset::tests::a_ refusal:: replay:: structure::
)

step_miri() {
    has_toolchain nightly || skip "the nightly toolchain is missing; run: rustup toolchain install nightly"
    need cc gcc libc6-dev
    need_nightly_component miri miri
    local tests=("${miri_short[@]}")
    ! is_full || tests=("${miri_full[@]}")
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/miri cargo +nightly miri test -p taskseal-core --lib --locked -- "${tests[@]}" \
        --skip a_second_key_with_the_same_kid
}
