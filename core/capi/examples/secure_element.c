// The driver: sends a digest and receives a status byte and a signature. The private key stays in the chip.

#include "secure_element.h"

enum { SIGN_DIGEST = 0x41, STATUS_OK = 0x00, STATUS_BUSY = 0xEE, ATTEMPTS = 3 };

static int32_t sign_digest(void *context, const uint8_t *digest, uint8_t *signature) {
    const struct secure_element *element = context;
    uint8_t command[2 + 32] = {SIGN_DIGEST, element->slot}, answer[1 + 64];
    for (int i = 0; i < 32; i++) {
        command[2 + i] = digest[i];
    }
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (element->transfer(element->bus, command, sizeof command, answer, sizeof answer) != 0) {
            return -1;
        }
        if (answer[0] == STATUS_OK) {
            // The chip may return a high or a low s: the library normalises it.
            for (int i = 0; i < 64; i++) {
                signature[i] = answer[1 + i];
            }
            return 0;
        }
        if (answer[0] != STATUS_BUSY) {
            return -1;
        }
    }
    return -1;
}

int32_t secure_element_signer(taskseal_signer *signer, struct secure_element *element, const uint8_t *point) {
    taskseal_verifying_key key = {0};
    const int32_t made = taskseal_verifying_key_init(&key, point);
    if (made < 0) {
        return made;
    }
    signer->sign_digest = sign_digest;
    signer->context = element;
    return taskseal_verifying_key_kid(&key, signer->kid);
}
