// Profile `mac` whole: seals and opens suites M and E.
#include "common.h"

static taskseal_mac_key mac_key;
static taskseal_encryption_key encryption_key;
static taskseal_replay_slot slots[8];
static taskseal_replay_window window;
static taskseal_guard guard;
static taskseal_verified verified;

int main(void) {
    uint8_t next = 0;
    const taskseal_rng rng = {.fill = draw, .context = &next};
    const taskseal_clock clock = {.now = now};
    taskseal_policy policy;
    const taskseal_text any = TASKSEAL_TEXT_INIT("*");
    const taskseal_record records[] = {
        {.mac_key = &mac_key, .issuers = any, .types = any, .audiences = any, .valid_until = TASKSEAL_NO_END},
        {.encryption_key = &encryption_key, .issuers = any, .types = any, .audiences = any,
         .valid_until = TASKSEAL_NO_END},
    };
    const taskseal_verifier verifier = {.records = records, .record_count = 2, .policy = &policy, .clock = &clock};
    const taskseal_decryption keys = {.encryption_key = &encryption_key};

    taskseal_mac_key_init(&mac_key, KID_1, SECRET_1);
    taskseal_encryption_key_init(&encryption_key, KID_2, SECRET_2);
    taskseal_replay_window_init(&window, slots, 8);
    taskseal_window_guard(&guard, &window);
    taskseal_policy_for_tasks(&policy, TASKSEAL_TEXT("prod/critical"));
    policy.suites = TASKSEAL_SUITE_M | TASKSEAL_SUITE_E;

    const size_t size = sizeof envelope;
    size_t length = (size_t)taskseal_seal_m(&TASK, &mac_key, envelope, size);
    MEASURE("open-m", taskseal_open(&verifier, &guard, &keys, envelope, length, body, sizeof body, &verified));
    length = (size_t)taskseal_seal_e(&TASK, &encryption_key, &rng, envelope, size);
    taskseal_replay_window_init(&window, slots, 8);
    MEASURE("open-e", taskseal_open(&verifier, &guard, &keys, envelope, length, body, sizeof body, &verified));
    return 0;
}
