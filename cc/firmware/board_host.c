// SPDX-License-Identifier: Apache-2.0
// The host as a board: a standard C library's files, no instruction counter.
#include <stdio.h>
#include <stdlib.h>

#include "board.h"

enum { MOST_FILES = 4, SPARE_BYTES = 1 << 28 };

// Untouched pages of zeroed memory cost the host nothing.
static _Alignas(16) unsigned char spare[SPARE_BYTES];
static FILE *files[MOST_FILES];

int main(int count, char **arguments) {
  return spk_main(count - 1, (const char *const *)(arguments + 1));
}

_Noreturn void spk_board_exit(int status) { exit(status); }

void spk_board_print(const char *text) { fputs(text, stderr); }

bool spk_board_receive(void *data, size_t bytes) { return fread(data, 1, bytes, stdin) == bytes; }

void spk_board_send(const char *text) {
  fputs(text, stdout);
  fflush(stdout);  // the other side waits for this line before it sends more
}

void spk_board_counter_start(void) {}

uint64_t spk_board_counter_stop(void) { return 0; }

void *spk_board_spare(size_t *bytes) {
  *bytes = sizeof spare;
  return spare;
}

spk_file spk_board_open(const char *path, bool writing) {
  for (spk_file file = 0; file < MOST_FILES; file++) {
    if (files[file] != NULL) continue;
    files[file] = fopen(path, writing ? "wb" : "rb");
    return files[file] == NULL ? -1 : file;
  }
  return -1;
}

bool spk_board_read(spk_file file, void *data, size_t bytes) {
  return fread(data, 1, bytes, files[file]) == bytes;
}

bool spk_board_write(spk_file file, const void *data, size_t bytes) {
  return fwrite(data, 1, bytes, files[file]) == bytes;
}

bool spk_board_seek(spk_file file, uint32_t position) {
  return fseek(files[file], (long)position, SEEK_SET) == 0;
}

bool spk_board_length(spk_file file, uint32_t *bytes) {
  const long here = ftell(files[file]);
  if (here < 0 || fseek(files[file], 0, SEEK_END) != 0) return false;
  const long length = ftell(files[file]);
  *bytes = (uint32_t)length;
  return length >= 0 && length <= INT32_MAX && fseek(files[file], here, SEEK_SET) == 0;
}

bool spk_board_close(spk_file file) {
  const bool closed = fclose(files[file]) == 0;
  files[file] = NULL;
  return closed;
}
