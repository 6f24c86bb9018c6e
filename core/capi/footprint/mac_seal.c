// Profile `mac`, sealing only: suites M and E.
#include "common.h"

static taskseal_mac_key mac_key;
static taskseal_encryption_key encryption_key;

int main(void) {
    uint8_t next = 0;
    const taskseal_rng rng = {.fill = draw, .context = &next};

    MEASURE("mac-key", taskseal_mac_key_init(&mac_key, KID_1, SECRET_1));
    MEASURE("encryption-key", taskseal_encryption_key_init(&encryption_key, KID_2, SECRET_2));
    MEASURE("seal-m", taskseal_seal_m(&TASK, &mac_key, envelope, sizeof envelope));
    MEASURE("seal-e", taskseal_seal_e(&TASK, &encryption_key, &rng, envelope, sizeof envelope));
    return 0;
}
