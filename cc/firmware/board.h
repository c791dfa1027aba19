// SPDX-License-Identifier: Apache-2.0
// What a program needs of the board it runs on; one board_NAME.c for each board implements it.
#ifndef SPK_BOARD_H_
#define SPK_BOARD_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The program: drive_main.c or portenta_main.c. Returns the exit status, 0 when all went well.
// arguments[0 .. count - 1] are the words of the command line, without the program's own name.
int spk_main(int count, const char *const *arguments);

// Called by the start-up code once memory is set up: prepares the board, runs spk_main, exits.
// The host's board has main() instead.
_Noreturn void spk_board_start(void);

// Ends the program. A board that cannot end prints the status and stands still.
_Noreturn void spk_board_exit(int status);

// Writes text for a person to read: standard error, the emulator's console, the serial port.
void spk_board_print(const char *text);

// The serial link that carries data: USART1, the emulator's UART, or standard input and output.
// Receive waits for all `bytes`; false when some were lost or the link ended.
bool spk_board_receive(void *data, size_t bytes);
void spk_board_send(const char *text);

// The board's counter, around the code to measure. Stop returns what was spent since start, less
// what an empty measurement costs, or 0 where the board cannot count; the counter runs on, so that
// it may be asked again. What it counts differs:
//   mps2_an500   instructions, exact, under QEMU's -icount shift=7 (0 without that option)
//   portenta_h7  processor cycles; one measurement must stay under 2^32 of them
//   host         nothing: always 0
void spk_board_counter_start(void);
uint64_t spk_board_counter_stop(void);

// Memory that the program has not claimed otherwise, aligned for any object. The same every call.
void *spk_board_spare(size_t *bytes);

// Files on the machine that drives the board. Only `host` and `mps2_an500` have them.
// A handle is negative when the file cannot be opened; everything else says whether it worked, and
// a read or a write works only when all `bytes` were moved.
typedef int32_t spk_file;
spk_file spk_board_open(const char *path, bool writing);
bool spk_board_read(spk_file file, void *data, size_t bytes);
bool spk_board_write(spk_file file, const void *data, size_t bytes);
bool spk_board_seek(spk_file file, uint32_t position);
bool spk_board_length(spk_file file, uint32_t *bytes);
bool spk_board_close(spk_file file);

#endif  // SPK_BOARD_H_
