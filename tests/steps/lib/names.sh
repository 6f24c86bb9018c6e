# Names that steps use: the workspaces besides the main one, and test programs as arguments of cargo.

# shellcheck shell=bash disable=SC2034

own_workspaces=(fuzz benches/builds core/firmware tests/devices)

constant_time_test=(-p taskseal-core --test constant_time)
wiping_test=(-p taskseal-core --test wiping)
secrets_test=(-p taskseal-tests --test secrets)
tokens_test=(-p taskseal-tests --test keys)
device_test=(-p taskseal-cli --test cli)
