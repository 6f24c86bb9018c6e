// Profile `verify`: suite SP, verified and opened with a key in memory.
#include "common.h"
#include "sealed.h"

static taskseal_verifying_key verifying_key;
static taskseal_agreement_key agreement_key;
static taskseal_replay_slot slots[8];
static taskseal_replay_window window;
static taskseal_guard guard;
static taskseal_verified verified;

int main(void) {
    const taskseal_clock clock = {.now = now};
    taskseal_policy policy;
    taskseal_agreement agreement;
    const taskseal_text any = TASKSEAL_TEXT_INIT("*");
    const taskseal_record records[] = {
        {.verifying_key = &verifying_key, .issuers = any, .types = any, .audiences = any,
         .valid_until = TASKSEAL_NO_END},
    };
    const taskseal_verifier verifier = {.records = records, .record_count = 1, .policy = &policy, .clock = &clock};
    const taskseal_decryption keys = {.agreement = &agreement};

    taskseal_verifying_key_init(&verifying_key, SIGNER_POINT);
    MEASURE("agreement-key", taskseal_agreement_key_init(&agreement_key, SECRET_2));
    taskseal_software_agreement(&agreement, &agreement_key);
    taskseal_replay_window_init(&window, slots, 8);
    taskseal_window_guard(&guard, &window);
    taskseal_policy_for_tasks(&policy, TASKSEAL_TEXT("prod/critical"));

    MEASURE("open-sp", taskseal_open(&verifier, &guard, &keys, SEALED_SP, sizeof SEALED_SP, body, sizeof body, &verified));
    return 0;
}
