// SPDX-License-Identifier: Apache-2.0
// Tests of what the firmware stands on, run on the host and on the emulated board: memory
// functions, numbers as text, start-up memory, the counter. Words on the command line choose what
// the board is expected to do: `counts`, or the failures `fail`, `fault` and `overflow`, which
// must each end the program with a status that is not 0.
#include "board.h"

#include <string.h>

#include "say.h"

static int failures;

static void expect(bool holds, const char *sentence) {
  if (holds) return;
  failures++;
  spk_board_print("FAILED: ");
  spk_board_print(sentence);
  spk_board_print("\n");
}

static bool equal(const char *a, const char *b) {
  while (*a != '\0' && *a == *b) a++, b++;
  return *a == *b;
}

static uint32_t initialised = 0x12345678u;
static uint32_t zeroed;

enum { ROOM = 96 };

// One byte at a time. Volatile, or the compiler makes a call of the very functions under test of
// it.
static void plain_copy(volatile uint8_t *to, const volatile uint8_t *from, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) to[i] = from[i];
}

static bool plain_equal(const volatile uint8_t *a, const volatile uint8_t *b, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

// Every start, every distance, every length.
static void memory_functions_move_exactly_their_bytes(void) {
  static uint8_t got[ROOM], want[ROOM], source[ROOM];
  for (uint32_t from = 0; from < 8; from++) {
    for (uint32_t to = 0; to < 8; to++) {
      for (uint32_t bytes = 0; bytes < 70; bytes++) {
        for (uint32_t i = 0; i < ROOM; i++) {
          source[i] = (uint8_t)(i * 37u + bytes);
          got[i] = want[i] = (uint8_t)(200u - i);
        }
        plain_copy(want + to, source + from, bytes);
        memcpy(got + to, source + from, bytes);
        expect(plain_equal(got, want, ROOM), "memcpy copies its bytes and no other");

        const uint8_t value = (uint8_t)(bytes + 0x80u);
        for (uint32_t i = 0; i < bytes; i++) plain_copy(want + to + i, &value, 1);
        memset(got + to, value, bytes);
        expect(plain_equal(got, want, ROOM), "memset sets its bytes and no other");

        plain_copy(got, source, ROOM);
        plain_copy(want, source, ROOM);
        plain_copy(want + to, source + from, bytes);
        memmove(got + to, got + from, bytes);
        expect(plain_equal(got, want, ROOM), "memmove copies overlapping bytes");
        expect(memcmp(got, want, ROOM) == 0, "memcmp finds equal bytes equal");
      }
    }
  }
  plain_copy(got, want, ROOM);
  want[5]++;
  got[5] = (uint8_t)(want[5] - 1);
  expect(memcmp(got, want, 6) < 0 && memcmp(want, got, 6) > 0, "memcmp orders by the first byte");
}

static void numbers_print_in_full(void) {
  char room[SPK_SAY_ROOM];
  expect(equal(spk_say_decimal(room, 0), "0"), "0 prints as 0");
  expect(equal(spk_say_decimal(room, 4294967295u), "4294967295"), "2^32 - 1 prints in full");
  expect(equal(spk_say_hex(room, 0xdeadbeefu), "deadbeef"), "hexadecimal prints in full");
}

static void variables_start_with_their_values(void) {
  expect(initialised == 0x12345678u, "an initialised variable has its value");
  expect(zeroed == 0, "a variable without a value is zero");
  initialised = 1;
  zeroed = 1;
}

static uint64_t counted(uint32_t rounds) {
  spk_board_counter_start();
  for (volatile uint32_t i = 0; i < rounds; i++) {
  }
  return spk_board_counter_stop();
}

static void counter_counts_exactly(bool counts) {
  const uint64_t less = counted(1000);
  const uint64_t more = counted(2000);
  const uint64_t most = counted(4000);
  expect(counts == (less != 0), "the board counts just when it is expected to");
  expect(most - more == 2 * (more - less), "equal work counts equally");
  spk_board_counter_start();
  expect(spk_board_counter_stop() == 0, "an empty measurement counts nothing");
}

__attribute__((noinline)) static uint32_t recurse(volatile uint32_t *depth) {
  volatile uint32_t frame[64];
  frame[0] = ++*depth;
  return *depth == 0 ? 0 : recurse(depth) + frame[0];
}

int spk_main(int count, const char *const *arguments) {
  const char *mode = count > 0 ? arguments[0] : "";
  if (equal(mode, "fail")) expect(false, "a test that is meant to fail");
  if (equal(mode, "fault")) __builtin_trap();
  if (equal(mode, "overflow")) {
    volatile uint32_t depth = 0;
    return (int)recurse(&depth) & 0;
  }
  variables_start_with_their_values();
  memory_functions_move_exactly_their_bytes();
  numbers_print_in_full();
  counter_counts_exactly(equal(mode, "counts"));
  return failures == 0 ? 0 : 1;
}
