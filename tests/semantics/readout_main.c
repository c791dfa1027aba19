// SPDX-License-Identifier: Apache-2.0
// Classifies the recordings of readout_frames.h on a board and prints a line for each: the class
// and the time steps that it took.
#include "board.h"
#include "readout_frames.h"
#include "say.h"

static net_state state;

int spk_main(int count, const char *const *arguments) {
  (void)count;
  (void)arguments;
  char room[SPK_SAY_ROOM];
  for (uint32_t r = 0; r < RECORDINGS; r++) {
    net_readout readout;
    uint8_t spikes[NET_OUTPUTS];
    if (net_reset(&state) != SPK_OK || net_readout_reset(&readout) != SPK_OK) return 1;
    bool decided = false;
    for (uint32_t t = 0; t < STEPS && !decided; t++) {
      if (net_step_frame(&state, frames[r][t], spikes) != SPK_OK) return 1;
      decided = net_readout_add(&readout, &state, spikes);
    }
    const int32_t winner = net_readout_class(&readout);
    spk_board_print(winner == NET_NO_CLASS ? "none" : spk_say_decimal(room, (uint32_t)winner));
    spk_board_print(" ");
    spk_board_print(spk_say_decimal(room, readout.steps));
    spk_board_print("\n");
  }
  return 0;
}
