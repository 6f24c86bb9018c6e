// Profile `verify`: suite SE, verified and opened.
#include "common.h"
#include "sealed.h"

static taskseal_verifying_key verifying_key;
static taskseal_encryption_key encryption_key;
static taskseal_replay_slot slots[8];
static taskseal_replay_window window;
static taskseal_guard guard;
static taskseal_verified verified;

int main(void) {
    const taskseal_clock clock = {.now = now};
    taskseal_policy policy;
    const taskseal_text any = TASKSEAL_TEXT_INIT("*");
    const taskseal_record records[] = {
        {.verifying_key = &verifying_key, .issuers = any, .types = any, .audiences = any,
         .valid_until = TASKSEAL_NO_END},
    };
    const taskseal_verifier verifier = {.records = records, .record_count = 1, .policy = &policy, .clock = &clock};
    const taskseal_decryption keys = {.encryption_key = &encryption_key};

    MEASURE("verifying-key", taskseal_verifying_key_init(&verifying_key, SIGNER_POINT));
    taskseal_encryption_key_init(&encryption_key, KID_2, SECRET_2);
    taskseal_replay_window_init(&window, slots, 8);
    taskseal_window_guard(&guard, &window);
    taskseal_policy_for_tasks(&policy, TASKSEAL_TEXT("prod/critical"));

    MEASURE("verify-se", taskseal_verify(&verifier, SEALED_SE, sizeof SEALED_SE, &verified));
    MEASURE("open-se", taskseal_open(&verifier, &guard, &keys, SEALED_SE, sizeof SEALED_SE, body, sizeof body, &verified));
    return 0;
}
