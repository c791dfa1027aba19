// SPDX-License-Identifier: Apache-2.0
// The emulated board, QEMU's mps2-an500: files and exit by semihosting, exact instruction counts.
//
//   qemu-system-arm -M mps2-an500 -display none -monitor none -serial stdio -icount shift=7
//     -semihosting-config enable=on,target=native,arg=PROGRAM,arg=FIRST,... -kernel PROGRAM.elf
#include <string.h>

#include "board.h"

// Semihosting for AArch32, Arm IHI 0103: operations, and the reason that means an orderly exit.
enum {
  SYS_OPEN = 0x01,
  SYS_CLOSE = 0x02,
  SYS_WRITE0 = 0x04,
  SYS_WRITE = 0x05,
  SYS_READ = 0x06,
  SYS_SEEK = 0x0a,
  SYS_FLEN = 0x0c,
  SYS_GET_CMDLINE = 0x15,
  SYS_EXIT_EXTENDED = 0x20,
  ADP_STOPPED_APPLICATION_EXIT = 0x20026,
  OPEN_READ_BINARY = 1,
  OPEN_WRITE_BINARY = 5
};

enum { MOST_ARGUMENTS = 8, LINE_BYTES = 2048 };

// CMSDK APB timer 0 counts down at 25 MHz, and UART 0: Arm DDI 0479, sections 4.3 and 4.4.
#define TIMER0_CTRL (*(volatile uint32_t *)0x40000000u)
#define TIMER0_VALUE (*(volatile uint32_t *)0x40000004u)
#define TIMER0_RELOAD (*(volatile uint32_t *)0x40000008u)
#define UART0_DATA (*(volatile uint32_t *)0x40004000u)
#define UART0_STATE (*(volatile uint32_t *)0x40004004u)
#define UART0_CTRL (*(volatile uint32_t *)0x40004008u)
#define UART0_BAUDDIV (*(volatile uint32_t *)0x40004010u)
enum { TIMER_ENABLE = 1, UART_SEND_FULL = 1, UART_HAS_BYTE = 2, UART_ON = 3 };

extern uint32_t spk_spare_start[], spk_spare_end[];  // from sections.ld

static uint32_t counter_start;
static uint32_t counter_empty;  // instructions that a measurement of nothing takes
static uint32_t counter_mask;   // all ones where QEMU runs with -icount shift=7, or else 0

static int32_t semihost(uint32_t operation, const void *block) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = block;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

// Never inlined: a measurement must cost the same wherever it is made.
__attribute__((noinline)) void spk_board_counter_start(void) { counter_start = TIMER0_VALUE; }

// Under -icount shift=7 an instruction takes 2^7 = 128 ns and a tick of the timer 40 ns; a tick cut
// off at either end is less than half an instruction, so rounding makes the count exact.
__attribute__((noinline)) static uint32_t counter_read(void) {
  const uint32_t ticks = counter_start - TIMER0_VALUE;
  return (uint32_t)(((uint64_t)ticks * 40u + 64u) >> 7);
}

__attribute__((noinline)) uint64_t spk_board_counter_stop(void) {
  // Without a branch: the same instructions with and without -icount, which a trace does without.
  return (counter_read() - counter_empty) & counter_mask;
}

// Instructions that the counter sees for `rounds` rounds of a loop of two instructions.
static uint32_t counter_loop(uint32_t rounds) {
  spk_board_counter_start();
  __asm__ volatile(
      "1: subs %0, %0, #1\n"
      "bne 1b\n"
      : "+r"(rounds)
      :
      : "cc");
  return counter_read();
}

static void counter_prepare(void) {
  TIMER0_RELOAD = 0xffffffffu;
  TIMER0_VALUE = 0xffffffffu;
  TIMER0_CTRL = TIMER_ENABLE;
  const uint32_t less = counter_loop(1000);
  counter_mask = counter_loop(5000) - less == 8000 ? 0xffffffffu : 0;
  spk_board_counter_start();
  counter_empty = (uint32_t)spk_board_counter_stop();
}

_Noreturn void spk_board_exit(int status) {
  const uint32_t block[2] = {ADP_STOPPED_APPLICATION_EXIT, (uint32_t)status};
  for (;;) semihost(SYS_EXIT_EXTENDED, block);
}

void spk_board_print(const char *text) { semihost(SYS_WRITE0, text); }

// Splits `line` at its spaces, in place; the first word is the program's own name.
static int split(char *line, const char *arguments[MOST_ARGUMENTS]) {
  int count = -1;
  for (char *at = line; count < MOST_ARGUMENTS;) {
    while (*at == ' ') *at++ = '\0';
    if (*at == '\0') break;
    if (count >= 0) arguments[count] = at;
    count++;
    while (*at != ' ' && *at != '\0') at++;
  }
  return count < 0 ? 0 : count;
}

_Noreturn void spk_board_start(void) {
  static char line[LINE_BYTES];
  static const char *arguments[MOST_ARGUMENTS];
  UART0_BAUDDIV = 16;  // the least it takes; an emulated byte takes no time
  UART0_CTRL = UART_ON;
  counter_prepare();
  struct {
    char *line;
    uint32_t bytes;
  } block = {line, sizeof line};
  if (semihost(SYS_GET_CMDLINE, &block) != 0) {
    spk_board_print("error: the command line is longer than 2,047 bytes; use shorter paths\n");
    spk_board_exit(2);
  }
  spk_board_exit(spk_main(split(line, arguments), arguments));
}

bool spk_board_receive(void *data, size_t bytes) {
  for (uint8_t *at = data; bytes != 0; bytes--) {
    while ((UART0_STATE & UART_HAS_BYTE) == 0) {
    }
    *at++ = (uint8_t)UART0_DATA;
  }
  return true;
}

void spk_board_send(const char *text) {
  for (; *text != '\0'; text++) {
    while ((UART0_STATE & UART_SEND_FULL) != 0) {
    }
    UART0_DATA = (uint8_t)*text;
  }
}

void *spk_board_spare(size_t *bytes) {
  *bytes = (size_t)((uintptr_t)spk_spare_end - (uintptr_t)spk_spare_start);
  return spk_spare_start;
}

spk_file spk_board_open(const char *path, bool writing) {
  const struct {
    const char *path;
    uint32_t mode;
    uint32_t length;
  } block = {path, writing ? OPEN_WRITE_BINARY : OPEN_READ_BINARY, (uint32_t)strlen(path)};
  return semihost(SYS_OPEN, &block);
}

typedef struct transfer {
  spk_file file;
  const void *data;
  uint32_t bytes;
} transfer;

// SYS_READ and SYS_WRITE return how many bytes they did not move.
bool spk_board_read(spk_file file, void *data, size_t bytes) {
  const transfer block = {file, data, (uint32_t)bytes};
  return bytes == 0 || semihost(SYS_READ, &block) == 0;
}

bool spk_board_write(spk_file file, const void *data, size_t bytes) {
  const transfer block = {file, data, (uint32_t)bytes};
  return bytes == 0 || semihost(SYS_WRITE, &block) == 0;
}

bool spk_board_seek(spk_file file, uint32_t position) {
  const uint32_t block[2] = {(uint32_t)file, position};
  return semihost(SYS_SEEK, block) == 0;
}

bool spk_board_length(spk_file file, uint32_t *bytes) {
  const uint32_t block[1] = {(uint32_t)file};
  const int32_t length = semihost(SYS_FLEN, block);
  *bytes = (uint32_t)length;
  return length >= 0;
}

bool spk_board_close(spk_file file) {
  const uint32_t block[1] = {(uint32_t)file};
  return semihost(SYS_CLOSE, block) == 0;
}
