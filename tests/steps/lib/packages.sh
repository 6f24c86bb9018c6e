# Programs and packages of the operating system.

# shellcheck shell=bash disable=SC2154

# have PROGRAM: returns whether the program is installed.
have() {
    command -v "$1" >/dev/null 2>&1
}

# need PROGRAM PACKAGE...: skips the step unless the program is installed or the packages install it.
need() {
    have_or_install "$@" || skip "$1 is missing; run: sudo apt-get install -y ${*:2}"
}

# need_python: skips the step unless Python 3.11 is installed, the first version that reads TOML.
need_python() {
    need python3 python3
    python3 -c 'import tomllib' 2>/dev/null || skip "python3 is older than 3.11"
}

# have_or_install PROGRAM PACKAGE...: returns whether the program is installed, after an attempt to install it.
have_or_install() {
    local program=$1
    shift
    if have "$program"; then
        return 0
    fi
    install_packages "$@" || true
    hash -r
    have "$program"
}

# need_part PART PROGRAM PACKAGE...: counts the part as skipped unless the program is installed or can be installed.
need_part() {
    local part=$1
    shift
    have_or_install "$@" || { skip_part "$part" "$1 is missing; run: sudo apt-get install -y ${*:2}"; return 1; }
}

# install_packages PACKAGE...: installs packages if root runs this command.
install_packages() {
    if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
        return 1
    fi
    echo "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # Once for a run. The step continues after a failed update, because the present package lists may be sufficient.
    if [ ! -f "$scratch/apt-updated" ]; then
        touch "$scratch/apt-updated"
        env -u TMPDIR apt-get update >"$scratch/apt.log" 2>&1 || tail -n 5 "$scratch/apt.log"
    fi
    # RUNLEVEL prevents init scripts from starting the packaged service. Without TMPDIR, because the user that
    # apt-get switches to cannot enter the scratch folder.
    if ! env -u TMPDIR RUNLEVEL=1 apt-get install -y --no-install-recommends "$@" >"$scratch/apt.log" 2>&1; then
        tail -n 5 "$scratch/apt.log"
        return 1
    fi
}
