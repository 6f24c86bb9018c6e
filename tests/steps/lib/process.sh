# Processes of a run: the scratch folder, the time limit of a step, and the end of everything that a step started.

# shellcheck shell=bash disable=SC2154,SC2034

# prepare_scratch: creates the folder for temporary files, which is removed at the end of the run.
prepare_scratch() {
    running=
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/taskseal-run.XXXXXX") || exit 1
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mkdir "$scratch/tmp" || exit 1
    export TMPDIR=$scratch/tmp
}

finish() {
    end_step
    stop_processes
    rm -rf "$scratch"
}

# wait_for_step: waits for the running step and returns its exit code. A step that exceeds its time limit is ended.
wait_for_step() {
    local limit=${TASKSEAL_STEP_SECONDS:-} end
    [ -n "$limit" ] || { is_full && limit=7200; } || limit=1800
    end=$((SECONDS + limit))
    while kill -0 "$running" 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "the step exceeds its time limit of $limit s and is ended"
            end_step
            return 1
        fi
        sleep 0.2
    done
    wait "$running"
}

# end_step: ends the process group of the running step.
end_step() {
    local attempt
    [ -n "${running:-}" ] || return 0
    kill -TERM -- "-$running" 2>/dev/null
    for attempt in $(seq 50); do
        kill -0 -- "-$running" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$running" 2>/dev/null
    wait "$running" 2>/dev/null
}

# stop_processes: ends every process whose id a step stored in `$scratch/pids`, and waits for its end.
stop_processes() {
    local pid deadline
    [ -f "$scratch/pids" ] || return 0
    while read -r pid; do
        kill "$pid" 2>/dev/null || continue
        deadline=$((SECONDS + 5))
        while kill -0 "$pid" 2>/dev/null; do
            if [ "$SECONDS" -ge "$deadline" ]; then
                kill -KILL "$pid" 2>/dev/null
                break
            fi
            sleep 0.05
        done
    done <"$scratch/pids"
    rm -f "$scratch/pids"
}
