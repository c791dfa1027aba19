// SPDX-License-Identifier: Apache-2.0
// The application's sizes for the hand-written network: a sensor of 2 x 2 pixels.
#ifndef SPK_APP_CONFIG_H_
#define SPK_APP_CONFIG_H_

enum {
  SPK_APP_WIDTH = 2,
  SPK_APP_HEIGHT = 2,
  SPK_APP_OUTPUTS = 3,
  SPK_APP_STEPS = 20,
  SPK_APP_WINDOW_US = 1000
};

#endif  // SPK_APP_CONFIG_H_
