# The demo on Redis.

# shellcheck shell=bash disable=SC2154

step_demo-redis() {
    need cc gcc libc6-dev
    need python3 python3
    need redis-server redis-server
    start_redis
    demo --broker "redis://127.0.0.1:$redis_port"
}
