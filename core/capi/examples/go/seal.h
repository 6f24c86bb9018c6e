// What the Go program calls: one function, so that C keeps every pointer.
#include "taskseal.h"

// Seals a body with a new key of suite S. Returns the length of the envelope, or a negative code.
int32_t seal_reading(const uint8_t *random, uint64_t now, const uint8_t *body, size_t length, uint8_t *out, size_t out_size);
