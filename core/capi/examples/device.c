// A sensor without an operating system: Cortex-M4, no libc. The library uses no static memory.
// It has no clock, so its tasks have a boot epoch and a counter. Its signing key is in a secure element, its
// source of randomness is weak, so sealing is hedged. The tasks are then opened as by a worker, and the stack is
// searched for secrets. Exits with 0 on success.

#include "board.h"
#include "secure_element.h"

void taskseal_panic(void) {
    board_write("panic\n");
    board_exit(3);
}

// A simulated chip on the bus: the same commands, executed with a key in memory. Busy the first time.
struct chip {
    taskseal_signer key;
    int commands;
};

static int chip_transfer(void *bus, const uint8_t *command, size_t command_length, uint8_t *answer, size_t answer_length) {
    struct chip *chip = bus;
    if (command_length != 34 || answer_length != 65 || command[0] != 0x41 || command[1] != 2) {
        return -1;
    }
    answer[0] = chip->commands++ == 0 ? 0xEE : 0x00;
    return chip->key.sign_digest(chip->key.context, command + 2, answer + 1);
}

// A converter that is stuck: not random at all.
static int32_t stuck(void *context, uint8_t *bytes, size_t length) {
    (void)context;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = 0x55;
    }
    return 0;
}

static const char *failed_at;

static int32_t check(const char *step, int32_t code) {
    if (code < 0 && failed_at == 0) {
        failed_at = step;
        board_write(step);
        board_write(": ");
        board_write(taskseal_error_name(code));
        board_write("\n");
    }
    return code;
}

static void require(const char *step, int holds) {
    if (!holds) {
        check(step, TASKSEAL_OTHER);
    }
}

// Returns whether 16 bytes of the secret, in either order, are on the used part of the stack.
static int is_on_the_stack(const uint8_t *secret) {
    size_t length;
    const uint8_t *used = board_stack_used(&length);
    for (size_t at = 0; at + 16 <= length; at++) {
        int forward = 1, backward = 1;
        for (size_t i = 0; i < 16 && (forward || backward); i++) {
            forward &= used[at + i] == secret[i];
            backward &= used[at + i] == secret[15 - i];
        }
        if (forward || backward) {
            return 1;
        }
    }
    return 0;
}

static taskseal_signing_key chip_key;
static taskseal_encryption_key shared_key;
static taskseal_hedge_key hedge_key;
static taskseal_verifying_key verifying_key;
// Slots for unfinished tasks, and one issuer. A plain window would fill up, because nothing expires without a clock.
static taskseal_replay_slot slots[4];
static taskseal_sequence_source sources[1];
static taskseal_sequence_window window;
static taskseal_verified verified;
static uint8_t envelope[512], again[512], opened[64];

static const uint8_t CHIP_SECRET[32] = {0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62,
                                        0x64, 0x33, 0x83, 0x27, 0x95, 0x02, 0x88, 0x41, 0x97, 0x16, 0x93,
                                        0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92};
static const uint8_t SHARED_SECRET[32] = {0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60,
                                          0x28, 0x74, 0x71, 0x35, 0x26, 0x62, 0x49, 0x77, 0x57, 0x24, 0x70,
                                          0x93, 0x69, 0x99, 0x59, 0x57, 0x49, 0x66, 0x96, 0x76, 0x27};
static const uint8_t HEDGE_SECRET[32] = {0x16, 0x18, 0x03, 0x39, 0x88, 0x74, 0x98, 0x94, 0x84, 0x82, 0x04,
                                         0x58, 0x68, 0x34, 0x36, 0x56, 0x38, 0x11, 0x77, 0x20, 0x30, 0x91,
                                         0x79, 0x80, 0x57, 0x62, 0x86, 0x21, 0x35, 0x44, 0x86, 0x22};
static const uint8_t SHARED_KID[8] = {1, 2, 3, 4, 5, 6, 7, 8};

int main(void) {
    // Once, at start: keys cost as much as a signature.
    uint8_t point[TASKSEAL_POINT_LEN];
    struct chip chip = {.commands = 0};
    struct secure_element element = {.transfer = chip_transfer, .bus = &chip, .slot = 2};
    taskseal_signer signer;
    const taskseal_rng rng = {.fill = stuck};

    board_measure_start();
    check("chip key", taskseal_signing_key_init(&chip_key, CHIP_SECRET));
    require("the signing key is not on the stack", !is_on_the_stack(CHIP_SECRET));
    check("chip signer", taskseal_software_signer(&chip.key, &chip_key));
    check("point", taskseal_signing_key_point(&chip_key, point));
    check("element", secure_element_signer(&signer, &element, point));
    check("shared key", taskseal_encryption_key_init(&shared_key, SHARED_KID, SHARED_SECRET));
    check("hedge key", taskseal_hedge_key_init(&hedge_key, HEDGE_SECRET));
    require("no key is on the stack", !is_on_the_stack(SHARED_SECRET) && !is_on_the_stack(HEDGE_SECRET));

    // For every reading.
    static const uint8_t reading[] = {0xa1, 0x67, 'c', 'e', 'l', 's', 'i', 'u', 's', 0x18, 0x15, 0x00, 0x01, 0x02, 0x03, 0x04};
    taskseal_task task = {
        .claims = {
            .issuer = TASKSEAL_TEXT_INIT("sensor-17"),
            .task_type = TASKSEAL_TEXT_INIT("reading:store"),
            .audience = TASKSEAL_TEXT_INIT("plant-a/ingest"),
            .task_id = {7},
            .present = TASKSEAL_HAS_SEQUENCE,
            .clock = TASKSEAL_CLOCK_NONE,
            .sequence_epoch = 12,
            .sequence_counter = 1,
        },
        .content_type = TASKSEAL_TEXT_INIT("application/cbor"),
        .body = reading,
        .body_length = sizeof reading,
    };
    board_measure_start();
    const int32_t length = check("seal", taskseal_seal_se_hedged(&task, &signer, &shared_key, &hedge_key, &rng, envelope, sizeof envelope));
    board_write("stack of sealing: ");
    board_write_number(board_measure_stack());
    board_write("\n");
    require("no key is on the stack after sealing", !is_on_the_stack(CHIP_SECRET) && !is_on_the_stack(SHARED_SECRET) && !is_on_the_stack(HEDGE_SECRET));
    require("the chip was busy once", chip.commands == 2);

    // A second reading has other random values, although the source is stuck.
    task.claims.sequence_counter = 2;
    task.claims.task_id[15] = 1;
    check("seal again", taskseal_seal_se_hedged(&task, &signer, &shared_key, &hedge_key, &rng, again, sizeof again));

    // As a worker, also without a clock, so the policy must accept clockless tasks from this queue.
    const taskseal_text any = TASKSEAL_TEXT_INIT("*");
    const taskseal_record records[] = {
        {.verifying_key = &verifying_key, .issuers = any, .types = any, .audiences = any, .valid_until = TASKSEAL_NO_END},
    };
    taskseal_policy policy;
    taskseal_guard guard;
    const taskseal_verifier verifier = {.records = records, .record_count = 1, .policy = &policy};
    const taskseal_decryption keys = {.encryption_key = &shared_key};
    check("verifying key", taskseal_verifying_key_init(&verifying_key, point));
    check("policy", taskseal_policy_for_tasks(&policy, task.claims.audience));
    policy.accept = TASKSEAL_ACCEPT_CLOCKLESS;
    check("window", taskseal_sequence_window_init(&window, slots, 4, sources, 1, 3600));
    check("guard", taskseal_sequence_guard(&guard, &window));
    board_measure_start();
    const int32_t body = check("open", taskseal_open(&verifier, &guard, &keys, envelope, (size_t)length, opened, sizeof opened, &verified));
    board_write("stack of opening: ");
    board_write_number(board_measure_stack());
    board_write("\n");
    require("no key is on the stack after opening", !is_on_the_stack(SHARED_SECRET));
    require("no body is on the stack after opening", !is_on_the_stack(reading));
    require("length", body == (int32_t)sizeof reading);
    for (size_t i = 0; i < sizeof reading; i++) {
        require("body", opened[i] == reading[i]);
    }
    taskseal_sequence_window_finish(&window, task.claims.issuer, verified.claims.task_id);
    require("a replay is refused", taskseal_open(&verifier, &guard, &keys, envelope, (size_t)length, opened, sizeof opened, &verified) == TASKSEAL_REPLAYED);
    envelope[40] ^= 1;
    require("a changed byte is refused", taskseal_verify(&verifier, envelope, (size_t)length, &verified) < 0);
    taskseal_wipe(opened, sizeof opened);

    board_write(failed_at == 0 ? "sealed, opened, refused\n" : "failed\n");
    return failed_at != 0;
}
