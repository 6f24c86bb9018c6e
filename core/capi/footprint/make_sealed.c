// Prints footprint/sealed.h: what the verifying programs open. Runs on a host.
#include <stdio.h>
#include <stdlib.h>

#include "common.h"

void board_write(const char *text) { fputs(text, stderr); }
void board_write_number(uint32_t number) { fprintf(stderr, "%u", (unsigned)number); }
void board_exit(int status) { exit(status); }
void board_measure_start(void) {}
uint32_t board_measure_ticks(void) { return 0; }
uint32_t board_measure_stack(void) { return 0; }

static void print(const char *name, const uint8_t *bytes, size_t length) {
    printf("static const uint8_t %s[%zu] = {", name, length);
    for (size_t i = 0; i < length; i++) {
        printf(i % 16 == 0 ? "\n    0x%02x," : " 0x%02x,", bytes[i]);
    }
    printf("\n};\n\n");
}

static size_t sealed(int32_t length) {
    if (length < 0) {
        fprintf(stderr, "%s\n", taskseal_error_name(length));
        exit(1);
    }
    return (size_t)length;
}

int main(void) {
    static taskseal_signing_key signing_key;
    static taskseal_encryption_key encryption_key;
    static taskseal_agreement_key agreement_key;
    static taskseal_agreement_public_key recipient;
    taskseal_signer signer;
    uint8_t next = 0, point[65];
    const taskseal_rng rng = {.fill = draw, .context = &next};

    sealed(taskseal_signing_key_init(&signing_key, SECRET_1));
    sealed(taskseal_encryption_key_init(&encryption_key, KID_2, SECRET_2));
    sealed(taskseal_software_signer(&signer, &signing_key));
    sealed(taskseal_signing_key_point(&signing_key, point));
    printf("// Made by make_sealed.c: what sealing has to give, and opening is given.\n\n");
    print("SIGNER_POINT", point, sizeof point);
    print("SEALED_SE", envelope,
          sealed(taskseal_seal_se(&TASK, &signer, &encryption_key, &rng, envelope, sizeof envelope)));

    sealed(taskseal_agreement_key_init(&agreement_key, SECRET_2));
    sealed(taskseal_agreement_key_point(&agreement_key, point));
    sealed(taskseal_agreement_public_key_init(&recipient, point));
    print("RECIPIENT_POINT", point, sizeof point);
    next = 0;
    print("SEALED_SP", envelope, sealed(taskseal_seal_sp(&TASK, &signer, &recipient, &rng, envelope, sizeof envelope)));
    (void)report, (void)now, (void)KID_1;
    return 0;
}
