# The demo on the embedded broker.

# shellcheck shell=bash

step_demo() {
    need cc gcc libc6-dev
    need python3 python3
    demo
}
