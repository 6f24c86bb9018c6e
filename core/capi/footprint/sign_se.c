// Profile `sign`: suite SE, with a key in memory.
#include "common.h"
#include "sealed.h"

static taskseal_signing_key signing_key;
static taskseal_encryption_key encryption_key;

int main(void) {
    uint8_t next = 0;
    const taskseal_rng rng = {.fill = draw, .context = &next};
    taskseal_signer signer;

    MEASURE("signing-key", taskseal_signing_key_init(&signing_key, SECRET_1));
    taskseal_software_signer(&signer, &signing_key);
    taskseal_encryption_key_init(&encryption_key, KID_2, SECRET_2);
    MEASURE("seal-se", taskseal_seal_se(&TASK, &signer, &encryption_key, &rng, envelope, sizeof envelope));
    // The same bytes as on any other machine.
    for (size_t i = 0; i < sizeof SEALED_SE; i++) {
        if (envelope[i] != SEALED_SE[i]) {
            return 1;
        }
    }
    return 0;
}
