/*
 * No key is left in the vector registers by the functions that take keys in and wipe them. Linux on x86-64.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <taskseal.h>

static uint8_t key[32];
static uint8_t registers[32][64];

void taskseal_panic(void)
{
    abort();
}

/* Stores the registers as the call before has left them. */
static void store(void)
{
    if (__builtin_cpu_supports("avx512f")) {
        __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
                         "vmovdqu64 %%zmm\\n, 64*\\n(%0)\n\t"
                         ".endr" ::"r"(registers) : "memory");
    } else {
        __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                         "movdqu %%xmm\\n, 64*\\n(%0)\n\t"
                         ".endr" ::"r"(registers) : "memory");
    }
}

static int found_in_registers(void)
{
    int found = 0;
    for (size_t at = 0; at + 16 <= sizeof registers; at += 16) {
        for (size_t part = 0; part < sizeof key; part += 16) {
            found += memcmp((const uint8_t *)registers + at, key + part, 16) == 0;
        }
    }
    return found;
}

static int failures;

static void check(const char *what, int code, int should_be_found)
{
    int found = found_in_registers() > 0;
    if (code != 0 || found != should_be_found) {
        printf("%s: returned %d, and the key is %s the registers\n", what, code, found ? "in" : "not in");
        failures++;
    }
}

/* `store` follows each call directly: no other code may use the registers before it. */
#define AFTER(what, call, should_be_found)     \
    do {                                       \
        int code = (call);                     \
        store();                               \
        check(what, code, should_be_found);    \
    } while (0)

int main(void)
{
    static const uint8_t kid[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static taskseal_mac_key mac_key;
    static taskseal_encryption_key encryption_key;
    static taskseal_signing_key signing_key;
    static uint8_t body[32];

    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)(37 * i + 11);
    }

    /* The control: a copy goes through registers. */
    __asm__ volatile("movdqu (%0), %%xmm0" ::"r"(key) : "xmm0");
    AFTER("a key that was put there", 0, 1);

    AFTER("taskseal_mac_key_init", taskseal_mac_key_init(&mac_key, kid, key), 0);
    AFTER("taskseal_encryption_key_init", taskseal_encryption_key_init(&encryption_key, kid, key), 0);
    AFTER("taskseal_signing_key_init", taskseal_signing_key_init(&signing_key, key), 0);
    AFTER("taskseal_mac_key_wipe", (taskseal_mac_key_wipe(&mac_key), 0), 0);
    AFTER("taskseal_encryption_key_wipe", (taskseal_encryption_key_wipe(&encryption_key), 0), 0);
    AFTER("taskseal_signing_key_wipe", (taskseal_signing_key_wipe(&signing_key), 0), 0);

    memcpy(body, key, sizeof body);
    __asm__ volatile("movdqu (%0), %%xmm9" ::"r"(body) : "xmm9");
    AFTER("taskseal_wipe", (taskseal_wipe(body, sizeof body), 0), 0);

    if (failures == 0) {
        printf("no key is left in the vector registers\n");
    }
    return failures == 0 ? 0 : 1;
}
