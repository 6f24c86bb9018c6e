# Plain technical English in prose, names and commit subjects.

# shellcheck shell=bash

step_words() {
    local status=0
    need_python
    python3 -B tests/steps/words.py --self-test
    python3 -B tests/steps/words.py
    python3 -B tests/steps/words.py --commits || status=$?
    if [ "$status" -eq 77 ]; then
        skip_part "commit subjects" "this clone lacks the history that they are in"
    elif [ "$status" -ne 0 ]; then
        return 1
    fi
}
