# The vectors with independent readers in Python and JavaScript.

# shellcheck shell=bash disable=SC2154

step_interop() {
    local folder=$CARGO_TARGET_DIR/interop vectors=tests/vectors python
    need_python
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || true
    need node nodejs
    need npm npm
    mkdir -p "$folder"
    python_environment "$folder/python" tests/interop/requirements.txt
    node_modules "$folder/javascript" tests/interop/javascript
    python=("$folder/python/bin/python" -B)
    local -x PYTHONPATH=tests/interop/python
    "${python[@]}" -m taskseal_reader $vectors/envelope $vectors/batch $vectors/detached $vectors/keyset
    "${python[@]}" -m taskseal_reader.keyset_page core/docs/keyset.md
    "${python[@]}" -m other_stacks $vectors/envelope $vectors/batch $vectors/detached
    node "$folder/javascript/check.mjs" $vectors/envelope $vectors/detached
}

# python_environment FOLDER REQUIREMENTS: creates a virtual environment with these packages, unless it exists.
python_environment() {
    if cmp -s "$2" "$1/requirements.txt" && "$1/bin/python" -c '' 2>/dev/null; then
        return 0
    fi
    rm -rf "$1"
    python3 -m venv "$1" >"$scratch/venv.log" 2>&1 || skip "cannot create a virtual environment: $(tail -n 1 "$scratch/venv.log")"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$2" 2>"$scratch/pip.log" ||
        skip_if_unreachable pip "$scratch/pip.log"
    cp "$2" "$1/requirements.txt"
}

# node_modules FOLDER SOURCE: copies the programs of SOURCE and installs the packages of its lockfile beside them.
node_modules() {
    local same=no
    cmp -s "$2/package-lock.json" "$1/node_modules/lockfile" && same=yes
    mkdir -p "$1"
    cp "$2"/*.mjs "$2"/*.json "$2/.npmrc" "$1"
    if [ "$same" = yes ]; then
        return 0
    fi
    # `npm ci` requires the optional packages of other machines in the lockfile; they are not needed here.
    (cd "$1" && npm install --no-save --omit=optional --loglevel=error) >"$scratch/npm.log" 2>&1 ||
        skip_if_unreachable npm "$scratch/npm.log"
    cp "$2/package-lock.json" "$1/node_modules/lockfile"
}
