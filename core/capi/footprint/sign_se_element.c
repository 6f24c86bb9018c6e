// Profile `sign`: suite SE, with a key in a secure element. The element is not counted: it answers at once.
#include "common.h"

static taskseal_encryption_key encryption_key;

static int32_t element_sign(void *context, const uint8_t *digest, uint8_t *signature) {
    (void)context;
    for (int i = 0; i < 32; i++) {
        signature[i] = signature[32 + i] = digest[i] & 0x7f;
    }
    return 0;
}

int main(void) {
    uint8_t next = 0;
    const taskseal_rng rng = {.fill = draw, .context = &next};
    const taskseal_signer signer = {.sign_digest = element_sign, .kid = {9, 9, 9, 9, 9, 9, 9, 9}};

    taskseal_encryption_key_init(&encryption_key, KID_2, SECRET_2);
    MEASURE("seal-se-element", taskseal_seal_se(&TASK, &signer, &encryption_key, &rng, envelope, sizeof envelope));
    return 0;
}
