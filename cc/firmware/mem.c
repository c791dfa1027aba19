// SPDX-License-Identifier: Apache-2.0
// The memory functions and strlen: all that the compiler and the firmware need of a C library, so
// that none is linked. Its header <string.h> is still needed to compile.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Without this the compiler sees what the loops below do, and has them call themselves.
#define SPK_PLAIN_LOOPS __attribute__((optimize("no-tree-loop-distribute-patterns")))

// Memory seen as words, whatever its type is.
typedef uint32_t __attribute__((may_alias)) spk_word;

static int spk_on_word(const void *p) { return ((uintptr_t)p & 3u) == 0; }

SPK_PLAIN_LOOPS void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  if (spk_on_word(out) && spk_on_word(in)) {
    spk_word *words = to;
    const spk_word *source = from;
    for (; bytes >= 16; bytes -= 16, words += 4, source += 4) {
      words[0] = source[0];
      words[1] = source[1];
      words[2] = source[2];
      words[3] = source[3];
    }
    out = (uint8_t *)words;
    in = (const uint8_t *)source;
  }
  while (bytes-- != 0) *out++ = *in++;
  return to;
}

SPK_PLAIN_LOOPS void *memmove(void *to, const void *from, size_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  const uintptr_t after = (uintptr_t)out - (uintptr_t)in;   // by how much `to` lies after `from`
  const uintptr_t before = (uintptr_t)in - (uintptr_t)out;  // and before it
  if (after >= bytes && before >= bytes) return memcpy(to, from, bytes);
  // They overlap: go in the direction that reads every byte before it is overwritten.
  if (after < bytes) {
    while (bytes-- != 0) out[bytes] = in[bytes];
  } else {
    while (bytes-- != 0) *out++ = *in++;
  }
  return to;
}

SPK_PLAIN_LOOPS void *memset(void *to, int value, size_t bytes) {
  uint8_t *out = to;
  for (; bytes != 0 && !spk_on_word(out); bytes--) *out++ = (uint8_t)value;
  spk_word *words = (spk_word *)(void *)out;
  const uint32_t word = (uint8_t)value * 0x01010101u;
  for (; bytes >= 16; bytes -= 16, words += 4) {
    words[0] = word;
    words[1] = word;
    words[2] = word;
    words[3] = word;
  }
  out = (uint8_t *)words;
  while (bytes-- != 0) *out++ = (uint8_t)value;
  return to;
}

SPK_PLAIN_LOOPS int memcmp(const void *left, const void *right, size_t bytes) {
  const uint8_t *a = left;
  const uint8_t *b = right;
  for (; bytes != 0; bytes--, a++, b++) {
    if (*a != *b) return *a < *b ? -1 : 1;
  }
  return 0;
}

SPK_PLAIN_LOOPS size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') length++;
  return length;
}
