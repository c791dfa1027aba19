// SPDX-License-Identifier: Apache-2.0
// Numbers as text and statuses as sentences, for boards without a C library.
#ifndef SPK_SAY_H_
#define SPK_SAY_H_

#include <stdint.h>

#include "spk_status.h"

enum { SPK_SAY_ROOM = 11 };  // 4,294,967,295 and the final zero

// `number` in decimal, written to the end of `room`; returns where it starts.
static inline const char *spk_say_decimal(char room[SPK_SAY_ROOM], uint32_t number) {
  char *at = room + SPK_SAY_ROOM - 1;
  *at = '\0';
  do {
    *--at = (char)('0' + number % 10u);
    number /= 10u;
  } while (number != 0);
  return at;
}

// `number` as eight hexadecimal digits; returns `room`.
static inline const char *spk_say_hex(char room[SPK_SAY_ROOM], uint32_t number) {
  for (int i = 0; i < 8; i++) room[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15u];
  room[8] = '\0';
  return room;
}

// What a status means to a person.
static inline const char *spk_say_status(spk_status status) {
  switch (status) {
    case SPK_OK:
      return "no error";
    case SPK_NULL_ARGUMENT:
      return "a pointer that must point somewhere is NULL";
    case SPK_TOO_MANY_INPUTS:
      return "more active inputs than the network has inputs";
    case SPK_INDEX_OUT_OF_RANGE:
      return "an input or a pixel lies outside the network's input";
    case SPK_NOT_ASCENDING:
      return "active inputs are not sorted by index, each at most once";
    case SPK_NOT_FINITE:
      return "an input value is NaN or infinite";
    case SPK_TIME_RUNS_BACK:
      return "an event is older than the one before it";
    case SPK_WINDOW_OVER:
      return "an event is newer than the window being filled";
    case SPK_OUT_OF_RANGE:
      return "an input value is outside the declared range, or not an integer";
    case SPK_TOO_MANY_STEPS:
      return "the network has parameters for no more time steps; it must be reset";
  }
  return "an unknown status";
}

#endif  // SPK_SAY_H_
