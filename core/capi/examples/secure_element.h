// A signer whose key is in a secure element: how such a driver is plugged in.
#ifndef SECURE_ELEMENT_H
#define SECURE_ELEMENT_H

#include "taskseal.h"

// A chip behind a bus. `transfer` sends a command and reads the answer; 0 is success. On a board this is the I2C or SPI
// driver, and the command is what the data sheet of the chip says.
struct secure_element {
    int (*transfer)(void *bus, const uint8_t *command, size_t command_length, uint8_t *answer, size_t answer_length);
    void *bus;
    // The slot of the key within the chip.
    uint8_t slot;
};

// Fills `signer`; `point` is the public key of the slot, read from the chip when the device was provisioned.
int32_t secure_element_signer(taskseal_signer *signer, struct secure_element *element, const uint8_t *point);

#endif
