// Profile `sign`: suite SP, with a key in memory.
#include "common.h"
#include "sealed.h"

static taskseal_signing_key signing_key;
static taskseal_agreement_public_key recipient;

int main(void) {
    uint8_t next = 0;
    const taskseal_rng rng = {.fill = draw, .context = &next};
    taskseal_signer signer;

    taskseal_signing_key_init(&signing_key, SECRET_1);
    taskseal_software_signer(&signer, &signing_key);
    MEASURE("recipient", taskseal_agreement_public_key_init(&recipient, RECIPIENT_POINT));
    MEASURE("seal-sp", taskseal_seal_sp(&TASK, &signer, &recipient, &rng, envelope, sizeof envelope));
    // The same bytes as on any other machine.
    for (size_t i = 0; i < sizeof SEALED_SP; i++) {
        if (envelope[i] != SEALED_SP[i]) {
            return 1;
        }
    }
    return 0;
}
