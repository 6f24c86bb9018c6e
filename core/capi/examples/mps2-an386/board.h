// The board of the examples: the Cortex-M4 of QEMU (mps2-an386), without libc.
// Output uses semihosting, which a debugger or QEMU provides.
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

// Writes a text that ends in NUL.
void board_write(const char *text);
// Writes a number in decimal.
void board_write_number(uint32_t number);
// Ends the program; 0 is success.
void board_exit(int status) __attribute__((noreturn));

// Starts to measure: instructions, and how deep the stack gets below the caller.
void board_measure_start(void);
// What was executed since, in units of 40 instructions; exact under `qemu -icount shift=0`.
uint32_t board_measure_ticks(void);
// Bytes of stack used since below the caller of `board_measure_start`.
uint32_t board_measure_stack(void);
// The part of the stack that was used since: to look for what was left there.
const uint8_t *board_stack_used(size_t *length);

#endif
