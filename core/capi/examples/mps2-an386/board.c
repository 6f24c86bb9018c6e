// Start-up, semihosting, a painted stack to measure its depth, and the system timer.

#include "board.h"

extern uint32_t image_stack_top[], image_stack_bottom[];
extern uint32_t image_data_start[], image_data_end[], image_data_load[], image_bss_start[], image_bss_end[];

int main(void);

static void reset(void) {
    for (uint32_t *to = image_data_start, *from = image_data_load; to < image_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = image_bss_start; to < image_bss_end;) {
        *to++ = 0;
    }
    // Full access to the floating point unit: compilers use its registers to spill.
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
    board_exit(main());
}

static void fault(void) {
    board_write("fault\n");
    board_exit(2);
}

static volatile uint32_t laps;

static void tick(void) {
    laps++;
}

typedef void (*handler)(void);

extern const handler vectors[16];

__attribute__((section(".vectors"), used)) const handler vectors[16] = {
    (handler)image_stack_top, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, tick,
};

static int semihost(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int)r0;
}

void board_write(const char *text) {
    semihost(0x04, text);
}

void board_write_number(uint32_t number) {
    char text[11];
    char *start = text + sizeof text - 1;
    *start = 0;
    do {
        *--start = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    board_write(start);
}

void board_exit(int status) {
    const uint32_t reason[2] = {0x20026, (uint32_t)status};
    for (;;) {
        semihost(0x20, reason);
    }
}

// Functions that firmware has from its C library, optimised for size. The library provides larger ones if there
// are none.
__attribute__((used)) void *memcpy(void *to, const void *from, size_t length) {
    uint8_t *target = to;
    const uint8_t *source = from;
    if ((((uintptr_t)target | (uintptr_t)source) & 3) == 0) {
        for (; length >= 4; length -= 4, target += 4, source += 4) {
            *(uint32_t *)(void *)target = *(const uint32_t *)(const void *)source;
        }
    }
    while (length-- > 0) {
        *target++ = *source++;
    }
    return to;
}

__attribute__((used)) void *memmove(void *to, const void *from, size_t length) {
    if ((uintptr_t)to <= (uintptr_t)from || (uintptr_t)to >= (uintptr_t)from + length) {
        return memcpy(to, from, length);
    }
    uint8_t *target = to;
    const uint8_t *source = from;
    while (length-- > 0) {
        target[length] = source[length];
    }
    return to;
}

__attribute__((used)) void *memset(void *to, int value, size_t length) {
    uint8_t *target = to;
    for (; length > 0 && ((uintptr_t)target & 3) != 0; length--) {
        *target++ = (uint8_t)value;
    }
    for (; length >= 4; length -= 4, target += 4) {
        *(uint32_t *)(void *)target = (uint8_t)value * 0x01010101u;
    }
    while (length-- > 0) {
        *target++ = (uint8_t)value;
    }
    return to;
}

__attribute__((used)) int memcmp(const void *one, const void *other, size_t length) {
    const uint8_t *left = one, *right = other;
    for (; length > 0; length--, left++, right++) {
        if (*left != *right) {
            return *left - *right;
        }
    }
    return 0;
}

// The names that the procedure call standard of ARM gives them.
__attribute__((used)) void __aeabi_memcpy(void *to, const void *from, size_t length) { memcpy(to, from, length); }
__attribute__((used)) void __aeabi_memcpy4(void *to, const void *from, size_t length) { memcpy(to, from, length); }
__attribute__((used)) void __aeabi_memcpy8(void *to, const void *from, size_t length) { memcpy(to, from, length); }
__attribute__((used)) void __aeabi_memmove(void *to, const void *from, size_t length) { memmove(to, from, length); }
__attribute__((used)) void __aeabi_memmove4(void *to, const void *from, size_t length) { memmove(to, from, length); }
__attribute__((used)) void __aeabi_memmove8(void *to, const void *from, size_t length) { memmove(to, from, length); }
__attribute__((used)) void __aeabi_memset(void *to, size_t length, int value) { memset(to, value, length); }
__attribute__((used)) void __aeabi_memset4(void *to, size_t length, int value) { memset(to, value, length); }
__attribute__((used)) void __aeabi_memset8(void *to, size_t length, int value) { memset(to, value, length); }
__attribute__((used)) void __aeabi_memclr(void *to, size_t length) { memset(to, 0, length); }
__attribute__((used)) void __aeabi_memclr4(void *to, size_t length) { memset(to, 0, length); }
__attribute__((used)) void __aeabi_memclr8(void *to, size_t length) { memset(to, 0, length); }

#define PAINT 0xC5C5A5A5u

static uint32_t *painted_top;
static uint32_t laps_at_start;

static uint32_t *stack_pointer(void) {
    uint32_t *pointer;
    __asm__ volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}

__attribute__((noinline)) void board_measure_start(void) {
    painted_top = stack_pointer() - 4;
    for (volatile uint32_t *word = image_stack_bottom; word < painted_top; word++) {
        *word = PAINT;
    }
    volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;
    systick[1] = 0xFFFFFF;
    systick[2] = 0;
    systick[0] = 7;
    laps_at_start = laps;
}

uint32_t board_measure_ticks(void) {
    const uint32_t left = ((volatile uint32_t *)0xE000E010)[2];
    return (laps - laps_at_start) * 0x1000000u + (0xFFFFFFu - left);
}

const uint8_t *board_stack_used(size_t *length) {
    uint32_t *word = image_stack_bottom;
    while (word < painted_top && *word == PAINT) {
        word++;
    }
    *length = (size_t)((uint8_t *)painted_top - (uint8_t *)word);
    return (const uint8_t *)word;
}

uint32_t board_measure_stack(void) {
    size_t length;
    board_stack_used(&length);
    return (uint32_t)length;
}
