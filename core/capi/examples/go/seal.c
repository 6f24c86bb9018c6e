// A task with the claims of the example.
#include "seal.h"

#include <stdlib.h>

void taskseal_panic(void) {
    abort();
}

int32_t seal_reading(const uint8_t *random, uint64_t now, const uint8_t *body, size_t length, uint8_t *out, size_t out_size) {
    taskseal_signing_key key;
    taskseal_signer signer;
    int32_t code = taskseal_signing_key_init(&key, random);
    if (code == 0) code = taskseal_software_signer(&signer, &key);
    if (code == 0) {
        taskseal_task task = {
            .claims = {
                .issuer = TASKSEAL_TEXT_INIT("sensor-17"),
                .task_type = TASKSEAL_TEXT_INIT("reading:store"),
                .audience = TASKSEAL_TEXT_INIT("plant-a/ingest"),
                .present = TASKSEAL_HAS_ISSUED_AT | TASKSEAL_HAS_EXPIRES_AT,
                .issued_at = now,
                .expires_at = now + 3600,
            },
            .content_type = TASKSEAL_TEXT_INIT("application/json"),
            .body = body,
            .body_length = length,
        };
        for (int i = 0; i < TASKSEAL_TASK_ID_LEN; i++) task.claims.task_id[i] = random[TASKSEAL_KEY_LEN + i];
        code = taskseal_seal_s(&task, &signer, out, out_size);
    }
    taskseal_signing_key_wipe(&key);
    return code;
}
