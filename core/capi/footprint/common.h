// Shared by the footprint programs: keys, names and the measurement of an operation.
//
// With FOOTPRINT_EMPTY the program is linked against functions that do nothing: the difference is the library.
#ifndef COMMON_H
#define COMMON_H

#include "board.h"
#include "taskseal.h"

#define NOW 1763751000u

static const uint8_t SECRET_1[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                                     17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
static const uint8_t SECRET_2[32] = {101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116,
                                     117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132};
static const uint8_t KID_1[8] = {1, 1, 1, 1, 1, 1, 1, 1};
static const uint8_t KID_2[8] = {2, 2, 2, 2, 2, 2, 2, 2};

static uint8_t body[256];
static uint8_t envelope[1024];

// A counter instead of a source of randomness, so that the results are reproducible.
static int32_t draw(void *context, uint8_t *bytes, size_t length) {
    uint8_t *next = context;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(*next)++;
    }
    return 0;
}

static int32_t now(void *context, taskseal_time *time) {
    (void)context;
    time->earliest = NOW;
    time->latest = NOW;
    return 0;
}

static const taskseal_task TASK = {
    .claims = {
        .issuer = TASKSEAL_TEXT_INIT("sensor-gw-07"),
        .task_type = TASKSEAL_TEXT_INIT("reading:store"),
        .audience = TASKSEAL_TEXT_INIT("prod/critical"),
        .task_id = {1, 0x92, 0xf7, 0xa1, 0xc3, 0xd4, 0x7e, 0x5f, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 7, 3},
        .present = TASKSEAL_HAS_ISSUED_AT | TASKSEAL_HAS_EXPIRES_AT,
        .issued_at = NOW,
        .expires_at = NOW + 3600,
    },
    .content_type = TASKSEAL_TEXT_INIT("application/cbor"),
    .body = body,
    .body_length = sizeof body,
};

// Reports `name ticks stack left result`. `left` counts, of the deepest 64 words of stack that were used, those that are not
// zero: what a call wipes, it wipes deeper than it worked, or what was spilled down there stays.
#define MEASURE(name, call)                              \
    do {                                                 \
        board_measure_start();                           \
        int32_t result = (call);                         \
        report((name), board_measure_ticks(), result);   \
    } while (0)

static void report(const char *name, uint32_t ticks, int32_t result) {
    const uint32_t stack = board_measure_stack();
    size_t length;
    const uint32_t *words = (const uint32_t *)board_stack_used(&length);
    uint32_t left = 0;
    for (size_t i = 0; i < 64 && i < length / 4; i++) {
        left += words[i] != 0;
    }
    board_write(name);
    board_write(" ");
    board_write_number(ticks);
    board_write(" ");
    board_write_number(stack);
    board_write(" ");
    board_write_number(left);
    board_write(result < 0 ? " -" : " ");
    board_write_number((uint32_t)(result < 0 ? -result : result));
    board_write("\n");
}

void taskseal_panic(void) {
    board_write("panic\n");
    board_exit(3);
}

#endif
