// SPDX-License-Identifier: Apache-2.0
// The Arduino Portenta H7, M7 core of its STM32H747: serial port and cycle counter.
//
// This file has not met the hardware. It is written from ST's reference manual RM0399 and Arm's
// Cortex-M7 manuals; no emulator at hand models the chip. Everything else in the image also runs on
// the emulated board.
//
// Loading: dfu-util --device 0x2341:0x035b -a 0 -s 0x08040000:leave -D PROGRAM.bin
// after a double press on the reset button.
//
// What the bootloader leaves us. Arduino's (Mbed OS) turns off SysTick, the interrupts and the
// memory protection unit, sets the stack and the vector table, and jumps. It leaves power and
// clocks as it set them up; this file changes neither. Arduino's own core runs the M7 at 480 MHz,
// but do not count on that here: results are in cycles, and the serial port runs from the HSI
// oscillator, which is the same at every processor clock. The M4 core is left alone.
#include "board.h"
#include "say.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

// RM0399, chapter "Reset and clock control (RCC)"; base 0x58024400.
#define RCC_CR REGISTER(0x58024400u)
#define RCC_D2CCIP2R REGISTER(0x58024454u)
#define RCC_AHB4ENR REGISTER(0x580244e0u)
#define RCC_APB2ENR REGISTER(0x580244f0u)
enum {
  RCC_CR_HSION = 1 << 0,
  RCC_CR_HSIRDY = 1 << 2,
  RCC_CR_HSIDIV_SHIFT = 3,  // two bits: the 64 MHz oscillator is divided by 2^HSIDIV
  RCC_D2CCIP2R_USART16SEL = 7 << 3,
  RCC_D2CCIP2R_USART16SEL_HSI = 3 << 3,
  RCC_AHB4ENR_GPIOAEN = 1 << 0,
  RCC_APB2ENR_USART1EN = 1 << 4
};

// RM0399, chapter "General-purpose I/Os (GPIO)"; GPIOA's base 0x58020000.
#define GPIOA_MODER REGISTER(0x58020000u)
#define GPIOA_PUPDR REGISTER(0x5802000cu)
#define GPIOA_AFRH REGISTER(0x58020024u)

// RM0399, chapter "Universal synchronous/asynchronous receiver transmitter (USART/UART)"; USART1's
// base 0x40011000. It is Serial1 of the Arduino core: PA9 sends (header pin D14), PA10 receives
// (D13), both alternate function 7 (the STM32H747's data sheet, table of alternate functions).
#define USART1_CR1 REGISTER(0x40011000u)
#define USART1_CR2 REGISTER(0x40011004u)
#define USART1_CR3 REGISTER(0x40011008u)
#define USART1_BRR REGISTER(0x4001100cu)
#define USART1_ISR REGISTER(0x4001101cu)
#define USART1_ICR REGISTER(0x40011020u)
#define USART1_RDR REGISTER(0x40011024u)
#define USART1_TDR REGISTER(0x40011028u)
#define USART1_PRESC REGISTER(0x4001102cu)
enum {
  USART_CR1_UE = 1 << 0,
  USART_CR1_RE = 1 << 2,
  USART_CR1_TE = 1 << 3,
  USART_CR1_FIFOEN = 1 << 29,
  USART_ISR_FE = 1 << 1,
  USART_ISR_NE = 1 << 2,
  USART_ISR_ORE = 1 << 3,
  USART_ISR_RXFNE = 1 << 5,
  USART_ISR_TC = 1 << 6,
  USART_ISR_TXFNF = 1 << 7,
  HSI_HZ = 64000000,
  BAUD = 115200
};

// Armv7-M Architecture Reference Manual, C1.6.5 and C1.8; LAR: the M7's lock on the DWT.
#define DEMCR REGISTER(0xe000edfcu)
#define DWT_CTRL REGISTER(0xe0001000u)
#define DWT_CYCCNT REGISTER(0xe0001004u)
#define DWT_LAR REGISTER(0xe0001fb0u)
enum { DEMCR_TRCENA = 1 << 24, DWT_CTRL_CYCCNTENA = 1 << 0 };
#define DWT_LAR_KEY 0xc5acce55u

// Armv7-M Architecture Reference Manual, B3.2.8 and B2.2: caches.
#define CCR REGISTER(0xe000ed14u)
#define CCSIDR REGISTER(0xe000ed80u)
#define CSSELR REGISTER(0xe000ed84u)
#define ICIALLU REGISTER(0xe000ef50u)
#define DCISW REGISTER(0xe000ef60u)
enum { CCR_DC = 1 << 16, CCR_IC = 1 << 17 };

extern uint32_t spk_spare_start[], spk_spare_end[];  // from sections.ld

static uint32_t counter_start;
static uint32_t counter_empty;  // cycles that a measurement of nothing takes

static void barrier(void) { __asm__ volatile("dsb\nisb" ::: "memory"); }

// The code and the tables are in flash, many cycles away; the state is in DTCM, which needs no
// cache. The bootloader may have turned the caches on: a cache that is on must not be invalidated,
// for it may hold what memory does not yet.
static void caches_prepare(void) {
  if ((CCR & CCR_IC) == 0) {
    barrier();
    ICIALLU = 0;
    barrier();
    CCR |= CCR_IC;
    barrier();
  }
  if ((CCR & CCR_DC) == 0) {
    CSSELR = 0;  // level 1, data
    barrier();
    const uint32_t sets = (CCSIDR >> 13 & 0x7fffu) + 1u;
    const uint32_t ways = (CCSIDR >> 3 & 0x3ffu) + 1u;  // four, so the way is in bits 31:30
    for (uint32_t set = 0; set < sets; set++) {
      for (uint32_t way = 0; way < ways; way++) DCISW = way << 30 | set << 5;  // lines of 32 bytes
    }
    barrier();
    CCR |= CCR_DC;
    barrier();
  }
}

static void serial_prepare(void) {
  RCC_CR |= RCC_CR_HSION;
  while ((RCC_CR & RCC_CR_HSIRDY) == 0) {
  }
  RCC_D2CCIP2R = (RCC_D2CCIP2R & ~(uint32_t)RCC_D2CCIP2R_USART16SEL) | RCC_D2CCIP2R_USART16SEL_HSI;
  RCC_AHB4ENR |= RCC_AHB4ENR_GPIOAEN;
  RCC_APB2ENR |= RCC_APB2ENR_USART1EN;
  (void)RCC_APB2ENR;  // a read back: the clocks run before the next access
  barrier();

  // The alternate function first, so that the pin never drives anything else. PA9, PA10: 2 bits
  // each from bit 18 in MODER and PUPDR, 4 bits each from bit 4 in AFRH. 10: alternate function;
  // PUPDR 01: pulled up, so that an open receive line rests high.
  GPIOA_AFRH = (GPIOA_AFRH & ~0x00000ff0u) | 0x00000770u;
  GPIOA_PUPDR = (GPIOA_PUPDR & ~(0xfu << 18)) | 0x5u << 18;
  GPIOA_MODER = (GPIOA_MODER & ~(0xfu << 18)) | 0xau << 18;

  const uint32_t clock = (uint32_t)HSI_HZ >> (RCC_CR >> RCC_CR_HSIDIV_SHIFT & 3u);
  USART1_CR1 = 0;  // the other registers can be written only while UE is 0
  USART1_CR2 = 0;  // 1 stop bit
  USART1_CR3 = 0;  // no flow control, no DMA
  USART1_PRESC = 0;
  USART1_BRR = (clock + BAUD / 2u) / BAUD;  // oversampling by 16
  USART1_CR1 = USART_CR1_FIFOEN | USART_CR1_TE | USART_CR1_RE;
  USART1_CR1 |= USART_CR1_UE;
}

// Never inlined: a measurement must cost about the same wherever it is made.
__attribute__((noinline)) void spk_board_counter_start(void) {
  barrier();
  counter_start = DWT_CYCCNT;
}

__attribute__((noinline)) uint64_t spk_board_counter_stop(void) {
  barrier();
  const uint32_t cycles = DWT_CYCCNT - counter_start;
  return cycles > counter_empty ? cycles - counter_empty : 0;
}

static void counter_prepare(void) {
  DEMCR |= DEMCR_TRCENA;
  DWT_LAR = DWT_LAR_KEY;
  DWT_CYCCNT = 0;
  DWT_CTRL |= DWT_CTRL_CYCCNTENA;
  for (int warm = 0; warm < 2; warm++) {  // the second time the code is in the cache
    counter_empty = 0;
    spk_board_counter_start();
    counter_empty = (uint32_t)spk_board_counter_stop();
  }
}

_Noreturn void spk_board_start(void) {
  caches_prepare();
  serial_prepare();
  counter_prepare();
  spk_board_exit(spk_main(0, NULL));
}

// A microcontroller has nowhere to go: say so, send the last byte, sleep until the reset button.
_Noreturn void spk_board_exit(int status) {
  char room[SPK_SAY_ROOM];
  spk_board_send("stopped: status ");
  spk_board_send(spk_say_decimal(room, (uint32_t)status));
  spk_board_send("\n");
  while ((USART1_ISR & USART_ISR_TC) == 0) {
  }
  for (;;) __asm__ volatile("wfi");
}

void spk_board_print(const char *text) { spk_board_send(text); }

void spk_board_send(const char *text) {
  for (; *text != '\0'; text++) {
    while ((USART1_ISR & USART_ISR_TXFNF) == 0) {
    }
    USART1_TDR = (uint8_t)*text;
  }
}

bool spk_board_receive(void *data, size_t bytes) {
  const uint32_t lost = USART_ISR_FE | USART_ISR_NE | USART_ISR_ORE;
  for (uint8_t *at = data; bytes != 0; bytes--) {
    uint32_t status;
    do {
      status = USART1_ISR;
      if ((status & lost) != 0) {
        USART1_ICR = lost;  // the flags' own bits clear them
        return false;
      }
    } while ((status & USART_ISR_RXFNE) == 0);
    *at++ = (uint8_t)USART1_RDR;
  }
  return true;
}

void *spk_board_spare(size_t *bytes) {
  *bytes = (size_t)((uintptr_t)spk_spare_end - (uintptr_t)spk_spare_start);
  return spk_spare_start;
}
