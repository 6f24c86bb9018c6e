# A private Redis for a step.

# shellcheck shell=bash disable=SC2154,SC2034

# start_redis: starts a Redis on 127.0.0.1 and sets `redis_port`. It is stopped at the end of the step.
start_redis() {
    local folder pid deadline attempt
    for attempt in 1 2 3 4 5; do
        folder=$scratch/redis.$attempt
        redis_port=$((20000 + RANDOM % 12000))
        mkdir "$folder"
        redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$folder" --save '' --appendonly no \
            --maxmemory 256mb --maxmemory-policy noeviction >"$folder/log" 2>&1 &
        pid=$!
        echo "$pid" >>"$scratch/pids"
        deadline=$((SECONDS + 10))
        while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$pid" 2>/dev/null; do
            if grep -q 'Ready to accept connections' "$folder/log"; then
                return 0
            fi
            sleep 0.05
        done
    done
    cat "$folder/log"
    echo "cannot start redis-server on 127.0.0.1"
    return 1
}
